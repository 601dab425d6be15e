//! Alert episodes.

use crate::error::StoreError;
use crate::rows::{AlertFilter, DayCount, EpisodeFilter, EpisodeMessage, EpisodePage};
use lapwing_fleet::{Episode, Label};
use std::ops::RangeInclusive;

/// Alert episodes, their messages and labels.
pub trait Episodes {
    /// One page of episodes: newest message first, or newest start first if the filter limits the start.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn episodes(&self, filter: &EpisodeFilter) -> Result<EpisodePage, StoreError>;

    /// Episodes, newest message first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn alerts(&self, filter: &AlertFilter) -> Result<Vec<Episode>, StoreError> {
        const PAGE: u32 = 500;
        let limit = filter.limit.min(PAGE);
        let mut page = EpisodeFilter { agent: filter.agent.clone(), limit, ..EpisodeFilter::default() };
        let mut found = Vec::new();
        loop {
            let EpisodePage { episodes, next } = self.episodes(&page)?;
            found.extend(episodes.into_iter().filter(|episode| !filter.unlabelled || episode.label.is_none()));
            found.truncate(filter.limit as usize);
            page.before = next;
            if next.is_none() || found.len() == filter.limit as usize {
                return Ok(found);
            }
        }
    }

    /// One episode, and at most `limit` of its messages, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn episode(
        &self,
        agent: &str,
        number: u64,
        limit: u32,
    ) -> Result<Option<(Episode, Vec<EpisodeMessage>)>, StoreError>;

    /// Labels an episode; a later label replaces an earlier one.
    ///
    /// # Errors
    /// When the agent has no such episode, or the store cannot be written.
    fn label(&self, agent: &str, episode: u64, label: Label, who: &str, now_s: u64) -> Result<(), StoreError>;

    /// Episodes opened in a range of days since the epoch, counted by day and agent; with `agent`, only of that agent.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn opened_by_day(&self, days: RangeInclusive<i64>, agent: Option<&str>) -> Result<Vec<DayCount>, StoreError>;

    /// Day since the epoch on which the newest episode began; with `agent`, its episode with the newest message.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn newest_day(&self, agent: Option<&str>) -> Result<Option<i64>, StoreError>;
}
