//! Statistics of a table → report notes, charts and terminal lines on how benign and attack rows differ.

use lapwing_report::Note;
use lapwing_report::Picture;
use lapwing_report::charts::{Bar, HeatMap, Recalls};
use lapwing_tables::explore::{Exploration, FeatureTest, Spread};
use std::fmt::Write;

/// Features whose percentiles by kind are listed: those that differ most.
const FEATURES_BY_KIND: usize = 8;
/// Features in the distance chart.
const CHARTED: usize = 30;
/// Features listed on the terminal.
const PRINTED: usize = 10;

/// Tables of the report page; `kinds` are the table's, in its order.
pub(super) fn notes(exploration: &Exploration, kinds: &[String]) -> Vec<Note> {
    vec![tests(exploration), by_kind(exploration, kinds)]
}

fn tests(exploration: &Exploration) -> Note {
    let row = |test: &FeatureTest| {
        let FeatureTest { name, larger_in_attack, ks_distance, ks_p, mann_whitney_p } = test;
        vec![
            name.clone(),
            format!("{larger_in_attack:.3}"),
            format!("{ks_distance:.3}"),
            p_value(*ks_p),
            p_value(*mann_whitney_p),
        ]
    };
    let header = ["feature", "larger in attack", "KS distance", "KS p", "Mann-Whitney p"];
    Note {
        title: "Which features differ between benign and attack rows".into(),
        text: format!(
            "{} distinct benign and {} distinct attack rows. Larger in attack: share of benign-attack pairs in which the \
             attack row has the larger value; 0.5 means no difference. KS distance: maximum distance between the two \
             distribution functions. p-values are Holm-corrected over the features; they assume independent rows, which \
             flows are not, so consider the two effect sizes first.",
            exploration.tested.0, exploration.tested.1
        ),
        header: header.map(Into::into).into(),
        rows: exploration.tests.iter().map(row).collect(),
    }
}

fn p_value(p: f64) -> String {
    if p < 1e-4 { "< 0.0001".into() } else { format!("{p:.4}") }
}

fn by_kind(exploration: &Exploration, kinds: &[String]) -> Note {
    let most = exploration.tests.iter().take(FEATURES_BY_KIND);
    let features = most.filter_map(|test| exploration.by_kind.iter().find(|feature| feature.name == test.name));
    let row = |name: &str, kind: &str, spread: &Spread| {
        let number = |value: f64| format!("{value:.4}").trim_end_matches('0').trim_end_matches('.').to_owned();
        let places = spread.percentiles.map(number);
        let start = [name.to_owned(), kind.to_owned(), spread.rows.to_string(), number(spread.mean)];
        start.into_iter().chain(places).collect::<Vec<_>>()
    };
    let rows = features.flat_map(|feature| {
        let spreads = kinds.iter().zip(&feature.kinds);
        spreads.filter_map(|(kind, spread)| Some(row(&feature.name, kind, spread.as_ref()?))).collect::<Vec<_>>()
    });
    let header = ["feature", "kind", "values", "mean", "5 %", "25 %", "median", "75 %", "95 %"];
    Note {
        title: "The features that differ most, by class".into(),
        text: "Percentiles over all rows, duplicates included.".into(),
        header: header.map(Into::into).into(),
        rows: rows.collect(),
    }
}

/// Charts of the report page, without those that have nothing to draw.
pub(super) fn pictures(exploration: &Exploration) -> Vec<Picture> {
    let mut furthest_first: Vec<&FeatureTest> = exploration.tests.iter().collect();
    furthest_first.sort_by(|a, b| b.ks_distance.total_cmp(&a.ks_distance));
    let bar = |test: &&FeatureTest| Bar {
        name: test.name.clone(),
        rows: exploration.tested.0 + exploration.tested.1,
        value: test.ks_distance,
        interval: None,
    };
    let distances = Recalls {
        title: "Distance between the distributions of benign and attack rows".into(),
        axis: "Kolmogorov-Smirnov distance".into(),
        note: format!(
            "The {CHARTED} features with the largest distance. At 1 a threshold separates all attack rows from all benign \
             rows. Rows compared in brackets."
        ),
        bars: furthest_first.iter().take(CHARTED).map(bar).collect(),
    };
    let title = "Rank correlation of numeric features, benign and attack rows together".into();
    let heat = HeatMap { title, names: exploration.correlated.clone(), values: exploration.correlations.clone() };
    [distances.picture(), heat.picture()].into_iter().filter_map(Result::ok).collect()
}

/// The features that differ most, as lines for a terminal.
pub(super) fn lines(exploration: &Exploration) -> String {
    let mut text = String::from("\nFeatures that differ most between benign and attack rows\n");
    for test in exploration.tests.iter().take(PRINTED) {
        let FeatureTest { name, larger_in_attack, ks_distance, .. } = test;
        let _ = writeln!(text, "  {name:<32} larger in attack {larger_in_attack:.3}  KS distance {ks_distance:.3}");
    }
    text
}
