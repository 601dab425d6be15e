//! Drift of made-up rows, of the project's own captures, and of published captures of a week.

use super::DriftError;
use super::measure::{LEAST_DISTANCE, SCORE, Threshold, measure};
use super::page::{About, report, summary};
use super::rows::{Flow, Scorer, Side, read};
use crate::dataset::Row;
use crate::store::testing::{Folder, received, samples};
use crate::store::{Limits, Store};
use crate::synthetic::Mixture;
use lapwing_shared::features::FEATURES;
use lapwing_shared::features::schema::{SCHEMA, schema_id};
use lapwing_shared::messages::Body;
use lapwing_shared::units::Timestamp;
use std::path::{Path, PathBuf};

const LEARNT: Threshold = Threshold::Margin(1.0);

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn scorer() -> Scorer {
    Scorer::load(&project("tests/edge/data/release-1.lwr")).unwrap()
}

/// Rows of a made-up network, ten seconds apart; scores spread evenly.
fn made(count: usize, seed: u64) -> Side {
    let rows = Mixture::new(1).rows(count, seed).into_iter().enumerate();
    let flow = |(place, features)| Flow {
        at: Timestamp::from_secs(10 * place as u64),
        features,
        score: (place * 37 % 1_000) as u32,
        weight: 1.0,
    };
    Side { flows: rows.map(flow).collect(), read: count as u64, ..Side::default() }
}

#[test]
fn rows_of_the_same_network_are_no_drift_and_a_moved_column_is_named_first() {
    let reference = made(4_000, 2);
    let found = measure(&reference, &made(2_000, 3), LEARNT).unwrap();
    assert!(!found.drift, "{}", summary(&found));
    assert_eq!((found.block_ratios.len(), found.block_rows, found.stretches.len()), (8, 500, 4));
    let mut present = made(2_000, 3);
    // A third of the rows moves beyond anything seen.
    present.flows.iter_mut().step_by(3).for_each(|flow| flow.features[6] = 1e6);
    let found = measure(&reference, &present, LEARNT).unwrap();
    let moved = &found.columns[0];
    assert!(found.drift && moved.name == SCHEMA[6].name, "{}", summary(&found));
    assert!((moved.distance - 1.0 / 3.0).abs() < 0.05, "{}", moved.distance);
    assert!(summary(&found).contains(SCHEMA[6].name));
    assert!(found.stretches.iter().all(|stretch| stretch.ratios[6] > found.threshold));
}

#[test]
fn a_score_that_moved_alone_is_drift() {
    let mut present = made(2_000, 3);
    present.flows.iter_mut().for_each(|flow| flow.score += 500);
    let found = measure(&made(4_000, 2), &present, LEARNT).unwrap();
    assert!(found.drift && found.columns[0].name == SCORE);
    assert!((found.columns[0].distance - 0.5).abs() < 0.02, "{}", found.columns[0].distance);
}

#[test]
fn what_the_reference_does_every_day_is_no_drift_and_the_present_sets_no_threshold() {
    // Half of every second block moves: the network has two ways of being.
    let mut reference = made(4_000, 2);
    reference
        .flows
        .iter_mut()
        .enumerate()
        .filter(|(place, _)| place / 500 % 2 == 1 && place % 2 == 0)
        .for_each(|(_, flow)| flow.features[6] = 1e6);
    let mut present = made(1_000, 3);
    present.flows.iter_mut().step_by(2).for_each(|flow| flow.features[6] = 1e6);
    let found = measure(&reference, &present, LEARNT).unwrap();
    assert!(!found.drift, "{}", summary(&found));
    let moved = &found.columns[0];
    assert!(moved.name == SCHEMA[6].name && moved.usual_distance > 2.0 * LEAST_DISTANCE, "{moved:?}");
    let other = measure(&reference, &made(1_000, 9), LEARNT).unwrap();
    assert_eq!((found.threshold, &found.block_ratios), (other.threshold, &other.block_ratios));
    let twice = measure(&reference, &present, Threshold::Margin(2.0)).unwrap();
    assert!((twice.threshold - 2.0 * found.threshold).abs() < 1e-12);
    assert!(measure(&reference, &present, Threshold::Given(0.01)).unwrap().drift);
}

#[test]
fn few_rows_are_refused_with_what_is_needed() {
    let told = |reference, present| measure(&made(reference, 2), &made(present, 3), LEARNT).unwrap_err().to_string();
    assert_eq!(
        told(199, 100),
        "the reference has 199 usable rows, expected at least 200; give more files, or a longer time"
    );
    assert!(told(200, 24).starts_with("the present has 24 usable rows, expected at least 25"));
    assert!(measure(&made(200, 2), &made(25, 3), LEARNT).is_ok());
}

fn captures(names: &[&str]) -> Side {
    let files: Vec<PathBuf> =
        names.iter().map(|name| project(&format!("tests/data/captures/{name}.pcap.gz"))).collect();
    let [side] = read(&files, &scorer(), |_| 0).unwrap();
    side
}

#[test]
fn another_day_of_a_home_is_no_drift_and_another_home_is() {
    let reference = captures(&["home-a-benign"]);
    let same = measure(&reference, &captures(&["home-a-benign-2"]), LEARNT).unwrap();
    assert!(!same.drift, "{}", summary(&same));
    let other = measure(&reference, &captures(&["home-b-benign"]), LEARNT).unwrap();
    assert!(other.drift, "{}", summary(&other));
    assert_eq!(same.columns.len(), FEATURES + 1);
}

#[test]
fn rows_that_labels_call_attacks_are_left_out_and_counted() {
    let attacked = captures(&["home-a-attacks"]);
    assert!(attacked.attacks > 100 && attacked.flows.len() as u64 + attacked.attacks == attacked.read);
    assert!(attacked.warnings("present")[0].contains("that labels call attacks"));
}

#[test]
fn a_store_is_told_by_its_first_bytes_and_cut_by_time() {
    let folder = Folder::new();
    let mut message = samples(1, 1, &[(10, false), (20, false), (30, false), (40, true)]);
    if let Body::Samples(samples) = &mut message.body {
        samples.schema = schema_id();
    }
    Store::open(&folder.store(), Limits::default()).unwrap().commit(&[received("gw-1", &message)], 5).unwrap();
    let since = Timestamp::from_secs(20);
    let sides: [Side; 2] = read(&[folder.store()], &scorer(), |row: &Row| usize::from(row.at >= since)).unwrap();
    let times = sides.map(|side| side.flows.iter().map(|flow| flow.at.as_secs()).collect::<Vec<_>>());
    assert_eq!(times, [vec![10], vec![20, 30]], "the row of an alert episode is kept out");
}

#[test]
fn bad_input_is_an_error_that_names_the_file() {
    let folder = Folder::new();
    let at = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let refused = |path: PathBuf| read::<1>(&[path], &scorer(), |_| 0).unwrap_err().to_string();
    assert!(refused(folder.path().join("nowhere.pcap")).contains("nowhere.pcap"));
    assert!(refused(at("words.pcap", "no packets in here, only words")).contains("words.pcap"));
    assert!(refused(at("rows.csv", "a,b\n1,2\n")).contains("line 1"));
    assert!(refused(at("store.sqlite", "SQLite format 3\0 and nothing more")).contains("store.sqlite"));
    let scorer = |path: PathBuf| Scorer::load(&path).map(|_| ()).unwrap_err();
    assert!(matches!(scorer(folder.path().join("none.lwr")), DriftError::Read { .. }));
    let told = scorer(at("short.lwr", "LWR"));
    assert!(matches!(told, DriftError::Release { .. }) && told.to_string().contains("short.lwr"), "{told}");
}

#[test]
fn the_page_names_the_verdict_the_data_and_every_column() {
    let (reference, mut present) = (made(2_000, 2), made(500, 3));
    present.flows.iter_mut().for_each(|flow| flow.features[1] = -5.0);
    let found = measure(&reference, &present, LEARNT).unwrap();
    let about = About {
        release: "home, version 3",
        data: ["monday.pcap".into(), "friday.pcap".into()],
        threshold: "learnt".into(),
        warnings: vec!["3 rows are left out".into()],
        command: "lapwing-trainer drift".into(),
    };
    let page = report(&found, &reference, &present, about).unwrap().html().unwrap();
    assert!(page.matches("<svg").count() == 3 && page.contains(&summary(&found)));
    for word in SCHEMA.iter().map(|feature| feature.name).chain([SCORE, "friday.pcap", "3 rows are left out"]) {
        assert!(page.contains(word), "{word}");
    }
}

#[test]
fn a_day_or_a_quarter_of_one_is_no_drift_from_the_two_days_before() {
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
            let found = measure(&reference, &present, LEARNT).unwrap();
            assert!(!found.drift, "{hours} hours from hour {from}: {}", summary(&found));
        }
    }
}

/// Seven days of one device, cut in the middle, or nothing where the published captures are missing.
fn week(device: &str) -> Option<[Side; 2]> {
    let beside = project("../shared/data");
    let folder = std::env::var_os("LAPWING_PUBLIC_DATA").map_or(beside, PathBuf::from);
    let path = folder.join(format!("tj-iot/pcaps/{device}.pcap"));
    if !path.exists() {
        eprintln!("SKIPPED: no published capture at {}", path.display());
        return None;
    }
    // 2021-03-12 02:24 UTC, half of the week that began on 2021-03-08.
    let middle = Timestamp::from_secs(1_615_515_840);
    Some(read(&[path], &scorer(), |row| usize::from(row.at >= middle)).unwrap())
}

#[test]
fn the_second_half_of_a_week_is_no_drift_and_another_device_is() {
    for device in ["blink-cam-01", "blink-cam-02", "blink-cam-03", "ultraloq-hub-01"] {
        let Some([first, second]) = week(device) else { continue };
        let found = measure(&first, &second, LEARNT).unwrap();
        assert!(!found.drift, "{device}: {}", summary(&found));
    }
    let (Some([camera, _]), Some([_, lock])) = (week("blink-cam-01"), week("ultraloq-hub-01")) else { return };
    for (before, after) in [(&camera, &lock), (&lock, &camera)] {
        let found = measure(before, after, LEARNT).unwrap();
        assert!(found.drift && found.columns[0].ratio > 2.0 * found.threshold, "{}", summary(&found));
    }
}
