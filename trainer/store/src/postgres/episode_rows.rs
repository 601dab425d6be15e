//! Alert messages of a batch → rows of the table of episodes, by the rule in `lapwing-fleet`.

use super::batch::Changes;
use super::insert::text;
use super::session::{Queried, Session};
use crate::episode_fields::{RECORD, RECORD_COLUMNS, record};
use crate::fields::day_of;
use crate::received::stored_ns;
use lapwing_fleet::{EpisodeRecord, MessageKey};
use lapwing_shared::verdict::alert::NO_HOST;
use lapwing_shared::verdict::tracker::UPDATE_INTERVAL;
use postgres::types::ToSql;
use std::collections::BTreeMap;

/// An episode that a batch changes.
struct Changed {
    record: EpisodeRecord,
    /// Its start and whether it was open before the batch; `None` for a new episode.
    before: Option<(i64, bool)>,
    /// Row of the newest message, and when it was received.
    message: (i64, i64),
    class: Option<String>,
    /// Messages that the classifier has to look at.
    to_classify: i64,
}

/// Episodes by agent and number.
type Episodes = BTreeMap<(i64, u64), Changed>;

/// Adds the alerts of a batch, stored in the rows `messages`, to their episodes.
pub(super) fn add(session: &mut Session, changes: &mut Changes<'_>, messages: &[i64], now_s: i64) -> Queried<()> {
    if changes.alerts.is_empty() {
        return Ok(());
    }
    let mut episodes = read(session, changes)?;
    for ((agent, received, alert), message) in changes.alerts.iter().zip(messages) {
        let key = MessageKey { run: received.run, number: received.number };
        let new = || Changed {
            record: EpisodeRecord::new(key, alert),
            before: None,
            message: (*message, now_s),
            class: None,
            to_classify: 0,
        };
        let changed = episodes.entry((*agent, alert.episode)).or_insert_with(new);
        if changed.record.add(key, alert) {
            changed.message = (*message, now_s);
        }
        // Alerts about the whole site have no rows to classify.
        changed.to_classify += i64::from(changed.record.host != NO_HOST);
    }
    for ((agent, _), changed) in &episodes {
        count(changes, *agent, changed);
    }
    write(session, &episodes)?;
    write_days(session, &changes.days)
}

/// Reads and locks the episodes of a batch's alerts.
fn read(session: &mut Session, changes: &Changes<'_>) -> Queried<Episodes> {
    let mut keys: Vec<(i64, i64)> =
        changes.alerts.iter().map(|(agent, _, alert)| (*agent, alert.episode.cast_signed())).collect();
    keys.sort_unstable();
    keys.dedup();
    let (agents, numbers): (Vec<i64>, Vec<i64>) = keys.into_iter().unzip();
    // A label does not lock the agent, so the rows are locked, too.
    let query = format!(
        "SELECT {RECORD}, e.agent, e.episode, e.message, e.message_s, e.class \
         FROM unnest($1::bigint[], $2::bigint[]) AS m (agent, episode) \
         JOIN episodes AS e ON e.agent = m.agent AND e.episode = m.episode FOR NO KEY UPDATE OF e"
    );
    let mut episodes = Episodes::new();
    for row in session.query(&query, &[&agents, &numbers])? {
        let record = record(&row)?;
        let next = |column: usize| RECORD_COLUMNS + column;
        let key = (row.try_get(next(0))?, row.try_get::<_, i64>(next(1))?.cast_unsigned());
        let changed = Changed {
            before: Some((stored_ns(record.since), record.is_open())),
            message: (row.try_get(next(2))?, row.try_get(next(3))?),
            class: row.try_get(next(4))?,
            to_classify: 0,
            record,
        };
        episodes.insert(key, changed);
    }
    Ok(episodes)
}

/// Adds the changes of an episode to the counts by day and of open ones.
fn count(changes: &mut Changes<'_>, agent: i64, changed: &Changed) {
    let after = (stored_ns(changed.record.since), changed.record.is_open());
    let before = changed.before.map(|before| (before, -1));
    for ((since_ns, is_open), sign) in before.into_iter().chain([(after, 1)]) {
        *changes.days.entry((day_of(since_ns), agent)).or_default() += sign;
        changes.activity.entry(agent).or_default().open_episodes += sign * i64::from(is_open);
    }
}

/// A column of episodes as an array.
fn column<'a, T: ToSql + Sync + 'a>(
    episodes: &'a Episodes,
    of: impl Fn((i64, u64), &'a Changed) -> T,
) -> Box<dyn ToSql + Sync + 'a> {
    Box::new(episodes.iter().map(|(key, changed)| of(*key, changed)).collect::<Vec<T>>())
}

fn write(session: &mut Session, episodes: &Episodes) -> Queried<()> {
    let query = "INSERT INTO episodes AS e (agent, episode, message, message_s, run, number, release, since_ns, at_ns, \
         first_ns, last_ns, open_ns, closed_ns, flows, odd_flows, to_classify, state, role, service_port, peak_nats, \
         limit_nats, highest_limit_nats, host, resembles, shown_class, is_open, address_key, to_join) \
         SELECT *, 1 FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], \
         $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], \
         $14::bigint[], $15::bigint[], $16::bigint[], $17::smallint[], $18::smallint[], $19::int[], $20::float8[], \
         $21::float8[], $22::float8[], $23::bytea[], $24::text[], $25::text[], $26::boolean[], $27::bigint[]) \
         ON CONFLICT (agent, episode) DO UPDATE SET (message, message_s, run, number, release, since_ns, at_ns, first_ns, \
         last_ns, open_ns, closed_ns, flows, odd_flows, state, role, service_port, peak_nats, limit_nats, \
         highest_limit_nats, host, resembles, shown_class, is_open, address_key, to_classify, to_join) = (excluded.message, \
         excluded.message_s, excluded.run, excluded.number, excluded.release, excluded.since_ns, excluded.at_ns, \
         excluded.first_ns, excluded.last_ns, excluded.open_ns, excluded.closed_ns, excluded.flows, excluded.odd_flows, \
         excluded.state, excluded.role, excluded.service_port, excluded.peak_nats, excluded.limit_nats, \
         excluded.highest_limit_nats, excluded.host, excluded.resembles, excluded.shown_class, excluded.is_open, \
         excluded.address_key, e.to_classify + excluded.to_classify, e.to_join + 1)";
    let values = columns(episodes);
    session.execute(query, &values.iter().map(|value| &**value).collect::<Vec<_>>()).map(drop)
}

/// The parameters of the statement in [`write`].
fn columns(episodes: &Episodes) -> Vec<Box<dyn ToSql + Sync + '_>> {
    vec![
        column(episodes, |(agent, _), _| agent),
        column(episodes, |(_, episode), _| episode.cast_signed()),
        column(episodes, |_, changed| changed.message.0),
        column(episodes, |_, changed| changed.message.1),
        column(episodes, |_, changed| changed.record.newest.run.cast_signed()),
        column(episodes, |_, changed| changed.record.newest.number.cast_signed()),
        column(episodes, |_, changed| changed.record.release.cast_signed()),
        column(episodes, |_, changed| stored_ns(changed.record.since)),
        column(episodes, |_, changed| stored_ns(changed.record.at)),
        column(episodes, |_, changed| stored_ns(changed.record.first)),
        column(episodes, |_, changed| stored_ns(changed.record.last)),
        column(episodes, |_, changed| changed.record.open_at.map(stored_ns)),
        column(episodes, |_, changed| changed.record.closed_at.map(stored_ns)),
        column(episodes, |_, changed| i64::from(changed.record.flows)),
        column(episodes, |_, changed| i64::from(changed.record.odd_flows)),
        column(episodes, |_, changed| changed.to_classify),
        column(episodes, |_, changed| changed.record.state as i16),
        column(episodes, |_, changed| changed.record.role as i16),
        column(episodes, |_, changed| i32::from(changed.record.service_port)),
        column(episodes, |_, changed| changed.record.peak_nats),
        column(episodes, |_, changed| changed.record.limit_nats),
        column(episodes, |_, changed| changed.record.highest_limit_nats),
        column(episodes, |_, changed| changed.record.host.0.to_vec()),
        column(episodes, |_, changed| changed.record.resembles.as_deref().map(text)),
        column(episodes, |_, changed| text(changed.record.shown_class(changed.class.as_deref()))),
        column(episodes, |_, changed| changed.record.is_open()),
        column(episodes, |_, changed| changed.record.addresses.code().map(i64::from)),
    ]
}

/// Writes changes of the counts by day and agent; a number of 0 needs no row.
pub(super) fn write_days(session: &mut Session, days: &BTreeMap<(i64, i64), i64>) -> Queried<()> {
    let changed: Vec<_> = days.iter().filter(|(_, change)| **change != 0).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let of: Vec<i64> = changed.iter().map(|((day, _), _)| *day).collect();
    let agents: Vec<i64> = changed.iter().map(|((_, agent), _)| *agent).collect();
    let changes: Vec<i64> = changed.iter().map(|(_, change)| **change).collect();
    let query = "INSERT INTO episode_days AS d (day, agent, episodes) \
                 SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) \
                 ON CONFLICT (day, agent) DO UPDATE SET episodes = d.episodes + excluded.episodes";
    session.execute(query, &[&of, &agents, &changes])?;
    if changes.iter().any(|change| *change < 0) {
        let query = "DELETE FROM episode_days AS d USING unnest($1::bigint[], $2::bigint[]) AS m (day, agent) \
                     WHERE d.day = m.day AND d.agent = m.agent AND d.episodes <= 0";
        session.execute(query, &[&of, &agents])?;
    }
    Ok(())
}

/// Queues the episodes that batches of sample rows overlap for classification. The last flow of an episode may be up to one
/// update interval newer than its newest message.
pub(super) fn queue_overlapped(session: &mut Session, changes: &Changes<'_>) -> Queried<()> {
    let (mut agents, mut firsts, mut lasts) = (Vec::new(), Vec::new(), Vec::new());
    for (agent, _, samples, _) in &changes.samples {
        if let Some((first, last)) = samples.suspects {
            agents.push(*agent);
            firsts.push(stored_ns(first).saturating_sub(UPDATE_INTERVAL.0.cast_signed()));
            lasts.push(stored_ns(last));
        }
    }
    if agents.is_empty() {
        return Ok(());
    }
    let query = "UPDATE episodes SET to_classify = to_classify + m.batches FROM \
                 (SELECT e.id, count(*) AS batches FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) \
                 AS s (agent, first_ns, last_ns) JOIN episodes AS e ON e.agent = s.agent AND e.last_ns >= s.first_ns \
                 AND e.first_ns <= s.last_ns AND e.host <> $4 GROUP BY e.id) AS m WHERE episodes.id = m.id";
    session.execute(query, &[&agents, &firsts, &lasts, &NO_HOST.0.as_slice()]).map(drop)
}
