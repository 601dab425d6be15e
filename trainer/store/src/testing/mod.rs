//! Messages and temporary folders for tests.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "test data is valid by construction; the names are the documentation"
)]

#[cfg(feature = "postgres")]
pub mod postgres;

use super::{AgentFilter, AgentRow, Received, StoreHandle};
use crate::sqlite::SqliteHandle;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::features::{FEATURES, SchemaId};
use lapwing_shared::messages::{
    AddressForm, Alert, AlertState, Body, MESSAGE_BYTES, Message, Role, RowHosts, SampleRow, Samples, Status, Update,
    UpdateStep,
};
use lapwing_shared::release::manifest::Name;
use lapwing_shared::units::{Address, Timestamp};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub const SCHEMA: SchemaId = [7; 32];

/// What `store check` reports, without the test server's setting that makes tests fast.
pub fn problems(handle: &StoreHandle) -> Vec<String> {
    let mut problems = handle.check().unwrap();
    problems.retain(|problem| !problem.contains("setting fsync is off"));
    problems
}

pub fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

/// A temporary folder for one test, removed if the test passes.
pub struct Folder(PathBuf);

impl Folder {
    #[allow(clippy::new_without_default, reason = "creates a folder on disk")]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("lapwing-trainer-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn store(&self) -> PathBuf {
        self.0.join("store.sqlite")
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// Keeps every other writer of an SQLite file out until it is dropped.
pub struct WriteLock(Connection);

impl WriteLock {
    pub fn take(file: &Path) -> Self {
        let connection = Connection::open(file).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self(connection)
    }
}

impl Drop for WriteLock {
    fn drop(&mut self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

/// A handle of an SQLite file that does not wait for another writer.
pub fn impatient(file: &Path) -> StoreHandle {
    let handle = SqliteHandle::open(file).unwrap();
    handle.connection.busy_timeout(Duration::ZERO).unwrap();
    StoreHandle::new(Box::new(handle), file.into())
}

/// All agents of a small store, by name.
pub fn agents_by_name(handle: &StoreHandle) -> Vec<AgentRow> {
    let filter = AgentFilter { limit: 1_000, ..AgentFilter::default() };
    let mut agents = handle.agent_page(&filter).unwrap().agents;
    agents.sort_by(|a, b| a.line.name.cmp(&b.line.name));
    agents
}

pub fn samples(run: u64, number: u64, rows: &[(u64, bool)]) -> Message {
    let row = |(at_s, in_episode): &(u64, bool)| SampleRow {
        at: Timestamp::from_secs(*at_s),
        features: heapless::Vec::from_slice(&[*at_s as f32; FEATURES]).unwrap(),
        score: None,
        in_episode: *in_episode,
        hosts: RowHosts::default(),
    };
    let rows = rows.iter().map(row).collect();
    Message { run, number, sent_s: 0, body: Body::Samples(Samples { schema: SCHEMA, flows_seen: 100, rows }) }
}

/// Samples of the feature schema of this program, whose rows differ.
pub fn own_samples(run: u64, number: u64, rows: &[(u64, bool)]) -> Message {
    let mut message = samples(run, number, rows);
    let Body::Samples(samples) = &mut message.body else { return message };
    samples.schema = schema_id();
    for (index, row) in samples.rows.iter_mut().enumerate() {
        row.hosts = RowHosts { source: number as u32, target: index as u32 };
        row.score = (index == 1).then_some(9);
        row.features[0] = number as f32;
        row.features[1] = -0.0;
    }
    message
}

pub fn alert(run: u64, number: u64, episode: u64, state: AlertState, span_s: (u64, u64)) -> Message {
    let body = Body::Alert(Alert {
        episode,
        state,
        host: Address::from_v4([10, 0, 0, 9]),
        role: Role::Source,
        since: Timestamp::from_secs(span_s.0),
        at: Timestamp::from_secs(span_s.1),
        evidence_nats: 40.0,
        peak_nats: 44.0,
        limit_nats: 30.0,
        flows: 12,
        odd_flows: 9,
        peers: heapless::Vec::new(),
        service_port: 23,
        reasons: heapless::Vec::new(),
        resembles: None,
        release: 3,
        addresses: AddressForm::Plain,
        rows: heapless::Vec::new(),
    });
    Message { run, number, sent_s: 0, body }
}

pub fn update(run: u64, number: u64) -> Message {
    let step = UpdateStep::Refused(heapless::String::try_from("expired").unwrap());
    Message { run, number, sent_s: 0, body: Body::Update(Update { release: 4, step }) }
}

pub fn status(run: u64) -> Message {
    let body = Body::Status(Status {
        online: true,
        group: name("home"),
        agent_version: heapless::String::try_from("0.1.0").unwrap(),
        engine: heapless::String::try_from("int8").unwrap(),
        release: 3,
        on_trial: false,
        schema: SCHEMA,
    });
    Message { run, number: 0, sent_s: 0, body }
}

pub fn bytes(message: &Message) -> Vec<u8> {
    let mut out = vec![0; MESSAGE_BYTES];
    message.encode(&mut out).unwrap().to_vec()
}

pub fn received(agent: &str, message: &Message) -> Received {
    Received::new(name(agent), message.clone(), bytes(message))
}
