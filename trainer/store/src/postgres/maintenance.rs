//! A database → its version, identity and problems.

use super::PostgresHandle;
use super::session::{Queried, Session, unsigned};
use super::{audit, schema, tally};
use crate::counter::Counter;
use crate::error::StoreError;
use crate::people_rows::END_RESTORED;
use crate::rows::BACKUP_VERSIONS;
use crate::traits::{Counters, Maintenance};
use std::path::Path;

macro_rules! sizes_of_agents {
    () => {
        "SELECT a.id, coalesce(samples.bytes, 0) AS sample_bytes, coalesce(samples.n, 0) AS sample_rows, \
         coalesce(alerts.n, 0) AS alerts, coalesce(updates.n, 0) AS updates FROM agents AS a \
         LEFT JOIN (SELECT agent, count(*) AS n FROM alerts GROUP BY agent) AS alerts ON alerts.agent = a.id \
         LEFT JOIN (SELECT agent, count(*) AS n FROM updates GROUP BY agent) AS updates ON updates.agent = a.id \
         LEFT JOIN (SELECT agent, sum(n) AS n, sum(bytes) AS bytes FROM (SELECT agent, sum(rows) AS n, \
         sum(octet_length(payload)) AS bytes FROM samples GROUP BY agent UNION ALL \
         SELECT agent, sum(rows), sum(bytes) FROM segment_agents GROUP BY agent) AS both_places GROUP BY agent) \
         AS samples ON samples.agent = a.id"
    };
}

/// Sizes by agent, from the rows.
pub(super) const SIZES_OF_AGENTS: &str = sizes_of_agents!();

/// What is counted, and the query that counts the rows that differ.
const DERIVED: [(&str, &str); 10] = [
    (
        "agents with a wrong number of open episodes",
        "SELECT count(*) FROM agents WHERE open_episodes <> \
         (SELECT count(*) FROM episodes WHERE episodes.agent = agents.id AND is_open)",
    ),
    (
        "agents with wrong sizes",
        concat!(
            "SELECT count(*) FROM agents AS a JOIN (",
            sizes_of_agents!(),
            ") AS s ON s.id = a.id WHERE (a.stored_sample_bytes, a.stored_sample_rows, a.stored_alerts, \
             a.stored_updates) <> (s.sample_bytes, s.sample_rows, s.alerts, s.updates)"
        ),
    ),
    (
        "wrong numbers of agents by state, group and release",
        "SELECT count(*) FROM (SELECT state, group_name, release, on_trial, failed_release, sum(agents), \
         sum(open_episodes) FROM agent_counts GROUP BY 1, 2, 3, 4, 5 HAVING sum(agents) <> 0 OR sum(open_episodes) <> 0 \
         EXCEPT SELECT state, group_name, release, on_trial, failed_release, count(*), sum(open_episodes) FROM agents \
         GROUP BY 1, 2, 3, 4, 5) AS d",
    ),
    (
        "episodes with a wrong state or attack class",
        "SELECT count(*) FROM episodes WHERE is_open <> (state < 2) \
         OR shown_class <> coalesce(nullif(class, 'unknown'), resembles, 'unknown')",
    ),
    (
        "days with too few episodes counted",
        "SELECT count(*) FROM (SELECT since_ns / 86400000000000 AS day, agent, count(*) AS episodes FROM episodes \
         GROUP BY 1, 2 EXCEPT SELECT day, agent, episodes FROM episode_days) AS d",
    ),
    (
        "days with too many episodes counted",
        "SELECT count(*) FROM (SELECT day, agent, episodes FROM episode_days EXCEPT \
         SELECT since_ns / 86400000000000, agent, count(*) FROM episodes GROUP BY 1, 2) AS d",
    ),
    (
        "episodes without a message to show",
        "SELECT count(*) FROM episodes WHERE NOT EXISTS (SELECT 1 FROM alerts WHERE alerts.id = episodes.message \
         AND alerts.received_s = episodes.message_s AND alerts.agent = episodes.agent \
         AND alerts.episode = episodes.episode)",
    ),
    (
        "alert messages without their episode",
        "SELECT count(*) FROM alerts WHERE NOT EXISTS (SELECT 1 FROM episodes WHERE episodes.agent = alerts.agent \
         AND episodes.episode = alerts.episode)",
    ),
    (
        "parts of segments without their segment or agent",
        "SELECT count(*) FROM segment_agents WHERE NOT EXISTS (SELECT 1 FROM segments WHERE id = segment) \
         OR NOT EXISTS (SELECT 1 FROM agents WHERE agents.id = segment_agents.agent)",
    ),
    (
        "segments with fewer rows than their parts",
        "SELECT count(*) FROM segments WHERE rows < \
         (SELECT coalesce(sum(segment_agents.rows), 0) FROM segment_agents WHERE segment = segments.id)",
    ),
];

/// Sizes of all agents, from the rows.
const SIZES: &str = "SELECT (SELECT coalesce(sum(stored_sample_bytes), 0)::bigint FROM agents), \
     (SELECT coalesce(sum(stored_sample_rows), 0)::bigint FROM agents), \
     (SELECT count(*) FROM samples) + (SELECT coalesce(sum(batches), 0)::bigint FROM segment_agents), \
     (SELECT count(*) FROM alerts), (SELECT count(*) FROM updates)";

/// Settings of the server without which an acknowledged message can be lost, and their safe value.
const SETTINGS: [(&str, &str); 2] = [("fsync", "on"), ("full_page_writes", "on")];

impl Maintenance for PostgresHandle {
    fn version(&self) -> Result<u32, StoreError> {
        match self.read(schema::version) {
            Err(StoreError::NoTables { .. }) => Ok(0),
            version => version,
        }
    }

    fn check(&self) -> Result<Vec<String>, StoreError> {
        let found = self.version()?;
        if found < schema::VERSION {
            return Err(StoreError::OlderVersion { store: self.url().to_string(), found, known: schema::VERSION });
        }
        self.snapshot(|session| {
            let mut problems = check_settings(session)?;
            problems.extend(check_tables(session)?);
            Ok(problems)
        })
    }

    fn id(&self) -> Result<u64, StoreError> {
        self.read(|session| {
            let row = session.query_one("SELECT value FROM counters WHERE name = 'store-id' AND shard = 0", &[])?;
            unsigned(&row, 0)
        })
    }

    fn backup_into(&self, _: &Path) -> Result<(), StoreError> {
        let (what, instead) = ("copy", "pg_dump --format=custom, and copy the folder of releases");
        Err(StoreError::NotAFile { store: self.url().to_string(), what, instead })
    }

    fn settle_restored(&self, newest: u64) -> Result<(), StoreError> {
        self.set_counter(Counter::ReleaseVersionFloor, newest.saturating_add(BACKUP_VERSIONS))?;
        self.write(|session| END_RESTORED.iter().try_for_each(|text| session.change(text, &[]).map(drop)))
    }
}

/// Derived columns and counts that differ from the rows behind them.
pub(super) fn check_tables(session: &mut Session) -> Queried<Vec<String>> {
    let mut problems = Vec::new();
    for (what, query) in DERIVED {
        let count: i64 = session.query_one(query, &[])?.try_get(0)?;
        problems.extend((count > 0).then(|| format!("{count} {what}")));
    }
    let counted = tally::sizes(session)?;
    let counted = [counted.sample_bytes, counted.sample_rows, counted.sample_batches, counted.alerts, counted.updates];
    let found = stored_sizes(session)?;
    problems.extend((found != counted).then(|| format!("sizes of the tables are {found:?}, counted {counted:?}")));
    let of_audit = audit::check_log(session, None)?.problems;
    problems.extend(of_audit.into_iter().map(|problem| format!("audit log: {problem}")));
    Ok(problems)
}

/// Bytes and rows of samples, batches, alerts and updates, from the rows.
pub(super) fn stored_sizes(session: &mut Session) -> Queried<[i64; 5]> {
    let row = session.query_one(SIZES, &[])?;
    Ok([row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?])
}

fn check_settings(session: &mut Session) -> Queried<Vec<String>> {
    let mut problems = Vec::new();
    for (name, safe) in SETTINGS {
        let value: String = session.query_one("SELECT current_setting($1)", &[&name])?.try_get(0)?;
        let text = || format!("the server's setting {name} is {value}: a crash of its machine may damage the store");
        problems.extend((value != safe).then(text));
    }
    Ok(problems)
}
