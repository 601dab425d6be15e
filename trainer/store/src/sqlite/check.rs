//! A file → its problems: damaged pages, and derived columns or counts that differ from the rows behind them.

use rusqlite::Connection;

/// What is counted, and the query that counts the rows that differ.
const DERIVED: [(&str, &str); 9] = [
    (
        "agents with a wrong number of open episodes",
        "SELECT count(*) FROM agents WHERE open_episodes <> \
         (SELECT count(*) FROM episodes WHERE episodes.agent = agents.id AND is_open = 1)",
    ),
    (
        "wrong numbers of agents by state, group and release",
        "SELECT count(*) FROM (SELECT state, group_name, release, on_trial, failed_release, agents, open_episodes \
         FROM agent_counts EXCEPT SELECT state, group_name, release, on_trial, failed_release, count(*), \
         sum(open_episodes) FROM agents GROUP BY 1, 2, 3, 4, 5)",
    ),
    (
        "episodes with a wrong state or attack class",
        "SELECT count(*) FROM episodes WHERE is_open <> (state < 2) \
         OR shown_class <> coalesce(nullif(class, 'unknown'), resembles, 'unknown')",
    ),
    (
        "days with too few episodes counted",
        "SELECT count(*) FROM (SELECT since_ns / 86400000000000 AS day, agent, count(*) AS episodes FROM episodes \
         GROUP BY 1, 2 EXCEPT SELECT day, agent, episodes FROM episode_days)",
    ),
    (
        "days with too many episodes counted",
        "SELECT count(*) FROM (SELECT day, agent, episodes FROM episode_days EXCEPT \
         SELECT since_ns / 86400000000000, agent, count(*) FROM episodes GROUP BY 1, 2)",
    ),
    (
        "episodes without a message to show",
        "SELECT count(*) FROM episodes WHERE NOT EXISTS (SELECT 1 FROM alerts WHERE alerts.id = episodes.message \
         AND alerts.agent = episodes.agent AND alerts.episode = episodes.episode)",
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

/// The first problem of a file's pages.
pub(super) fn check_pages(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok(Some(found).filter(|found| found != "ok"))
}

/// Derived columns and counts that differ from the rows behind them.
pub(super) fn check_derived(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut problems = Vec::new();
    for (what, query) in DERIVED {
        let count: i64 = connection.query_row(query, [], |row| row.get(0))?;
        problems.extend((count > 0).then(|| format!("{count} {what}")));
    }
    Ok(problems)
}
