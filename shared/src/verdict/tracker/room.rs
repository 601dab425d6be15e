//! Limited room, in the evidence table and among the open episodes → who gets it: the hosts with the most evidence.

use super::{EvidenceTracker, Policy};
use crate::flow::lru::{Hash, Slot};
use crate::units::{Address, Timestamp};
use crate::verdict::alert::{Alert, Role};
use crate::verdict::episodes::{OpenEpisode, REPLACE_FACTOR, REPLACE_INTERVAL, TARGETS_PER_SOURCE};
use crate::verdict::evidence::Step;

/// A full table considers this many of its longest silent hosts for eviction, and evicts the one with the least evidence.
const CANDIDATES: usize = 8;
/// A new host enters a full table at once if its first flow raises its evidence above this multiple of the evidence to
/// evict; otherwise at its second flow.
const ADMISSION_FACTOR: f32 = 2.0;

impl EvidenceTracker {
    /// A place for a host whose evidence begins to rise. `None` if the table is full of hosts with more evidence and the
    /// host comes for the first time.
    #[inline(never)]
    pub(super) fn admit(
        &mut self,
        host: &Address,
        hash: Hash,
        step: &Step<'_>,
        policy: &Policy<'_>,
        emit: &mut dyn FnMut(Alert),
    ) -> Option<Slot> {
        if let Some(slot) = self.hosts.insert(host, hash) {
            return Some(slot);
        }
        let (weakest, nats) = self.weakest(step.flow.at)?;
        let gain = step.surprise_nats - policy.drift_nats;
        if gain <= ADMISSION_FACTOR * nats && !self.doorkeeper.returns(host) {
            self.counters.hosts_turned_away += 1;
            return None;
        }
        for role in [Role::Source, Role::Target] {
            if self.hosts.value_mut(weakest).of(role).episode.is_some() {
                self.end_episode(weakest, role, policy, emit);
            }
        }
        self.hosts.remove(weakest);
        self.counters.evictions += 1;
        self.hosts.insert(host, hash)
    }

    /// Of the longest silent hosts the one with the least evidence, and that evidence. The others become the newest, so that
    /// the next search considers other hosts.
    fn weakest(&mut self, now: Timestamp) -> Option<(Slot, f32)> {
        let mut weakest: Option<(Slot, f32)> = None;
        for _ in 0..CANDIDATES.min(self.hosts.len()) {
            let candidate = self.hosts.oldest()?;
            self.hosts.touch(candidate);
            let nats = self.hosts.value(candidate).rank_nats(now);
            if weakest.is_none_or(|(_, least)| nats < least) {
                weakest = Some((candidate, nats));
            }
        }
        weakest
    }

    pub(super) fn remove_if_idle(&mut self, slot: Slot) {
        if self.hosts.value(slot).is_idle() {
            self.hosts.remove(slot);
        }
    }

    /// True if as many targets of this source are reported as one source may have.
    pub(super) fn has_all_targets(&self, source: &Address) -> bool {
        let is_target = |open: &&OpenEpisode| open.role == Role::Target && open.peer == Some(*source);
        self.open.iter().filter(is_target).count() >= TARGETS_PER_SOURCE
    }

    /// True if the alerts already name this host as the source of an attack.
    pub(super) fn is_reported_source(&self, source: &Address) -> bool {
        let own = self.hosts.find(source).is_some_and(|slot| self.hosts.value(slot).source.is_reported());
        own || self.has_all_targets(source)
    }

    /// Closes the weakest open episode if a host without one is much stronger.
    pub(super) fn replace_weakest(
        &mut self,
        slot: Slot,
        role: Role,
        policy: &Policy<'_>,
        emit: &mut dyn FnMut(Alert),
    ) -> bool {
        if self.clock < self.replace_from {
            return false;
        }
        self.replace_from = self.clock.plus(REPLACE_INTERVAL);
        let strength = self.hosts.value_mut(slot).of(role).evidence.strength_nats;
        let mut weakest: Option<(f32, OpenEpisode)> = None;
        for open in &self.open {
            let nats = self.hosts.value_mut(open.slot).of(open.role).evidence.strength_nats;
            if weakest.is_none_or(|(least, _)| nats < least) {
                weakest = Some((nats, *open));
            }
        }
        let Some((_, weakest)) = weakest.filter(|(nats, _)| strength > REPLACE_FACTOR * nats) else { return false };
        self.close(weakest.slot, weakest.role, policy, emit);
        self.counters.episodes_replaced += 1;
        true
    }
}
