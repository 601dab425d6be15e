//! Floods and forged messages of one agent → what the store keeps of the others.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use crate::testing::{self, alert, name, received, samples, update};
use crate::{AlertFilter, Counter, Episode, Label, Limits, Rejection, StoreHandle};
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::messages::{AlertState, Body, Message};

const OPENED: AlertState = AlertState::Opened;

fn limits() -> Limits {
    Limits { sample_bytes: 1 << 30, sample_rows: 200, alerts: 200, updates: 200, agents: 10, age_s: None }
}

fn with_schema(number: u64, schema: [u8; 32]) -> Message {
    let mut message = samples(1, number, &[(1, false)]);
    let Body::Samples(samples) = &mut message.body else { unreachable!() };
    samples.schema = schema;
    message
}

fn episodes(handle: &StoreHandle, agent: &str) -> usize {
    let filter = AlertFilter { agent: Some(agent.into()), limit: 10_000, ..AlertFilter::default() };
    handle.alerts(&filter).unwrap().len()
}

pub fn a_flood_of_one_agent_displaces_its_own_messages_only<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(limits());
    let quiet: Vec<_> = (1..=10)
        .flat_map(|number| {
            let number = 3 * number;
            [
                received("quiet", &alert(1, number, number, OPENED, (1, 2))),
                received("quiet", &samples(1, number + 1, &[(number, false)])),
                received("quiet", &update(1, number + 2)),
            ]
        })
        .collect();
    store.commit(&quiet, 1).unwrap();
    store.handle().unwrap().label("quiet", 3, Label::Attack, "operator", 2).unwrap();
    for number in 0..1_100 {
        let number = 3 * number;
        let batch = [
            received("loud", &alert(1, number + 1, number, OPENED, (1, 2))),
            received("loud", &samples(1, number + 2, &[(number, false)])),
            received("loud", &update(1, number + 3)),
        ];
        store.commit(&batch, 3).unwrap();
    }
    let handle = store.handle().unwrap();
    assert_eq!(episodes(&handle, "quiet"), 10);
    let labelled = handle.alerts(&AlertFilter { limit: 1_000, ..AlertFilter::default() }).unwrap();
    assert_eq!(labelled.iter().filter(|line| line.label.is_some()).count(), 1);
    let rows = handle.training_rows(&testing::SCHEMA).unwrap().filter(|row| row.as_ref().unwrap().at.as_secs() <= 30);
    assert!(rows.count() >= 10);
    let counts = handle.message_counts().unwrap();
    assert!(counts.iter().all(|count| (190..=200).contains(count)), "{counts:?}");
    assert!(handle.counter(Counter::AlertsDropped).unwrap() >= 910);
    // The sizes by agent are the same after a restart.
    drop(store);
    let mut store = folder.open(limits());
    let batch: Vec<_> = (1..=200).map(|number| received("loud", &alert(2, number, number, OPENED, (1, 2)))).collect();
    store.commit(&batch, 4).unwrap();
    assert_eq!(episodes(&store.handle().unwrap(), "quiet"), 10);
}

pub fn labelled_episodes_outlive_newer_unlabelled_ones<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(limits());
    let first: Vec<_> = (1..=20).map(|number| received("gw", &alert(1, number, number, OPENED, (1, 2)))).collect();
    store.commit(&first, 1).unwrap();
    let handle = store.handle().unwrap();
    (1..=20).for_each(|episode| handle.label("gw", episode, Label::Benign, "operator", 2).unwrap());
    for number in 21..1_000 {
        store.commit(&[received("gw", &alert(1, number, number, OPENED, (1, 2)))], 3).unwrap();
    }
    let lines = handle.alerts(&AlertFilter { limit: 1_000, ..AlertFilter::default() }).unwrap();
    assert_eq!(lines.iter().filter(|line| line.label.is_some()).count(), 20);
    // Only labelled ones are left to delete.
    (0..1_000).filter(|episode| episodes_has(&lines, *episode)).for_each(|episode| {
        handle.label("gw", episode, Label::Benign, "operator", 4).unwrap();
    });
    let more: Vec<_> = (1_000..1_100).map(|number| received("gw", &alert(1, number, number, OPENED, (1, 2)))).collect();
    store.commit(&more, 5).unwrap();
    assert!(handle.message_counts().unwrap()[0] <= 200);
}

fn episodes_has(lines: &[Episode], episode: u64) -> bool {
    lines.iter().any(|line| line.number == episode)
}

pub fn a_forged_message_with_a_huge_number_suppresses_no_later_alert<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let sent = |number: u64| received("gw", &alert(1, number, 100 + number, OPENED, (1, 2)));
    store.commit(&[sent(1), sent(2)], 1).unwrap();
    let forged = received("gw", &alert(1, u64::MAX, 5, OPENED, (1, 2)));
    let done = store.commit(&[forged], 2).unwrap();
    assert_eq!((done.stored, done.rejected), (0, 1));
    assert_eq!(done.rejections, [(name("gw"), Rejection::NumberTooFar)]);
    assert!(!store.progress(&name("gw"), 1).unwrap().unwrap().contains(u64::MAX), "so it is not acknowledged");
    let done = store.commit(&[sent(3), sent(4)], 3).unwrap();
    assert_eq!((done.stored, done.duplicates), (2, 0));
    assert_eq!(episodes(&store.handle().unwrap(), "gw"), 4);
    assert_eq!(store.handle().unwrap().counter(Counter::NumbersRejected).unwrap(), 1);
    // The same before the agent's first message.
    store.commit(&[received("new", &alert(1, u64::MAX, 5, OPENED, (1, 2)))], 4).unwrap();
    let sent = |number: u64| received("new", &alert(1, number, 100 + number, OPENED, (1, 2)));
    let done = store.commit(&[sent(1), sent(2)], 5).unwrap();
    assert_eq!((done.stored, done.duplicates), (2, 0));
}

pub fn an_alert_whose_number_a_forged_message_took_is_stored_and_counted<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let forged: Vec<_> = (1..=50).map(|number| received("gw", &update(1, number))).collect();
    store.commit(&forged, 1).unwrap();
    let real = received("gw", &alert(1, 7, 700, OPENED, (1, 2)));
    let done = store.commit(&[real.clone(), real.clone()], 2).unwrap();
    assert_eq!((done.stored, done.duplicates, done.duplicate_alerts), (1, 1, 1));
    let handle = store.handle().unwrap();
    assert_eq!(episodes(&handle, "gw"), 1);
    assert_eq!(handle.counter(Counter::ConflictingAlerts).unwrap(), 1);
    assert_eq!(handle.counter(Counter::DuplicateAlerts).unwrap(), 1);
}

pub fn made_up_names_lock_real_agents_out_for_minutes_only<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(limits());
    let real = received("real", &samples(1, 1, &[(1, false)]));
    store.commit(&[real], 1_000).unwrap();
    let names: Vec<String> = (0..30).map(|number| format!("fake-{number}")).collect();
    let fakes: Vec<_> = names.iter().map(|name| received(name, &update(1, 1))).collect();
    let done = store.commit(&fakes, 1_001).unwrap();
    assert_eq!((done.stored, done.refused), (9, 21));
    let late = [received("late", &alert(1, 1, 1, OPENED, (1, 2))), received("real", &update(1, 2))];
    assert_eq!(store.commit(&late, 1_300).unwrap().refused, 1, "no agent is silent for long yet");
    let done = store.commit(&late, 1_700).unwrap();
    assert_eq!((done.refused, done.stored, done.duplicates), (0, 1, 1));
    let handle = store.handle().unwrap();
    assert_eq!(handle.counter(Counter::AgentsEvicted).unwrap(), 1);
    assert_eq!(episodes(&handle, "late"), 1);
    assert!(store.progress(&name("real"), 1).unwrap().unwrap().contains(2));
    // The file agrees with the memory of the writer.
    drop(store);
    let mut store = folder.open(limits());
    assert_eq!(store.handle().unwrap().agents().unwrap().len(), 10);
    assert_eq!(store.commit(&late, 1_701).unwrap().duplicates, 2);
}

pub fn a_forgotten_agent_is_removed_while_the_writer_runs_and_may_return<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let batch = [
        received("gw", &alert(1, 1, 5, OPENED, (1, 2))),
        received("gw", &samples(1, 2, &[(1, false)])),
        received("gw", &update(1, 3)),
        received("other", &update(1, 1)),
    ];
    store.commit(&batch, 1).unwrap();
    let handle = StoreHandle::open(folder.url()).unwrap();
    handle.label("gw", 5, Label::Attack, "operator", 2).unwrap();
    handle.forget_agent("gw", "ann", 9).unwrap();
    assert_eq!(handle.message_counts().unwrap(), [0, 0, 1]);
    assert_eq!(handle.agents().unwrap().len(), 1);
    let done = store.commit(&batch, 3).unwrap();
    assert_eq!((done.stored, done.duplicates), (3, 1));
    assert_eq!(handle.message_counts().unwrap(), [1, 1, 2]);
    assert_eq!(handle.alerts(&AlertFilter { limit: 9, ..AlertFilter::default() }).unwrap()[0].label, None);
    let error = handle.forget_agent("gw-9", "ann", 9).unwrap_err().to_string();
    assert!(error.contains("agent `gw-9`") && error.contains("lapwing-trainer agents"), "{error}");
}

pub fn batches_without_rows_and_many_schemas_are_rejected_but_acknowledged<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let empty: Vec<_> = (1..=100).map(|number| received("gw", &samples(1, number, &[]))).collect();
    let done = store.commit(&empty, 1).unwrap();
    assert_eq!((done.stored, done.rejected), (0, 100));
    let strange: Vec<_> =
        (101..=200u64).map(|number| received("gw", &with_schema(number, [number as u8; 32]))).collect();
    let done = store.commit(&strange, 2).unwrap();
    assert_eq!((done.stored, done.rejected), (16, 84));
    assert_eq!(done.rejections[0], (name("gw"), Rejection::UnknownSchema));
    assert_eq!(store.progress(&name("gw"), 1).unwrap().unwrap().up_to(), 200);
    let own = received("gw", &with_schema(201, schema_id()));
    assert_eq!(store.commit(&[own], 3).unwrap().stored, 1, "the schema of this program is always accepted");
    assert_eq!(store.handle().unwrap().counter(Counter::BatchesRejected).unwrap(), 184);
}

pub fn every_store_has_its_own_id<T: TestStore>() {
    let (first, second) = (T::new(), T::new());
    let id = |folder: &T| folder.open(Limits::default()).handle().unwrap().id().unwrap();
    let before = id(&first);
    assert_eq!(id(&first), before, "it survives a restart");
    assert_ne!(id(&second), before);
}
