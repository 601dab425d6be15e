//! Comparisons read from TOML, and their pages.

use super::*;
use lapwing_methods::silent;
use lapwing_tables::{ColumnType, Row, TableBuilder, Value};
use std::path::Path;

const HEAD: &str = "kind = \"table\"\ntrain = [\"a.csv\"]\nseeds = [1, 2, 3]\nresamples = 0\n";

fn parse(text: &str) -> Result<CompareConfig, (String, String)> {
    CompareConfig::parse(text, Path::new("/data"))
}

fn table() -> Table {
    let mut builder = TableBuilder::new([("a", ColumnType::Number), ("b", ColumnType::Number)]).unwrap();
    builder.file("made.csv", "00", 0).unwrap();
    let mut rng = fastrand::Rng::with_seed(2);
    for row in 0..600_u64 {
        let attack = row % 3 == 0;
        let offset = if attack { 1.5 } else { 0.0 };
        let values = [Value::Number(rng.f32() + offset), Value::Number(rng.f32())];
        let row = Row { attack: attack.then_some("flood"), file_row: row + 1, ..Row::default() };
        builder.push(&values, &row).unwrap();
    }
    builder.finish().unwrap()
}

#[test]
fn settings_of_one_run_extend_those_of_all_runs() {
    let text = format!(
        "{HEAD}split = \"random\"\n[[run]]\nmethod = \"pca\"\n[[run]]\nname = \"less\"\nmethod = \"svm\"\nexclude = [\"b\"]\n"
    );
    let config = parse(&text).unwrap();
    assert_eq!(config.train, [Path::new("/data/a.csv")]);
    let plans: Vec<(String, Plan)> = config.plans().collect();
    assert_eq!((plans[0].0.as_str(), plans[1].0.as_str()), ("pca", "less"));
    assert!(plans.iter().all(|(_, plan)| plan.split_name() == "random" && plan.resamples == 0));
    assert_eq!(plans[1].1.exclude, ["b"]);
}

#[test]
fn errors_in_the_file_name_the_expected_content() {
    let error =
        |text: &str| parse(text).err().map(|(found, expected)| format!("{found}, expected {expected}")).unwrap();
    assert!(error(HEAD).contains("0 runs, expected 1 to 100"));
    assert!(error(&format!("{HEAD}[[run]]\nname = \"x\"\n")).contains("run 1 without a method"));
    assert!(error(&format!("{HEAD}[[run]]\nmethod = \"oracle\"\n")).contains("random-forest"));
    assert!(error(&format!("{HEAD}sede = 3\n[[run]]\nmethod = \"pca\"\n")).contains("sede"));
    assert!(error("kind = \"csv\"\ntrain = []\n[[run]]\nmethod = \"pca\"\n").contains("unsw-nb15"));
}

#[test]
fn a_comparison_is_reproducible_and_sorted_by_auc() {
    let text = format!(
        "{HEAD}[[run]]\nmethod = \"decision-tree\"\n[[run]]\nmethod = \"pca\"\n[[run]]\nname = \"blind\"\nmethod = \"pca\"\nexclude = [\"a\"]\n"
    );
    let config = parse(&text).unwrap();
    let table = table();
    let once = || run(&config, &table, "table", &mut |_, _| (), &silent).unwrap();
    let (first, second) = (once(), once());
    let figures = |result: &Comparison| result.runs.iter().map(|runs| runs.figures.clone()).collect::<Vec<_>>();
    assert_eq!(figures(&first), figures(&second));
    assert_eq!(first.runs[2].name, "blind");
    let page = comparison_page(&first, "the command".into()).unwrap();
    assert_eq!(page.methods[0].runs, 3);
    assert!(page.methods[0].cells[0].deviation.is_some());
    assert!(page.notes.iter().any(|note| note.title == "Friedman test over all methods"));
    let html = page.html().unwrap();
    assert!(html.contains("is best by ROC-AUC") && html.contains("Wilcoxon"));
}

#[test]
fn a_failed_run_is_reported_with_name_and_seed() {
    let config = parse(&format!("{HEAD}[[run]]\nname = \"bad\"\nmethod = \"pca\"\ntest-kinds = [\"worm\"]\n")).unwrap();
    let error = run(&config, &table(), "table", &mut |_, _| (), &silent).err().unwrap().to_string();
    assert!(error.starts_with("run bad, seed 1: no kind `worm`"), "{error}");
}
