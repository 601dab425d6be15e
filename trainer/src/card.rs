//! What is known of a release → its model card: a page and JSON beside the release file.

use crate::learn::Thresholds;
use crate::quantize::report::{Against, QuantizeReport};
use crate::train::run::TrainRun;
use anyhow::Context;
use lapwing_report::card::ModelCard;
use lapwing_report::charts::{Bar, Group, Histogram, Learning, LearningCurve, LearningPoint, Recalls};
use lapwing_report::{Fact, KindRow, Measure, Note, Picture, ReportError};
use lapwing_shared::units::date;
use lapwing_shared::verdict::evidence::ODD_NATS;
use std::path::Path;

/// Scores drawn in the histogram, at most, evenly spread.
const DRAWN_SCORES: usize = 20_000;

/// What a card is made of.
pub struct CardInput<'a> {
    /// Group of agents.
    pub group: &'a str,
    /// Version.
    pub version: u64,
    /// After this it is refused, seconds since the epoch.
    pub expires_s: u64,
    /// Name of the key that signed.
    pub key: &'a str,
    /// Size of the release file, bytes.
    pub file_bytes: usize,
    /// The training.
    pub run: &'a TrainRun,
    /// int8 against f32.
    pub quantized: &'a QuantizeReport,
    /// Calibration and evidence limits.
    pub thresholds: &'a Thresholds,
    /// int8 scores of the benign rows that the thresholds come from.
    pub benign: &'a [u32],
    /// int8 scores of labelled attack rows, by kind; none of them trained or set a threshold.
    pub attacks: &'a [(String, Vec<u32>)],
    /// Command that repeats it.
    pub command: String,
}

/// Page and JSON of a card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CardFiles {
    /// The page.
    pub html: String,
    /// The same facts.
    pub json: String,
}

impl CardFiles {
    /// Makes both.
    ///
    /// # Errors
    /// When the page cannot be filled.
    pub fn make(input: &CardInput<'_>) -> Result<Self, ReportError> {
        let card = card(input);
        Ok(Self { html: card.html()?, json: card.json()? })
    }

    /// Writes `NAME.card.html` and `NAME.card.json` beside the release file `NAME.lwr`.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write_beside(&self, release: &Path) -> anyhow::Result<()> {
        for (ending, text) in [("card.html", &self.html), ("card.json", &self.json)] {
            let path = release.with_extension(ending);
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// The card.
pub fn card(input: &CardInput<'_>) -> ModelCard {
    let attacks: usize = input.attacks.iter().map(|(_, scores)| scores.len()).sum();
    let report = &input.run.report;
    let summary = format!(
        "Knows what is normal from {} feature rows and scores how far a flow is from it. {}",
        report.training_rows,
        if attacks > 0 {
            format!("Told apart {attacks} labelled attack rows with ROC-AUC {:.4}.", input.quantized.auc_int8)
        } else {
            "It was not measured on attacks: no labelled ones were given.".into()
        }
    );
    let mut warnings = Vec::new();
    if attacks == 0 {
        warnings.push(
            "Without labelled attacks this card says how quiet the model is, not what it finds; give --attacks to measure it"
                .into(),
        );
    }
    if input.benign.len() < 1_000 {
        warnings
            .push(format!("Thresholds rest on {} benign rows only; more make rare alerts rarer", input.benign.len()));
    }
    ModelCard {
        release: format!("{}, version {}", input.group, input.version),
        summary,
        warnings,
        model: model_facts(input),
        data: data_facts(input),
        measures: measures(input),
        kinds: kinds(input),
        quantization: quantization(input.quantized),
        notes: vec![knob(input)],
        pictures: pictures(input),
        intended: format!(
            "Gateways of the group {}, on networks like those that the rows came from. An operator decides; it blocks nothing.",
            input.group
        ),
        limits: vec![
            "It sees flows, not payload: attacks inside of usual flows stay unseen.".into(),
            "A network that changes makes it louder until it is trained anew; drift is told by the trainer.".into(),
            "Odd is not evil: new devices and updates are odd, too.".into(),
            "Benign figures come from the rows that set the thresholds, so they are a little too good.".into(),
        ],
        commands: vec![input.command.clone()],
    }
}

fn model_facts(input: &CardInput<'_>) -> Vec<Fact> {
    let network = &input.run.network;
    let widths: Vec<String> = network.layers.iter().map(|layer| layer.biases.len().to_string()).collect();
    vec![
        Fact::new("release", format!("{}-{}, {} bytes", input.group, input.version, input.file_bytes)),
        Fact::new("signed by", input.key),
        Fact::new("refused after", format!("{} ({} s since 1970)", day(input.expires_s), input.expires_s)),
        Fact::new(
            "network",
            format!("autoencoder, layers {}, int8 {} bytes", widths.join("-"), input.quantized.size_bytes),
        ),
        Fact::new("made by", input.run.code.clone()),
    ]
}

fn data_facts(input: &CardInput<'_>) -> Vec<Fact> {
    let (run, report) = (input.run, &input.run.report);
    vec![
        Fact::new("rows given", report.rows.to_string()),
        Fact::new(
            "rows trained on",
            format!(
                "{} ({} thinned because one agent gave too many, {} suspect, {} dropped as worst reconstructed)",
                report.training_rows, report.thinned_rows, report.suspect_rows, report.dropped_rows
            ),
        ),
        Fact::new("rows held out for stopping", report.validation_rows.to_string()),
        Fact::new("rows that set the score curve", input.benign.len().to_string()),
        Fact::new("seed", run.config.seed.to_string()),
        Fact::new("epochs", format!("{}, best {}", report.validation_errors.len(), report.best_epoch)),
        Fact::new("sha256 of the rows", run.data_sha256.clone()),
    ]
}

fn odd(input: &CardInput<'_>, scores: &[u32]) -> f64 {
    let odd = scores.iter().filter(|score| input.thresholds.calibration.surprise_nats(**score) >= ODD_NATS).count();
    odd as f64 / scores.len().max(1) as f64
}

/// The lowest score that is odd; surprise never falls as the score rises.
fn odd_score(input: &CardInput<'_>) -> u32 {
    let (mut low, mut high) = (0, u32::MAX);
    while low < high {
        let middle = low + (high - low) / 2;
        if input.thresholds.calibration.surprise_nats(middle) >= ODD_NATS { high = middle } else { low = middle + 1 }
    }
    low
}

fn measures(input: &CardInput<'_>) -> Vec<Measure> {
    let odd_note = format!("flows whose surprise is {ODD_NATS} nats or more");
    let wilson = crate::evaluate::wilson;
    let benign = odd(input, input.benign);
    let mut measures = vec![
        Measure::new("benign-odd", "benign flows that are odd", benign)
            .within(Some(wilson(benign, input.benign.len())))
            .noted(format!("{odd_note}; on the rows that set the thresholds")),
    ];
    let all: Vec<u32> = input.attacks.iter().flat_map(|(_, scores)| scores.iter().copied()).collect();
    if !all.is_empty() {
        let found = odd(input, &all);
        measures.push(Measure::new("roc-auc", "ROC-AUC, attack against benign flows", input.quantized.auc_int8));
        measures.push(
            Measure::new("attack-odd", "attack flows that are odd", found)
                .within(Some(wilson(found, all.len())))
                .noted(odd_note),
        );
    }
    measures
}

fn kinds(input: &CardInput<'_>) -> Vec<KindRow> {
    let row = |(kind, scores): &(String, Vec<u32>)| {
        let flagged = odd(input, scores);
        let pair: Vec<f64> = input.benign.iter().chain(scores).map(|score| f64::from(*score)).collect();
        let auc = (!input.benign.is_empty()).then(|| crate::quantize::report::auc(&pair, input.benign.len()));
        let interval = Some(crate::evaluate::wilson(flagged, scores.len()));
        KindRow { kind: kind.clone(), rows: scores.len(), flagged, interval, auc }
    };
    input.attacks.iter().map(row).collect()
}

fn quantization(report: &QuantizeReport) -> Vec<Measure> {
    let against = match report.against {
        Against::LabelledAttacks => "benign rows against labelled attacks",
        Against::PerturbedRows => "benign rows against benign rows with a quarter of their features swapped",
    };
    vec![
        Measure::new("auc-f32", "ROC-AUC with f32", report.auc_f32).noted(against),
        Measure::new("auc-int8", "ROC-AUC with int8", report.auc_int8).noted(against),
        Measure::new("rank-correlation", "rank correlation of the scores", report.rank_correlation),
        Measure::new("rms-quanta", "difference of the reconstructions, quanta", report.rms_quanta),
    ]
}

fn knob(input: &CardInput<'_>) -> Note {
    let row = |limit: &lapwing_shared::release::manifest::LimitKnot| {
        vec![limit.alerts_per_day.to_string(), format!("{:.1}", limit.evidence_nats)]
    };
    Note {
        title: "The operator's knob".into(),
        text: format!(
            "False alerts a day that a site accepts, and the evidence that one host must gather for an alert. Counted on {:.1} \
             days of benign flows; what is rarer than that shows follows the tail.",
            input.thresholds.days
        ),
        header: ["alerts a day", "evidence, nats"].map(String::from).to_vec(),
        rows: input.thresholds.limits.iter().map(row).collect(),
    }
}

fn pictures(input: &CardInput<'_>) -> Vec<Picture> {
    let thinned = |scores: &[u32]| {
        let step = scores.len().div_ceil(DRAWN_SCORES).max(1);
        scores.iter().step_by(step).map(|score| f64::from(*score)).collect::<Vec<_>>()
    };
    let mut groups = vec![Group { name: "benign".into(), scores: thinned(input.benign) }];
    let all: Vec<u32> = input.attacks.iter().flat_map(|(_, scores)| scores.iter().copied()).collect();
    if !all.is_empty() {
        groups.push(Group { name: "attack".into(), scores: thinned(&all) });
    }
    let histogram = Histogram {
        title: "Scores".into(),
        score: "weighted reconstruction error (quanta squared)".into(),
        groups,
        threshold: Some(f64::from(odd_score(input))),
        log: true,
    };
    let bar = |kind: KindRow| Bar { name: kind.kind, rows: kind.rows, value: kind.flagged, interval: kind.interval };
    let recalls = Recalls {
        title: "Odd flows by attack".into(),
        axis: "share of the attack's flows that are odd".into(),
        note: "Rows in brackets; lines are 95 % Wilson intervals. One attack needs a few odd flows, not all.".into(),
        bars: kinds(input).into_iter().map(bar).collect(),
    };
    let losses = input.run.report.validation_errors.iter().enumerate();
    let point = |(epoch, loss): (usize, &f64)| LearningPoint { step: epoch as f64 + 1.0, seconds: 0.0, loss: *loss };
    let curve = LearningCurve { name: "validation rows".into(), points: losses.map(point).collect() };
    let loss = "validation error (units squared)".into();
    let learning = Learning { step: "epoch".into(), loss, curves: vec![curve], log: true };
    // A picture without anything to draw is left out.
    [histogram.picture(), recalls.picture(), learning.picture()].into_iter().filter_map(Result::ok).collect()
}

/// Year, month and day of seconds since the epoch.
pub(crate) fn day(seconds: u64) -> String {
    let (year, month, day) = date(seconds / 86_400);
    format!("{year:04}-{month:02}-{day:02}")
}
