//! Leave-one-kind-out: selected kinds and rows, and refusal of training rows of a left-out kind.

use super::*;
use crate::evaluate::public_tests::public;
use crate::evaluate::tests::{plan, table};
use lapwing_methods::silent;
use lapwing_pipeline::dataset::source::TableKind;
use lapwing_tables::TableError;

fn names(kinds: &[LeftOut]) -> Vec<&str> {
    kinds.iter().map(|kind| kind.kind.as_str()).collect()
}

#[test]
fn every_kind_is_left_out_once_and_tested_with_all_its_rows() {
    let table = table();
    let counts = table.kind_counts();
    for method in ["random-forest", "isolation-forest", "autoencoder"] {
        let kinds = leave_out_kinds(&table, &plan(method), 2, &silent).unwrap();
        assert_eq!(names(&kinds), ["flood", "scan"], "{method}");
        for (kind, count) in kinds.iter().zip(&counts[1..]) {
            assert_eq!((kind.rows, kind.runs.len()), (*count, 2), "{method} {}", kind.kind);
            // Labels of floods hardly generalize to scans; a model of benign rows does.
            let minimum = if method == "random-forest" { 0.5 } else { 0.9 };
            assert!(kind.auc.unwrap() > minimum, "{method} {}: {:?}", kind.kind, kind.auc);
        }
        let only = Plan { test_kinds: vec!["scan".into()], ..plan(method) };
        assert_eq!(names(&leave_out_kinds(&table, &only, 1, &silent).unwrap()), ["scan"], "{method}");
    }
}

#[test]
fn training_rows_of_a_left_out_kind_are_rejected() {
    let table = table();
    for method in ["random-forest", "isolation-forest", "autoencoder"] {
        let plan = plan(method);
        let split = Split::make(&table, &plan.split_options()).unwrap();
        let error = evaluate_kinds(&table, &split, &plan, &[1], &silent).unwrap_err();
        let rejected = matches!(error, EvaluateError::Table(TableError::LeftOut { side: "training", .. }));
        assert!(rejected && error.to_string().contains("made.csv"), "{method}: {error}");
        let other = split.leave_out(&table, &[2], Held::Every);
        assert!(evaluate_kinds(&table, &other, &plan, &[1], &silent).is_err(), "{method}");
        assert!(evaluate_kinds(&table, &other, &plan, &[2], &silent).is_ok(), "{method}");
    }
}

#[test]
fn benign_only_methods_can_leave_out_all_kinds_at_once() {
    let table = table();
    let plan = plan("pca");
    let together = leave_out_kinds(&table, &plan, 1, &silent).unwrap();
    let split = Split::make(&table, &plan.split_options()).unwrap();
    for (kind, together) in [1, 2].into_iter().zip(together) {
        let without = split.leave_out(&table, &[kind], Held::Every);
        let alone = evaluate_kinds(&table, &without, &plan, &[kind], &silent).unwrap();
        assert_eq!(alone[0].1, together.runs[0]);
    }
}

#[test]
fn contamination_never_mixes_in_the_kind_that_is_left_out() {
    let table = table();
    let plan = Plan { contamination: 0.1, ..plan("isolation-forest") };
    let split = Split::make(&table, &plan.split_options()).unwrap().leave_out(&table, &[1], Held::Every);
    let training_rows = prepare(&table, &split, &plan).unwrap().training_rows;
    let count = |kind| training_rows.as_slice().iter().filter(|row| table.kind()[**row] == kind).count();
    assert!(count(1) == 0 && count(2) > 0, "{} {}", count(1), count(2));
    assert_eq!(names(&leave_out_kinds(&table, &plan, 1, &silent).unwrap()), ["flood", "scan"]);
}

#[test]
fn means_and_spreads_are_those_of_the_runs() {
    let run = |seed, auc| LeftOutRun { seed, rows: 9, auc, recall: None };
    let kind = |aucs: [f64; 2]| LeftOut {
        kind: "scan".into(),
        rows: 9,
        auc: mean(&aucs),
        auc_deviation: deviation(&aucs),
        recall: None,
        runs: vec![run(1, Some(aucs[0])), run(2, Some(aucs[1]))],
    };
    let mean = LeftOutMean::of(&[kind([0.9, 1.0]), kind([0.7, 0.6])]).unwrap();
    let near = |a: Option<f64>, b: f64| (a.unwrap() - b).abs() < 1e-12;
    assert!(near(Some(mean.auc), 0.8) && near(mean.deviation_over_kinds, (0.045_f64).sqrt()), "{mean:?}");
    assert!(near(mean.by_seed.first().copied(), 0.8) && near(mean.deviation_over_seeds, 0.0), "{mean:?}");
    assert_eq!(LeftOutMean::of(&[]), None);
}

#[test]
fn invalid_seed_counts_and_missing_attacks_are_reported() {
    let table = table();
    let error = |plan: Plan, seeds| leave_out_kinds(&table, &plan, seeds, &silent).unwrap_err().to_string();
    assert_eq!(error(plan("pca"), 0), "leave-out-seeds is 0, expected 1 to 100");
    let alone = error(Plan { train_kinds: vec!["flood".into()], ..plan("random-forest") }, 1);
    assert!(alone.contains("attacks of another class") && alone.contains("benign-only"), "{alone}");
}

#[test]
fn an_autoencoder_detects_each_unseen_family_of_nsl_kdd() {
    let Some(table) = public(TableKind::NslKdd, "nsl-kdd") else { return };
    let plan = Plan { resamples: 0, ..Plan::default() };
    let kinds = leave_out_kinds(&table, &plan, 1, &silent).unwrap();
    let mut rows: Vec<(&str, usize)> = kinds.iter().map(|kind| (kind.kind.as_str(), kind.rows)).collect();
    rows.sort_unstable();
    assert_eq!(rows, [("dos", 45_927), ("probe", 11_656), ("r2l", 995), ("u2r", 52)]);
    let mean = LeftOutMean::of(&kinds).unwrap();
    assert!(mean.auc > 0.9, "{mean:?} {kinds:?}");
}
