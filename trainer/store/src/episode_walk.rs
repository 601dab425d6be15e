//! A filter of episodes → the rows of one page.
//!
//! For each combination of filters and order there is an index, so a page reads no episode that it does not show. All
//! indexes have the open and the closed episodes apart; a page without a filter of the state merges both.

use crate::query::{Dialect, Query, Value};
use crate::rows::EpisodeFilter;
use lapwing_shared::units::NANOS_PER_SECOND;

/// Where a page starts: only episodes below this key, or with this key and below this row id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    key: i64,
    id: i64,
}

/// Rows of a page.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct EpisodeRows {
    /// Row ids, in the order of the page.
    pub(crate) ids: Vec<i64>,
    /// [`crate::EpisodePage::next`].
    pub(crate) next: Option<i64>,
}

/// The pages of one filter.
pub(crate) struct EpisodeWalk<'a> {
    dialect: Dialect,
    filter: &'a EpisodeFilter,
    /// Row id of the agent that the filter names.
    agent: Option<i64>,
    by_start: bool,
}

impl<'a> EpisodeWalk<'a> {
    pub(crate) fn new(dialect: Dialect, filter: &'a EpisodeFilter, agent: Option<i64>) -> Self {
        Self { dialect, filter, agent, by_start: filter.from_s.is_some() || filter.to_s.is_some() }
    }

    /// Row id of the episode after which the page starts, if [`EpisodeWalk::page`] needs its start.
    pub(crate) fn starts_after(&self) -> Option<i64> {
        self.filter.before.filter(|_| self.by_start)
    }

    /// The rows of the page. `start` is that of the episode after which it starts, `read` reads keys and row ids.
    pub(crate) fn page<E>(
        &self,
        start: Option<i64>,
        mut read: impl FnMut(&Query) -> Result<Vec<(i64, i64)>, E>,
    ) -> Result<EpisodeRows, E> {
        let before = match self.filter.before {
            None => Place { key: i64::MAX, id: i64::MAX },
            Some(message) if !self.by_start => Place { key: message, id: i64::MAX },
            Some(id) => match start {
                Some(key) => Place { key, id },
                // Deleted since the previous page, so that older ones are, too.
                None => return Ok(EpisodeRows::default()),
            },
        };
        let mut found = Vec::new();
        for is_open in [true, false] {
            if self.filter.open.is_none_or(|open| open == is_open) {
                found.extend(read(&self.query(is_open, before))?);
            }
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        let limit = self.filter.limit as usize;
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_more).map(|(key, id)| if self.by_start { *id } else { *key });
        Ok(EpisodeRows { ids: found.into_iter().map(|(_, id)| id).collect(), next })
    }

    fn index(&self) -> &'static str {
        match (self.agent.is_some(), self.filter.kind.is_some(), self.by_start) {
            (false, false, false) => "episodes_by_message",
            (true, false, false) => "episodes_of_agent_by_message",
            (false, true, false) => "episodes_of_class_by_message",
            (true, true, false) => "episodes_of_agent_and_class_by_message",
            (false, false, true) => "episodes_by_start",
            (true, false, true) => "episodes_of_agent_by_start",
            (false, true, true) => "episodes_of_class_by_start",
            (true, true, true) => "episodes_of_agent_and_class_by_start",
        }
    }

    /// Key and row id of one episode more than the page shows, open or closed.
    fn query(&self, is_open: bool, before: Place) -> Query {
        let key = if self.by_start { "since_ns" } else { "message" };
        let table = self.dialect.table("episodes", self.index());
        let mut query = Query::new(format!("SELECT {key}, id FROM {table} WHERE"));
        if let Some(agent) = self.agent {
            query.push_value(" agent =", Value::Integer(agent));
            query.push(" AND");
        }
        if let Some(class) = &self.filter.kind {
            query.push_value(" shown_class =", Value::Text(class.clone()));
            query.push(" AND");
        }
        query.push(if is_open { " is_open = TRUE AND" } else { " is_open = FALSE AND" });
        if self.by_start {
            let (from_ns, to_ns) = starts(self.filter);
            query.push_value(" since_ns >=", Value::Integer(from_ns));
            query.push_value(" AND since_ns <=", Value::Integer(to_ns.min(before.key)));
            query.push_value(" AND (since_ns, id) < (", Value::Integer(before.key));
            query.push_value(",", Value::Integer(before.id));
            query.push(") ORDER BY since_ns DESC, id DESC");
        } else {
            query.push_value(" message <", Value::Integer(before.key));
            query.push(" ORDER BY message DESC");
        }
        query.push_value(" LIMIT", Value::Integer(i64::from(self.filter.limit) + 1));
        query
    }
}

/// Range of starts of a filter, as stored.
fn starts(filter: &EpisodeFilter) -> (i64, i64) {
    let nanos = |seconds: u64| seconds.saturating_mul(NANOS_PER_SECOND).min(i64::MAX.cast_unsigned()).cast_signed();
    let from_ns = filter.from_s.map_or(0, nanos);
    let to_ns = filter.to_s.map_or(i64::MAX, |second| nanos(second.saturating_add(1)).saturating_sub(1));
    (from_ns, to_ns)
}

/// Every query that pages of episodes can consist of, to test how the databases run them.
#[cfg(test)]
pub(crate) fn every_query(dialect: Dialect) -> Vec<Query> {
    let mut queries = Vec::new();
    for (agent, kind) in [(None, None), (Some(1), None), (None, Some("unknown")), (Some(1), Some("unknown"))] {
        for from_s in [None, Some(5)] {
            let kind = kind.map(str::to_owned);
            let filter = EpisodeFilter { kind, from_s, limit: 50, ..EpisodeFilter::default() };
            let walk = EpisodeWalk::new(dialect, &filter, agent);
            queries.extend([true, false].map(|is_open| walk.query(is_open, Place { key: 1 << 60, id: 9 })));
        }
    }
    queries
}
