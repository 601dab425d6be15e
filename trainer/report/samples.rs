//! Synthetic results for the tests and the gallery: one of every chart and page.

use lapwing_report::card::ModelCard;
use lapwing_report::charts::*;
use lapwing_report::comparison::{Cell, ComparisonReport, MethodLine};
use lapwing_report::run::RunReport;
use lapwing_report::{Fact, KindRow, Measure, Note, Picture};

/// A deterministic random generator.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2_654_435_769) + 1)
    }

    pub(crate) fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.share()).sum::<f64>() - 6.0
    }
}

fn curve(name: &str, strength: f64) -> Curve {
    let points = (0..=2_000).map(|step| f64::from(step) / 2_000.0).map(|x| (x, x.powf(1.0 / strength))).collect();
    Curve { name: name.into(), points, area: Some(strength / (1.0 + strength)) }
}

pub(crate) const KINDS: [&str; 9] =
    ["Generic", "Exploits", "Fuzzers", "DoS", "Reconnaissance", "Analysis", "Backdoor", "Shellcode", "Worms"];

/// Every chart, by file name.
pub(crate) fn pictures() -> Vec<(&'static str, Picture)> {
    vec![
        ("roc", roc(None).picture().unwrap()),
        ("roc-log", roc(Some(0.000_1)).picture().unwrap()),
        ("precision-recall", precision_recall().picture().unwrap()),
        ("histogram", histogram(false).picture().unwrap()),
        ("histogram-log", histogram(true).picture().unwrap()),
        ("confusion", confusion(2).picture().unwrap()),
        ("confusion-kinds", confusion(10).picture().unwrap()),
        ("recalls", recalls().picture().unwrap()),
        ("learning", learning().picture().unwrap()),
        ("tsne", scatter(2, None).picture().unwrap()),
        ("clusters", scatter(1, Some(("first component".into(), "second component".into()))).picture().unwrap()),
        ("k-distance", k_distance().picture().unwrap()),
        ("drift", drift().picture().unwrap()),
        ("distances", distances().picture().unwrap()),
        ("evidence", evidence().picture().unwrap()),
        ("days", days(14, 3).picture().unwrap()),
        ("days-many", days(400, 30).picture().unwrap()),
        ("days-none", days(14, 0).picture().unwrap()),
        ("rollouts", rollouts().picture().unwrap()),
        ("methods", methods().picture().unwrap()),
        ("heat-map", heat_map(10).picture().unwrap()),
        ("heat-map-large", heat_map(42).picture().unwrap()),
    ]
}

pub(crate) fn rollouts() -> Rollouts {
    let line = |name: &str, share: f64| RolloutLine {
        name: name.into(),
        points: (0..96).map(|hour| (f64::from(hour), share * (f64::from(hour) / 12.0).floor())).collect(),
    };
    Rollouts {
        title: "Simulated rollouts".into(),
        note: "Agents that have begun to install the release, median of 20 simulations.".into(),
        lines: vec![line("good", 12.0), line("blind", 0.5)],
    }
}

pub(crate) fn roc(log_from: Option<f64>) -> Roc {
    Roc {
        curves: vec![
            curve("autoencoder, int8", 20.0),
            curve("autoencoder, f32", 22.0),
            curve("isolation forest", 4.0),
            curve("PCA 95 %", 8.0),
        ],
        operating: vec![Operating { curve: 0, x: 0.01, y: 0.01_f64.powf(1.0 / 20.0) }],
        log_from,
        benign_rows: 12_000,
        attack_rows: 8_500,
    }
}

pub(crate) fn precision_recall() -> PrecisionRecall {
    let curves = [("autoencoder", 8), ("isolation forest", 2)];
    let line = |(name, power): (&str, i32)| Curve {
        name: name.into(),
        points: (0..=500).map(|step| f64::from(step) / 500.0).map(|x| (x, 1.0 - 0.6 * x.powi(power))).collect(),
        area: Some(1.0 - 0.6 / f64::from(power + 1)),
    };
    let operating = vec![Operating { curve: 0, x: 0.8, y: 1.0 - 0.6 * 0.8_f64.powi(8) }];
    PrecisionRecall { curves: curves.map(line).into(), operating, base_rate: 0.4 }
}

pub(crate) fn histogram(log: bool) -> Histogram {
    let mut dice = Dice::new(3);
    let mut draw = |count: usize, middle: f64| Group {
        name: if middle < 1.0 { "benign".into() } else { "attack".into() },
        scores: (0..count).map(|_| middle * (0.6 * dice.normal()).exp()).collect(),
    };
    Histogram {
        title: "Scores of benign and attack rows".into(),
        score: "reconstruction error (squared units)".into(),
        groups: vec![draw(9_000, 0.1), draw(4_000, 1.2)],
        threshold: Some(0.37),
        log,
    }
}

pub(crate) fn confusion(classes: usize) -> Confusion {
    let names: Vec<String> = match classes {
        2 => vec!["benign".into(), "attack".into()],
        _ => std::iter::once("benign").chain(KINDS).map(String::from).collect(),
    };
    let mut dice = Dice::new(7);
    let mut row = |truth: usize| {
        (0..=names.len())
            .map(|answer| if answer == truth { 4_000 / (1 + truth as u64 * 2) } else { (dice.share() * 60.0) as u64 })
            .collect()
    };
    let counts = (0..names.len()).map(&mut row).collect();
    let answers = names.iter().cloned().chain(["unknown".into()]).collect();
    Confusion { title: "Attack types by the classifier".into(), truth: names, answers, counts }
}

pub(crate) fn recalls() -> Recalls {
    let bar = |(index, kind): (usize, &&str)| {
        let value = 1.0 - 0.08 * index as f64;
        let interval = Some(((value - 0.03 * index as f64).max(0.0), (value + 0.02 * index as f64).min(1.0)));
        Bar { name: (*kind).into(), rows: 18_000 / (1 + index * index * 4), value, interval }
    };
    Recalls {
        title: "Recall by attack type".into(),
        axis: "share of rows flagged".into(),
        note: "Numbers of rows in parentheses. Lines are 95 % Wilson intervals.".into(),
        bars: KINDS.iter().enumerate().map(bar).collect(),
    }
}

pub(crate) fn learning() -> Learning {
    let line = |name: &str, rate: f64, step_s: f64| LearningCurve {
        name: name.into(),
        points: (0..200)
            .map(|step| LearningPoint {
                step: f64::from(step) * 20.0,
                seconds: f64::from(step) * step_s,
                loss: 0.02 + (-f64::from(step) * rate).exp(),
            })
            .collect(),
    };
    let curves = vec![line("Adam", 0.03, 0.11), line("K-FAC", 0.08, 0.35), line("SGD", 0.012, 0.09)];
    Learning { step: "optimizer steps".into(), loss: "validation loss (cross-entropy, nats)".into(), curves, log: true }
}

pub(crate) fn scatter(panels: usize, axes: Option<(String, String)>) -> Scatter {
    let mut dice = Dice::new(11);
    let mut panel = |index: usize| Panel {
        title: ["Raw features", "Latent space", "Third"][index].into(),
        note: format!("5-NN purity 0.{}, silhouette 0.{}", 91 + index, 31 + 8 * index),
        points: (0..3_000)
            .map(|point| {
                let group = point % 6;
                let angle = group as f64 * std::f64::consts::TAU / 6.0;
                let wide = 2.5 - index as f64;
                (8.0 * angle.cos() + wide * dice.normal(), 8.0 * angle.sin() + wide * dice.normal(), group)
            })
            .collect(),
    };
    let groups = std::iter::once("benign").chain(KINDS).take(6).map(String::from).collect();
    let note =
        "Each point is a row. In t-SNE, axes and distances between groups have no meaning; use the numbers below."
            .into();
    Scatter {
        title: "Two-dimensional projection of rows".into(),
        note,
        groups,
        panels: (0..panels).map(&mut panel).collect(),
        axes,
    }
}

pub(crate) fn k_distance() -> KDistance {
    let mut dice = Dice::new(5);
    let distances = (0..4_000).map(|_| 0.2 + 0.1 * dice.share() + 0.02 / (1.001 - dice.share())).collect();
    KDistance { k: 8, distances, eps: 0.42 }
}

pub(crate) fn drift() -> Drift {
    let mut dice = Dice::new(9);
    let mut line = |index: usize| DriftLine {
        name: format!("{} {index}", ["forward octets", "packets per second", "share of unanswered SYNs"][index % 3]),
        points: (0..168)
            .map(|hour| {
                let shift = if index < 3 && hour > 100 { 0.25 / (1.0 + index as f64) } else { 0.0 };
                (f64::from(hour), 0.03 + shift + 0.01 * dice.normal().abs())
            })
            .collect(),
    };
    let lines = (0..24).map(&mut line).collect();
    Drift { distance: "Kolmogorov-Smirnov distance".into(), lines, threshold: 0.12 }
}

pub(crate) fn days(days: usize, agents: usize) -> Days {
    let mut dice = Dice::new(5);
    let mut series = |agent: usize| DaySeries {
        name: format!("gateway-{agent}"),
        counts: (0..days).map(|_| (dice.share() * 9.0 / (1.0 + agent as f64)) as u64).collect(),
    };
    Days {
        title: "Alerts per day".into(),
        counted: "alerts".into(),
        note: "Days are in UTC.".into(),
        series: (0..agents).map(&mut series).collect(),
        days: (0..days).map(|day| format!("{:02}-{:02}", 1 + day / 28 % 12, 1 + day % 28)).collect(),
    }
}

pub(crate) fn distances() -> Distances {
    let bar = |index: usize| Distance {
        name: if index == 40 { "score".into() } else { format!("forward_size_deviation_{index}") },
        value: 6.0 * 0.9_f64.powi(index as i32),
    };
    Distances {
        title: "Drift of every column".into(),
        axis: "distance (multiples of the reference's own variation)".into(),
        note: "1 is the largest distance between a part of the reference and the rest of it.".into(),
        bars: (0..49).map(bar).collect(),
        threshold: 1.6,
        always: "score".into(),
    }
}

pub(crate) fn evidence() -> Evidence {
    let point = |budget: f64, rate: f64| EvidencePoint {
        budget,
        alerts_per_day: rate,
        interval: Some((rate * 0.7, rate * 1.4 + 0.02)),
    };
    let points = vec![
        EvidencePoint { budget: 0.01, alerts_per_day: 0.0, interval: Some((0.0, 0.03)) },
        point(0.1, 0.08),
        point(0.3, 0.2),
        point(1.0, 0.7),
        point(3.0, 2.2),
        point(10.0, 11.0),
        point(100.0, 240.0),
    ];
    Evidence { points, days: 42.0, data: "Six cameras, benign, not used for training".into() }
}

pub(crate) fn methods() -> Methods {
    let mut dice = Dice::new(2);
    let mut row = |(name, mean): (&str, f64)| {
        let runs: Vec<f64> = (0..5).map(|_| mean + 0.004 * dice.normal()).collect();
        let mean = runs.iter().sum::<f64>() / 5.0;
        MethodRow { name: name.into(), runs, mean, interval: Some((mean - 0.005, mean + 0.005)) }
    };
    let rows = [
        ("autoencoder", 0.962),
        ("PCA 95 %", 0.894),
        ("isolation forest", 0.794),
        ("latent + logistic regression", 0.951),
    ];
    let note =
        "Rings: one run per seed (5). Bars: 95 % confidence interval of the mean (Student's t, 4 degrees of freedom)."
            .into();
    Methods { measure: "ROC-AUC".into(), note, rows: rows.map(&mut row).into() }
}

pub(crate) fn heat_map(count: usize) -> HeatMap {
    let names = (0..count)
        .map(|index| format!("{}{index}", ["dst_host_srv_rate_", "src_bytes_", "count_"][index % 3]))
        .collect();
    let value = |a: usize, b: usize| match () {
        () if a == 4 || b == 4 => f64::NAN,
        () if a == b => 1.0,
        () => ((a * b) as f64 * 0.7).cos() * 0.95,
    };
    HeatMap {
        title: "Correlation of features".into(),
        names,
        values: (0..count).map(|a| (0..count).map(|b| value(a.min(b), a.max(b))).collect()).collect(),
    }
}

fn measures() -> Vec<Measure> {
    vec![
        Measure::new("roc-auc", "ROC-AUC", 0.9614).within(Some((0.9588, 0.9641))),
        Measure::new("pr-auc", "average precision", 0.9512).within(Some((0.9471, 0.9550))),
        Measure::new("recall", "recall at the threshold", 0.871).within(Some((0.866, 0.876))),
        Measure::new("false-positive-rate", "false-positive rate", 0.0103)
            .within(Some((0.0087, 0.0121)))
            .noted("target: 1 %"),
        Measure::new("kind-f1", "weighted F1 over attack types", f64::NAN)
            .noted("this method does not classify attacks"),
    ]
}

fn kinds() -> Vec<KindRow> {
    let row = |(index, kind): (usize, &&str)| KindRow {
        kind: (*kind).into(),
        rows: 1_000 / (index + 1),
        flagged: 0.99 - 0.06 * index as f64,
        interval: Some((0.97 - 0.07 * index as f64, 0.995 - 0.05 * index as f64)),
        auc: Some(0.99 - 0.01 * index as f64),
    };
    KINDS.iter().enumerate().map(row).collect()
}

fn facts() -> Vec<Fact> {
    vec![
        Fact::new("data", "unsw-nb15, UNSW_NB15_dev.csv.gz, 57 892 rows (sha256 3b1f0a77c0ffee)"),
        Fact::new(
            "split",
            "group: identical feature rows are in the same split; 60 % training, 20 % validation, 20 % test",
        ),
        Fact::new("seed", "1"),
        Fact::new("threshold", "0.37: exceeded by 1 % of benign validation rows"),
        Fact::new("dropped rows", "0"),
        Fact::new("training", "34 812 rows in 41.2 s; scoring: 19.4 µs per row"),
    ]
}

pub(crate) fn run() -> RunReport {
    RunReport {
        title: "autoencoder on unsw-nb15".into(),
        summary: "Separates attacks from benign rows with ROC-AUC 0.9614; detects 87.1 % of them at a false-positive rate of 1.03 %.".into(),
        warnings: vec!["sttl, dttl and ct_state_ttl nearly reveal the label in this testbed; see the run without them.".into()],
        facts: facts(),
        measures: measures(),
        kinds: kinds(),
        notes: vec![Note {
            title: "Leave one attack type out".into(),
            text: "Training excludes the rows of the type; AUC compares the type with benign test rows.".into(),
            header: ["type", "rows", "AUC"].map(String::from).into(),
            rows: KINDS.iter().map(|kind| vec![(*kind).into(), "812".into(), "0.9512".into()]).collect(),
        }],
        pictures: pictures().into_iter().map(|(_, picture)| picture).collect(),
        limits: vec!["Measured on the testbed of a single network. Results on your network can differ; measure there.".into()],
        commands: vec!["lapwing-lab evaluate --kind unsw-nb15 --train UNSW_NB15_dev.csv.gz --method autoencoder --split group --seed 1".into()],
    }
}

pub(crate) fn comparison() -> ComparisonReport {
    let line = |(index, name): (usize, &&str)| MethodLine {
        name: (*name).into(),
        runs: 5,
        cells: (0..4)
            .map(|cell| Cell { mean: Some(0.97 - 0.02 * (index + cell) as f64), deviation: Some(0.003) })
            .collect(),
    };
    ComparisonReport {
        title: "Four detectors on unsw-nb15".into(),
        summary: "The autoencoder has the highest ROC-AUC, 0.9614 ± 0.0030 over 5 seeds.".into(),
        facts: facts(),
        measures: ["ROC-AUC", "average precision", "recall", "false-positive rate"].map(String::from).into(),
        methods: ["autoencoder", "pca", "isolation-forest", "latent-logistic"].iter().enumerate().map(line).collect(),
        pictures: vec![methods().picture().unwrap(), roc(None).picture().unwrap()],
        commands: vec!["lapwing-lab compare --config detectors.toml --report out".into()],
        ..ComparisonReport::default()
    }
}

pub(crate) fn card() -> ModelCard {
    ModelCard {
        release: "home, version 3".into(),
        summary: "Learns normal traffic from 41 000 feature rows and reports anomalous flows.".into(),
        model: vec![
            Fact::new("file", "home-3.lwr, 11 240 bytes, signed by site-1"),
            Fact::new("expires", "2027-01-01"),
        ],
        data: facts(),
        measures: measures(),
        kinds: kinds(),
        quantization: vec![
            Measure::new("auc-f32", "ROC-AUC with f32", 0.9621),
            Measure::new("auc-int8", "ROC-AUC with int8", 0.9614),
            Measure::new("rms-quanta", "RMS difference of reconstructions (quanta)", 0.81),
        ],
        pictures: vec![histogram(true).picture().unwrap(), evidence().picture().unwrap(), recalls().picture().unwrap()],
        intended: "Gateways of the group home, on the networks that the rows were collected on.".into(),
        limits: vec!["It does not inspect payloads.".into(), "It was not measured on other networks.".into()],
        commands: vec![
            "lapwing-trainer release --run run.json --capture tuesday.pcap.gz --key site-1.key --version 3".into(),
        ],
        ..ModelCard::default()
    }
}
