//! What a builder counts and rejects.

use super::*;

#[test]
fn infinities_and_nan_become_missing_and_are_counted() {
    let mut builder = TableBuilder::new([("a", ColumnType::Number)]).unwrap();
    for number in [1.0, f32::INFINITY, f32::NAN] {
        builder.push(&[Value::Number(number)], &Row::default()).unwrap();
    }
    let table = builder.finish().unwrap();
    assert_eq!(table.counts().repaired["a"], Repairs { infinite: 1, missing: 1, stray: 0 });
    assert_eq!(table.columns()[0].values.numbers().unwrap().iter().filter(|v| v.is_nan()).count(), 2);
}

#[test]
fn a_column_of_identifiers_is_rejected_as_category() {
    let mut builder = TableBuilder::new([("id", ColumnType::Category)]).unwrap();
    let mut last = Ok(());
    for id in 0..=MAX_CATEGORIES {
        last = builder.push(&[Value::Category(&id.to_string())], &Row::default());
    }
    assert!(last.unwrap_err().to_string().contains("65536 categories per column"));
}

#[test]
fn a_table_without_rows_is_rejected() {
    let builder = TableBuilder::new([("a", ColumnType::Number)]).unwrap();
    assert!(builder.finish().unwrap_err().to_string().contains("a table needs rows"));
}

#[test]
fn text_for_a_number_is_rejected_with_its_place() {
    let mut builder = TableBuilder::new([("a", ColumnType::Number)]).unwrap();
    let error = builder.push(&[Value::Category("x")], &Row { file_row: 7, ..Row::default() }).unwrap_err();
    assert!(error.to_string().contains("row 7, column a"), "{error}");
}
