//! Rows of the table of episodes, and what a page reads of it.

use super::agents::SILENT;
use super::episode_pages::MESSAGE;
use crate::query::{Dialect, Query};
use crate::statements::{
    AGENT_OF_NAME, DAY_OF_AGENT, DAYS, MESSAGES_OF_EPISODE, NAME_OF_AGENT, NEWEST_DAY, START_OF_EPISODE,
    UPDATES_OF_AGENT, select_agent, select_episodes,
};
use crate::testing::{Folder, agents_by_name, alert, received};
use crate::*;
use fastrand::Rng;
use lapwing_shared::messages::AlertState;
use rusqlite::Connection;

/// What SQLite does for a statement, one line for each table.
fn plan(connection: &Connection, text: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
    let parameters = vec![rusqlite::types::Null; statement.parameter_count()];
    let lines = statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get("detail")).unwrap();
    lines.map(Result::unwrap).collect()
}

#[test]
fn no_page_scans_a_table_or_sorts() {
    let folder = Folder::new();
    let _store = Store::open(folder.store(), Limits::default()).unwrap();
    let file = Connection::open(folder.store()).unwrap();
    let walks = [crate::episode_walk::every_query(Dialect::Sqlite), crate::agent_walk::every_query(Dialect::Sqlite)];
    let mut queries: Vec<String> = walks.into_iter().flatten().map(|Query { text, .. }| text).collect();
    queries.extend(["e.id = ?1", "e.agent = ?1 AND e.episode = ?2"].map(|found| select_episodes(MESSAGE, found)));
    queries.extend([select_agent("id = ?1"), SILENT.to_owned()]);
    let texts = [&*AGENT_OF_NAME, &NAME_OF_AGENT, &DAYS, &DAY_OF_AGENT, &START_OF_EPISODE, &UPDATES_OF_AGENT];
    queries.extend(texts.map(|text| text.to_string()));
    for query in queries {
        for step in plan(&file, &query) {
            assert!(!step.starts_with("SCAN") && !step.contains("TEMP B-TREE"), "{step} in {query}");
        }
    }
    // The messages of one episode are sorted; max(day) takes the last entry of an index.
    assert!(plan(&file, &MESSAGES_OF_EPISODE)[0].starts_with("SEARCH alerts USING INDEX alerts_by_episode"));
    assert!(plan(&file, &NEWEST_DAY)[0].starts_with("SEARCH episode_days"));
}

#[test]
fn a_page_of_the_newest_alerts_stops_when_it_is_full() {
    let folder = Folder::new();
    let mut store = Store::open(folder.store(), Limits::default()).unwrap();
    let opened = |number| received("gw", &alert(1, number, number, AlertState::Opened, (number, number + 1)));
    store.commit(&(1..=2_000).map(opened).collect::<Vec<_>>(), 5).unwrap();
    let handle = store.handle().unwrap();
    let page = |filter: EpisodeFilter| handle.episodes(&EpisodeFilter { limit: 3, ..filter }).unwrap();
    let newest = page(EpisodeFilter::default());
    assert_eq!(newest.episodes.iter().map(|episode| episode.number).collect::<Vec<_>>(), [2_000, 1_999, 1_998]);
    let by_start = page(EpisodeFilter { from_s: Some(10), to_s: Some(20), ..EpisodeFilter::default() });
    assert_eq!(by_start.episodes.iter().map(|episode| episode.number).collect::<Vec<_>>(), [20, 19, 18]);
    let second =
        page(EpisodeFilter { from_s: Some(10), to_s: Some(20), before: by_start.next, ..EpisodeFilter::default() });
    assert_eq!(second.episodes.iter().map(|episode| episode.number).collect::<Vec<_>>(), [17, 16, 15]);
}

#[test]
fn counts_and_derived_columns_match_the_rows_after_pruning_and_forgetting() {
    let folder = Folder::new();
    let mut store = Store::open(folder.store(), Limits { alerts: 150, agents: 6, ..Limits::default() }).unwrap();
    let mut rng = Rng::with_seed(5);
    let handle = store.handle().unwrap();
    for round in 0..60_u64 {
        let mut batch = Vec::new();
        for _ in 0..20 {
            let state = [AlertState::Opened, AlertState::Updated, AlertState::Closed][rng.usize(..3)];
            let (agent, episode) = (rng.u64(..7), rng.u64(..40) + round);
            let since_s = episode * 20_000 + if rng.u8(..4) == 0 { 90_000 } else { 0 };
            let message = alert(1, round * 20 + rng.u64(..20) + 1, episode, state, (since_s, since_s + rng.u64(..900)));
            batch.push(received(&format!("gw-{agent}"), &message));
        }
        // Agents are silent for long enough to be evicted.
        store.commit(&batch, 1_000 * round).unwrap();
        if round % 20 == 9 {
            let newest = handle.alerts(&AlertFilter { limit: 1, ..AlertFilter::default() }).unwrap().remove(0);
            handle.label(&newest.agent, newest.number, Label::Attack, "operator", 1).unwrap();
            handle.forget_agent(&handle.agents().unwrap()[0].name, "ann", 9).unwrap();
        }
        assert_eq!(handle.check().unwrap(), [""; 0]);
    }
    assert!(handle.counter(Counter::AlertsDropped).unwrap() > 100);
    assert!(handle.counter(Counter::AgentsForgotten).unwrap() > 0);
}

#[test]
fn messages_that_arrive_late_leave_the_newest_state_of_the_episode() {
    let folder = Folder::new();
    let mut store = Store::open(folder.store(), Limits::default()).unwrap();
    let message = |number, state, at_s| received("gw", &alert(1, number, 7, state, (1_000, at_s)));
    store.commit(&[message(1, AlertState::Opened, 1_005)], 5).unwrap();
    store.commit(&[message(3, AlertState::Closed, 1_400)], 6).unwrap();
    store.commit(&[message(2, AlertState::Updated, 1_065)], 7).unwrap();
    let handle = store.handle().unwrap();
    let (episode, messages) = handle.episode("gw", 7, 9).unwrap().unwrap();
    assert_eq!((episode.state(), episode.record.at.as_secs(), messages.len()), ("closed", 1_400, 3));
    assert_eq!(agents_by_name(&handle)[0].open_alerts, 0);
    assert_eq!(handle.check().unwrap(), [""; 0]);
}

#[test]
fn the_check_names_derived_columns_and_counts_that_differ() {
    for (change, problem) in [
        ("UPDATE agent_counts SET agents = 7", "1 wrong numbers of agents by state, group and release"),
        ("UPDATE agents SET open_episodes = 7", "1 agents with a wrong number of open episodes"),
        ("UPDATE episodes SET shown_class = 'flood'", "1 episodes with a wrong state or attack class"),
        ("DELETE FROM episode_days", "1 days with too few episodes counted"),
        ("INSERT INTO episode_days VALUES (9, 9, 9)", "1 days with too many episodes counted"),
        ("UPDATE episodes SET message = 9", "1 episodes without a message to show"),
    ] {
        let folder = Folder::new();
        let mut store = Store::open(folder.store(), Limits::default()).unwrap();
        store.commit(&[received("gw", &alert(1, 1, 7, AlertState::Opened, (1_000, 1_005)))], 5).unwrap();
        Connection::open(folder.store()).unwrap().execute(change, []).unwrap();
        let problems = store.handle().unwrap().check().unwrap();
        assert_eq!(problems, [problem], "{change}");
    }
}
