//! Episodes in the joiner's queue → incidents, a bounded number in each pass.
//!
//! A pass keeps nothing that the store does not have: it reads the queue and what the rules compare, and stores all
//! decisions in one transaction, which also takes the episodes from the queue. A process that ends in between leaves
//! nothing to repair, and whoever holds the lease next continues.

use crate::counter::Counter;
use crate::error::StoreError;
use crate::traits::{Handle, QueuedEpisode};
use lapwing_fleet::incident::{ACCEPTS_S, CANDIDATES_S, Cause, Common, Joiner, Usual};
use std::collections::BTreeSet;

/// Episodes of the queue that one pass takes.
const QUEUED: u32 = 500;
/// Recent episodes of one cause that are compared.
const OF_CAUSE: u32 = 1_000;
/// Recent episodes that one pass compares.
const CANDIDATES: usize = 10_000;
/// Past in which episodes of a cause are counted.
const PAST_S: u64 = 14 * 86_400;
/// The end of the past: a burst must not make itself usual.
const RECENT_S: u64 = 1_800;
/// Benign episodes whose peers count as common.
const BENIGN: u32 = 2_000;
/// Interval between two looks at them.
const COMMON_S: u64 = 600;
/// Interval between two looks for quiet incidents.
const SETTLE_S: u64 = 60;

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// Episodes that left the queue.
    pub queued: u64,
    /// New incidents.
    pub incidents: u64,
    /// Episodes that joined one.
    pub episodes: u64,
    /// The queue may have more.
    pub has_more: bool,
}

/// Joins episodes to incidents. Only one process of a store may do so at a time.
#[derive(Debug, Default)]
pub struct IncidentPass {
    common: Common,
    common_s: Option<u64>,
    settled_s: Option<u64>,
    /// When this store began to join episodes.
    since_s: Option<u64>,
}

impl IncidentPass {
    /// One pass at `now_s`. With `classified_only`, episodes wait for the classifier first.
    ///
    /// # Errors
    /// When the store cannot be used; the next pass begins with the same episodes.
    pub fn pass(&mut self, store: &dyn Handle, classified_only: bool, now_s: u64) -> Result<Joined, StoreError> {
        if is_due(self.settled_s, SETTLE_S, now_s) {
            store.settle_incidents(now_s)?;
            self.settled_s = Some(now_s);
        }
        let queued = store.join_queue(classified_only, QUEUED, now_s)?;
        if queued.is_empty() {
            return Ok(Joined::default());
        }
        self.find_common(store, now_s)?;
        let (joiner, skipped) = self.joiner(store, &queued, now_s)?;
        let joins = joiner.join(queued.iter().map(|one| one.sighting.clone()).collect());
        let saved = store.save_joins(&joins, &queued, skipped, now_s)?;
        let has_more = queued.len() == QUEUED as usize;
        Ok(Joined { queued: queued.len() as u64, incidents: saved.incidents, episodes: saved.episodes, has_more })
    }

    fn find_common(&mut self, store: &dyn Handle, now_s: u64) -> Result<(), StoreError> {
        if !is_due(self.common_s, COMMON_S, now_s) {
            return Ok(());
        }
        let benign = store.benign_networks(BENIGN)?;
        let sites = store.agent_counts()?.iter().map(|count| count.agents).sum();
        self.common = Common::new(benign.iter().map(|(agent, network)| (agent.as_str(), *network)), sites);
        self.common_s = Some(now_s);
        Ok(())
    }

    /// What the episodes are compared with, and how many recent ones are left out.
    fn joiner(
        &mut self,
        store: &dyn Handle,
        queued: &[QueuedEpisode],
        now_s: u64,
    ) -> Result<(Joiner, u64), StoreError> {
        let since_s = self.since(store, now_s)?;
        let incidents = store.joinable_incidents(now_s.saturating_sub(2 * ACCEPTS_S))?;
        let mut joiner = Joiner { incidents, common: self.common.clone(), ..Joiner::default() };
        let new = queued.iter().map(|one| &one.sighting).filter(|one| one.may_join);
        let causes: BTreeSet<&Cause> = new.map(|one| &one.cause).collect();
        let (mut room, mut skipped) = (CANDIDATES, 0);
        let recent_s = now_s.saturating_sub(CANDIDATES_S);
        for cause in causes {
            let limit = OF_CAUSE.min(u32::try_from(room).unwrap_or(u32::MAX));
            let recent = store.join_candidates(cause, recent_s, limit, now_s)?;
            if recent.len() == limit as usize {
                let all = store.episodes_with_cause(cause, recent_s, u64::MAX)?;
                skipped += all.saturating_sub(u64::from(limit));
            }
            room -= recent.len().min(room);
            joiner.candidates.insert(cause.clone(), recent);
            joiner.usual.insert(cause.clone(), usual(store, cause, since_s, now_s)?);
        }
        Ok((joiner, skipped))
    }

    fn since(&mut self, store: &dyn Handle, now_s: u64) -> Result<u64, StoreError> {
        if let Some(since_s) = self.since_s {
            return Ok(since_s);
        }
        let mut since_s = store.counter(Counter::IncidentsSince)?;
        if since_s == 0 {
            store.set_counter(Counter::IncidentsSince, now_s)?;
            since_s = now_s;
        }
        self.since_s = Some(since_s);
        Ok(since_s)
    }
}

/// Past episodes of a cause, since this store began to join episodes.
fn usual(store: &dyn Handle, cause: &Cause, since_s: u64, now_s: u64) -> Result<Usual, StoreError> {
    let from_s = now_s.saturating_sub(PAST_S).max(since_s);
    let to_s = now_s.saturating_sub(RECENT_S);
    if from_s >= to_s {
        return Ok(Usual::default());
    }
    let episodes = store.episodes_with_cause(cause, from_s, to_s)?;
    Ok(Usual { episodes, days: (to_s - from_s) as f64 / 86_400.0 })
}

/// Whether an interval is over; also if the clock was set back.
fn is_due(last_s: Option<u64>, interval_s: u64, now_s: u64) -> bool {
    last_s.is_none_or(|last_s| now_s.abs_diff(last_s) >= interval_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::incidents::attack;
    use crate::testing::Folder;
    use crate::{Limits, Store};

    const NOW_S: u64 = 1_700_000_000;

    #[test]
    fn a_pass_joins_what_waits_and_the_next_one_continues_wherever_the_last_one_ended() {
        let folder = Folder::new();
        let mut store = Store::open(folder.store(), Limits::default()).unwrap();
        let handle = store.handle().unwrap();
        let mut pass = IncidentPass::default();
        assert_eq!(pass.pass(&*handle, false, NOW_S).unwrap(), Joined::default());
        let many: Vec<_> =
            (0..501).map(|number| attack(&format!("gw-{}", number % 9), number, number, 7, NOW_S)).collect();
        store.commit(&many, NOW_S).unwrap();
        assert_eq!(pass.pass(&*handle, true, NOW_S).unwrap(), Joined::default(), "not classified");
        let joined = Joined { queued: 500, incidents: 1, episodes: 500, has_more: true };
        assert_eq!(pass.pass(&*handle, false, NOW_S + 1).unwrap(), joined);
        // Another process takes over.
        let mut pass = IncidentPass::default();
        let joined = Joined { queued: 1, incidents: 0, episodes: 1, has_more: false };
        assert_eq!(pass.pass(&*handle, false, NOW_S + 2).unwrap(), joined);
        assert_eq!(pass.pass(&*handle, false, NOW_S + 3).unwrap(), Joined::default());
        assert_eq!(handle.incident(1).unwrap().unwrap().episodes, 501);
    }

    #[test]
    fn a_cause_with_many_episodes_every_day_is_no_burst() {
        let folder = Folder::new();
        let mut store = Store::open(folder.store(), Limits::default()).unwrap();
        let handle = store.handle().unwrap();
        let mut pass = IncidentPass::default();
        let three = |first: u64, at_s| {
            let of = |(number, agent): (u64, &str)| attack(agent, first + number, first + number, 0, at_s);
            (1..).zip(["a", "b", "c"]).map(of).collect::<Vec<_>>()
        };
        store.commit(&three(0, NOW_S), NOW_S).unwrap();
        assert_eq!(pass.pass(&*handle, false, NOW_S + 1).unwrap().incidents, 1);
        // An hour apart for ten days, so each one of them is alone in its half hour.
        let day_s = 86_400;
        for hour in 1..240 {
            let mut batch = three(10 * hour, NOW_S + hour * 3_600);
            batch.truncate(1);
            store.commit(&batch, NOW_S + hour * 3_600).unwrap();
            pass.pass(&*handle, false, NOW_S + hour * 3_600).unwrap();
        }
        let later_s = NOW_S + 10 * day_s;
        store.commit(&three(9_000, later_s), later_s).unwrap();
        assert_eq!(pass.pass(&*handle, false, later_s + 1).unwrap().incidents, 0);
    }
}
