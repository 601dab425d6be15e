//! Filters → pages of episodes, newest message first.

use super::agents::agent_id;
use super::session::{Queried, Session};
use crate::episode_fields::{EPISODE_ID, episode};
use crate::episode_walk::EpisodeWalk;
use crate::fields::{self, Fields};
use crate::query::Dialect;
use crate::rows::{EpisodeFilter, EpisodePage};
use crate::statements::{START_OF_EPISODE, select_episodes};
use lapwing_fleet::Episode;
use postgres::Row;
use std::collections::HashMap;

/// Finds the newest message of an episode, in one partition.
pub(super) const MESSAGE: &str = "alerts.id = e.message AND alerts.received_s = e.message_s";

/// One page; call it in a snapshot.
pub(super) fn episode_page(session: &mut Session, filter: &EpisodeFilter) -> Queried<EpisodePage> {
    let agent = match &filter.agent {
        Some(name) => match agent_id(session, name)? {
            None => return Ok(EpisodePage::default()),
            id => id,
        },
        None => None,
    };
    let walk = EpisodeWalk::new(Dialect::Postgres, filter, agent);
    let start = match walk.starts_after() {
        None => None,
        Some(id) => session.row(&START_OF_EPISODE, &[&id], |row| row.integer(0))?,
    };
    let rows = walk.page(start, |query| session.rows(&query.text, &query.parameters(), fields::numbers))?;
    let read = |row: &Row| Ok((row.integer(EPISODE_ID)?, episode(row)?));
    let text = select_episodes(MESSAGE, "e.id = ANY(?1)");
    let mut found: HashMap<i64, Episode> = session.rows(&text, &[&rows.ids], read)?.into_iter().collect();
    Ok(EpisodePage { episodes: rows.ids.iter().filter_map(|id| found.remove(id)).collect(), next: rows.next })
}
