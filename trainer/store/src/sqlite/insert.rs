//! Alerts, sample batches and update reports of a batch → rows.

use super::batch::Totals;
use super::samples::newest_batch;
use super::write::BatchWriter;
use crate::received::{Received, SampleBatch, step_names, stored_ns};
use lapwing_shared::messages::{Alert, Update};

impl BatchWriter<'_> {
    /// The row id of a feature schema. Inserts a new schema.
    fn schema(&mut self, schema: &[u8; 32]) -> rusqlite::Result<i64> {
        if let Some(id) = self.cache.schemas.get(schema).or_else(|| self.pending.schemas.get(schema)) {
            return Ok(*id);
        }
        let text = "INSERT INTO schemas (sha256) VALUES (?1) \
                    ON CONFLICT (sha256) DO UPDATE SET sha256 = excluded.sha256 RETURNING id";
        let id = self.transaction.prepare_cached(text)?.query_row([schema], |row| row.get(0))?;
        self.pending.schemas.insert(*schema, id);
        Ok(id)
    }

    pub(super) fn alert(&mut self, agent: i64, received: &Received, alert: &Alert) -> rusqlite::Result<()> {
        let text = "INSERT INTO alerts (agent, run, number, episode, state, host, role, since_ns, at_ns, peak_nats, \
                    limit_nats, flows, odd_flows, service_port, resembles, release, received_s, payload) \
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";
        let message = self.transaction.prepare_cached(text)?.insert(rusqlite::params![
            agent,
            received.run.cast_signed(),
            received.number.cast_signed(),
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
            alert.resembles.as_ref().map(|name| name.as_str()),
            alert.release.cast_signed(),
            self.now_s,
            received.payload,
        ])?;
        self.use_more(agent, &Totals { alerts: 1, ..Totals::default() });
        self.activity(agent).alerts += 1;
        self.add_to_episode(agent, received, alert, message)
    }

    /// The next position in the order of arrival. Row ids of SQLite would begin again when the journal is empty.
    fn next_arrival(&mut self) -> rusqlite::Result<i64> {
        let newest = self.pending.newest_batch.map_or_else(|| newest_batch(&self.transaction), Ok)?;
        self.pending.newest_batch = Some(newest + 1);
        Ok(newest + 1)
    }

    pub(super) fn samples(&mut self, agent: i64, received: &Received, samples: &SampleBatch) -> rusqlite::Result<()> {
        let schema = self.schema(&samples.schema)?;
        let rows = u64::from(samples.rows);
        let (run, number) = (received.run.cast_signed(), received.number.cast_signed());
        let (first_ns, last_ns) = samples.suspects.map(|(first, last)| (stored_ns(first), stored_ns(last))).unzip();
        let arrival = self.next_arrival()?;
        let text = "INSERT INTO samples (id, agent, run, number, schema, rows, payload, suspect_first_ns, suspect_last_ns) \
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let values = (arrival, agent, run, number, schema, rows.cast_signed(), &received.payload, first_ns, last_ns);
        self.transaction.prepare_cached(text)?.execute(values)?;
        if let Some((first_ns, last_ns)) = first_ns.zip(last_ns) {
            self.queue_overlapped(agent, first_ns, last_ns)?;
        }
        let sample_bytes = received.payload.len() as u64;
        self.use_more(agent, &Totals { sample_bytes, sample_rows: rows, ..Totals::default() });
        self.pending.result.sample_rows += rows;
        self.activity(agent).sample_rows += rows;
        Ok(())
    }

    pub(super) fn update(&mut self, agent: i64, received: &Received, update: &Update) -> rusqlite::Result<()> {
        let (step, reason) = step_names(&update.step);
        let text = "INSERT INTO updates (agent, run, number, release, step, reason, received_s) \
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let (run, number, release) =
            (received.run.cast_signed(), received.number.cast_signed(), update.release.cast_signed());
        let values = (agent, run, number, release, step, reason, self.now_s);
        self.transaction.prepare_cached(text)?.execute(values)?;
        let text = "UPDATE agents SET update_run = ?2, update_number = ?3, update_release = ?4, update_step = ?5, \
                    update_reason = ?6, update_s = ?7 WHERE id = ?1 \
                    AND (update_run IS NULL OR (update_run, update_number) <= (?2, ?3))";
        self.transaction.prepare_cached(text)?.execute((agent, run, number, release, step, reason, self.now_s))?;
        self.use_more(agent, &Totals { updates: 1, ..Totals::default() });
        Ok(())
    }
}
