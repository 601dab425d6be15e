//! Evaluations of made tables: figures, reports, warnings.

use super::*;
use crate::evaluate::page::report;
use lapwing_methods::silent;
use lapwing_models::Categories;
use lapwing_tables::{ColumnType, Row, TableBuilder, Value};

/// Benign rows around zero, floods far from them, scans closer; a third of the rows are duplicates.
pub(super) fn table() -> Table {
    let columns = [("bytes", ColumnType::Number), ("packets", ColumnType::Number), ("proto", ColumnType::Category)];
    let mut builder = TableBuilder::new(columns).unwrap();
    builder.file("made.csv", "00", 0).unwrap();
    let mut rng = fastrand::Rng::with_seed(4);
    let mut rows = Vec::new();
    for row in 0..900 {
        let attack = [None, None, Some("flood"), Some("scan")][row % 4];
        let offset = attack.map_or(0.0, |kind| if kind == "flood" { 6.0 } else { 2.5 });
        let values = [rng.f32() + offset, rng.f32() * 2.0 - offset];
        let duplicate = rows.get(rng.usize(..rows.len().max(1))).copied().filter(|_| row % 3 == 0);
        rows.push(duplicate.unwrap_or((values, attack)));
    }
    for (index, (values, attack)) in rows.iter().enumerate() {
        let proto = Value::Category(if index % 2 == 0 { "tcp" } else { "udp" });
        let row = Row { attack: *attack, file_row: index as u64 + 1, ..Row::default() };
        builder.push(&[Value::Number(values[0]), Value::Number(values[1]), proto], &row).unwrap();
    }
    builder.finish().unwrap()
}

/// A plan that runs quickly on [`table`].
pub(super) fn plan(method: &str) -> Plan {
    Plan { method: method.parse().unwrap(), resamples: 20, epochs: Some(10), ..Plan::default() }
}

fn evaluation(table: &Table, plan: &Plan, evaluated: &Evaluated) -> Evaluation {
    let data = Data::of("table", table);
    Evaluation {
        format: "lapwing-evaluation-1",
        version: env!("CARGO_PKG_VERSION"),
        warnings: warnings(&data, table, plan, evaluated),
        plan: plan.clone(),
        data,
        split_counts: evaluated.split_counts,
        figures: evaluated.figures.clone(),
        int8: measure_int8(table, evaluated).unwrap(),
        left_out: Vec::new(),
        left_out_mean: None,
        folds: Vec::new(),
        cost: evaluated.cost,
    }
}

#[test]
fn combinations_add_inputs_and_unknown_features_are_rejected() {
    let table = table();
    let plan = |combine: &str| Plan {
        categories: Categories::Surprisal,
        combine: vec![combine.into()],
        ..plan("autoencoder")
    };
    let evaluated = |plan: &Plan| evaluate(&table, &Split::make(&table, &plan.split_options()).unwrap(), plan, &silent);
    let combined = evaluated(&plan("bytes+proto")).unwrap();
    let inputs: Vec<String> = combined.prepared.encoder.features().iter().map(ToString::to_string).collect();
    assert_eq!(inputs, ["bytes", "packets", "proto", "rarity(bytes+proto)"]);
    assert!(combined.figures.roc_auc.value.unwrap() > 0.9, "{:?}", combined.figures.roc_auc);
    let error = evaluated(&plan("bytes+colour")).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("colour") && error.contains("bytes, packets, proto"), "{error}");
}

#[test]
fn every_family_of_methods_detects_attacks_reproducibly() {
    let table = table();
    for method in ["random-forest", "logistic-regression", "isolation-forest", "neighbours", "autoencoder", "two-stage"]
    {
        let plan = plan(method);
        let split = Split::make(&table, &plan.split_options()).unwrap();
        let evaluated = evaluate(&table, &split, &plan, &silent).unwrap();
        let auc = evaluated.figures.roc_auc.value.unwrap();
        assert!(auc > 0.9, "{method}: {auc}");
        let (low, high) = evaluated.figures.roc_auc.interval.unwrap();
        assert!(low <= auc && auc <= high, "{method}: {low} {auc} {high}");
        let again = evaluate(&table, &split, &plan, &silent).unwrap();
        assert_eq!(again.figures, evaluated.figures, "{method}");
    }
}

#[test]
fn latent_logistic_has_64_latent_values_unless_the_plan_sets_the_widths() {
    let table = table();
    let latent = |hidden: Vec<usize>| {
        let plan = Plan { hidden, epochs: Some(1), ..plan("latent-logistic") };
        let split = Split::make(&table, &plan.split_options()).unwrap();
        let evaluated = evaluate(&table, &split, &plan, &silent).unwrap();
        evaluated.fitted.latent(&evaluated.prepared.test.matrix).unwrap().columns()
    };
    assert_eq!((latent(Vec::new()), latent(vec![6, 3, 6])), (64, 3));
}

#[test]
fn the_threshold_is_independent_of_the_test_rows() {
    let table = table();
    let all = plan("pca");
    let floods = Plan { test_kinds: vec!["flood".into()], ..all.clone() };
    let split = Split::make(&table, &all.split_options()).unwrap();
    let (all, floods) =
        (evaluate(&table, &split, &all, &silent).unwrap(), evaluate(&table, &split, &floods, &silent).unwrap());
    assert_eq!(all.figures.threshold, floods.figures.threshold);
    assert!(floods.figures.kinds.iter().all(|kind| kind.kind != "scan"));
    assert!(floods.split_counts.test < all.split_counts.test);
}

#[test]
fn cross_validation_tests_every_row_once() {
    let table = table();
    let folds = cross_validate(&table, &plan("random-forest"), 3, &silent).unwrap();
    assert_eq!((folds.len(), folds.iter().map(|fold| fold.rows).sum::<usize>()), (3, table.rows()));
}

#[test]
fn contamination_has_the_configured_share_and_invalid_settings_fail() {
    let table = table();
    let plan = Plan { contamination: 0.1, ..plan("isolation-forest") };
    let split = Split::make(&table, &plan.split_options()).unwrap();
    let evaluated = evaluate(&table, &split, &plan, &silent).unwrap();
    let share = evaluated.split_counts.training_attacks as f64 / evaluated.split_counts.training as f64;
    assert!((share - 0.1).abs() < 0.01, "{share}");
    let error = |plan: Plan| evaluate(&table, &split, &plan, &silent).err().unwrap().to_string();
    assert_eq!(error(Plan { contamination: 0.3, ..plan.clone() }), "contamination is 0.3, expected 0 to 0.2");
    let unknown = error(Plan { contamination: 0.0, test_kinds: vec!["worm".into()], ..plan });
    assert!(unknown.contains("no kind `worm`") && unknown.contains("flood"), "{unknown}");
}

#[test]
fn only_a_random_split_of_duplicate_rows_gives_a_warning() {
    let table = table();
    let warnings_of = |rule| {
        let plan = Plan { split: rule, ..plan("pca") };
        let split = Split::make(&table, &plan.split_options()).unwrap();
        let evaluated = evaluate(&table, &split, &plan, &silent).unwrap();
        evaluation(&table, &plan, &evaluated).warnings
    };
    assert!(warnings_of(SplitRule::Random)[0].contains("test rows have the same features as a training row"));
    assert!(warnings_of(SplitRule::Group).iter().all(|line| !line.contains("same features")));
}

#[test]
fn a_split_with_a_leak_is_rejected() {
    let table = table();
    let plan = plan("pca");
    let duplicates = (0..table.rows())
        .find_map(|row| (0..row).find(|first| table.keys()[*first] == table.keys()[row]).map(|first| (first, row)));
    let (first, row) = duplicates.unwrap();
    let others =
        |part: usize| (0..table.rows()).filter(|at| ![first, row].contains(at) && at % 3 == part).collect::<Vec<_>>();
    let mut training = others(0);
    training.push(first);
    let mut test = others(1);
    test.push(row);
    let error = Split::from_rows(&table, training, others(2), test).err().unwrap().to_string();
    assert!(error.contains("leaks") && error.contains("made.csv"), "{error}");
    assert!(Split::make(&table, &plan.split_options()).unwrap().check(&table).is_ok());
}

#[test]
fn the_report_page_and_the_json_agree() {
    let table = table();
    let plan = Plan { name_kinds: true, ..plan("random-forest") };
    let split = Split::make(&table, &plan.split_options()).unwrap();
    let evaluated = evaluate(&table, &split, &plan, &silent).unwrap();
    let mut evaluation = evaluation(&table, &plan, &evaluated);
    evaluation.left_out = leave_out_kinds(&table, &plan, 2, &silent).unwrap();
    evaluation.left_out_mean = LeftOutMean::of(&evaluation.left_out);
    let report = report(&evaluation, &table, &evaluated, true, "the command".into()).unwrap();
    let page = report.html().unwrap();
    let json = serde_json::to_value(&evaluation).unwrap();
    let auc = json["figures"]["roc-auc"]["value"].as_f64().unwrap();
    assert!(page.contains(&format!("ROC-AUC {auc:.4}")), "{}", report.summary);
    assert_eq!(json["plan"]["method"], "random-forest");
    assert!(page.contains("One attack class left out at a time") && page.contains("the command"));
    let unseen = report.pictures.iter().find(|picture| picture.title == "AUC on unseen attack classes").unwrap();
    let mean = json["left-out-mean"]["auc"].as_f64().unwrap();
    assert!(unseen.caption.contains(&format!("weighted equally: {mean:.4}")), "{}", unseen.caption);
    assert_eq!(json["left-out"][0]["runs"].as_array().unwrap().len(), 2);
    assert!(left_out_lines(&evaluation).iter().any(|line| line.contains("scan (unseen)")));
    assert!(report.pictures.len() >= 8, "{}", report.pictures.len());
}
