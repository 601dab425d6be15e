use crate::contract::TestStore;
use crate::testing::postgres::Database;
use crate::testing::{alert, name, problems, received, samples, status, update};
use crate::{Counter, Limits, Received, Store, StoreError, StoreHandle, StoreUrl};
use lapwing_shared::messages::{AlertState, Body, UpdateStep};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

const DAY_S: u64 = 86_400;
/// Connections that a test ends, at most, so that it ends itself.
const MAX_ENDED: i64 = 40;
/// Batches that are stored again until a connection was ended, at most.
const MAX_BATCHES: usize = 10_000;

/// A database, or `None` without a server, which is listed as skipped.
fn database() -> Option<Database> {
    Database::is_available().then(Database::new)
}

/// Messages of every type, of several agents: for each agent, numbers 1 to `count`.
fn messages(agents: u64, count: u64) -> Vec<Received> {
    let of = |agent: u64, number: u64| {
        let message = match number % 3 {
            0 => alert(1, number, number / 6, AlertState::Opened, (1_000, 1_000 + number)),
            1 => samples(1, number, &[(1_000 + number, true)]),
            _ => update(1, number),
        };
        received(&format!("gw-{agent}"), &message)
    };
    (1..=count).flat_map(|number| (0..agents).map(move |agent| of(agent, number))).collect()
}

fn assert_consistent(database: &Database) {
    assert_eq!(problems(&database.handle()), Vec::<String>::new());
}

/// Opens a writer while connections are ended.
fn open_patiently(database: &Database) -> Store {
    loop {
        match Store::open(database.url(), Limits::default()) {
            Ok(store) => return store,
            Err(error) => assert!(error.is_temporary(), "{error}"),
        }
    }
}

/// Commits until the store takes the batch.
fn commit_patiently(writer: &mut Store, batch: &[Received]) {
    while let Err(error) = writer.commit(batch, 5) {
        assert!(error.is_temporary(), "{error}");
    }
}

#[test]
fn several_writers_store_each_message_once() {
    let Some(database) = database() else { return };
    let all = messages(20, 60);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (all, database) = (&all, &database);
            scope.spawn(move || {
                let mut store = database.open(Limits::default());
                let mut random = fastrand::Rng::with_seed(writer);
                // Every writer gets every message, in an order of its own.
                let mut own = all.clone();
                random.shuffle(&mut own);
                own.chunks(97).for_each(|batch| commit_patiently(&mut store, batch));
            });
        }
    });
    let handle = database.handle();
    assert_eq!(handle.message_counts().unwrap(), [20 * 20, 20 * 20, 20 * 20]);
    assert_eq!(handle.counter(Counter::Duplicates).unwrap(), 3 * all.len() as u64);
    assert_eq!(handle.counter(Counter::SampleRowsStored).unwrap(), 400);
    let store = database.open(Limits::default());
    let runs: Vec<_> = (0..20).map(|agent| (name(&format!("gw-{agent}")), 1)).collect();
    assert!(store.progress_of(&runs).unwrap().into_iter().all(|numbers| numbers.unwrap().up_to() == 60));
    assert_consistent(&database);
}

#[test]
fn a_writer_whose_connection_is_ended_at_any_point_stores_each_message_once() {
    let Some(database) = database() else { return };
    let all = messages(10, 300);
    let has_ended = AtomicBool::new(false);
    let ended = AtomicI64::new(0);
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let mut client = database.client();
            while !has_ended.load(Ordering::Relaxed) && ended.load(Ordering::Relaxed) < MAX_ENDED {
                let text = "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity \
                            WHERE datname = current_database() AND application_name = 'lapwing-trainer' \
                            AND state <> 'idle' AND random() < 0.01";
                ended.fetch_add(client.query_one(text, &[]).unwrap().get(0), Ordering::Relaxed);
            }
        });
        // Also after a failure, as the scope waits for the other thread.
        let written = std::panic::catch_unwind(|| {
            let mut writer = open_patiently(&database);
            all.chunks(30).for_each(|batch| commit_patiently(&mut writer, batch));
            // On a busy machine, the other thread may not have ended one yet.
            let again = all.chunks(30).cycle().take(MAX_BATCHES).take_while(|_| ended.load(Ordering::Relaxed) == 0);
            again.for_each(|batch| commit_patiently(&mut writer, batch));
        });
        has_ended.store(true, Ordering::Relaxed);
        written.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        killer.join().unwrap();
    });
    let ended = ended.into_inner();
    assert!(ended > 0, "no connection was ended");
    assert_eq!(database.handle().message_counts().unwrap(), [1_000, 1_000, 1_000], "{ended} connections ended");
    assert_consistent(&database);
}

#[test]
fn processes_that_start_at_once_create_the_tables_once() {
    let Some(database) = database() else { return };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| database.open(Limits::default()));
        }
    });
    assert_consistent(&database);
}

#[test]
fn a_writer_does_not_exceed_the_limit_of_agents_together_with_another() {
    let Some(database) = database() else { return };
    let limits = Limits { agents: 50, ..Limits::default() };
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let database = &database;
            scope.spawn(move || {
                let mut store = database.open(limits);
                for number in 0..60 {
                    store.commit(&[received(&format!("gw-{writer}-{number}"), &update(1, 1))], 5).unwrap();
                }
            });
        }
    });
    let handle = database.handle();
    assert_eq!(handle.agents().unwrap().len(), 50);
    assert_eq!(handle.counter(Counter::AgentsRefused).unwrap(), 70);
}

#[test]
fn texts_with_the_character_0_are_stored() {
    let Some(database) = database() else { return };
    let mut message = update(1, 1);
    let Body::Update(update) = &mut message.body else { unreachable!() };
    update.step = UpdateStep::Refused(heapless::String::try_from("a\0b").unwrap());
    let mut store = database.open(Limits::default());
    store.commit(&[received("gw", &message), received("gw", &status(1))], 5).unwrap();
    let reports = database.handle().updates_of("gw", 9).unwrap();
    assert_eq!(reports[0].reason.as_deref(), Some("a\u{fffd}b"));
    assert_consistent(&database);
}

#[test]
fn partitions_that_retention_empties_are_dropped_and_created_again() {
    let Some(database) = database() else { return };
    let limits = Limits { sample_rows: 10, ..Limits::default() };
    let mut store = database.open(limits);
    let sample = |number: u64| received("gw", &samples(1, number, &[(number, false)]));
    for number in 1..=30 {
        let done = store.commit(&[sample(number)], (100 + number) * DAY_S).unwrap();
        assert_eq!(done.retention_error, None);
    }
    let mut client = database.client();
    let mut partitions = || {
        let text = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'samples'::regclass";
        client.query_one(text, &[]).unwrap().get::<_, i64>(0)
    };
    assert!((10..=12).contains(&partitions()), "{}", partitions());
    // A writer whose clock is behind, and which does not know that its partition was dropped.
    let mut late = database.open(limits);
    late.commit(&[sample(31)], 125 * DAY_S).unwrap();
    for number in 32..=60 {
        store.commit(&[sample(number)], (130 + number) * DAY_S).unwrap();
    }
    assert_eq!(late.commit(&[sample(61)], 125 * DAY_S).unwrap().stored, 1);
    assert_consistent(&database);
}

#[test]
fn a_database_of_another_program_encoding_or_version_is_rejected() {
    let Some(database) = database() else { return };
    let open = || Store::open(database.url(), Limits::default()).map(drop);
    database.client().batch_execute("CREATE TABLE agents (id INTEGER)").unwrap();
    assert!(matches!(open(), Err(StoreError::ForeignDatabase { .. })));
    database.client().batch_execute("DROP TABLE agents").unwrap();
    let empty = StoreHandle::open_reading(database.url()).unwrap();
    assert_eq!(empty.version().unwrap(), 0);
    let error = empty.agents().unwrap_err().to_string();
    assert!(error.contains("has no Lapwing store") && error.contains("store migrate"), "{error}");
    open().unwrap();
    database.client().batch_execute("INSERT INTO schema_versions (version) VALUES (99)").unwrap();
    let error = open().unwrap_err().to_string();
    assert!(error.contains("schema version 99"), "{error}");
}

#[test]
fn a_server_that_is_not_there_is_a_temporary_error_without_the_password() {
    let url: StoreUrl = "postgres://lapwing:s3cret@%2Fno%2Fsuch%2Ffolder/fleet".parse().unwrap();
    let error = Store::open(&url, Limits::default()).map(drop).unwrap_err();
    assert!(error.is_temporary());
    let text = error.to_string();
    assert!(
        text.contains("/fleet") && text.contains("check that PostgreSQL runs") && !text.contains("s3cret"),
        "{text}"
    );
}

#[test]
fn a_user_or_database_that_the_server_rejects_is_a_permanent_error() {
    let Some(server) = Database::server_url() else { return };
    let (host, _) = server.rsplit_once('/').unwrap();
    let error = Store::open(format!("{host}/no_such_database").parse::<StoreUrl>().unwrap(), Limits::default());
    let error = error.map(drop).unwrap_err();
    assert!(!error.is_temporary() && error.to_string().contains("no_such_database"), "{error}");
}

#[test]
fn a_lease_has_one_holder_and_ends_with_its_connection() {
    let Some(database) = database() else { return };
    drop(database.open(Limits::default()));
    let [first, second] = [(); 2].map(|()| database.handle());
    assert!(first.try_lease("train").unwrap() && first.try_lease("train").unwrap());
    assert!(!second.try_lease("train").unwrap());
    assert!(second.try_lease("publish").unwrap(), "leases are independent");
    first.release_lease("train").unwrap();
    assert!(second.try_lease("train").unwrap());
    let text = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' \
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    database.client().execute(text, &[]).unwrap();
    let deadline = std::iter::repeat_with(|| first.try_lease("train").unwrap()).take(10_000).any(|held| held);
    assert!(deadline, "the lease ends with the connection of its holder");
    assert!(!second.try_lease("train").unwrap(), "it notices that it lost the lease");
}
