use super::*;
use crate::evaluate::page::report;
use lapwing_methods::silent;
use lapwing_tables::{ColumnType, Row, TableBuilder, Value};

/// Benign rows around zero, floods far off, scans a little off; a third of the rows repeat.
pub(super) fn table() -> Table {
    let columns = [("bytes", ColumnType::Number), ("packets", ColumnType::Number), ("proto", ColumnType::Category)];
    let mut builder = TableBuilder::new(columns).unwrap();
    builder.file("made.csv", "00", 0).unwrap();
    let mut rng = fastrand::Rng::with_seed(4);
    let mut rows = Vec::new();
    for row in 0..900 {
        let attack = [None, None, Some("flood"), Some("scan")][row % 4];
        let off = attack.map_or(0.0, |kind| if kind == "flood" { 6.0 } else { 2.5 });
        let values = [rng.f32() + off, rng.f32() * 2.0 - off];
        let again = rows.get(rng.usize(..rows.len().max(1))).copied().filter(|_| row % 3 == 0);
        rows.push(again.unwrap_or((values, attack)));
    }
    for (place, (values, attack)) in rows.iter().enumerate() {
        let proto = Value::Category(if place % 2 == 0 { "tcp" } else { "udp" });
        let row = Row { attack: *attack, file_row: place as u64 + 1, ..Row::default() };
        builder.push(&[Value::Number(values[0]), Value::Number(values[1]), proto], &row).unwrap();
    }
    builder.finish().unwrap()
}

/// A plan that is quick on [`table`].
pub(super) fn plan(method: &str) -> Plan {
    Plan { method: method.parse().unwrap(), resamples: 20, epochs: Some(10), ..Plan::default() }
}

fn evaluation(table: &Table, plan: &Plan, judged: &Judged) -> Evaluation {
    let data = Data::of("table", table);
    Evaluation {
        format: "lapwing-evaluation-1",
        version: env!("CARGO_PKG_VERSION"),
        warnings: warnings(&data, table, plan, judged),
        plan: plan.clone(),
        data,
        sides: judged.sides,
        figures: judged.figures.clone(),
        int8: measure_int8(table, judged).unwrap(),
        left_out: Vec::new(),
        left_out_mean: None,
        folds: Vec::new(),
        cost: judged.cost,
    }
}

#[test]
fn combinations_are_inputs_of_their_own_and_a_wrong_name_is_refused() {
    let table = table();
    let plan = |combine: &str| Plan {
        categories: Categories::Surprisal,
        combine: vec![combine.into()],
        ..plan("autoencoder")
    };
    let judge = |plan: &Plan| judge(&table, &Split::make(&table, &plan.split_options()).unwrap(), plan, &silent);
    let judged = judge(&plan("bytes+proto")).unwrap();
    let inputs: Vec<String> = judged.prepared.encoder.features().iter().map(ToString::to_string).collect();
    assert_eq!(inputs, ["bytes", "packets", "proto", "rarity(bytes+proto)"]);
    assert!(judged.figures.roc_auc.value.unwrap() > 0.9, "{:?}", judged.figures.roc_auc);
    let refused = judge(&plan("bytes+colour")).map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("colour") && refused.contains("bytes, packets, proto"), "{refused}");
}

#[test]
fn methods_of_every_sort_tell_far_attacks_from_benign_rows_and_repeats_its_figures() {
    let table = table();
    for method in ["random-forest", "logistic-regression", "isolation-forest", "neighbours", "autoencoder", "two-stage"]
    {
        let plan = plan(method);
        let split = Split::make(&table, &plan.split_options()).unwrap();
        let judged = judge(&table, &split, &plan, &silent).unwrap();
        let auc = judged.figures.roc_auc.value.unwrap();
        assert!(auc > 0.9, "{method}: {auc}");
        let (low, high) = judged.figures.roc_auc.interval.unwrap();
        assert!(low <= auc && auc <= high, "{method}: {low} {auc} {high}");
        let again = judge(&table, &split, &plan, &silent).unwrap();
        assert_eq!(again.figures, judged.figures, "{method}");
    }
}

#[test]
fn a_logistic_head_has_a_wide_latent_layer_unless_the_plan_says_otherwise() {
    let table = table();
    let latent = |hidden: Vec<usize>| {
        let plan = Plan { hidden, epochs: Some(1), ..plan("latent-logistic") };
        let split = Split::make(&table, &plan.split_options()).unwrap();
        let judged = judge(&table, &split, &plan, &silent).unwrap();
        judged.fitted.latent(&judged.prepared.test.matrix).unwrap().columns()
    };
    assert_eq!((latent(Vec::new()), latent(vec![6, 3, 6])), (64, 3));
}

#[test]
fn the_threshold_does_not_move_with_test_rows() {
    let table = table();
    let all = plan("pca");
    let floods = Plan { test_kinds: vec!["flood".into()], ..all.clone() };
    let split = Split::make(&table, &all.split_options()).unwrap();
    let (all, floods) =
        (judge(&table, &split, &all, &silent).unwrap(), judge(&table, &split, &floods, &silent).unwrap());
    assert_eq!(all.figures.threshold, floods.figures.threshold);
    assert!(floods.figures.kinds.iter().all(|kind| kind.kind != "scan"));
    assert!(floods.sides.test < all.sides.test);
}

#[test]
fn every_fold_tests_its_rows_once() {
    let table = table();
    let folds = cross_validate(&table, &plan("random-forest"), 3, &silent).unwrap();
    assert_eq!((folds.len(), folds.iter().map(|fold| fold.rows).sum::<usize>()), (3, table.rows()));
}

#[test]
fn contamination_mixes_in_the_asked_share_and_settings_out_of_range_are_told() {
    let table = table();
    let plan = Plan { contamination: 0.1, ..plan("isolation-forest") };
    let split = Split::make(&table, &plan.split_options()).unwrap();
    let judged = judge(&table, &split, &plan, &silent).unwrap();
    let share = judged.sides.training_attacks as f64 / judged.sides.training as f64;
    assert!((share - 0.1).abs() < 0.01, "{share}");
    let told = |plan: Plan| judge(&table, &split, &plan, &silent).err().unwrap().to_string();
    assert_eq!(told(Plan { contamination: 0.3, ..plan.clone() }), "contamination is 0.3, expected 0 to 0.2");
    let unknown = told(Plan { contamination: 0.0, test_kinds: vec!["worm".into()], ..plan });
    assert!(unknown.contains("no kind `worm`") && unknown.contains("flood"), "{unknown}");
}

#[test]
fn a_random_split_of_repeating_rows_is_warned_of_and_a_group_split_is_not() {
    let table = table();
    let of = |rule| {
        let plan = Plan { split: rule, ..plan("pca") };
        let split = Split::make(&table, &plan.split_options()).unwrap();
        let judged = judge(&table, &split, &plan, &silent).unwrap();
        evaluation(&table, &plan, &judged).warnings
    };
    assert!(of(SplitRule::Random)[0].contains("test rows have the same features as a training row"));
    assert!(of(SplitRule::Group).iter().all(|line| !line.contains("same features")));
}

#[test]
fn a_planted_leak_is_refused() {
    let table = table();
    let plan = plan("pca");
    let again = (0..table.rows())
        .find_map(|row| (0..row).find(|first| table.keys()[*first] == table.keys()[row]).map(|first| (first, row)));
    let (first, row) = again.unwrap();
    let others =
        |part: usize| (0..table.rows()).filter(|at| ![first, row].contains(at) && at % 3 == part).collect::<Vec<_>>();
    let mut training = others(0);
    training.push(first);
    let mut test = others(1);
    test.push(row);
    let refused = Split::from_rows(&table, training, others(2), test).err().unwrap().to_string();
    assert!(refused.contains("leaks") && refused.contains("made.csv"), "{refused}");
    assert!(Split::make(&table, &plan.split_options()).unwrap().check(&table).is_ok());
}

#[test]
fn the_page_and_the_json_tell_the_same() {
    let table = table();
    let plan = Plan { name_kinds: true, ..plan("random-forest") };
    let split = Split::make(&table, &plan.split_options()).unwrap();
    let judged = judge(&table, &split, &plan, &silent).unwrap();
    let mut evaluation = evaluation(&table, &plan, &judged);
    evaluation.left_out = leave_out_kinds(&table, &plan, 2, &silent).unwrap();
    evaluation.left_out_mean = LeftOutMean::of(&evaluation.left_out);
    let report = report(&evaluation, &table, &judged, true, "the command".into()).unwrap();
    let page = report.html().unwrap();
    let json = serde_json::to_value(&evaluation).unwrap();
    let auc = json["figures"]["roc-auc"]["value"].as_f64().unwrap();
    assert!(page.contains(&format!("ROC-AUC {auc:.4}")), "{}", report.summary);
    assert_eq!(json["plan"]["method"], "random-forest");
    assert!(page.contains("One attack kind left out at a time") && page.contains("the command"));
    let unseen = report.pictures.iter().find(|picture| picture.title == "AUC on attack kinds never seen").unwrap();
    let mean = json["left-out-mean"]["auc"].as_f64().unwrap();
    assert!(unseen.caption.contains(&format!("every kind alike: {mean:.4}")), "{}", unseen.caption);
    assert_eq!(json["left-out"][0]["runs"].as_array().unwrap().len(), 2);
    assert!(left_out_lines(&evaluation).iter().any(|line| line.contains("scan (never seen)")));
    assert!(report.pictures.len() >= 8, "{}", report.pictures.len());
}
