//! Classifying alerts by their rows, and again when more rows arrive.

use super::classify::AlertClassifier;
use lapwing_lab::evaluate::{evaluate, saved_model};
use lapwing_methods::silent;
use lapwing_models::classify::{AttackClassifier, EpisodeClass};
use lapwing_models::{Model, Plan};
use lapwing_shared::features::FEATURES;
use lapwing_shared::features::FeatureVector;
use lapwing_shared::features::schema::index_of;
use lapwing_shared::features::schema::{SCHEMA, schema_id};
use lapwing_shared::messages::{AlertState, Body, Message, RowHosts, SampleRow, Samples};
use lapwing_shared::units::Timestamp;
use lapwing_store::testing::{Folder, alert, name, received};
use lapwing_store::{AlertFilter, Classification, Episode, Limits, Store, StoreHandle};
use lapwing_tables::{ColumnType, Row, Split, Table, TableBuilder, Value};
use std::path::Path;
use std::sync::OnceLock;

/// Synthetic rows: a flood has many flows of one source, a scan many ports of one target, an upload many octets.
fn row(rng: &mut fastrand::Rng, kind: Option<&str>) -> FeatureVector {
    let mut row = [0.0; FEATURES].map(|_: f32| rng.f32());
    let raised = match kind {
        Some("flood") => Some("source_flows_3s"),
        Some("scan") => Some("target_ports_30s"),
        Some(_) => Some("source_octets_out_300s"),
        None => None,
    };
    if let Some(feature) = raised {
        row[index_of(feature).unwrap()] = 90.0 + 20.0 * rng.f32();
    }
    row
}

fn rows(kind: Option<&str>, count: usize) -> Vec<FeatureVector> {
    let mut rng = fastrand::Rng::with_seed(count as u64);
    (0..count).map(|_| row(&mut rng, kind)).collect()
}

/// Typical benign flows. Random benign rows would exceed the first stage's threshold at its false-positive rate.
fn benign_rows() -> Vec<FeatureVector> {
    vec![[0.5; FEATURES]; 30]
}

fn table() -> Table {
    let mut builder = TableBuilder::new(SCHEMA.iter().map(|feature| (feature.name, ColumnType::Number))).unwrap();
    builder.file("made.pcap", "00", 0).unwrap();
    let mut rng = fastrand::Rng::with_seed(4);
    for at in 0..1_000_u64 {
        let attack = [None, None, Some("flood"), Some("scan"), Some("upload")][at as usize % 5];
        let values = row(&mut rng, attack).map(Value::Number);
        builder.push(&values, &Row { attack, file_row: at + 1, ..Row::default() }).unwrap();
    }
    builder.finish().unwrap()
}

fn model(kind: &str, method: &str) -> Model {
    let (table, plan) = (table(), Plan { method: method.parse().unwrap(), resamples: 0, ..Plan::default() });
    let split = Split::make(&table, &plan.split_options()).unwrap();
    saved_model(kind, &table, &plan, evaluate(&table, &split, &plan, &silent).unwrap()).unwrap()
}

fn two_stage() -> Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| model("capture", "two-stage")).clone()
}

fn classifier() -> AttackClassifier {
    AttackClassifier::new(two_stage(), Path::new("kinds.lwm")).unwrap()
}

#[test]
fn an_episode_is_classified_by_the_rows_that_show_an_attack() {
    let classifier = classifier();
    assert_eq!(classifier.classes(), ["flood", "scan", "upload"]);
    for kind in ["flood", "scan", "upload"] {
        let mut mixed = rows(Some(kind), 9);
        mixed.extend(benign_rows());
        let class = classifier.classify(&mixed).unwrap();
        assert_eq!((class.class.as_deref(), class.rows), (Some(kind), 9), "{class:?}");
        assert!(class.probability.unwrap() > 0.9, "{class:?}");
    }
}

#[test]
fn no_rows_and_rows_of_several_classes_are_unknown() {
    let classifier = classifier();
    for rows in [Vec::new(), benign_rows()] {
        assert_eq!(classifier.classify(&rows).unwrap(), EpisodeClass { class: None, probability: None, rows: 0 });
    }
    // A third of the rows of each class: no class has the majority.
    let all: Vec<FeatureVector> =
        ["flood", "scan", "upload"].into_iter().flat_map(|kind| rows(Some(kind), 7)).collect();
    let class = classifier.classify(&all).unwrap();
    assert_eq!((&class.class, class.rows), (&None, 21));
    assert!((0.25..0.45).contains(&class.probability.unwrap()), "{class:?}");
}

#[test]
fn models_of_another_method_or_features_are_rejected() {
    let rejected = |model: Model| AttackClassifier::new(model, Path::new("kinds.lwm")).err().unwrap().to_string();
    let error = rejected(model("capture", "random-forest"));
    assert!(error.contains("kinds.lwm: method random-forest, expected two-stage"), "{error}");
    assert!(error.contains("--method two-stage --save FILE"), "{error}");
    let error = rejected(Model { schema: None, kind: "nsl-kdd".into(), ..two_stage() });
    assert!(error.contains("features of nsl-kdd files, expected feature schema 41bc2fdb3960…"), "{error}");
    let error = rejected(Model { schema: Some("ab".repeat(32)), ..two_stage() });
    assert!(error.contains("feature schema abababababab…, expected feature schema 41bc2fdb3960…"), "{error}");
    let folder = Folder::new();
    let path = folder.path().join("kinds.lwm");
    assert!(AttackClassifier::load(&path).err().unwrap().to_string().contains("kinds.lwm"));
    two_stage().save(&path).unwrap();
    assert_eq!(AttackClassifier::load(&path).unwrap().classes(), classifier().classes());
}

/// A batch of rows of seconds 1000, 1001, …: `ordinary` rows outside and eight rows of `kind` inside an episode.
fn batch(number: u64, kind: Option<&str>, ordinary: usize) -> Message {
    let marked = rows(kind, 8).into_iter().map(|row| (row, true));
    let all = rows(Some("scan"), ordinary).into_iter().map(|row| (row, false)).chain(marked);
    let sample = |(at, (features, in_episode)): (usize, (FeatureVector, bool))| SampleRow {
        at: Timestamp::from_secs(1_000 + at as u64),
        features: heapless::Vec::from_slice(&features).unwrap(),
        score: None,
        in_episode,
        hosts: RowHosts::default(),
    };
    let rows = all.enumerate().map(sample).collect();
    Message { run: 1, number, sent_s: 0, body: Body::Samples(Samples { schema: schema_id(), flows_seen: 90, rows }) }
}

fn lines(handle: &StoreHandle) -> Vec<Episode> {
    handle.alerts(&AlertFilter { limit: 10, ..AlertFilter::default() }).unwrap()
}

#[test]
fn an_alert_is_classified_when_its_rows_arrive() {
    let folder = Folder::new();
    let mut store = Store::open(folder.store(), Limits::default()).unwrap();
    let (handle, alerts) = (store.handle().unwrap(), AlertClassifier::new(classifier()));
    let episode = |number, state, at_s| received("gw", &alert(1, number, 77, state, (990, at_s)));
    store.commit(&[episode(1, AlertState::Opened, 995)], 5).unwrap();
    assert_eq!(lines(&handle)[0].class, None);
    alerts.pass(&handle, 9).unwrap();
    let first = lines(&handle).remove(0);
    assert_eq!(first.class, Some(Classification { class: "unknown".into(), probability: None, rows: 0 }));
    // Rows of another agent, or outside the episode, are ignored.
    let other = received("other", &batch(1, Some("scan"), 0));
    store.commit(&[received("gw", &batch(2, Some("flood"), 9)), other], 6).unwrap();
    alerts.pass(&handle, 9).unwrap();
    let second = lines(&handle).remove(0).class.unwrap();
    assert_eq!((second.class.as_str(), second.rows), ("flood", 8));
    assert!(second.probability.unwrap() > 0.9);
    assert_eq!(handle.unclassified_episodes(9).unwrap(), [], "no message is processed twice");
    // The episode ended in second 1012: the last four rows belong to a later one.
    store.commit(&[episode(3, AlertState::Closed, 1_012)], 7).unwrap();
    alerts.pass(&handle, 9).unwrap();
    assert_eq!(lines(&handle)[0].class.as_ref().unwrap().rows, 4);
}

#[test]
fn a_pass_takes_a_bounded_number_of_episodes_and_the_next_continues() {
    let folder = Folder::new();
    let mut store = Store::open(folder.store(), Limits::default()).unwrap();
    let open = |number| received("gw", &alert(1, number, number, AlertState::Opened, (990, 995)));
    store.commit(&(1..=7).map(open).collect::<Vec<_>>(), 5).unwrap();
    let handle = store.handle().unwrap();
    let mut seen = Vec::new();
    loop {
        let episodes = handle.unclassified_episodes(3).unwrap();
        if episodes.is_empty() {
            break;
        }
        assert!(episodes.len() <= 3);
        seen.extend(episodes.iter().map(|span| (span.agent_name.clone(), span.episode)));
        let taken: Vec<_> = episodes.into_iter().map(|span| (span, None)).collect();
        handle.set_classes(&taken, "model", 6).unwrap();
    }
    assert_eq!(seen, (1..=7).map(|episode| (name("gw").to_string(), episode)).collect::<Vec<_>>());
}

/// An alert with rows of a class.
fn with_rows(number: u64, episode: u64, state: AlertState, kind: &str) -> Message {
    let mut message = alert(1, number, episode, state, (990, 995 + number));
    let Body::Alert(alert) = &mut message.body else { unreachable!() };
    alert.rows = heapless::Vec::from_slice(&rows(Some(kind), 3)).unwrap();
    message
}

#[test]
fn rows_in_alerts_take_precedence_over_samples() {
    let folder = Folder::new();
    let mut store = Store::open(folder.store(), Limits::default()).unwrap();
    let (handle, alerts) = (store.handle().unwrap(), AlertClassifier::new(classifier()));
    // Two concurrent episodes with rows, a third without, and samples of a scan.
    let batch = [
        received("gw", &with_rows(1, 1, AlertState::Opened, "flood")),
        received("gw", &with_rows(2, 2, AlertState::Opened, "upload")),
        received("gw", &alert(1, 3, 3, AlertState::Opened, (990, 995))),
        received("gw", &self::batch(4, Some("scan"), 0)),
    ];
    store.commit(&batch, 5).unwrap();
    alerts.pass(&handle, 9).unwrap();
    let classes = || {
        let mut classes: Vec<_> = lines(&handle)
            .into_iter()
            .map(|line| (line.number, line.class.unwrap()))
            .map(|(number, class)| (number, class.class, class.rows))
            .collect();
        classes.sort();
        classes
    };
    let expected =
        |flood_rows| [(1, "flood".to_owned(), flood_rows), (2, "upload".to_owned(), 3), (3, "scan".to_owned(), 8)];
    assert_eq!(classes(), expected(3));
    // Rows of later messages are added; repeated rows count once.
    let mut more = with_rows(5, 1, AlertState::Closed, "flood");
    let Body::Alert(alert) = &mut more.body else { unreachable!() };
    alert.rows[0] = rows(Some("flood"), 5)[4];
    store.commit(&[received("gw", &more)], 6).unwrap();
    alerts.pass(&handle, 9).unwrap();
    assert_eq!(classes(), expected(4));
}

#[test]
fn agents_that_send_no_rows_are_reported() {
    let folder = Folder::new();
    let mut store = Store::open(folder.store(), Limits::default()).unwrap();
    let handle = store.handle().unwrap();
    let silent = |number| alert(1, number, number, AlertState::Opened, (990, 995));
    let batch = [
        received("carries", &with_rows(1, 1, AlertState::Opened, "flood")),
        received("samples", &silent(1)),
        received("samples", &self::batch(2, None, 3)),
        received("silent", &silent(1)),
        received("quiet", &self::batch(1, None, 3)),
    ];
    store.commit(&batch, 5).unwrap();
    assert_eq!(AlertClassifier::warn_of_agents_without_rows(&handle).unwrap(), ["silent"]);
}

#[test]
fn an_episode_that_changes_while_it_is_classified_stays_in_the_queue() {
    let folder = Folder::new();
    let mut store = Store::open(folder.store(), Limits::default()).unwrap();
    let handle = store.handle().unwrap();
    store.commit(&[received("gw", &with_rows(1, 1, AlertState::Opened, "flood"))], 5).unwrap();
    let taken = handle.unclassified_episodes(9).unwrap();
    store.commit(&[received("gw", &with_rows(2, 1, AlertState::Updated, "flood"))], 6).unwrap();
    let class = Classification { class: "scan".into(), probability: Some(0.9), rows: 3 };
    handle.set_classes(&[(taken[0].clone(), Some(class))], "model", 7).unwrap();
    assert_eq!(lines(&handle)[0].shown_class(), "scan");
    assert_eq!(handle.unclassified_episodes(9).unwrap().len(), 1, "for the second message");
}
