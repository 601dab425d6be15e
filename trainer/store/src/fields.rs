//! A row of either database → the types of lists and pages; each store gives access to its columns by [`Fields`].

use crate::rows::{
    AgentCount, AgentRow, AgentsOfGroup, DayCount, EpisodeExtent, EpisodeMessage, EpisodeSpan, GroupRows, StoredAgent,
    StoredBatch, StoredUpdate,
};
use lapwing_fleet::{AgentState, AuditHead, AuditRecord, HeldRelease, HeldState, Job, JobState, Release};
use lapwing_shared::messages::{Body, Health, Message, Status};
use lapwing_shared::units::{NANOS_PER_SECOND, Timestamp};
use lapwing_shared::verdict::tracker::UPDATE_INTERVAL;
use std::path::PathBuf;

/// Columns of a row, by their position in the query.
pub(crate) trait Fields {
    /// Error of a column with another type.
    type Error;

    /// A signed number.
    fn integer(&self, column: usize) -> Result<i64, Self::Error>;

    /// A signed number or NULL.
    fn integer_or_null(&self, column: usize) -> Result<Option<i64>, Self::Error>;

    /// A floating-point number.
    fn real(&self, column: usize) -> Result<f64, Self::Error>;

    /// A floating-point number or NULL.
    fn real_or_null(&self, column: usize) -> Result<Option<f64>, Self::Error>;

    /// A text or NULL.
    fn text_or_null(&self, column: usize) -> Result<Option<String>, Self::Error>;

    /// Bytes or NULL.
    fn bytes_or_null(&self, column: usize) -> Result<Option<Vec<u8>>, Self::Error>;

    /// The error of a value that the trainer cannot have written.
    fn invalid(column: usize, expected: &'static str) -> Self::Error;

    /// A text.
    fn text(&self, column: usize) -> Result<String, Self::Error> {
        self.text_or_null(column)?.ok_or_else(|| Self::invalid(column, "a text"))
    }

    /// Bytes.
    fn bytes(&self, column: usize) -> Result<Vec<u8>, Self::Error> {
        self.bytes_or_null(column)?.ok_or_else(|| Self::invalid(column, "bytes"))
    }

    /// An unsigned 64-bit number, which is stored bit for bit.
    fn unsigned(&self, column: usize) -> Result<u64, Self::Error> {
        self.integer(column).map(i64::cast_unsigned)
    }

    /// A number that fits a smaller type.
    fn small<T: TryFrom<i64>>(&self, column: usize) -> Result<T, Self::Error> {
        T::try_from(self.integer(column)?).map_err(|_| Self::invalid(column, "a smaller number"))
    }

    /// A number other than 0.
    fn flag(&self, column: usize) -> Result<bool, Self::Error> {
        self.integer(column).map(|number| number != 0)
    }
}

/// Columns that [`agent`] reads, in this order.
pub(crate) const AGENT: &str = "agents.name, run, last_seen_s, sample_rows, alerts, status, health, assigned_group, \
                                agents.online, (SELECT count(*) FROM identities WHERE identities.name = agents.name \
                                AND identities.state = 'revoked')";

/// A row of [`AGENT`].
pub(crate) fn agent<R: Fields>(row: &R) -> Result<StoredAgent, R::Error> {
    let mut status = decode_status(row.bytes_or_null(5)?);
    if let Some(status) = &mut status {
        // The stored status is the last one of a connected agent.
        status.online = row.flag(8)?;
    }
    Ok(StoredAgent {
        name: row.text(0)?,
        run: row.unsigned(1)?,
        last_seen_s: row.unsigned(2)?,
        sample_rows: row.unsigned(3)?,
        alerts: row.unsigned(4)?,
        status,
        revoked: row.flag(9)?,
        health: decode_health(row.bytes_or_null(6)?),
        assigned_group: row.text_or_null(7)?,
    })
}

/// Columns that [`agent_row`] reads after those of [`AGENT`], and the row id.
pub(crate) const AGENT_ROW: &str =
    "health_before, update_release, update_step, update_reason, update_s, open_episodes, agents.id";
/// Position of the row id after the columns of [`AGENT`] and [`AGENT_ROW`].
#[cfg(feature = "postgres")]
pub(crate) const AGENT_ID: usize = 16;

/// A row of [`AGENT`] and [`AGENT_ROW`].
pub(crate) fn agent_row<R: Fields>(row: &R) -> Result<AgentRow, R::Error> {
    let update = match row.integer_or_null(11)? {
        None => None,
        Some(release) => Some(StoredUpdate {
            release: release.cast_unsigned(),
            step: row.text(12)?,
            reason: row.text_or_null(13)?,
            received_s: row.unsigned(14)?,
        }),
    };
    Ok(AgentRow {
        line: agent(row)?,
        health_before: decode_health(row.bytes_or_null(10)?),
        update,
        open_alerts: row.unsigned(15)?,
    })
}

/// A row of state, group, release, whether it is on trial, failed release, number of agents and of their open episodes.
pub(crate) fn agent_count<R: Fields>(row: &R) -> Result<AgentCount, R::Error> {
    let state: usize = row.small(0)?;
    Ok(AgentCount {
        state: *AgentState::ALL.get(state).ok_or_else(|| R::invalid(0, "the number of a state"))?,
        group: row.text(1)?,
        release: row.unsigned(2)?,
        on_trial: row.flag(3)?,
        failed_release: row.unsigned(4)?,
        agents: row.unsigned(5)?,
        open_alerts: row.unsigned(6)?,
    })
}

/// A row of a group and its number of agents.
pub(crate) fn agents_of_group<R: Fields>(row: &R) -> Result<AgentsOfGroup, R::Error> {
    Ok(AgentsOfGroup { group: row.text(0)?, agents: row.unsigned(1)? })
}

/// A row of a group, its stored rows and those that are trained.
pub(crate) fn group_rows<R: Fields>(row: &R) -> Result<(String, GroupRows), R::Error> {
    Ok((row.text(0)?, GroupRows { stored: row.unsigned(1)?, trained: row.unsigned(2)? }))
}

/// A row of an agent's name, its number of unlabelled episodes and the sum of their limits.
pub(crate) fn unlabelled<R: Fields>(row: &R) -> Result<(String, u64, f64), R::Error> {
    Ok((row.text(0)?, row.unsigned(1)?, row.real(2)?))
}

/// A row of two numbers.
pub(crate) fn numbers<R: Fields>(row: &R) -> Result<(i64, i64), R::Error> {
    Ok((row.integer(0)?, row.integer(1)?))
}

/// A row of a number and a text.
pub(crate) fn pair<R: Fields>(row: &R) -> Result<(i64, String), R::Error> {
    Ok((row.integer(0)?, row.text(1)?))
}

/// Columns that [`update`] reads.
pub(crate) const UPDATE: &str = "release, step, reason, received_s";

/// A row of [`UPDATE`].
pub(crate) fn update<R: Fields>(row: &R) -> Result<StoredUpdate, R::Error> {
    Ok(StoredUpdate {
        release: row.unsigned(0)?,
        step: row.text(1)?,
        reason: row.text_or_null(2)?,
        received_s: row.unsigned(3)?,
    })
}

/// Decodes a stored status message; `None` without one, or if it no longer decodes.
pub(crate) fn decode_status(payload: Option<Vec<u8>>) -> Option<Box<Status>> {
    match Message::decode(&payload?).ok()?.body {
        Body::Status(status) => Some(Box::new(status)),
        _ => None,
    }
}

/// Decodes a stored health message; `None` without one, or if it no longer decodes.
pub(crate) fn decode_health(payload: Option<Vec<u8>>) -> Option<Box<Health>> {
    match Message::decode(&payload?).ok()?.body {
        Body::Health(health) => Some(Box::new(health)),
        _ => None,
    }
}

/// A stored time.
pub(crate) fn time(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos.cast_unsigned())
}

/// Day of a stored time, since the epoch.
pub(crate) fn day_of(stored_ns: i64) -> i64 {
    const DAY_NS: i64 = 86_400 * NANOS_PER_SECOND.cast_signed();
    stored_ns / DAY_NS
}

/// Columns that [`episode_message`] reads.
pub(crate) const EPISODE_MESSAGE: &str = "state, at_ns, peak_nats, flows, received_s";

/// A row of [`EPISODE_MESSAGE`].
pub(crate) fn episode_message<R: Fields>(row: &R) -> Result<EpisodeMessage, R::Error> {
    Ok(EpisodeMessage {
        state: row.small(0)?,
        at_s: row.unsigned(1)? / NANOS_PER_SECOND,
        peak_nats: row.real(2)?,
        flows: row.small(3)?,
        received_s: row.unsigned(4)?,
    })
}

/// A row of day, agent's name and number of episodes.
pub(crate) fn day_count<R: Fields>(row: &R) -> Result<DayCount, R::Error> {
    Ok(DayCount { day: row.integer(0)?, agent: row.text(1)?, episodes: row.unsigned(2)? })
}

/// Columns and tables that [`span`] reads.
pub(crate) const SPAN: &str = "e.id, e.agent, agents.name, e.episode, e.first_ns, e.open_ns, e.closed_ns, e.to_classify \
     FROM episodes AS e JOIN agents ON agents.id = e.agent";

/// An episode with the time span of its flows.
///
/// An agent updates a growing episode every [`UPDATE_INTERVAL`], so its last flow is at most that much newer than the last
/// update. It closes the episode up to [`lapwing_shared::verdict::tracker::EPISODE_TIMEOUT`] after the last flow; rows
/// from that time belong to other episodes.
pub(crate) fn span<R: Fields>(row: &R) -> Result<EpisodeSpan, R::Error> {
    let (open, closed) = (row.integer_or_null(5)?, row.integer_or_null(6)?);
    let open = open.map_or(i64::MAX, |at| at.saturating_add(UPDATE_INTERVAL.0.cast_signed()));
    Ok(EpisodeSpan {
        id: row.integer(0)?,
        agent: row.integer(1)?,
        agent_name: row.text(2)?,
        episode: row.unsigned(3)?,
        first_ns: row.integer(4)?,
        last_ns: open.min(closed.unwrap_or(i64::MAX)),
        changes: row.integer(7)?,
    })
}

/// Columns that [`release`] reads.
pub(crate) const RELEASE: &str = "group_name, version, manifest_sha256, made_s, file, reason";

/// A row of [`RELEASE`].
pub(crate) fn release<R: Fields>(row: &R) -> Result<Release, R::Error> {
    let manifest_sha256 = digest(row, 2)?;
    Ok(Release {
        group: row.text(0)?,
        version: row.unsigned(1)?,
        manifest_sha256,
        made_s: row.unsigned(3)?,
        file: PathBuf::from(row.text(4)?),
        reason: row.text_or_null(5)?,
    })
}

/// Columns that [`held_release`] reads.
pub(crate) const HELD: &str = "group_name, version, made_s, file, reason, findings, state, who";

/// A row of [`HELD`].
pub(crate) fn held_release<R: Fields>(row: &R) -> Result<HeldRelease, R::Error> {
    Ok(HeldRelease {
        group: row.text(0)?,
        version: row.unsigned(1)?,
        made_s: row.unsigned(2)?,
        file: PathBuf::from(row.text(3)?),
        reason: row.text(4)?,
        findings: row.text(5)?,
        state: HeldState::parse(&row.text(6)?).unwrap_or(HeldState::Superseded),
        who: row.text_or_null(7)?,
    })
}

/// Columns that [`audit_record`] reads.
pub(crate) const AUDIT_RECORD: &str = "number, at_s, who, action, object, detail, previous";

/// A row of [`AUDIT_RECORD`].
pub(crate) fn audit_record<R: Fields>(row: &R) -> Result<AuditRecord, R::Error> {
    Ok(AuditRecord {
        number: row.unsigned(0)?,
        at_s: row.unsigned(1)?,
        who: row.text(2)?,
        action: row.text(3)?,
        object: row.text(4)?,
        detail: row.text(5)?,
        // A damaged one is reported like a changed one: with the number of its entry.
        previous: digest(row, 6).unwrap_or(DAMAGED),
    })
}

/// A row of the number and the hash of the newest entry of the audit log.
pub(crate) fn audit_head<R: Fields>(row: &R) -> Result<AuditHead, R::Error> {
    Ok(AuditHead { number: row.unsigned(0)?, sha256: digest(row, 1)? })
}

/// Replaces a stored hash that cannot be read: no entry has it.
const DAMAGED: [u8; 32] = [0xff; 32];

fn digest<R: Fields>(row: &R, column: usize) -> Result<[u8; 32], R::Error> {
    row.bytes(column)?.try_into().map_err(|_| R::invalid(column, "a digest of 32 bytes"))
}

/// A row of a job's number, who requested it, and when.
pub(crate) fn job<R: Fields>(row: &R) -> Result<Job, R::Error> {
    Ok(Job { id: row.integer(0)?, who: row.text(1)?, asked_s: row.unsigned(2)? })
}

/// A row of a job's state and result.
pub(crate) fn job_state<R: Fields>(row: &R) -> Result<(JobState, Option<String>), R::Error> {
    // The table allows no other names.
    Ok((JobState::parse(&row.text(0)?).unwrap_or(JobState::Failed), row.text_or_null(1)?))
}

/// Columns that [`batch`] reads, and their tables.
pub(crate) const BATCH: &str = "samples.id, samples.agent, agents.name, samples.payload FROM samples \
     JOIN agents ON agents.id = samples.agent";

/// A row of [`BATCH`].
pub(crate) fn batch<R: Fields>(row: &R) -> Result<StoredBatch, R::Error> {
    Ok(StoredBatch {
        arrival: row.unsigned(0)?,
        agent_id: row.integer(1)?,
        agent: row.text(2)?,
        payload: row.bytes(3)?,
    })
}

/// A row of an episode's agent, first and last time, and whether it is labelled benign.
pub(crate) fn extent<R: Fields>(row: &R) -> Result<EpisodeExtent, R::Error> {
    Ok(EpisodeExtent {
        agent_id: row.integer(0)?,
        first_ns: row.integer(1)?,
        last_ns: row.integer(2)?,
        benign: row.flag(3)?,
    })
}
