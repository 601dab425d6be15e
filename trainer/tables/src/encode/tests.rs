//! What an encoder learns from training rows, and what it rejects.

use super::*;
use crate::builder::{ColumnType, Row, TableBuilder, Value};
use crate::split::Split;

/// Numbers and a category; NaN is missing.
fn table(rows: &[(f32, &str)]) -> Table {
    let columns = [("n", ColumnType::Number), ("c", ColumnType::Category), ("k", ColumnType::Number)];
    let mut builder = TableBuilder::new(columns).unwrap();
    for (number, category) in rows {
        let values = [Value::Number(*number), Value::Category(category), Value::Number(7.0)];
        builder.push(&values, &Row::default()).unwrap();
    }
    builder.finish().unwrap()
}

fn training(table: &Table, rows: usize) -> TrainingRows {
    Split::from_rows(table, (0..rows).collect(), Vec::new(), (rows..table.rows()).collect()).unwrap().training().clone()
}

fn fit(table: &Table, rows: usize, scaling: Scaling) -> Encoder {
    let options = EncoderOptions { scaling, ..EncoderOptions::default() };
    Encoder::fit(table, &training(table, rows), &options).unwrap()
}

fn column(matrix: &Matrix, index: usize) -> Vec<f32> {
    matrix.iter().map(|row| row[index]).collect()
}

#[test]
fn only_training_rows_are_fitted() {
    let before = table(&[(1.0, "a"), (3.0, "b"), (100.0, "z")]);
    let after = table(&[(1.0, "a"), (3.0, "b"), (-9e9, "y")]);
    assert_eq!(fit(&before, 2, Scaling::Standard), fit(&after, 2, Scaling::Standard));
    assert_ne!(fit(&before, 3, Scaling::Standard), fit(&after, 3, Scaling::Standard));
}

#[test]
fn each_scaling_matches_hand_calculation() {
    let table = table(&[(0.0, "a"), (1.0, "a"), (2.0, "b"), (9.0, "b"), (4.0, "b")]);
    let scaled = |scaling| {
        let matrix = fit(&table, 4, scaling).transform(&table, &[0, 1, 2, 3, 4]).unwrap();
        column(&matrix, 0)
    };
    let near = |scaling, expected: [f32; 5]| {
        let got = scaled(scaling);
        assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{scaling:?}: {got:?}");
    };
    near(Scaling::None, [0.0, 1.0, 2.0, 9.0, 4.0]);
    // Mean 3, variance (9 + 4 + 1 + 36) / 4.
    near(Scaling::Standard, [-0.848528, -0.565685, -0.282843, 1.697056, 0.282843]);
    near(Scaling::MinMax, [0.0, 1.0 / 9.0, 2.0 / 9.0, 1.0, 4.0 / 9.0]);
    // Median 1.5, quartiles 0.75 and 3.75.
    near(Scaling::Robust, [-0.5, -1.0 / 6.0, 1.0 / 6.0, 2.5, 2.5 / 3.0]);
    near(Scaling::QuantileUniform, [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0, 2.0 / 3.0 + 2.0 / 21.0]);
    let normal = scaled(Scaling::QuantileNormal);
    assert!((normal[0] + 5.199).abs() < 1e-3 && (normal[1] + 0.430727).abs() < 1e-5, "{normal:?}");
    let logarithms = scaled(Scaling::LogStandard);
    assert!(logarithms.iter().sum::<f32>().is_finite() && logarithms[3] > logarithms[4]);
}

#[test]
fn repeated_values_get_the_middle_of_their_run() {
    let mut values: Vec<f32> = vec![0.0; 50];
    values.extend((1..=50).map(|value| value as f32));
    let scale = Scale::fit(Scaling::QuantileUniform, &mut values);
    assert!((scale.apply(0.0) - 0.2475).abs() < 0.002);
    assert_eq!((scale.apply(-1.0), scale.apply(1e30)), (0.0, 1.0));
}

#[test]
fn missing_values_become_the_training_median_with_indicators() {
    let table = table(&[(1.0, "a"), (f32::NAN, "b"), (2.0, "a"), (50.0, "b")]);
    let options = EncoderOptions { scaling: Scaling::None, missing_indicators: true, ..EncoderOptions::default() };
    let encoder = Encoder::fit(&table, &training(&table, 4), &options).unwrap();
    assert_eq!(encoder.names(), ["n", "n=missing", "c=a", "c=b"]);
    let matrix = encoder.transform(&table, &[1, 3]).unwrap();
    assert_eq!(matrix.values(), [2.0, 1.0, 0.0, 1.0, 50.0, 0.0, 0.0, 1.0]);
}

#[test]
fn rare_categories_share_a_column_and_unseen_ones_have_none() {
    let table = table(&[(1.0, "a"), (2.0, "a"), (3.0, "b"), (4.0, "c"), (5.0, "new")]);
    let categories = CategoryCoding::OneHot { limit: 1 };
    let options = EncoderOptions { categories, scaling: Scaling::None, ..EncoderOptions::default() };
    let encoder = Encoder::fit(&table, &training(&table, 4), &options).unwrap();
    assert_eq!(encoder.names(), ["n", "c=a", "c=other"]);
    let matrix = encoder.transform(&table, &[0, 2, 3, 4]).unwrap();
    assert_eq!(column(&matrix, 1), [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(column(&matrix, 2), [0.0, 1.0, 1.0, 0.0]);
    let options = EncoderOptions { categories: CategoryCoding::Ordinal, ..options };
    let ordinal = Encoder::fit(&table, &training(&table, 4), &options).unwrap();
    assert_eq!(column(&ordinal.transform(&table, &[0, 2, 3, 4]).unwrap(), 1), [0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn a_category_becomes_its_surprisal_among_training_rows() {
    let table = table(&[(1.0, "a"), (2.0, "a"), (3.0, "a"), (4.0, "b"), (5.0, "z"), (6.0, "y")]);
    let fitted = |clip| {
        let options = EncoderOptions { categories: CategoryCoding::Surprisal, clip, ..EncoderOptions::default() };
        let encoder = Encoder::fit(&table, &training(&table, 4), &options).unwrap();
        assert_eq!(encoder.names(), ["n", "c"]);
        column(&encoder.transform(&table, &[0, 3, 4, 5]).unwrap(), 1)
    };
    // Surprisals ln 4/3.5, ln 4/1.5 and ln 4/0.5; over three `a` and one `b` mean 0.34538 and deviation 0.36690.
    let coded = fitted(None);
    let expected = [-0.577_35, 1.732_051, 4.726_366, 4.726_366];
    assert!(coded.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{coded:?}");
    assert_eq!(fitted(Some(2.0))[2], 2.0);
}

#[test]
fn a_combination_can_be_rare_although_its_parts_are_not() {
    let rows = [(1.0, "a"), (1.0, "a"), (2.0, "b"), (2.0, "b"), (1.0, "b")];
    let table = table(&rows);
    let combinations = vec![vec!["n".to_string(), "c".to_string()]];
    let fitted = |combinations| {
        let options = EncoderOptions { combinations, scaling: Scaling::None, ..EncoderOptions::default() };
        Encoder::fit(&table, &training(&table, 4), &options)
    };
    let encoder = fitted(combinations).unwrap();
    assert_eq!(encoder.names(), ["n", "c=a", "c=b", "rarity(n+c)"]);
    assert_eq!(encoder.needs(), [("n", true), ("c", false)]);
    let coded = column(&encoder.transform(&table, &[0, 2, 4]).unwrap(), 3);
    // Two combinations of two rows each: deviation 0, so −ln(0.5/4) + ln(2.5/4) remains of the unseen one.
    assert!(coded[0].abs() < 1e-6 && coded[1].abs() < 1e-6 && (coded[2] - 5_f32.ln()).abs() < 1e-5, "{coded:?}");
    let back: Encoder = serde_json::from_str(&serde_json::to_string(&encoder).unwrap()).unwrap();
    assert_eq!(back, encoder);
    assert_eq!(encoder.select(&[0, 1, 2]).unwrap().names(), ["n", "c=a", "c=b", "rarity(n+c)"]);
    assert_eq!(encoder.select(&[0]).unwrap().names(), ["n"]);
    let rejected =
        |names: &[&str]| fitted(vec![names.iter().map(|name| name.to_string()).collect()]).unwrap_err().to_string();
    assert!(rejected(&["n", "nowhere"]).contains("nowhere"));
    assert!(rejected(&["k"]).contains("`k` was left out"));
    assert!(rejected(&[]).contains("1 to 8 features"));
}

#[test]
fn constant_columns_are_dropped_and_reported() {
    let table = table(&[(1.0, "a"), (2.0, "a")]);
    let encoder = fit(&table, 2, Scaling::Standard);
    assert_eq!(encoder.names(), ["n"]);
    assert_eq!(encoder.dropped().iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["c", "k"]);
    let kept = EncoderOptions { keep_constant: true, ..EncoderOptions::default() };
    assert_eq!(Encoder::fit(&table, &training(&table, 2), &kept).unwrap().names(), ["n", "c=a", "k"]);
}

#[test]
fn only_missing_and_constant_values_are_an_error() {
    let table = table(&[(f32::NAN, "a"), (f32::NAN, "a")]);
    let rows = Split::unchecked_for_tests(vec![0, 1]);
    let error = Encoder::fit(&table, &rows, &EncoderOptions::default()).unwrap_err().to_string();
    assert!(error.contains("a feature that varies"), "{error}");
    let none = Split::unchecked_for_tests(Vec::new());
    assert!(Encoder::fit(&table, &none, &EncoderOptions::default()).is_err());
}

#[test]
fn a_deserialized_encoder_finds_columns_by_name() {
    let table = table(&[(1.0, "a"), (2.0, "b"), (4.0, "a")]);
    let encoder = fit(&table, 3, Scaling::QuantileNormal);
    let text = serde_json::to_string(&encoder).unwrap();
    let back: Encoder = serde_json::from_str(&text).unwrap();
    assert_eq!(back, encoder);
    let mut builder = TableBuilder::new([("c", ColumnType::Category), ("n", ColumnType::Number)]).unwrap();
    builder.push(&[Value::Category("b"), Value::Number(2.0)], &Row::default()).unwrap();
    let other = builder.finish().unwrap();
    assert_eq!(back.transform(&other, &[0]).unwrap(), encoder.transform(&table, &[1]).unwrap());
}

#[test]
fn a_missing_column_or_one_of_another_type_is_rejected() {
    let encoder = fit(&table(&[(1.0, "a"), (2.0, "b")]), 2, Scaling::Standard);
    let mut builder = TableBuilder::new([("n", ColumnType::Category), ("c", ColumnType::Category)]).unwrap();
    builder.push(&[Value::Category("1"), Value::Category("b")], &Row::default()).unwrap();
    let error = encoder.transform(&builder.finish().unwrap(), &[0]).unwrap_err().to_string();
    assert!(error.contains("column `n` needs numbers"), "{error}");
    let mut lacking = table(&[(1.0, "a")]);
    lacking.without(&["n".into()]).unwrap();
    assert!(encoder.transform(&lacking, &[0]).unwrap_err().to_string().contains("no column `n`"));
    assert!(encoder.transform(&table(&[(1.0, "a")]), &[5]).is_err());
}

#[test]
fn selecting_a_column_keeps_its_whole_feature() {
    let encoder = fit(&table(&[(1.0, "a"), (2.0, "b"), (3.0, "c")]), 3, Scaling::None);
    assert_eq!(encoder.names(), ["n", "c=a", "c=b", "c=c"]);
    assert_eq!(encoder.select(&[2]).unwrap().names(), ["c=a", "c=b", "c=c"]);
    assert!(encoder.select(&[]).is_err());
}

#[test]
fn every_output_is_finite_for_any_input() {
    let table = table(&[(f32::MAX, "a"), (f32::MIN, "b"), (f32::NAN, "c"), (1e-40, "d"), (f32::INFINITY, "e")]);
    for scaling in [Scaling::Standard, Scaling::MinMax, Scaling::Robust, Scaling::LogStandard, Scaling::QuantileNormal]
    {
        for rows in 2..=4 {
            let matrix = fit(&table, rows, scaling).transform(&table, &[0, 1, 2, 3, 4]).unwrap();
            assert!(matrix.values().iter().all(|value| value.is_finite()), "{scaling:?}: {matrix:?}");
        }
    }
}
