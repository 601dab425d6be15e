//! Messages → a store as an earlier version of the program wrote it, to test that it opens.
#![allow(clippy::unwrap_used, missing_docs, reason = "test data is valid by construction")]

use super::schema::{self, MIGRATIONS};
use crate::received::{Content, SampleBatch, stored_ns};
use crate::stored_numbers::StoredNumbers;
use crate::{Classification, Label, Received};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use std::path::Path;

/// What operators and the classifier added to an episode.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    pub agent: String,
    pub episode: u64,
    pub label: Option<Label>,
    pub class: Option<Classification>,
}

/// Versions that [`write_old_store`] can write: every earlier one.
pub const OLD_VERSIONS: std::ops::RangeInclusive<usize> = 1..=MIGRATIONS.len() - 1;
/// Last version before episodes had a table. Later ones are made by migration.
const LAST_WITHOUT_EPISODES: usize = 4;

/// Writes a store of an earlier version with these messages, received at `now_s`, and these verdicts of `operator`. The
/// classifier, if the version has one, has seen as many alerts and sample batches as `classified` says.
pub fn write_old_store(
    path: &Path,
    version: usize,
    batch: &[Received],
    now_s: i64,
    verdicts: &[Verdict],
    classified: [i64; 2],
) {
    let file = Connection::open(path).unwrap();
    let written = version.min(LAST_WITHOUT_EPISODES);
    for script in &MIGRATIONS[..written] {
        file.execute_batch(script).unwrap();
    }
    file.pragma_update(None, "application_id", schema::APPLICATION_ID).unwrap();
    file.pragma_update(None, "user_version", version as i64).unwrap();
    let mut old = OldStore { file, version: written, now_s, progress: BTreeMap::new() };
    old.file.execute_batch("BEGIN").unwrap();
    batch.iter().for_each(|received| old.message(received));
    old.write_progress();
    verdicts.iter().for_each(|verdict| old.verdict(verdict));
    if version >= 2 && classified != [0, 0] {
        let text = "INSERT INTO counters VALUES ('alerts-looked-at', ?1), ('samples-looked-at', ?2)";
        old.file.execute(text, classified).unwrap();
    }
    for script in &MIGRATIONS[written..version] {
        old.file.execute_batch(script).unwrap();
    }
    old.file.execute_batch("COMMIT").unwrap();
}

struct OldStore {
    file: Connection,
    version: usize,
    now_s: i64,
    progress: BTreeMap<(i64, u64), StoredNumbers>,
}

impl OldStore {
    fn message(&mut self, received: &Received) {
        let text = "INSERT INTO agents (name, run, last_seen_s) VALUES (?1, ?2, ?3) \
                    ON CONFLICT (name) DO UPDATE SET run = max(run, ?2) RETURNING id";
        let values = (received.agent.as_str(), received.run.cast_signed(), self.now_s);
        let agent: i64 = self.file.query_row(text, values, |row| row.get(0)).unwrap();
        let (run, number) = (received.run.cast_signed(), received.number.cast_signed());
        if received.is_acknowledged() {
            self.progress.entry((agent, received.run)).or_default().insert(received.number);
        }
        match &received.content {
            Content::Status(_) => self.agent("status = ?2", agent, &received.payload),
            Content::Health(_) => self.agent("health = ?2", agent, &received.payload),
            Content::Alert(alert) => {
                let text = "INSERT INTO alerts (agent, run, number, episode, state, host, role, since_ns, at_ns, \
                            peak_nats, limit_nats, flows, odd_flows, service_port, resembles, release, received_s, \
                            payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, \
                            ?17, ?18)";
                let resembles = alert.resembles.as_ref().map(|name| name.as_str());
                let values = params![
                    agent,
                    run,
                    number,
                    alert.episode.cast_signed(),
                    alert.state as u8,
                    alert.host.0,
                    alert.role as u8,
                    stored_ns(alert.since),
                    stored_ns(alert.at),
                    alert.peak_nats,
                    alert.limit_nats,
                    alert.flows,
                    alert.odd_flows,
                    alert.service_port,
                    resembles,
                    alert.release.cast_signed(),
                    self.now_s,
                    received.payload,
                ];
                self.file.execute(text, values).unwrap();
                self.agent("alerts = alerts + length(?2)", agent, &[0]);
            }
            Content::Samples(samples) => self.samples(agent, received, samples),
            Content::Update(update) => {
                let (step, reason) = crate::received::step_names(&update.step);
                let text = "INSERT INTO updates (agent, run, number, release, step, reason, received_s) \
                            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
                let values = (agent, run, number, update.release.cast_signed(), step, reason, self.now_s);
                self.file.execute(text, values).unwrap();
            }
        }
    }

    fn agent(&self, change: &str, agent: i64, value: &[u8]) {
        self.file.execute(&format!("UPDATE agents SET {change} WHERE id = ?1"), (agent, value)).unwrap();
    }

    fn samples(&self, agent: i64, received: &Received, samples: &SampleBatch) {
        let text =
            "INSERT INTO schemas (sha256) VALUES (?1) ON CONFLICT (sha256) DO UPDATE SET sha256 = ?1 RETURNING id";
        let schema: i64 = self.file.query_row(text, [samples.schema], |row| row.get(0)).unwrap();
        let text = "INSERT INTO samples (agent, run, number, schema, rows, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let (run, number) = (received.run.cast_signed(), received.number.cast_signed());
        self.file.execute(text, (agent, run, number, schema, samples.rows, &received.payload)).unwrap();
        if let Some((first, last)) = samples.suspects.filter(|_| self.version >= 2) {
            let text = "UPDATE samples SET suspect_first_ns = ?1, suspect_last_ns = ?2 WHERE id = last_insert_rowid()";
            self.file.execute(text, (stored_ns(first), stored_ns(last))).unwrap();
        }
        let text = "UPDATE agents SET sample_rows = sample_rows + ?2 WHERE id = ?1";
        self.file.execute(text, (agent, samples.rows)).unwrap();
    }

    fn write_progress(&self) {
        for ((agent, run), numbers) in &self.progress {
            let values =
                (agent, run.cast_signed(), numbers.up_to().cast_signed(), numbers.ranges_to_bytes(), self.now_s);
            self.file.execute("INSERT INTO progress VALUES (?1, ?2, ?3, ?4, ?5)", values).unwrap();
        }
    }

    fn verdict(&self, verdict: &Verdict) {
        let text = "SELECT id FROM agents WHERE name = ?1";
        let agent: i64 = self.file.query_row(text, [&verdict.agent], |row| row.get(0)).unwrap();
        let episode = verdict.episode.cast_signed();
        if let Some(label) = verdict.label {
            let values = (agent, episode, label.as_str(), "operator", self.now_s);
            self.file.execute("INSERT INTO labels VALUES (?1, ?2, ?3, ?4, ?5)", values).unwrap();
        }
        if let Some(class) = verdict.class.as_ref().filter(|_| self.version >= 2) {
            let Classification { class, probability, rows } = class;
            let values = (agent, episode, class, probability, rows, "model", self.now_s);
            self.file.execute("INSERT INTO kinds VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", values).unwrap();
        }
    }
}
