//! Statements that both databases accept. Parameters are `?1`, `?2`, … in the order of their first use.

use crate::episode_fields::{EPISODE, RECORD};
use crate::fields::{AGENT, AGENT_ROW, AUDIT_RECORD, BATCH, EPISODE_MESSAGE, HELD, RELEASE, SPAN, UPDATE};
use crate::segment_fields::SEGMENT;
use std::sync::LazyLock;

/// Held-back releases of a group to remember; older ones are deleted.
pub(crate) const HELD_KEPT: i64 = 100;
/// Finished jobs to keep.
pub(crate) const MAX_FINISHED_JOBS: i64 = 1000;
/// Waiting jobs of a group, at most; further requests join the newest one.
pub(crate) const MAX_WAITING_JOBS: i64 = 16;

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $($text:expr),+;)*) => {
        $($(#[$doc])* pub(crate) static $name: LazyLock<String> = LazyLock::new(|| format!($($text),+));)*
    };
}

/// Agents of a [`crate::HostFilter`]: with the name ?1 and in the group ?2, unless these are NULL.
const AGENTS_OF_HOST: &str = "SELECT id FROM agents WHERE (CAST(?1 AS TEXT) IS NULL OR name = ?1) \
                              AND (CAST(?2 AS TEXT) IS NULL OR group_name = ?2)";

statements! {
    AGENTS = "SELECT {AGENT} FROM agents ORDER BY name";
    AGENT_OF_NAME = "{}", select_agent("name = ?1");
    NAME_OF_AGENT = "SELECT name FROM agents WHERE id = ?1";
    ID_OF_AGENT = "SELECT id FROM agents WHERE name = ?1";
    UPDATES_OF_AGENT = "SELECT {UPDATE} FROM updates WHERE agent = ?1 ORDER BY id DESC LIMIT ?2";
    AGENTS_WITHOUT_ROWS = "SELECT name FROM agents WHERE alerts > 0 AND sample_rows = 0 AND \
                           (SELECT substr(payload, 1, 1) FROM alerts WHERE alerts.agent = agents.id AND release > 0 \
                            ORDER BY id DESC LIMIT 1) = ?1 ORDER BY name LIMIT ?2";
    AGENT_COUNTS = "SELECT state, group_name, release, on_trial, failed_release, CAST(sum(agents) AS BIGINT), \
                    CAST(sum(open_episodes) AS BIGINT) FROM agent_counts GROUP BY 1, 2, 3, 4, 5 HAVING sum(agents) > 0";
    AGENTS_BY_GROUP = "SELECT group_name, CAST(sum(agents) AS BIGINT) FROM agent_counts WHERE group_name <> '' \
                       GROUP BY group_name HAVING sum(agents) > 0 ORDER BY 2 DESC, 1 LIMIT ?1";
    AGENT_NAMES = "SELECT id, name FROM agents";

    START_OF_EPISODE = "SELECT since_ns FROM episodes WHERE id = ?1";
    MESSAGES_OF_EPISODE =
        "SELECT {EPISODE_MESSAGE} FROM alerts WHERE agent = ?1 AND episode = ?2 ORDER BY id DESC LIMIT ?3";
    PAYLOADS_OF_EPISODE = "SELECT payload FROM alerts WHERE agent = ?1 AND episode = ?2 ORDER BY id DESC LIMIT ?3";
    LABEL = "UPDATE episodes SET label = ?1, labelled_by = ?2, labelled_s = ?3, to_join = to_join + 1 \
             WHERE agent = (SELECT id FROM agents WHERE name = ?4) AND episode = ?5";
    DAYS = "SELECT d.day, agents.name, d.episodes FROM episode_days AS d JOIN agents ON agents.id = d.agent \
            WHERE d.day BETWEEN ?1 AND ?2 ORDER BY d.day, d.agent";
    DAY_OF_AGENT = "SELECT d.day, agents.name, d.episodes FROM episode_days AS d \
                    JOIN agents ON agents.id = d.agent WHERE d.day = ?1 AND d.agent = ?2";
    NEWEST_DAY = "SELECT max(day) FROM episode_days";

    EPISODES_OF_HOST = "SELECT agent, episode, CASE WHEN label IS NULL THEN 0 ELSE 1 END FROM episodes AS e \
                        WHERE agent IN ({AGENTS_OF_HOST}) AND host = ?3 \
                        AND (CASE WHEN address_key IS NULL THEN 0 ELSE 1 END) = CAST(?4 AS BIGINT) ORDER BY agent, episode";

    UNCLASSIFIED = "SELECT {SPAN} WHERE e.to_classify > 0 ORDER BY e.id LIMIT ?1";
    CLASSIFY = "UPDATE episodes SET class = ?1, class_probability = ?2, class_rows = ?3, class_model = ?4, \
                classified_s = ?5, shown_class = coalesce(nullif(?1, ?6), resembles, ?6), to_join = to_join + 1 \
                WHERE id = ?7";
    LEAVE_QUEUE = "UPDATE episodes SET to_classify = 0 WHERE id = ?1 AND to_classify = ?2";
    LABELLED_ATTACKS = "SELECT {SPAN} WHERE e.label = 'attack' AND e.host <> ?1 ORDER BY e.labelled_s DESC, e.episode LIMIT ?2";
    UNLABELLED_BY_AGENT = "SELECT agents.name, count(*), sum(limit_nats) FROM \
                           (SELECT agent, highest_limit_nats AS limit_nats FROM episodes \
                            WHERE label IS NULL AND highest_limit_nats > 0 ORDER BY agent, episode) AS unlabelled \
                           JOIN agents ON agents.id = unlabelled.agent WHERE agents.name NOT IN \
                           (SELECT name FROM identities WHERE state = 'revoked') GROUP BY agents.name";
    DISTRUSTED = "SELECT agents.id, CASE WHEN identities.state = 'revoked' THEN {} ELSE identities.rows_after END \
                  FROM identities JOIN agents ON agents.name = identities.name \
                  WHERE identities.state = 'revoked' OR identities.rows_after > 0", i64::MAX;
    EXTENTS = "SELECT agent, first_ns, last_ns, CASE WHEN label = 'benign' THEN 1 ELSE 0 END FROM episodes";

    NEWEST_BATCHES = "SELECT {BATCH} WHERE samples.id IN (SELECT max(id) FROM samples WHERE id <= ?1 GROUP BY agent)";
    ROWS_OF_OTHER_SCHEMAS = "SELECT CAST(coalesce((SELECT sum(rows) FROM samples WHERE schema NOT IN \
                             (SELECT id FROM schemas WHERE sha256 = ?1)), 0) \
                             + coalesce((SELECT sum(segment_agents.rows) FROM segments \
                             JOIN segment_agents ON segment_agents.segment = segments.id WHERE schema NOT IN \
                             (SELECT id FROM schemas WHERE sha256 = ?1)), 0) AS BIGINT)";
    BATCHES = "SELECT {BATCH} WHERE samples.schema = (SELECT id FROM schemas WHERE sha256 = ?1) \
               AND samples.id > ?2 AND samples.id <= ?3 ORDER BY samples.id LIMIT ?4";
    OVERLAPPING = "SELECT {BATCH} JOIN schemas ON schemas.id = samples.schema \
                   WHERE samples.agent = ?1 AND schemas.sha256 = ?2 AND suspect_last_ns >= ?3 \
                   AND suspect_first_ns <= ?4 ORDER BY suspect_last_ns, samples.id LIMIT ?5";

    ADD_RELEASE = "INSERT INTO releases (group_name, version, manifest_sha256, made_s, file, reason) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    RELEASES = "SELECT {RELEASE} FROM releases WHERE group_name = ?1 ORDER BY version DESC LIMIT ?2";
    ALL_RELEASES = "SELECT {RELEASE} FROM releases ORDER BY made_s DESC, version DESC LIMIT ?1";
    ONE_RELEASE = "SELECT {RELEASE} FROM releases WHERE group_name = ?1 AND version = ?2";

    HOLD = "INSERT INTO held_releases (group_name, version, made_s, file, reason, findings, state) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'waiting')";
    FORGET_HELD = "DELETE FROM held_releases WHERE group_name = ?1 AND version NOT IN \
                   (SELECT version FROM held_releases WHERE group_name = ?1 ORDER BY version DESC LIMIT ?2)";
    SUPERSEDE = "UPDATE held_releases SET state = 'superseded' WHERE group_name = ?1 \
                 AND state IN ('waiting', 'approved')";
    HELD_OF_GROUP = "SELECT {HELD} FROM held_releases WHERE group_name = ?1 ORDER BY version DESC LIMIT ?2";
    WAITING = "SELECT {HELD} FROM held_releases WHERE state = 'waiting' ORDER BY made_s DESC LIMIT ?1";
    DECIDE = "UPDATE held_releases SET state = ?1, who = ?2, when_s = ?3 \
              WHERE group_name = ?4 AND version = ?5 AND state = 'waiting'";
    PUBLISH_HELD = "UPDATE held_releases SET state = 'published' WHERE group_name = ?1 AND version = ?2 \
                    AND state = 'approved'";
    APPROVED = "SELECT {HELD} FROM held_releases WHERE group_name = ?1 AND state = 'approved' \
                ORDER BY version DESC LIMIT 1";
    CHANGE_HELD = "UPDATE held_releases SET state = ?1 WHERE group_name = ?2 AND version = ?3 AND state = ?4";

    ADD_JOB = "INSERT INTO jobs (asked_s, who, state, group_name) SELECT ?1, ?2, 'waiting', ?3 WHERE (SELECT count(*) \
               FROM jobs WHERE state = 'waiting' AND coalesce(group_name, '') = coalesce(?3, '')) < ?4";
    TAKE_JOBS = "UPDATE jobs SET state = 'running' WHERE state = 'waiting' AND group_name = ?1 \
                 RETURNING id, who, asked_s";
    FINISH_JOBS = "UPDATE jobs SET state = ?1, result = ?2, ended_s = ?3 \
                   WHERE state = 'running' AND id <= ?4 AND group_name = ?5";
    FORGET_JOBS = "DELETE FROM jobs WHERE ended_s IS NOT NULL AND id <= (SELECT max(id) FROM jobs) - ?1";
    REQUEUE_JOBS = "UPDATE jobs SET state = 'waiting' WHERE state = 'running'";
    STATE_OF_JOB = "SELECT state, result FROM jobs WHERE id = ?1";
    ANY_WAITING_JOB = "SELECT CASE WHEN EXISTS (SELECT 1 FROM jobs WHERE state = 'waiting') THEN 1 ELSE 0 END";
    WAITING_JOBS = "SELECT id, group_name FROM jobs WHERE state = 'waiting' AND group_name IS NOT NULL";
    COPY_JOBS = "INSERT INTO jobs (asked_s, who, state, group_name) SELECT asked_s, who, state, ?1 FROM jobs \
                 WHERE state = 'waiting' AND group_name IS NULL";
    ASSIGN_JOBS = "UPDATE jobs SET group_name = ?1 WHERE state = 'waiting' AND group_name IS NULL";
    FAIL_JOB = "UPDATE jobs SET state = 'failed', result = ?1, ended_s = ?2 WHERE id = ?3";
    NEWEST_WAITING_JOB = "SELECT max(id) FROM jobs WHERE state = 'waiting' \
                          AND coalesce(group_name, '') = coalesce(?1, '')";

    ADD_GROUP = "INSERT INTO group_rows (group_name, stored, trained) \
                 SELECT ?1, coalesce(sum(sample_rows), 0), 0 FROM agents WHERE group_name = ?1 \
                 ON CONFLICT (group_name) DO NOTHING";
    COUNT_ROWS = "UPDATE group_rows SET stored = stored + ?1 \
                  WHERE group_name = (SELECT group_name FROM agents WHERE id = ?2)";
    GROUP_ROWS = "SELECT group_name, stored, trained FROM group_rows";
    SET_TRAINED = "UPDATE group_rows SET trained = ?1 WHERE group_name = ?2";
    AGENTS_OF_GROUP = "SELECT id, name FROM agents WHERE group_name = ?1";
    ASSIGN_GROUP = "UPDATE agents SET assigned_group = ?1 WHERE name = ?2";

    SEGMENTS = "SELECT {SEGMENT} ORDER BY segments.last_arrival, segments.id";
    SEGMENTS_OF_SCHEMA = "SELECT {SEGMENT} WHERE schemas.sha256 = ?1 ORDER BY segments.last_arrival, segments.id";
    OVERLAPPING_SEGMENTS = "SELECT {SEGMENT} JOIN segment_agents ON segment_agents.segment = segments.id \
                            WHERE segment_agents.agent = ?1 AND schemas.sha256 = ?2 AND suspect_last_ns >= ?3 \
                            AND suspect_first_ns <= ?4 ORDER BY suspect_last_ns, segments.id LIMIT ?5";
    SEGMENT_TOTALS = "SELECT count(*), (SELECT CAST(coalesce(sum(rows), 0) AS BIGINT) FROM segment_agents), \
                      CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM segments";
    JOURNAL = "SELECT journal.agent, journal.rows, nullif(agents.group_name, '') FROM \
               (SELECT agent, CAST(sum(rows) AS BIGINT) AS rows FROM samples \
                WHERE schema = (SELECT id FROM schemas WHERE sha256 = ?1) GROUP BY agent) AS journal \
               JOIN agents ON agents.id = journal.agent";
    NEWEST_IN_SEGMENTS = "SELECT part.agent, part.last_arrival, part.newest_ns FROM segment_agents AS part JOIN \
                          (SELECT agent, max(last_arrival) AS last_arrival FROM segment_agents GROUP BY agent) \
                          AS newest ON newest.agent = part.agent AND newest.last_arrival = part.last_arrival";
    ADD_SEGMENT = "INSERT INTO segments (id, file, group_name, schema, bytes, sha256, rows, batches, first_ns, last_ns, \
                   first_arrival, last_arrival, made_s, is_rewritten) VALUES (?1, ?2, ?3, \
                   (SELECT id FROM schemas WHERE sha256 = ?4), ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    REMOVED_SEGMENTS = "SELECT file FROM removed_segments WHERE removed_s <= ?1";
    FORGET_REMOVED_SEGMENT = "DELETE FROM removed_segments WHERE file = ?1";
    /// Also segments from which a limit took rows: those may have been of this agent.
    MARK_SEGMENTS = "UPDATE segments SET has_forgotten = 1 WHERE id IN \
                     (SELECT segment FROM segment_agents WHERE agent = ?1) OR rows > \
                     (SELECT coalesce(sum(p.rows), 0) FROM segment_agents AS p WHERE p.segment = segments.id)";

    ADD_AUDIT = "INSERT INTO audit (number, at_s, who, action, object, detail, previous) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    FORGET_AUDIT = "DELETE FROM audit WHERE number <= ?1";
    AUDIT_HEAD = "SELECT number, sha256 FROM audit_head WHERE id = 1";
    SET_AUDIT_HEAD = "INSERT INTO audit_head (id, number, sha256) VALUES (1, ?1, ?2) \
                      ON CONFLICT (id) DO UPDATE SET number = ?1, sha256 = ?2";
    NEWEST_AUDIT = "SELECT {AUDIT_RECORD} FROM audit ORDER BY number DESC LIMIT 1";
    AUDIT_BEFORE = "SELECT {AUDIT_RECORD} FROM audit WHERE number < ?1 AND at_s >= ?2 \
                    AND (CAST(?4 AS TEXT) = '' OR who = CAST(?4 AS TEXT) \
                    OR substr(who, 1, length(CAST(?4 AS TEXT)) + 2) = CAST(?4 AS TEXT) || ' (') \
                    AND (CAST(?5 AS TEXT) = '' OR action = CAST(?5 AS TEXT)) ORDER BY number DESC LIMIT ?3";
    AUDIT_AFTER = "SELECT {AUDIT_RECORD} FROM audit WHERE number > ?1 ORDER BY number LIMIT ?2";

    SETTING = "SELECT value FROM settings WHERE name = ?1";
    SET_SETTING = "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2";
    DELETE_SETTING = "DELETE FROM settings WHERE name = ?1";
}

/// Agents that `condition` selects.
pub(crate) fn select_agent(condition: &str) -> String {
    format!("SELECT {AGENT}, {AGENT_ROW} FROM agents WHERE {condition}")
}

/// Alert messages after row ?4 whose payload contains the bytes ?3, which `contains` finds.
pub(crate) fn mentions(contains: &str) -> String {
    format!(
        "SELECT id, received_s, agent, episode, payload FROM alerts WHERE agent IN ({AGENTS_OF_HOST}) AND {contains} \
         AND id > ?4 ORDER BY id LIMIT ?5"
    )
}

/// Whole episodes that `condition` selects, each with its newest message, which `join` finds.
pub(crate) fn select_episodes(join: &str, condition: &str) -> String {
    format!(
        "SELECT {RECORD}, {EPISODE} FROM episodes AS e JOIN agents ON agents.id = e.agent LEFT JOIN alerts ON {join} \
         WHERE {condition}"
    )
}
