//! The store through its public face.

use super::testing::{Folder, SCHEMA, alert, received, samples, status, update};
use super::*;
use lapwing_shared::messages::AlertState;
use std::fs;

fn open(folder: &Folder) -> Store {
    Store::open(&folder.store(), Limits::default()).unwrap()
}

fn times(desk: &Desk) -> (Vec<u64>, RowSummary) {
    let mut rows = desk.training_rows(&SCHEMA).unwrap();
    let times = rows.by_ref().map(|row| row.unwrap().at.as_secs()).collect();
    (times, rows.summary().clone())
}

#[test]
fn a_message_is_stored_once_also_after_a_restart() {
    let folder = Folder::new();
    let one = received("gw", &samples(1, 1, &[(10, false)]));
    let mut store = open(&folder);
    let done = store.commit(&[one.clone(), one.clone()], 5).unwrap();
    assert_eq!((done.stored, done.duplicates), (1, 1));
    store.close().unwrap();
    let mut store = open(&folder);
    let later = received("gw", &samples(2, 1, &[(11, false)]));
    let done = store.commit(&[one, later], 6).unwrap();
    assert_eq!((done.stored, done.duplicates), (1, 1));
    assert_eq!(store.desk().unwrap().stored().unwrap(), [0, 2, 0]);
    assert_eq!(store.desk().unwrap().counter(Counter::Duplicates).unwrap(), 2);
}

#[test]
fn progress_says_what_may_be_acknowledged() {
    let folder = Folder::new();
    let mut store = open(&folder);
    let batch = [1, 2, 5].map(|number| received("gw", &update(9, number)));
    store.commit(&batch, 5).unwrap();
    drop(store);
    let store = open(&folder);
    let progress = store.progress(&testing::name("gw"), 9).unwrap();
    assert_eq!(progress.up_to(), 2);
    assert!(progress.contains(5) && !progress.contains(3));
    assert_eq!(store.progress(&testing::name("gw"), 8), None);
}

#[test]
fn runs_of_one_agent_are_bounded_and_the_longest_unused_is_forgotten() {
    let folder = Folder::new();
    let mut store = open(&folder);
    for run in 1..=80 {
        store.commit(&[received("gw", &update(run, 1))], run).unwrap();
    }
    assert!(store.progress(&testing::name("gw"), 16).is_none());
    assert!(store.progress(&testing::name("gw"), 17).is_some());
    assert_eq!(store.desk().unwrap().counter(Counter::RunsForgotten).unwrap(), 16);
    drop(store);
    assert!(open(&folder).progress(&testing::name("gw"), 80).is_some());
}

#[test]
fn the_oldest_samples_go_when_the_limit_is_reached_and_are_counted() {
    let folder = Folder::new();
    let limits = Limits { sample_rows: 100, ..Limits::default() };
    let mut store = Store::open(&folder.store(), limits).unwrap();
    for number in 1..=150 {
        store.commit(&[received("gw", &samples(1, number, &[(number, false)]))], 5).unwrap();
    }
    let desk = store.desk().unwrap();
    let (kept, _) = times(&desk);
    assert!((98..=100).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last(), Some(&150));
    let dropped = desk.counter(Counter::SampleRowsDropped).unwrap();
    assert_eq!(dropped + kept.len() as u64, 150);
    let again = store.commit(&[received("gw", &samples(1, 1, &[(1, false)]))], 5).unwrap();
    assert_eq!((again.stored, again.duplicates), (0, 1), "dropped rows stay acknowledged");
}

#[test]
fn sample_bytes_alerts_updates_and_agents_are_limited_too() {
    let folder = Folder::new();
    let size = received("gw", &samples(1, 1, &[(1, false)])).payload.len() as u64;
    let limits = Limits { sample_bytes: 10 * size, sample_rows: 1000, alerts: 10, updates: 10, agents: 1 };
    let mut store = Store::open(&folder.store(), limits).unwrap();
    for number in 0..20 {
        let open = AlertState::Opened;
        let batch = [
            received("gw", &samples(1, 3 * number + 1, &[(1, false)])),
            received("gw", &alert(1, 3 * number + 2, number, open, (1, 2))),
            received("gw", &update(1, 3 * number + 3)),
            received("stranger", &update(1, number + 1)),
        ];
        assert_eq!(store.commit(&batch, 5).unwrap().refused, 1);
    }
    let desk = store.desk().unwrap();
    let stored = desk.stored().unwrap();
    assert!(stored.iter().all(|count| (8..=10).contains(count)), "{stored:?}");
    assert_eq!(desk.counter(Counter::AgentsRefused).unwrap(), 20);
    assert_eq!(desk.agents().unwrap().len(), 1);
    assert!(store.progress(&testing::name("stranger"), 1).is_none());
}

#[test]
fn rows_of_an_episode_are_kept_out_until_an_operator_calls_it_benign() {
    let folder = Folder::new();
    let mut store = open(&folder);
    let batch = [
        received("gw", &samples(1, 1, &[(1000, false), (1010, true), (9000, true)])),
        received("gw", &alert(1, 2, 77, AlertState::Opened, (1000, 1001))),
        received("gw", &alert(1, 3, 77, AlertState::Closed, (1000, 1020))),
        received("other", &samples(1, 1, &[(1010, true)])),
    ];
    store.commit(&batch, 5).unwrap();
    let desk = store.desk().unwrap();
    let (kept, summary) = times(&desk);
    assert_eq!((kept, summary.in_episode), (vec![1000], 3));
    let unlabelled = desk.unlabelled().unwrap();
    assert_eq!((unlabelled.episodes, unlabelled.limit_nats), (1, 30.0), "two messages, one episode");
    desk.label("gw", 77, Label::Benign, "operator", 6).unwrap();
    assert_eq!(desk.unlabelled().unwrap().episodes, 0);
    let (kept, summary) = times(&desk);
    assert_eq!(kept, [1000, 1010], "neither the uncovered row nor the other agent's");
    assert_eq!((summary.called_benign, summary.in_episode, summary.rows), (1, 2, 2));
    assert_eq!(summary.per_agent.values().copied().collect::<Vec<_>>(), [2]);
    desk.label("gw", 77, Label::Attack, "operator", 7).unwrap();
    assert_eq!(times(&desk).0, [1000]);
}

#[test]
fn rows_on_the_way_to_an_alert_that_never_came_are_judged_but_not_learnt_from() {
    let folder = Folder::new();
    let mut store = open(&folder);
    let batch = [
        received("gw", &samples(1, 1, &[(1000, false), (1010, true), (9000, true)])),
        received("gw", &samples(1, 2, &[(9000 + 3_599, true), (9000 + 3_600, false)])),
        received("gw", &alert(1, 3, 77, AlertState::Closed, (1000, 1020))),
        received("silent", &samples(1, 1, &[(1010, true)])),
    ];
    store.commit(&batch, 5).unwrap();
    let desk = store.desk().unwrap();
    let mut rows = desk.training_rows(&SCHEMA).unwrap();
    let given: Vec<_> = rows.by_ref().map(|row| row.map(|row| (row.at.as_secs(), row.suspect)).unwrap()).collect();
    assert_eq!(given, [(1000, false), (9000, true), (12_600, false)], "in an episode, or less than an hour old");
    let summary = rows.summary();
    assert_eq!((summary.rows, summary.suspect, summary.in_episode, summary.called_benign), (3, 1, 3, 0));
}

#[test]
fn a_row_under_two_episodes_needs_both_called_benign() {
    let folder = Folder::new();
    let mut store = open(&folder);
    let batch = [
        received("gw", &samples(1, 1, &[(1010, true)])),
        received("gw", &alert(1, 2, 1, AlertState::Closed, (1000, 1020))),
        received("gw", &alert(1, 3, 2, AlertState::Closed, (1005, 1015))),
    ];
    store.commit(&batch, 5).unwrap();
    let desk = store.desk().unwrap();
    desk.label("gw", 1, Label::Benign, "operator", 6).unwrap();
    assert!(times(&desk).0.is_empty());
    desk.label("gw", 2, Label::Benign, "operator", 6).unwrap();
    assert_eq!(times(&desk).0, [1010]);
}

#[test]
fn rows_of_another_schema_are_refused_with_a_count() {
    let folder = Folder::new();
    let mut store = open(&folder);
    store.commit(&[received("gw", &samples(1, 1, &[(1, false), (2, false)]))], 5).unwrap();
    let desk = store.desk().unwrap();
    let mut rows = desk.training_rows(&[8; 32]).unwrap();
    assert!(rows.next().is_none());
    assert_eq!((rows.summary().rows, rows.summary().other_schema), (0, 2));
}

#[test]
fn labelling_what_is_not_there_names_the_command_that_lists() {
    let folder = Folder::new();
    let store = open(&folder);
    let error = store.desk().unwrap().label("gw", 1, Label::Benign, "operator", 6).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the store has no alert episode 1 of agent `gw`; `lapwing-trainer alerts` lists what there is"
    );
}

#[test]
fn the_alert_list_shows_the_newest_message_of_each_episode() {
    let folder = Folder::new();
    let mut store = open(&folder);
    let batch = [
        received("gw", &alert(1, 1, 5, AlertState::Opened, (1000, 1001))),
        received("gw", &alert(1, 2, 6, AlertState::Opened, (1002, 1003))),
        received("gw", &alert(1, 3, 5, AlertState::Closed, (1000, 1030))),
        received("gw", &status(1)),
    ];
    store.commit(&batch, 5).unwrap();
    let desk = store.desk().unwrap();
    let filter = AlertFilter { limit: 10, ..AlertFilter::default() };
    let lines = desk.alerts(&filter).unwrap();
    let short: Vec<_> = lines.iter().map(|line| (line.episode, line.state, line.at_s)).collect();
    assert_eq!(short, [(5, "closed", 1030), (6, "opened", 1003)]);
    assert_eq!((lines[0].host.as_str(), lines[0].role), ("10.0.0.9", "source"));
    desk.label("gw", 5, Label::Attack, "operator", 6).unwrap();
    let unlabelled = AlertFilter { unlabelled: true, ..filter };
    assert_eq!(desk.alerts(&unlabelled).unwrap().len(), 1);
    let agents = desk.agents().unwrap();
    assert_eq!((agents[0].alerts, agents[0].last_seen_s, agents[0].status.is_some()), (3, 5, true));
}

#[test]
fn jobs_that_wait_are_answered_together() {
    let folder = Folder::new();
    let desk = open(&folder).desk().unwrap();
    let first = desk.ask("operator", 1).unwrap();
    let second = desk.ask("operator", 2).unwrap();
    let taken = desk.take_jobs().unwrap().unwrap();
    assert_eq!(taken.id, second);
    assert_eq!(desk.take_jobs().unwrap(), None);
    desk.reset_jobs().unwrap();
    assert_eq!(desk.take_jobs().unwrap().map(|job| job.id), Some(second), "a serve that died left it running");
    desk.end_jobs(second, Err("too few rows"), 3).unwrap();
    assert_eq!(desk.job_state(first).unwrap(), ("failed".into(), Some("too few rows".into())));
}

#[test]
fn waiting_jobs_are_bounded() {
    let folder = Folder::new();
    let desk = open(&folder).desk().unwrap();
    let ids: std::collections::BTreeSet<_> = (0..40).map(|second| desk.ask("operator", second).unwrap()).collect();
    assert_eq!(ids.len(), 16);
}

#[test]
fn a_second_writer_is_refused() {
    let folder = Folder::new();
    let _first = open(&folder);
    let second = Store::open(&folder.store(), Limits::default());
    assert!(matches!(second, Err(StoreError::InUse { .. })));
}

#[test]
fn a_file_that_is_no_database_is_called_damaged_and_left_alone() {
    let folder = Folder::new();
    fs::write(folder.store(), "not a database, but long enough to look at".repeat(200)).unwrap();
    let before = fs::read(folder.store()).unwrap();
    let error = Store::open(&folder.store(), Limits::default()).err().unwrap();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("restore a copy"), "{error}");
    assert_eq!(fs::read(folder.store()).unwrap(), before);
}

#[test]
fn overwritten_pages_are_called_damaged() {
    let folder = Folder::new();
    let mut store = open(&folder);
    let batch: Vec<_> = (1..200).map(|number| received("gw", &samples(1, number, &[(1, false)]))).collect();
    store.commit(&batch, 5).unwrap();
    store.close().unwrap();
    let mut bytes = fs::read(folder.store()).unwrap();
    bytes[4096..].fill(0xa5);
    fs::write(folder.store(), bytes).unwrap();
    let error = Store::open(&folder.store(), Limits::default()).err().unwrap();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn another_programs_database_is_refused() {
    let folder = Folder::new();
    let other = rusqlite::Connection::open(folder.store()).unwrap();
    other.execute_batch("CREATE TABLE theirs (x)").unwrap();
    let error = Store::open(&folder.store(), Limits::default()).err().unwrap();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
}

#[test]
fn a_newer_schema_version_is_refused_with_the_next_step() {
    let folder = Folder::new();
    open(&folder).close().unwrap();
    let file = rusqlite::Connection::open(folder.store()).unwrap();
    file.pragma_update(None, "user_version", 99).unwrap();
    drop(file);
    let error = Store::open(&folder.store(), Limits::default()).err().unwrap();
    assert!(error.to_string().contains("schema version 99, this trainer knows versions up to 3"), "{error}");
    assert!(error.to_string().contains("use the newer trainer"), "{error}");
}

#[test]
fn a_store_of_version_1_is_brought_up_with_its_alerts_which_have_no_kind_yet() {
    let folder = Folder::new();
    let old = rusqlite::Connection::open(folder.store()).unwrap();
    old.execute_batch(schema::VERSION_1).unwrap();
    old.pragma_update(None, "application_id", 0x4c61_7077).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    old.execute_batch(
        "INSERT INTO agents (id, name, run, last_seen_s) VALUES (1, 'gw', 1, 5);
         INSERT INTO alerts VALUES (1, 1, 1, 1, 77, 0, zeroblob(16), 0, 1, 2, 40.0, 30.0, 12, 9, 23, NULL, 3, 5, x'');
         INSERT INTO samples VALUES (1, 1, 1, 2, 1, 8, x'');",
    )
    .unwrap();
    drop(old);
    let desk = Desk::open(&folder.store()).unwrap();
    let line = desk.alerts(&AlertFilter { limit: 9, ..AlertFilter::default() }).unwrap().remove(0);
    assert_eq!((line.episode, line.kind, line.kind_rows), (77, None, None));
    let (episodes, _) = desk.episodes_to_name(LookedAt::default(), 9).unwrap();
    assert_eq!(episodes.len(), 1);
    assert!(desk.episode_rows(&episodes[0], &SCHEMA).unwrap().is_empty(), "its batches say no times");
    assert_eq!(open(&folder).desk().unwrap().stored().unwrap(), [1, 1, 0]);
}

#[test]
fn a_missing_folder_is_named() {
    let folder = Folder::new();
    let path = folder.path().join("nowhere").join("store.sqlite");
    let error = Store::open(&path, Limits::default()).err().unwrap();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    assert!(matches!(Desk::open(&path).err().unwrap(), StoreError::Open { .. }));
}
