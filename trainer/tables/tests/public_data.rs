//! Reading of the published data sets. The data is not part of the project: `LAPWING_PUBLIC_DATA` is its folder, by
//! default
//! `../shared/data` next to the project. Without the data each test reports that it was skipped.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use lapwing_tables::{
    Attempted, Encoder, EncoderOptions, Format, ReadOptions, Scaling, Split, SplitOptions, SplitRule, Table, read,
};

fn table(folder: &str, format: Format) -> Option<Table> {
    let path = lapwing_skips::public_data(folder)?;
    Some(read(&[path], &[], &ReadOptions::new(format), &mut |_| {}).unwrap())
}

fn kinds(table: &Table) -> Vec<(String, usize)> {
    let mut kinds: Vec<(String, usize)> = table.kinds().iter().cloned().zip(table.kind_counts()).collect();
    kinds.sort();
    kinds
}

/// Checks that a group split does not leak and that encoders give finite numbers.
fn check(table: &Table) -> Split {
    let split = Split::make(table, &SplitOptions::new(SplitRule::Group, 1)).unwrap();
    split.check(table).unwrap();
    for scaling in [Scaling::Standard, Scaling::LogStandard, Scaling::QuantileNormal] {
        let options = EncoderOptions { scaling, clip: Some(10.0), ..EncoderOptions::default() };
        let encoder = Encoder::fit(table, split.training(), &options).unwrap();
        let matrix = encoder.transform(table, split.test()).unwrap();
        assert_eq!((matrix.rows(), matrix.columns()), (split.test().len(), encoder.names().len()));
        assert!(matrix.values().iter().all(|value| value.is_finite() && value.abs() <= 10.0));
    }
    split
}

#[test]
fn nsl_kdd_has_its_published_counts_and_stray_values() {
    let Some(table) = table("nsl-kdd", Format::NslKdd) else { return };
    let expected = [("benign", 67_343), ("dos", 45_927), ("probe", 11_656), ("r2l", 995), ("u2r", 52)];
    assert_eq!(kinds(&table), expected.map(|(kind, rows)| (kind.to_owned(), rows)));
    let summary = table.summary();
    assert_eq!(summary.constant, ["num_outbound_cmds"]);
    assert!(table.counts().repaired["su_attempted"].stray > 0);
    assert_eq!(summary.details.iter().find(|(name, _)| name == "neptune").unwrap().1, 41_214);
    check(&table);
}

#[test]
fn unsw_nb15_repeats_rows_and_its_random_split_leaks() {
    let Some(table) = table("unsw-nb15", Format::UnswNb15) else { return };
    assert_eq!(table.rows(), 57_892);
    assert_eq!(kinds(&table).iter().find(|(kind, _)| kind == "benign").unwrap().1, 25_978);
    let repeats = table.summary().repeats as f64 / 57_892.0;
    assert!((0.2..0.45).contains(&repeats), "{repeats}");
    check(&table);
    let random = Split::make(&table, &SplitOptions::new(SplitRule::Random, 1)).unwrap();
    assert!(random.check(&table).is_err());
    let count = random.repeats(&table);
    assert!(count.test_repeats * 5 > count.test, "{count:?}");
}

#[test]
fn corrected_cic_ids2017_has_its_classes_and_days() {
    let format = Format::CicIds2017 { attempted: Attempted::Benign };
    let Some(table) = table("cic-ids2017-improved", format) else { return };
    assert_eq!((table.rows(), table.kinds().len()), (25_127, 16));
    assert_eq!(table.columns().len(), 82);
    let summary = table.summary();
    assert!(summary.busiest_attacker > 0.8, "{}", summary.busiest_attacker);
    assert_eq!(summary.days.iter().map(|(_, rows)| rows).sum::<usize>(), 25_127);
    assert_eq!(summary.days.iter().find(|(day, _)| day == "monday").unwrap().1, 597);
    check(&table);
    let mut options = SplitOptions::new(SplitRule::Day, 1);
    options.test_days = vec!["friday".into()];
    assert_eq!(Split::make(&table, &options).unwrap().test().len(), 6151);
    Split::make(&table, &SplitOptions::new(SplitRule::Time, 1)).unwrap();
}

#[test]
fn iot_23_scenarios_have_their_labels() {
    let Some(table) = table("iot-23", Format::ZeekConn) else { return };
    assert_eq!(table.rows(), 452 + 1_374 + 10_403 + 3_209 + 4_426);
    let expected = [
        ("C&C", 8_222),
        ("C&C-FileDownload", 3),
        ("C&C-Torii", 16),
        ("FileDownload", 3),
        ("benign", 452 + 1_374 + 2_181 + 3_193 + 4_420),
    ];
    assert_eq!(kinds(&table), expected.map(|(kind, rows)| (kind.to_owned(), rows)));
    check(&table);
}
