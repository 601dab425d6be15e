//! How benign and attack rows of a table differ, for people: tests, spreads by kind, correlations.

use lapwing_report::Note;
use lapwing_report::Picture;
use lapwing_report::charts::{Bar, HeatMap, Recalls};
use lapwing_tables::explore::{Exploration, FeatureTest, Spread};
use std::fmt::Write;

/// Features whose values are told by kind: those that differ most.
const FEATURES_BY_KIND: usize = 8;
/// Features whose distance is drawn.
const DRAWN: usize = 30;
/// Features told on the terminal.
const TOLD: usize = 10;

/// Tables of a page; `kinds` are the table's, in its order.
pub(super) fn notes(found: &Exploration, kinds: &[String]) -> Vec<Note> {
    vec![tests(found), by_kind(found, kinds)]
}

fn tests(found: &Exploration) -> Note {
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
            "{} distinct benign and {} distinct attack rows. Larger in attack: share of pairs in which the attack row has \
             the larger value, 0.5 is no difference. KS distance: largest distance of the two distribution functions. \
             p-values are Holm-corrected over the features and take rows as independent draws, which flows are not: look \
             at the two sizes first.",
            found.tested.0, found.tested.1
        ),
        header: header.map(Into::into).into(),
        rows: found.tests.iter().map(row).collect(),
    }
}

fn p_value(p: f64) -> String {
    if p < 1e-4 { "< 0.0001".into() } else { format!("{p:.4}") }
}

fn by_kind(found: &Exploration, kinds: &[String]) -> Note {
    let most = found.tests.iter().take(FEATURES_BY_KIND);
    let features = most.filter_map(|test| found.by_kind.iter().find(|feature| feature.name == test.name));
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
        title: "The features that differ most, by kind".into(),
        text: "Percentiles over all rows, repeats included.".into(),
        header: header.map(Into::into).into(),
        rows: rows.collect(),
    }
}

/// Pictures of a page; one that has nothing to draw is left out.
pub(super) fn pictures(found: &Exploration) -> Vec<Picture> {
    let mut furthest_first: Vec<&FeatureTest> = found.tests.iter().collect();
    furthest_first.sort_by(|a, b| b.ks_distance.total_cmp(&a.ks_distance));
    let bar = |test: &&FeatureTest| Bar {
        name: test.name.clone(),
        rows: found.tested.0 + found.tested.1,
        value: test.ks_distance,
        interval: None,
    };
    let distances = Recalls {
        title: "How far the distributions of benign and attack rows are apart".into(),
        axis: "Kolmogorov-Smirnov distance".into(),
        note: format!(
            "The {DRAWN} features that are furthest apart; 1: a threshold tells all attack rows. In brackets the rows that were compared."
        ),
        bars: furthest_first.iter().take(DRAWN).map(bar).collect(),
    };
    let title = "Rank correlation of numeric features, benign and attack rows together".into();
    let heat = HeatMap { title, names: found.correlated.clone(), values: found.correlations.clone() };
    [distances.picture(), heat.picture()].into_iter().filter_map(Result::ok).collect()
}

/// The features that differ most, as lines.
pub(super) fn told(found: &Exploration) -> String {
    let mut text = String::from("\nFeatures that differ most between benign and attack rows\n");
    for test in found.tests.iter().take(TOLD) {
        let FeatureTest { name, larger_in_attack, ks_distance, .. } = test;
        let _ = writeln!(text, "  {name:<32} larger in attack {larger_in_attack:.3}  KS distance {ks_distance:.3}");
    }
    text
}
