//! A release, its training and its measurements → a model card: a page and JSON next to the release file.

use crate::candidate::Thresholds;
use crate::gate::GateReport;
use crate::quantize::report::{Against, QuantizeReport};
use crate::train::run::TrainRun;
use anyhow::Context;
use lapwing_common::format::day;
use lapwing_report::card::ModelCard;
use lapwing_report::charts::{Bar, Group, Histogram, Learning, LearningCurve, LearningPoint, Recalls};
use lapwing_report::{Fact, KindRow, Measure, Note, Picture, ReportError};
use lapwing_shared::verdict::evidence::ODD_NATS;
use lapwing_tables::stats::auc;
use std::path::Path;

/// Maximum number of scores in the histogram, evenly spread.
const DRAWN_SCORES: usize = 20_000;

/// Inputs of a card.
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct CardInput<'a> {
    pub group: &'a str,
    pub version: u64,
    /// Time from which agents reject the release, seconds since the epoch.
    pub(crate) expires_s: u64,
    /// Name of the signing key.
    pub key: &'a str,
    /// Size of the release file, bytes.
    pub(crate) file_bytes: usize,
    pub run: &'a TrainRun,
    /// int8 compared with f32.
    pub(crate) quantized: &'a QuantizeReport,
    /// Calibration and evidence limits.
    pub thresholds: &'a Thresholds,
    /// int8 scores of the benign rows that set the thresholds.
    pub benign: &'a [u32],
    /// int8 scores of labelled attack rows by class; none were used for training or thresholds.
    pub attacks: &'a [(String, Vec<u32>)],
    /// Comparison with the previous release.
    pub gate: &'a GateReport,
    /// Command that reproduces the release.
    pub(crate) command: String,
}

/// Page and JSON of a card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct CardFiles {
    pub html: String,
    /// The same facts as JSON.
    pub json: String,
}

impl CardFiles {
    /// Renders the card.
    ///
    /// # Errors
    /// When the template fails.
    pub(crate) fn make(input: &CardInput<'_>) -> Result<Self, ReportError> {
        let card = card(input);
        Ok(Self { html: card.html()?, json: card.json()? })
    }

    /// Writes `NAME.card.html` and `NAME.card.json` next to the release file `NAME.lwr`.
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

pub(crate) fn card(input: &CardInput<'_>) -> ModelCard {
    let attacks: usize = input.attacks.iter().map(|(_, scores)| scores.len()).sum();
    ModelCard {
        release: format!("{}, version {}", input.group, input.version),
        summary: summary(input, attacks),
        warnings: warnings(input, attacks),
        model: model_facts(input),
        data: data_facts(input),
        measures: measures(input),
        kinds: kinds(input),
        quantization: quantization(input.quantized),
        notes: vec![budget(input), gate(input.gate)],
        pictures: pictures(input),
        intended: format!(
            "Gateways of the group {}, on networks like those that the rows came from. It raises alerts for an operator and blocks nothing.",
            input.group
        ),
        limits: vec![
            "It sees flows, not payloads, so it misses attacks inside normal flows.".into(),
            "If the network changes, false alerts increase until the model is retrained; the trainer reports such drift.".into(),
            "Anomalous does not mean malicious: new devices and software updates are anomalous, too.".into(),
            "Benign figures are measured on the rows that set the thresholds, so they are slightly optimistic.".into(),
        ],
        commands: vec![input.command.clone()],
    }
}

fn summary(input: &CardInput<'_>, attacks: usize) -> String {
    let detection = if attacks > 0 {
        format!("ROC-AUC {:.4} on {attacks} labelled attack rows.", input.quantized.auc_int8)
    } else {
        "Not measured on attacks, because no labelled attacks were given.".into()
    };
    let rows = input.run.report.training_rows;
    format!("Trained on {rows} benign feature rows; scores how far a flow deviates from them. {detection}")
}

fn warnings(input: &CardInput<'_>, attacks: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    if attacks == 0 {
        warnings.push(
            "Without labelled attacks this card covers false alerts only, not detection; give --attacks to measure it"
                .into(),
        );
    }
    if input.benign.len() < 1_000 {
        let rows = input.benign.len();
        warnings
            .push(format!("Thresholds are based on only {rows} benign rows; more rows make rare false alerts rarer"));
    }
    warnings
}

fn model_facts(input: &CardInput<'_>) -> Vec<Fact> {
    let network = &input.run.network;
    let widths: Vec<String> = network.layers.iter().map(|layer| layer.biases.len().to_string()).collect();
    vec![
        Fact::new("release", format!("{}-{}, {} bytes", input.group, input.version, input.file_bytes)),
        Fact::new("signed by", input.key),
        Fact::new("expires", format!("{} ({} s since 1970)", day(input.expires_s), input.expires_s)),
        Fact::new(
            "network",
            format!("autoencoder, layers {}, int8 {} bytes", widths.join("-"), input.quantized.size_bytes),
        ),
        Fact::new("trained by", input.run.code.clone()),
    ]
}

fn data_facts(input: &CardInput<'_>) -> Vec<Fact> {
    let (run, report) = (input.run, &input.run.report);
    vec![
        Fact::new("feature rows supplied", report.rows.to_string()),
        Fact::new(
            "feature rows trained on",
            format!(
                "{} ({} removed by subsampling the largest agents, {} suspect, {} dropped as worst reconstructed)",
                report.training_rows, report.subsampled_rows, report.suspect_rows, report.dropped_rows
            ),
        ),
        Fact::new("feature rows held out for early stopping", report.validation_rows.to_string()),
        Fact::new("feature rows for calibration", input.benign.len().to_string()),
        Fact::new("seed", run.config.seed.to_string()),
        Fact::new("epochs", format!("{}, best {}", report.validation_errors.len(), report.best_epoch)),
        Fact::new("sha256 of the rows", run.data_sha256.clone()),
    ]
}

/// Share of scores whose surprise is at least [`ODD_NATS`].
fn anomalous_share(input: &CardInput<'_>, scores: &[u32]) -> f64 {
    let anomalous =
        scores.iter().filter(|score| input.thresholds.calibration.surprise_nats(**score) >= ODD_NATS).count();
    anomalous as f64 / scores.len().max(1) as f64
}

/// The lowest anomalous score; surprise never falls as the score rises.
fn anomalous_score(input: &CardInput<'_>) -> u32 {
    let (mut low, mut high) = (0, u32::MAX);
    while low < high {
        let middle = low + (high - low) / 2;
        if input.thresholds.calibration.surprise_nats(middle) >= ODD_NATS { high = middle } else { low = middle + 1 }
    }
    low
}

fn measures(input: &CardInput<'_>) -> Vec<Measure> {
    let note = format!("surprise of at least {ODD_NATS} nats");
    let wilson = lapwing_tables::stats::wilson;
    let benign = anomalous_share(input, input.benign);
    let mut measures = vec![
        Measure::new("benign-odd", "anomalous share of benign flows", benign)
            .within(Some(wilson(benign, input.benign.len())))
            .noted(format!("{note}; on the rows that set the thresholds")),
    ];
    let all: Vec<u32> = input.attacks.iter().flat_map(|(_, scores)| scores.iter().copied()).collect();
    if !all.is_empty() {
        let detected = anomalous_share(input, &all);
        measures.push(Measure::new("roc-auc", "ROC-AUC, attack and benign flows", input.quantized.auc_int8));
        measures.push(
            Measure::new("attack-odd", "anomalous share of attack flows", detected)
                .within(Some(wilson(detected, all.len())))
                .noted(note),
        );
    }
    measures
}

fn kinds(input: &CardInput<'_>) -> Vec<KindRow> {
    let row = |(kind, scores): &(String, Vec<u32>)| {
        let flagged = anomalous_share(input, scores);
        let all: Vec<u32> = input.benign.iter().chain(scores).copied().collect();
        let positive: Vec<bool> = (0..all.len()).map(|row| row >= input.benign.len()).collect();
        let auc = (!input.benign.is_empty()).then(|| auc(&all, &positive).unwrap_or(0.5));
        let interval = Some(lapwing_tables::stats::wilson(flagged, scores.len()));
        KindRow { kind: kind.clone(), rows: scores.len(), flagged, interval, auc }
    };
    input.attacks.iter().map(row).collect()
}

fn quantization(report: &QuantizeReport) -> Vec<Measure> {
    let pair = match report.against {
        Against::LabelledAttacks => "benign rows and labelled attacks",
        Against::PerturbedRows => "benign rows and benign rows with a quarter of their features swapped",
    };
    vec![
        Measure::new("auc-f32", "ROC-AUC with f32", report.auc_f32).noted(pair),
        Measure::new("auc-int8", "ROC-AUC with int8", report.auc_int8).noted(pair),
        Measure::new("rank-correlation", "rank correlation of the scores", report.rank_correlation),
        Measure::new("rms-quanta", "difference of the reconstructions, quanta", report.rms_quanta),
    ]
}

fn budget(input: &CardInput<'_>) -> Note {
    let row = |limit: &lapwing_shared::release::manifest::LimitKnot| {
        vec![limit.alerts_per_day.to_string(), format!("{:.1}", limit.evidence_nats)]
    };
    Note {
        title: "False-alert budget".into(),
        text: format!(
            "False alerts per day that a site accepts, and the evidence that a host must accumulate for an alert. Counted on \
             {:.1} days of benign flows; rarer alerts are extrapolated from the tail.",
            input.thresholds.days
        ),
        header: ["alerts per day", "evidence, nats"].map(String::from).to_vec(),
        rows: input.thresholds.limits.iter().map(row).collect(),
    }
}

fn gate(report: &GateReport) -> Note {
    Note {
        title: "Gate".into(),
        text: format!("Attacks that this release and the previous one replayed: {}.", report.summary()),
        header: vec!["why an operator must approve it".into()],
        rows: report.findings.iter().map(|finding| vec![finding.clone()]).collect(),
    }
}

fn pictures(input: &CardInput<'_>) -> Vec<Picture> {
    let subsampled = |scores: &[u32]| {
        let step = scores.len().div_ceil(DRAWN_SCORES).max(1);
        scores.iter().step_by(step).map(|score| f64::from(*score)).collect::<Vec<_>>()
    };
    let mut groups = vec![Group { name: "benign".into(), scores: subsampled(input.benign) }];
    let all: Vec<u32> = input.attacks.iter().flat_map(|(_, scores)| scores.iter().copied()).collect();
    if !all.is_empty() {
        groups.push(Group { name: "attack".into(), scores: subsampled(&all) });
    }
    let histogram = Histogram {
        title: "Scores".into(),
        score: "weighted reconstruction error (quanta squared)".into(),
        groups,
        threshold: Some(f64::from(anomalous_score(input))),
        log: true,
    };
    let bar = |kind: KindRow| Bar { name: kind.kind, rows: kind.rows, value: kind.flagged, interval: kind.interval };
    let recalls = Recalls {
        title: "Anomalous flows by attack type".into(),
        axis: "share of anomalous flows".into(),
        note:
            "Rows in brackets; lines are 95 % Wilson intervals. A few anomalous flows are enough to detect an attack."
                .into(),
        bars: kinds(input).into_iter().map(bar).collect(),
    };
    let losses = input.run.report.validation_errors.iter().enumerate();
    let point = |(epoch, loss): (usize, &f64)| LearningPoint { step: epoch as f64 + 1.0, seconds: 0.0, loss: *loss };
    let curve = LearningCurve { name: "validation rows".into(), points: losses.map(point).collect() };
    let loss = "validation error (units squared)".into();
    let learning = Learning { step: "epoch".into(), loss, curves: vec![curve], log: true };
    // Charts without data are omitted.
    [histogram.picture(), recalls.picture(), learning.picture()].into_iter().filter_map(Result::ok).collect()
}
