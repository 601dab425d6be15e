//! Drift of synthetic rows, of the project's captures, and of public captures of a week.

use super::DriftError;
use super::measure::{LEAST_DISTANCE, SCORE, Threshold, measure};
use super::page::{About, report, summary};
use super::sampled_flows::{Flow, Scorer, Side, read};
use crate::dataset::Row;
use crate::testing::Mixture;
use lapwing_shared::features::FEATURES;
use lapwing_shared::features::schema::{SCHEMA, schema_id};
use lapwing_shared::messages::Body;
use lapwing_shared::units::Timestamp;
use lapwing_store::testing::{Folder, received, samples};
use lapwing_store::{Limits, Store};
use std::path::{Path, PathBuf};

const LEARNT: Threshold = Threshold::Margin(1.0);

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn scorer() -> Scorer {
    Scorer::load(&project("tests/edge/data/release-1.lwr")).unwrap()
}

/// Synthetic rows, ten seconds apart; scores spread evenly.
fn made(count: usize, seed: u64) -> Side {
    let rows = Mixture::new(1).rows(count, seed).into_iter().enumerate();
    let flow = |(index, features)| Flow {
        at: Timestamp::from_secs(10 * index as u64),
        features,
        score: (index * 37 % 1_000) as u32,
        weight: 1.0,
    };
    Side { flows: rows.map(flow).collect(), read: count as u64, ..Side::default() }
}

#[test]
fn a_moved_column_is_drift_and_listed_first() {
    let reference = made(4_000, 2);
    let drift = measure(&reference, &made(2_000, 3), LEARNT).unwrap();
    assert!(!drift.drift, "{}", summary(&drift));
    assert_eq!((drift.block_ratios.len(), drift.block_rows, drift.stretches.len()), (8, 500, 4));
    let mut present = made(2_000, 3);
    // A third of the rows move out of the range of the reference.
    present.flows.iter_mut().step_by(3).for_each(|flow| flow.features[6] = 1e6);
    let drift = measure(&reference, &present, LEARNT).unwrap();
    let moved = &drift.columns[0];
    assert!(drift.drift && moved.name == SCHEMA[6].name, "{}", summary(&drift));
    assert!((moved.distance - 1.0 / 3.0).abs() < 0.05, "{}", moved.distance);
    assert!(summary(&drift).contains(SCHEMA[6].name));
    assert!(drift.stretches.iter().all(|stretch| stretch.ratios[6] > drift.threshold));
}

#[test]
fn a_moved_score_alone_is_drift() {
    let mut present = made(2_000, 3);
    present.flows.iter_mut().for_each(|flow| flow.score += 500);
    let drift = measure(&made(4_000, 2), &present, LEARNT).unwrap();
    assert!(drift.drift && drift.columns[0].name == SCORE);
    assert!((drift.columns[0].distance - 0.5).abs() < 0.02, "{}", drift.columns[0].distance);
}

#[test]
fn variation_within_the_reference_is_not_drift() {
    // Half of the rows in every second block move: the network alternates between two states.
    let mut reference = made(4_000, 2);
    reference
        .flows
        .iter_mut()
        .enumerate()
        .filter(|(index, _)| index / 500 % 2 == 1 && index % 2 == 0)
        .for_each(|(_, flow)| flow.features[6] = 1e6);
    let mut present = made(1_000, 3);
    present.flows.iter_mut().step_by(2).for_each(|flow| flow.features[6] = 1e6);
    let drift = measure(&reference, &present, LEARNT).unwrap();
    assert!(!drift.drift, "{}", summary(&drift));
    let moved = &drift.columns[0];
    assert!(moved.name == SCHEMA[6].name && moved.usual_distance > 2.0 * LEAST_DISTANCE, "{moved:?}");
    let other = measure(&reference, &made(1_000, 9), LEARNT).unwrap();
    assert_eq!((drift.threshold, &drift.block_ratios), (other.threshold, &other.block_ratios));
    let twice = measure(&reference, &present, Threshold::Margin(2.0)).unwrap();
    assert!((twice.threshold - 2.0 * drift.threshold).abs() < 1e-12);
    assert!(measure(&reference, &present, Threshold::Given(0.01)).unwrap().drift);
}

#[test]
fn too_few_rows_are_rejected_with_the_required_number() {
    let error = |reference, present| measure(&made(reference, 2), &made(present, 3), LEARNT).unwrap_err().to_string();
    assert_eq!(
        error(199, 100),
        "the reference has 199 usable rows, expected at least 200; give more files or a longer period"
    );
    assert!(error(200, 24).starts_with("the present has 24 usable rows, expected at least 25"));
    assert!(measure(&made(200, 2), &made(25, 3), LEARNT).is_ok());
}

fn captures(names: &[&str]) -> Side {
    let files: Vec<PathBuf> =
        names.iter().map(|name| project(&format!("tests/data/captures/{name}.pcap.gz"))).collect();
    let [side] = read(&files, &scorer(), |_| 0).unwrap();
    side
}

#[test]
fn another_day_is_not_drift_but_another_home_is() {
    let reference = captures(&["home-a-benign"]);
    let same = measure(&reference, &captures(&["home-a-benign-2"]), LEARNT).unwrap();
    assert!(!same.drift, "{}", summary(&same));
    let other = measure(&reference, &captures(&["home-b-benign"]), LEARNT).unwrap();
    assert!(other.drift, "{}", summary(&other));
    assert_eq!(same.columns.len(), FEATURES + 1);
}

#[test]
fn rows_with_attack_labels_are_skipped_and_counted() {
    let attacked = captures(&["home-a-attacks"]);
    assert!(attacked.attacks > 100 && attacked.flows.len() as u64 + attacked.attacks == attacked.read);
    assert!(attacked.warnings("present")[0].contains("with an attack label"));
}

#[test]
fn a_store_is_detected_by_its_first_bytes_and_split_by_time() {
    let folder = Folder::new();
    let mut message = samples(1, 1, &[(10, false), (20, false), (30, false), (40, true)]);
    if let Body::Samples(samples) = &mut message.body {
        samples.schema = schema_id();
    }
    Store::open(folder.store(), Limits::default()).unwrap().commit(&[received("gw-1", &message)], 5).unwrap();
    let since = Timestamp::from_secs(20);
    let sides: [Side; 2] = read(&[folder.store()], &scorer(), |row: &Row| usize::from(row.at >= since)).unwrap();
    let times = sides.map(|side| side.flows.iter().map(|flow| flow.at.as_secs()).collect::<Vec<_>>());
    assert_eq!(times, [vec![10], vec![20, 30]], "the row of an alert episode is excluded");
}

#[test]
fn errors_name_the_invalid_file() {
    let folder = Folder::new();
    let at = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let error = |path: PathBuf| read::<1>(&[path], &scorer(), |_| 0).unwrap_err().to_string();
    assert!(error(folder.path().join("nowhere.pcap")).contains("nowhere.pcap"));
    assert!(error(at("words.pcap", "no packets in here, only words")).contains("words.pcap"));
    assert!(error(at("rows.csv", "a,b\n1,2\n")).contains("line 1"));
    assert!(error(at("store.sqlite", "SQLite format 3\0 and nothing more")).contains("store.sqlite"));
    let scorer = |path: PathBuf| Scorer::load(&path).map(|_| ()).unwrap_err();
    assert!(matches!(scorer(folder.path().join("none.lwr")), DriftError::Read { .. }));
    let error = scorer(at("short.lwr", "LWR"));
    assert!(matches!(error, DriftError::Release { .. }) && error.to_string().contains("short.lwr"), "{error}");
}

#[test]
fn the_page_has_the_verdict_the_data_and_every_column() {
    let (reference, mut present) = (made(2_000, 2), made(500, 3));
    present.flows.iter_mut().for_each(|flow| flow.features[1] = -5.0);
    let drift = measure(&reference, &present, LEARNT).unwrap();
    let about = About {
        release: "home, version 3",
        data: ["monday.pcap".into(), "friday.pcap".into()],
        threshold: "learnt".into(),
        warnings: vec!["skipped 3 rows".into()],
        command: "lapwing-trainer drift".into(),
    };
    let page = report(&drift, &reference, &present, about).unwrap().html().unwrap();
    assert!(page.matches("<svg").count() == 3 && page.contains(&summary(&drift)));
    for word in SCHEMA.iter().map(|feature| feature.name).chain([SCORE, "friday.pcap", "skipped 3 rows"]) {
        assert!(page.contains(word), "{word}");
    }
}

#[test]
fn neither_a_day_nor_six_hours_drift_from_two_days() {
    let Some(halves) = week("ultraloq-hub-01") else { return };
    let flows: Vec<Flow> = halves.into_iter().flat_map(|side| side.flows).collect();
    let start = flows[0].at.as_secs();
    let span = |from: u64, to: u64| Side {
        flows: flows.iter().filter(|flow| (from..to).contains(&(flow.at.as_secs() - start))).cloned().collect(),
        ..Side::default()
    };
    let reference = span(0, 48 * 3_600);
    for hours in [24, 6] {
        for from in (48..=168 - hours).step_by(hours as usize) {
            let present = span(from * 3_600, (from + hours) * 3_600);
            let drift = measure(&reference, &present, LEARNT).unwrap();
            assert!(!drift.drift, "{hours} hours from hour {from}: {}", summary(&drift));
        }
    }
}

/// Both halves of seven days of one device; none if the public captures are missing.
fn week(device: &str) -> Option<[Side; 2]> {
    let path = lapwing_skips::public_data(&format!("tj-iot/pcaps/{device}.pcap"))?;
    // 2021-03-12 02:24 UTC, half of the week that began on 2021-03-08.
    let middle = Timestamp::from_secs(1_615_515_840);
    Some(read(&[path], &scorer(), |row| usize::from(row.at >= middle)).unwrap())
}

#[test]
fn half_a_week_is_not_drift_but_another_device_is() {
    for device in ["blink-cam-01", "blink-cam-02", "blink-cam-03", "ultraloq-hub-01"] {
        let Some([first, second]) = week(device) else { continue };
        let drift = measure(&first, &second, LEARNT).unwrap();
        assert!(!drift.drift, "{device}: {}", summary(&drift));
    }
    let (Some([camera, _]), Some([_, lock])) = (week("blink-cam-01"), week("ultraloq-hub-01")) else { return };
    for (before, after) in [(&camera, &lock), (&lock, &camera)] {
        let drift = measure(before, after, LEARNT).unwrap();
        assert!(drift.drift && drift.columns[0].ratio > 2.0 * drift.threshold, "{}", summary(&drift));
    }
}
