//! A filter of agents → the rows of one page.
//!
//! Agents are in sections: first those with open alerts, and in each half the worst state first. Within a section they are
//! ordered by name. A place is a section and a name, so a page continues after the same agents although others have changed
//! their state.

use crate::query::{Dialect, Query, Value};
use crate::rows::{AgentFilter, MAX_NAMES_SEARCHED};
use lapwing_fleet::AgentState;

/// One section: whether its agents have open alerts, and their state.
type Section = (bool, AgentState);

/// Number of sections, by which a place encodes its own.
const SECTIONS: i64 = 16;

/// Greater than every name: no name contains this character.
const AFTER_ALL: &str = "\u{10ffff}";

/// Rows of a page.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct AgentRows {
    /// Row ids, in the order of the page.
    pub(crate) ids: Vec<i64>,
    /// [`crate::AgentPage::next`].
    pub(crate) next: Option<i64>,
}

/// The pages of one filter.
pub(crate) struct AgentWalk<'a> {
    dialect: Dialect,
    filter: &'a AgentFilter,
}

/// What a page has found so far.
#[derive(Default)]
struct Found {
    rows: AgentRows,
    /// Place of the last agent that was looked at.
    last: Option<i64>,
    searched: u32,
}

impl<'a> AgentWalk<'a> {
    pub(crate) fn new(dialect: Dialect, filter: &'a AgentFilter) -> Self {
        Self { dialect, filter }
    }

    /// Row id of the agent after which the page starts; [`AgentWalk::page`] needs its name.
    pub(crate) fn starts_after(&self) -> Option<i64> {
        self.filter.after.map(|place| place.div_euclid(SECTIONS))
    }

    /// The rows of the page. `name` is that of the agent after which it starts, `read` reads row ids and names.
    pub(crate) fn page<E>(
        &self,
        name: Option<String>,
        mut read: impl FnMut(&Query) -> Result<Vec<(i64, String)>, E>,
    ) -> Result<AgentRows, E> {
        // After an agent that was removed, its section starts again: no agent is left out.
        let mut after = name.unwrap_or_default();
        let first = self.filter.after.map_or(0, |place| place.rem_euclid(SECTIONS));
        let mut found = Found::default();
        for (number, section) in (0..).zip(sections()).skip_while(|(number, _)| *number < first) {
            let is_wanted = self.filter.state.is_none_or(|state| section.1 == state);
            if is_wanted && self.add(&mut found, number, read(&self.query(section, &after))?) {
                found.rows.next = found.last;
                return Ok(found.rows);
            }
            after.clear();
        }
        Ok(found.rows)
    }

    /// Adds the agents of a section that match; true if the page ends there.
    fn add(&self, found: &mut Found, section: i64, agents: Vec<(i64, String)>) -> bool {
        for (id, name) in agents {
            let matches = self.filter.contains.as_ref().is_none_or(|part| name.contains(part.as_str()));
            if matches && found.rows.ids.len() == self.filter.limit as usize {
                return true;
            }
            found.searched += 1;
            found.last = Some(id * SECTIONS + section);
            found.rows.ids.extend(matches.then_some(id));
            if found.searched == MAX_NAMES_SEARCHED {
                return true;
            }
        }
        false
    }

    /// Row ids and names of a section's agents after a name: one more than the page shows.
    fn query(&self, (has_open, state): Section, after: &str) -> Query {
        let prefix = self.filter.prefix.as_deref().unwrap_or_default();
        let index = if self.filter.group.is_some() { "agents_of_group" } else { "agents_by_state" };
        let mut query = Query::new(format!("SELECT id, name FROM {} WHERE", self.dialect.table("agents", index)));
        if let Some(group) = &self.filter.group {
            query.push_value(" group_name =", Value::Text(group.clone()));
            query.push(" AND");
        }
        query.push(&format!(" has_open = {} AND state = {} AND", u8::from(has_open), state as u8));
        if after >= prefix {
            query.push_value(" name >", Value::Text(after.to_owned()));
        } else {
            query.push_value(" name >=", Value::Text(prefix.to_owned()));
        }
        query.push_value(" AND name <", Value::Text(format!("{prefix}{AFTER_ALL}")));
        query.push(" ORDER BY name");
        let limit =
            if self.filter.contains.is_some() { MAX_NAMES_SEARCHED.into() } else { i64::from(self.filter.limit) + 1 };
        query.push_value(" LIMIT", Value::Integer(limit));
        query
    }
}

/// Every section, in the order of the list.
fn sections() -> impl Iterator<Item = Section> {
    [true, false].into_iter().flat_map(|has_open| AgentState::ALL.map(|state| (has_open, state)))
}

/// Queries that pages of agents can consist of, to test how the databases run them.
#[cfg(test)]
pub(crate) fn every_query(dialect: Dialect) -> Vec<Query> {
    let mut queries = Vec::new();
    for group in [None, Some("home".to_owned())] {
        for prefix in [None, Some("gw-".to_owned())] {
            let filter = AgentFilter { group: group.clone(), prefix, limit: 50, ..AgentFilter::default() };
            let walk = AgentWalk { dialect, filter: &filter };
            queries.extend(["", "gw-7"].map(|after| walk.query((true, AgentState::Online), after)));
        }
    }
    queries
}
