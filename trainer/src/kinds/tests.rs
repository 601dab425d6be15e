use super::*;
use crate::evaluate::{Plan, judge};
use crate::store::testing::{Folder, alert, name, received};
use crate::store::{AlertFilter, AlertLine, Desk, Limits, Store};
use lapwing_methods::silent;
use lapwing_shared::features::FEATURES;
use lapwing_shared::features::schema::SCHEMA;
use lapwing_shared::messages::{AlertState, Body, Message, RowHosts, SampleRow, Samples};
use lapwing_shared::units::Timestamp;
use lapwing_tables::{Split, Table};
use std::sync::OnceLock;

/// Rows of a made-up network: a flood has many flows of one source, a scan many ports of one target, an upload many
/// octets.
fn row(rng: &mut fastrand::Rng, kind: Option<&str>) -> FeatureVector {
    let mut row = [0.0; FEATURES].map(|_: f32| rng.f32());
    let off = match kind {
        Some("flood") => Some("source_flows_3s"),
        Some("scan") => Some("target_ports_30s"),
        Some(_) => Some("source_octets_out_300s"),
        None => None,
    };
    if let Some(feature) = off {
        row[index_of(feature).unwrap()] = 90.0 + 20.0 * rng.f32();
    }
    row
}

fn rows(kind: Option<&str>, count: usize) -> Vec<FeatureVector> {
    let mut rng = fastrand::Rng::with_seed(count as u64);
    (0..count).map(|_| row(&mut rng, kind)).collect()
}

/// Ordinary flows from the middle of what is benign: drawn ones pass for attacks as often as the first stage allows.
fn quiet() -> Vec<FeatureVector> {
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
    Model::new(kind, &table, &plan, judge(&table, &split, &plan, &silent).unwrap()).unwrap()
}

fn two_stage() -> Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| model("capture", "two-stage")).clone()
}

fn namer() -> KindNamer {
    KindNamer::new(two_stage(), Path::new("kinds.lwm")).unwrap()
}

#[test]
fn an_episode_is_named_by_the_rows_that_show_an_attack() {
    let namer = namer();
    assert_eq!(namer.kinds(), ["flood", "scan", "upload"]);
    for kind in ["flood", "scan", "upload"] {
        let mut mixed = rows(Some(kind), 9);
        mixed.extend(quiet());
        let named = namer.name(&mixed).unwrap();
        assert_eq!((named.kind.as_str(), named.rows), (kind, 9), "{named:?}");
        assert!(named.probability.unwrap() > 0.9, "{named:?}");
    }
}

#[test]
fn without_rows_or_with_rows_of_several_kinds_the_answer_is_unknown() {
    let namer = namer();
    for silent in [Vec::new(), quiet()] {
        assert_eq!(namer.name(&silent).unwrap(), EpisodeKind { kind: "unknown".into(), probability: None, rows: 0 });
    }
    // A third of the rows is of each kind: none outweighs the others.
    let all: Vec<FeatureVector> =
        ["flood", "scan", "upload"].into_iter().flat_map(|kind| rows(Some(kind), 7)).collect();
    let named = namer.name(&all).unwrap();
    assert_eq!((named.kind.as_str(), named.rows), ("unknown", 21));
    assert!((0.25..0.45).contains(&named.probability.unwrap()), "{named:?}");
}

#[test]
fn models_of_another_method_or_other_features_are_refused_with_what_was_expected() {
    let refused = |model: Model| KindNamer::new(model, Path::new("kinds.lwm")).err().unwrap().to_string();
    let told = refused(model("capture", "random-forest"));
    assert!(told.contains("kinds.lwm: method random-forest, expected two-stage"), "{told}");
    assert!(told.contains("--method two-stage --save FILE"), "{told}");
    let told = refused(Model { schema: None, kind: "nsl-kdd".into(), ..two_stage() });
    assert!(told.contains("features of nsl-kdd files, expected feature schema 41bc2fdb3960…"), "{told}");
    let told = refused(Model { schema: Some("ab".repeat(32)), ..two_stage() });
    assert!(told.contains("feature schema abababababab…, expected feature schema 41bc2fdb3960…"), "{told}");
    let folder = Folder::new();
    let path = folder.path().join("kinds.lwm");
    assert!(KindNamer::load(&path).err().unwrap().to_string().contains("kinds.lwm"));
    two_stage().save(&path).unwrap();
    assert_eq!(KindNamer::load(&path).unwrap().kinds(), namer().kinds());
}

/// A batch of rows made in seconds 1000, 1001, …; `kind` is that of the rows marked as of a host in an episode.
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

fn lines(desk: &Desk) -> Vec<AlertLine> {
    desk.alerts(&AlertFilter { limit: 10, ..AlertFilter::default() }).unwrap()
}

#[test]
fn an_alert_is_unknown_when_it_opens_and_named_when_its_rows_come() {
    let folder = Folder::new();
    let mut store = Store::open(&folder.store(), Limits::default()).unwrap();
    let (desk, work) = (store.desk().unwrap(), KindWork { namer: namer() });
    let episode = |number, state, at_s| received("gw", &alert(1, number, 77, state, (990, at_s)));
    store.commit(&[episode(1, AlertState::Opened, 995)], 5).unwrap();
    assert_eq!(lines(&desk)[0].kind, None);
    work.look(&desk).unwrap();
    let first = lines(&desk).remove(0);
    assert_eq!((first.kind.as_deref(), first.kind_probability, first.kind_rows), (Some("unknown"), None, Some(0)));
    // Rows of another agent, or of no host in an episode, say nothing.
    let other = received("other", &batch(1, Some("scan"), 0));
    store.commit(&[received("gw", &batch(2, Some("flood"), 9)), other], 6).unwrap();
    work.look(&desk).unwrap();
    let named = lines(&desk).remove(0);
    assert_eq!((named.kind.as_deref(), named.kind_rows), (Some("flood"), Some(8)));
    assert!(named.kind_probability.unwrap() > 0.9);
    let looked_at = desk.looked_at().unwrap();
    assert_eq!(desk.episodes_to_name(looked_at, 9).unwrap(), (Vec::new(), looked_at), "nothing is looked at twice");
    // The episode was over in second 1013: four of its rows belong to a later one.
    store.commit(&[episode(3, AlertState::Closed, 1_012)], 7).unwrap();
    work.look(&desk).unwrap();
    assert_eq!(lines(&desk)[0].kind_rows, Some(4));
}

#[test]
fn one_look_takes_a_bounded_number_of_messages_and_the_next_goes_on() {
    let folder = Folder::new();
    let mut store = Store::open(&folder.store(), Limits::default()).unwrap();
    let open = |number| received("gw", &alert(1, number, number, AlertState::Opened, (990, 995)));
    store.commit(&(1..=7).map(open).collect::<Vec<_>>(), 5).unwrap();
    let desk = store.desk().unwrap();
    let mut found = Vec::new();
    loop {
        let before = desk.looked_at().unwrap();
        let (episodes, looked_at) = desk.episodes_to_name(before, 3).unwrap();
        if looked_at == before {
            break;
        }
        assert!(episodes.len() <= 3);
        found.extend(episodes.iter().map(|span| (span.agent_name.clone(), span.episode)));
        desk.set_kinds(&[], looked_at, "model", 6).unwrap();
    }
    assert_eq!(found, (1..=7).map(|episode| (name("gw").to_string(), episode)).collect::<Vec<_>>());
}

/// An alert that carries rows of a kind.
fn telling(number: u64, episode: u64, state: AlertState, kind: &str) -> Message {
    let mut message = alert(1, number, episode, state, (990, 995 + number));
    let Body::Alert(told) = &mut message.body else { unreachable!() };
    told.rows = heapless::Vec::from_slice(&rows(Some(kind), 3)).unwrap();
    message
}

#[test]
fn rows_in_the_alert_name_it_before_samples_and_keep_episodes_apart_that_run_at_once() {
    let folder = Folder::new();
    let mut store = Store::open(&folder.store(), Limits::default()).unwrap();
    let (desk, work) = (store.desk().unwrap(), KindWork { namer: namer() });
    // Two episodes at the same time, a third that carries nothing, and samples that only show a scan.
    let batch = [
        received("gw", &telling(1, 1, AlertState::Opened, "flood")),
        received("gw", &telling(2, 2, AlertState::Opened, "upload")),
        received("gw", &alert(1, 3, 3, AlertState::Opened, (990, 995))),
        received("gw", &self::batch(4, Some("scan"), 0)),
    ];
    store.commit(&batch, 5).unwrap();
    work.look(&desk).unwrap();
    let named = || {
        let mut found: Vec<_> =
            lines(&desk).into_iter().map(|line| (line.episode, line.kind.unwrap(), line.kind_rows)).collect();
        found.sort();
        found
    };
    let expected = |flood_rows| {
        [(1, "flood".to_owned(), Some(flood_rows)), (2, "upload".to_owned(), Some(3)), (3, "scan".to_owned(), Some(8))]
    };
    assert_eq!(named(), expected(3));
    // What later messages carry is added, but nothing twice.
    let mut more = telling(5, 1, AlertState::Closed, "flood");
    let Body::Alert(told) = &mut more.body else { unreachable!() };
    told.rows[0] = rows(Some("flood"), 5)[4];
    store.commit(&[received("gw", &more)], 6).unwrap();
    work.look(&desk).unwrap();
    assert_eq!(named(), expected(4));
}

#[test]
fn agents_whose_alerts_cannot_be_named_are_told_at_the_start() {
    let folder = Folder::new();
    let mut store = Store::open(&folder.store(), Limits::default()).unwrap();
    let desk = store.desk().unwrap();
    let silent = |number| alert(1, number, number, AlertState::Opened, (990, 995));
    let batch = [
        received("carries", &telling(1, 1, AlertState::Opened, "flood")),
        received("samples", &silent(1)),
        received("samples", &self::batch(2, None, 3)),
        received("silent", &silent(1)),
        received("quiet", &self::batch(1, None, 3)),
    ];
    store.commit(&batch, 5).unwrap();
    assert_eq!(KindWork::warn_of_silent_agents(&desk).unwrap(), ["silent"]);
}
