//! Subsets share no rows, and no feature rows where the rule forbids it.

use super::*;
use crate::builder::{ColumnType, Row, TableBuilder, Value};

/// `rows` rows with `copies` of each feature row; every fifth is an attack of one of two kinds.
fn table(rows: usize, copies: usize) -> Table {
    let mut builder = TableBuilder::new([("a", ColumnType::Number), ("b", ColumnType::Category)]).unwrap();
    for row in 0..rows {
        let distinct = row / copies;
        let attack = match distinct % 10 {
            0 => Some("flood"),
            5 => Some("scan"),
            _ => None,
        };
        let about = Row {
            attack,
            time: Some(1000.0 - row as f64),
            day: Some(if row * 2 < rows { "monday" } else { "tuesday" }),
            file_row: row as u64 + 2,
            ..Row::default()
        };
        builder.push(&[Value::Number(distinct as f32), Value::Category("tcp")], &about).unwrap();
    }
    builder.finish().unwrap()
}

fn all_rows(split: &Split) -> Vec<usize> {
    let mut rows = [split.training().as_slice(), split.validation(), split.test()].concat();
    rows.sort_unstable();
    rows
}

#[test]
fn a_group_split_shares_no_feature_row_and_loses_none() {
    let table = table(3000, 3);
    let split = Split::make(&table, &SplitOptions::new(SplitRule::Group, 7)).unwrap();
    split.check(&table).unwrap();
    assert_eq!(all_rows(&split), (0..3000).collect::<Vec<_>>());
    assert!((540..=660).contains(&split.test().len()), "{}", split.test().len());
    let validation: std::collections::HashSet<u64> = split.validation().iter().map(|r| table.keys()[*r]).collect();
    assert!(split.test().iter().all(|row| !validation.contains(&table.keys()[*row])));
}

#[test]
fn a_random_split_of_repeating_rows_leaks_and_counts_it() {
    let table = table(3000, 3);
    let mut split = Split::make(&table, &SplitOptions::new(SplitRule::Random, 7)).unwrap();
    let repeats = split.repeats(&table);
    // A test row lacks its two copies in training with probability 0.4².
    let share = repeats.test_repeats as f64 / repeats.test as f64;
    assert!((0.78..0.90).contains(&share), "{share}");
    assert_eq!(repeats.table_repeats, 2000);
    assert!(matches!(split.check(&table), Err(TableError::Leak { .. })));
    split.remove_repeats(&table);
    split.check(&table).unwrap();
    assert_eq!(all_rows(&split).len() + split.set_aside(), 3000);
}

#[test]
fn a_planted_leak_is_rejected_with_both_rows() {
    let table = table(30, 3);
    let rows = |from: usize, to: usize| (from..to).collect::<Vec<_>>();
    Split::from_rows(&table, rows(0, 15), rows(15, 21), rows(21, 30)).unwrap();
    // Row 14 repeats rows 12 and 13.
    let error = Split::from_rows(&table, rows(0, 14), rows(14, 21), rows(21, 30)).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, TableError::Leak { side: "validation", rows: 1, of: 7, .. }), "{text}");
    assert!(text.contains("row 16 equals rows, row 15"), "{text}");
    let twice = Split::from_rows(&table, rows(0, 15), rows(14, 21), rows(21, 30)).unwrap_err();
    assert!(matches!(twice, TableError::Index { row: 14, .. }));
    let beyond = Split::from_rows(&table, rows(0, 15), Vec::new(), rows(21, 31)).unwrap_err();
    assert!(matches!(beyond, TableError::Index { row: 30, .. }));
}

#[test]
fn every_kind_is_in_every_subset_and_the_seed_selects_rows() {
    let table = table(1000, 2);
    for rule in [SplitRule::Random, SplitRule::Group] {
        let split = Split::make(&table, &SplitOptions::new(rule, 1)).unwrap();
        for subset in [split.training().as_slice(), split.validation(), split.test()] {
            for kind in 0..3 {
                assert!(subset.iter().any(|row| table.kind()[*row] == kind), "{rule:?} {kind}");
            }
        }
        assert_eq!(split, Split::make(&table, &SplitOptions::new(rule, 1)).unwrap());
        assert_ne!(split, Split::make(&table, &SplitOptions::new(rule, 2)).unwrap());
    }
}

#[test]
fn a_time_split_tests_on_the_latest_rows() {
    let table = table(100, 1);
    let split = Split::make(&table, &SplitOptions::new(SplitRule::Time, 0)).unwrap();
    // Times fall from row to row.
    assert_eq!(split.test(), (0..20).collect::<Vec<_>>());
    assert_eq!(split.validation(), (20..40).collect::<Vec<_>>());
}

#[test]
fn a_day_split_tests_on_the_named_day_only() {
    let table = table(100, 1);
    let mut options = SplitOptions::new(SplitRule::Day, 0);
    let error = Split::make(&table, &options).unwrap_err().to_string();
    assert!(error.contains("--test-days") && error.contains("monday, tuesday"), "{error}");
    options.test_days = vec!["Tuesday".into()];
    let split = Split::make(&table, &options).unwrap();
    assert_eq!(split.test(), (50..100).collect::<Vec<_>>());
    assert!((8..=12).contains(&split.validation().len()));
    options.test_days = vec!["sunday".into()];
    assert!(Split::make(&table, &options).unwrap_err().to_string().contains("no day `sunday`"));
    options.test_days = vec!["monday".into()];
    options.validation_days = vec!["monday".into()];
    assert!(Split::make(&table, &options).unwrap_err().to_string().contains("both"));
}

#[test]
fn a_given_split_without_test_files_names_the_option() {
    let error = Split::make(&table(10, 1), &SplitOptions::new(SplitRule::Given, 0)).unwrap_err().to_string();
    assert!(error.contains("--test"), "{error}");
}

#[test]
fn shares_that_leave_no_training_rows_are_rejected() {
    let mut options = SplitOptions::new(SplitRule::Random, 0);
    options.fractions = Fractions { validation: 0.5, test: 0.5 };
    assert!(Split::make(&table(100, 1), &options).is_err());
    options.fractions = Fractions { validation: f64::NAN, test: 0.1 };
    assert!(Split::make(&table(100, 1), &options).is_err());
}

#[test]
fn folds_test_each_row_once_and_group_folds_do_not_leak() {
    let table = table(900, 3);
    for rule in [SplitRule::Random, SplitRule::Group] {
        let folds = folds(&table, rule, 5, 0.1, 3).unwrap();
        let mut tested: Vec<usize> = folds.iter().flat_map(|fold| fold.test().to_vec()).collect();
        tested.sort_unstable();
        assert_eq!(tested, (0..900).collect::<Vec<_>>());
        assert_eq!(folds.iter().all(|fold| fold.check(&table).is_ok()), rule == SplitRule::Group);
    }
    assert!(super::folds(&table, SplitRule::Group, 1, 0.1, 3).is_err());
}

#[test]
fn a_left_out_kind_is_only_tested_and_a_planted_row_is_rejected() {
    let table = table(1000, 1);
    let scan = table.kind_named("scan").unwrap();
    let made = Split::make(&table, &SplitOptions::new(SplitRule::Group, 1)).unwrap();
    let planted = made.check_left_out(&table, &[scan]).unwrap_err();
    assert!(matches!(planted, TableError::LeftOut { side: "training", rows: 60, .. }), "{planted}");
    let has = |rows: &[usize]| rows.iter().filter(|row| table.kind()[**row] == scan).count();
    for (held, tested) in [(Held::Every, 100), (Held::TestSide, has(made.test()))] {
        let split = made.leave_out(&table, &[scan], held);
        split.check_left_out(&table, &[scan]).unwrap();
        assert_eq!((has(split.training().as_slice()), has(split.validation()), has(split.test())), (0, 0, tested));
        assert_eq!(split.training().len() + split.validation().len() + split.test().len(), 900 + tested);
    }
    let mut rows = made.leave_out(&table, &[scan], Held::Every);
    rows.validation.push(rows.test.remove(0));
    rows.validation.push(rows.test.iter().copied().find(|row| table.kind()[*row] == scan).unwrap());
    let planted = rows.check_left_out(&table, &[scan]).unwrap_err();
    assert!(matches!(planted, TableError::LeftOut { side: "validation", .. }), "{planted}");
}

#[test]
fn attacks_with_the_features_of_a_left_out_kind_are_removed() {
    let mut builder = TableBuilder::new([("a", ColumnType::Number)]).unwrap();
    for (value, attack) in [(1.0, Some("scan")), (1.0, Some("flood")), (1.0, None), (2.0, Some("flood")), (3.0, None)] {
        builder.push(&[Value::Number(value)], &Row { attack, ..Row::default() }).unwrap();
    }
    let table = builder.finish().unwrap();
    let scan = table.kind_named("scan").unwrap();
    let split = Split::unchecked(vec![1, 2, 3], vec![4], vec![0]);
    let error = split.check_left_out(&table, &[scan]).unwrap_err().to_string();
    assert!(error.contains("1 training rows") && error.contains("row "), "{error}");
    let split = split.leave_out(&table, &[scan], Held::TestSide);
    split.check_left_out(&table, &[scan]).unwrap();
    assert_eq!((split.training().as_slice(), split.test()), (&[2, 3][..], &[0][..]));
}

#[test]
fn undersampling_balances_the_classes() {
    let table = table(1000, 1);
    let split = Split::make(&table, &SplitOptions::new(SplitRule::Group, 1)).unwrap();
    let even = split.training().undersample(&table, 1.0, 5);
    let benign = even.benign(&table).len();
    assert_eq!(benign * 2, even.len());
    assert_eq!(even, split.training().undersample(&table, 1.0, 5));
}
