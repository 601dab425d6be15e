//! What was reached on the public tables, held with a small margin. Each test says that it was skipped where the tables
//! are not there; docs/results.md has the figures, and `tests/python/public_results.py` those that take minutes.

use super::*;
use crate::evaluate::args::{TableKind, read_kind};
use lapwing_methods::silent;
use lapwing_tables::BadRows;
use std::path::{Path, PathBuf};

/// A public table, or nothing where it is not there.
pub(super) fn public(kind: TableKind, folder: &str) -> Option<Table> {
    public_as(kind, None, folder)
}

fn public_as(kind: TableKind, schema: Option<&Path>, folder: &str) -> Option<Table> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let path = std::env::var_os("LAPWING_PUBLIC_DATA").map_or(beside, PathBuf::from).join(folder);
    if !path.exists() {
        eprintln!("SKIPPED: no public data at {}", path.display());
        return None;
    }
    Some(read_kind(kind, schema, BadRows::Refuse, &[path], &[]).unwrap())
}

fn plan(method: &str, split: SplitRule) -> Plan {
    Plan { method: method.parse().unwrap(), split, resamples: 0, ..Plan::default() }
}

fn judged(table: &Table, plan: &Plan) -> Judged {
    judge(table, &Split::make(table, &plan.split_options()).unwrap(), plan, &silent).unwrap()
}

fn accuracy(judged: &Judged) -> f64 {
    judged.figures.by_probability.as_ref().unwrap().accuracy
}

#[test]
fn boosting_and_a_forest_tell_attacks_of_cic_ids2017_in_995_of_1000_rows() {
    let Some(table) = public(TableKind::CicIds2017, "cic-ids2017-improved/rnd_2500") else { return };
    for method in ["gradient-boosting", "random-forest"] {
        let found = accuracy(&judged(&table, &plan(method, SplitRule::Group)));
        assert!(found >= 0.995, "{method}: {found}");
    }
}

#[test]
fn two_stages_find_97_of_100_attacks_of_unsw_nb15_at_3_percent_false_alarms() {
    let Some(table) = public(TableKind::UnswNb15, "unsw-nb15") else { return };
    let plan = Plan { false_positive_rate: 0.025, unknown: Some(0.0), ..plan("two-stage", SplitRule::Group) };
    let figures = judged(&table, &plan).figures;
    let (recall, alarms) = (figures.recall.value.unwrap(), figures.false_positive_rate.value.unwrap());
    assert!(recall >= 0.97 && alarms <= 0.03, "recall {recall}, false alarms {alarms}");
    // No function of the features reaches .88 by much: equal rows have different kinds.
    let named = figures.by_probability.unwrap().on_attacks.unwrap();
    assert!(named.weighted >= 0.80 && named.macro_average >= 0.55, "{named:?}");
}

#[test]
fn an_int8_autoencoder_of_unsw_nb15_has_an_area_of_960_of_1000() {
    let Some(table) = public(TableKind::UnswNb15, "unsw-nb15") else { return };
    let mut table = table;
    table.without(&["stcpb".into(), "dtcpb".into()]).unwrap();
    let combine = "sbytes,dbytes,smean,dmean,spkts+dpkts,service+smean,service+sbytes+dbytes,service+dmean";
    let plan = Plan {
        categories: Categories::Surprisal,
        combine: combine.split(',').map(str::to_owned).collect(),
        hidden: vec![256, 32, 256],
        codes: Some(1000),
        masking: Some(0.1),
        ..plan("autoencoder", SplitRule::Group)
    };
    let judged = judged(&table, &plan);
    let Some(Int8::Measured(found)) = measure_int8(&table, &judged).unwrap() else { panic!("no int8 form") };
    assert!(found.auc_int8.unwrap() >= 0.96, "{found:?}");
    assert!(found.size_bytes <= 200_000, "{found:?}");
}

#[test]
fn a_forest_repeats_the_published_figure_on_nsl_kdd_only_with_the_difficulty_as_a_feature() {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/nsl-kdd-difficulty.toml");
    let Some(published) = public_as(TableKind::Table, Some(&schema), "nsl-kdd/KDDTrain+.txt.gz") else { return };
    let Some(honest) = public(TableKind::NslKdd, "nsl-kdd") else { return };
    let [published, honest] =
        [published, honest].map(|table| accuracy(&judged(&table, &plan("random-forest", SplitRule::Random))));
    assert!(published >= 0.9995, "{published}");
    // The difficulty was computed from the labels; without it nobody's forest comes to .9995.
    assert!((0.9985..0.9995).contains(&honest), "{honest}");
}

#[test]
fn a_wide_autoencoder_tells_families_of_nsl_kdd_that_it_never_saw() {
    let Some(table) = public(TableKind::NslKdd, "nsl-kdd") else { return };
    let plan = Plan {
        hidden: vec![256, 64, 256],
        training_rows: Some(10_000),
        epochs: Some(20),
        ..plan("autoencoder", SplitRule::Group)
    };
    let kinds = leave_out_kinds(&table, &plan, 1, &silent).unwrap();
    let mean = LeftOutMean::of(&kinds).unwrap();
    assert!(mean.auc >= 0.95, "{mean:?} {kinds:?}");
}
