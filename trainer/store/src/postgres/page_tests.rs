//! How PostgreSQL runs the queries of pages.

use super::agents::SILENT;
use super::episode_pages::MESSAGE;
use super::fields::dollars;
use crate::contract::TestStore;
use crate::query::{Dialect, Query, Value};
use crate::statements::{
    AGENT_OF_NAME, DAY_OF_AGENT, DAYS, NAME_OF_AGENT, NEWEST_DAY, START_OF_EPISODE, UPDATES_OF_AGENT, select_agent,
    select_episodes,
};
use crate::testing::postgres::Database;
use crate::testing::{alert, received, status};
use crate::{Limits, Store};
use lapwing_shared::messages::AlertState;
use postgres::Client;

/// What PostgreSQL does for a statement, one line for each step.
fn plan(client: &mut Client, query: &Query) -> Vec<String> {
    explain(client, "EXPLAIN", query)
}

/// Explains a statement, whose parameters are replaced by their values.
fn explain(client: &mut Client, how: &str, query: &Query) -> Vec<String> {
    let mut text = query.text.clone();
    for (index, value) in query.values.iter().enumerate().rev() {
        let value = match value {
            Value::Integer(number) => number.to_string(),
            Value::Text(text) => format!("'{text}'"),
        };
        text = text.replace(&format!("?{}", index + 1), &value);
    }
    let lines = client.query(&format!("{how} {text}"), &[]).unwrap();
    lines.iter().map(|line| line.get(0)).collect()
}

fn with_values(text: &str, values: &[i64]) -> Query {
    Query { text: text.into(), values: values.iter().map(|number| Value::Integer(*number)).collect() }
}

/// A store with enough agents and episodes that reading all would be the worse choice.
fn filled(database: &Database) -> Store {
    let mut store = database.open(Limits::default());
    let opened = |number: u64| {
        let state = if number.is_multiple_of(2) { AlertState::Closed } else { AlertState::Opened };
        received(&format!("gw-{}", number % 500), &alert(1, number, number, state, (number, number + 1)))
    };
    let statuses: Vec<_> = (0..500).map(|number| received(&format!("gw-{number}"), &status(1))).collect();
    store.commit(&statuses, 5).unwrap();
    store.commit(&(1..=10_000).map(opened).collect::<Vec<_>>(), 5).unwrap();
    database.client().batch_execute("ANALYZE").unwrap();
    store
}

#[test]
fn no_page_reads_a_whole_table_or_sorts() {
    if !Database::is_available() {
        return;
    }
    let database = Database::new();
    let _store = filled(&database);
    let mut client = database.client();
    // The tables of a test are small: PostgreSQL would rather read all of some. Then it does only what it cannot avoid.
    client.batch_execute("SET enable_bitmapscan = off; SET enable_seqscan = off; SET enable_sort = off").unwrap();
    let mut queries = crate::episode_walk::every_query(Dialect::Postgres);
    queries.extend(crate::agent_walk::every_query(Dialect::Postgres));
    queries.push(with_values(&select_episodes(MESSAGE, "e.agent = ?1 AND e.episode = ?2"), &[1, 5]));
    queries.push(with_values(&select_episodes(MESSAGE, "e.id = ANY('{1,2,3}')"), &[]));
    queries.push(with_values(&select_agent("id = ANY('{1,2,3}')"), &[]));
    queries.push(with_values(&AGENT_OF_NAME.replace("?1", "'gw-7'"), &[]));
    queries.extend([&*NAME_OF_AGENT, &START_OF_EPISODE].map(|text| with_values(text, &[5])));
    queries.push(with_values(&DAY_OF_AGENT, &[0, 5]));
    for query in queries {
        let steps = plan(&mut client, &query);
        assert!(
            !steps.iter().any(|step| step.contains("Seq Scan on") || step.contains("Sort")),
            "{steps:#?}\n{}",
            query.text
        );
    }
    // These read an index, of as many entries as they show.
    for query in [with_values(&NEWEST_DAY, &[]), with_values(&UPDATES_OF_AGENT, &[5, 50])] {
        assert!(plan(&mut client, &query).iter().any(|step| step.contains("Index")), "{}", query.text);
    }
    assert!(client.prepare(&dollars(&DAYS)).is_ok());
    client.batch_execute("SET enable_sort = on").unwrap();
    let silent = SILENT.replace("$1", "5");
    assert!(plan(&mut client, &with_values(&silent, &[])).iter().any(|step| step.contains("agents_by_seen")));
}

#[test]
fn a_page_reads_as_many_episodes_as_it_shows() {
    if !Database::is_available() {
        return;
    }
    let database = Database::new();
    let _store = filled(&database);
    let mut client = database.client();
    for query in crate::episode_walk::every_query(Dialect::Postgres) {
        let steps = explain(&mut client, "EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF)", &query);
        assert!(!steps.iter().any(|step| step.contains("Rows Removed by Filter")), "{steps:#?}\n{}", query.text);
    }
}
