//! Evidence of one host as source and as target, and its alert episodes.

use crate::flow::lru::Slot;
use crate::units::{Address, Nanos, Timestamp};
use crate::verdict::alert::Role;
use crate::verdict::alert_rows::Place;
use crate::verdict::evidence::Evidence;

/// Limit on open episodes. Beyond it, a host needs at least [`REPLACE_FACTOR`] times the strength of the weakest to take
/// its place; each flow that has to wait is counted.
pub const OPEN_EPISODES: usize = 64;
/// See [`OPEN_EPISODES`]: keeps hosts of similar strength from replacing each other.
pub const REPLACE_FACTOR: f32 = 2.0;
/// Minimum time between two attempts to replace the weakest episode, which bounds the alerts that they cause.
pub const REPLACE_INTERVAL: Nanos = Nanos::from_secs(1);
/// Open episodes of targets with the same main peer; further targets are folded into them. Not 0 for a source with an
/// episode of its own: its next attack, on another host, would be invisible.
pub const TARGETS_PER_SOURCE: usize = 4;
/// Minimum time between two updates of an open episode; an update needs new flows.
pub const UPDATE_INTERVAL: Nanos = Nanos::from_secs(60);
/// An episode closes after this long without a flow.
pub const EPISODE_TIMEOUT: Nanos = Nanos::from_secs(300);
/// An episode closes when its evidence falls below this share of the limit. Rows of hosts above it are suspect and not
/// used for training.
pub const CLOSE_SHARE: f32 = 0.5;

#[derive(Clone, Copy, Debug)]
pub(super) struct Episode {
    pub(super) number: u64,
    /// Time of the newest report; of a folded episode, of the newest check that its source is still reported.
    pub(super) reported: Timestamp,
    pub(super) reported_flows: u32,
    pub(super) peak_nats: f32,
    /// Not reported, because the alert of its main peer covers it.
    pub(super) folded: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct RoleState {
    pub(super) evidence: Evidence,
    pub(super) episode: Option<Episode>,
    pub(super) rows_at: Place,
}

impl RoleState {
    fn is_idle(&self) -> bool {
        self.evidence.is_none() && self.episode.is_none()
    }

    /// True if its episode is reported.
    pub(super) fn is_reported(&self) -> bool {
        self.episode.is_some_and(|episode| !episode.folded)
    }

    /// Ends the episode. The evidence restarts, so that the next anomalous flow does not reopen the episode with the same
    /// findings.
    pub(super) fn end_episode(&mut self) {
        *self = Self { evidence: Evidence::new(self.evidence.last), episode: None, rows_at: self.rows_at };
    }

    /// Ends a folded episode that has been silent for [`EPISODE_TIMEOUT`]; no deadline watches these.
    #[inline]
    pub(super) fn end_silent_fold(&mut self, now: Timestamp) {
        if self.episode.is_some_and(|episode| episode.folded) && now >= self.evidence.last.plus(EPISODE_TIMEOUT) {
            self.end_episode();
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct HostState {
    pub(super) source: RoleState,
    pub(super) target: RoleState,
}

impl HostState {
    #[inline]
    pub(super) fn of(&mut self, role: Role) -> &mut RoleState {
        match role {
            Role::Source => &mut self.source,
            Role::Target => &mut self.target,
        }
    }

    /// True if there is nothing to remember.
    pub(super) fn is_idle(&self) -> bool {
        self.source.is_idle() && self.target.is_idle()
    }

    /// Evidence that an eviction would lose, nats; a host with a reported episode ranks above all others.
    pub(super) fn rank_nats(&self, now: Timestamp) -> f32 {
        if self.source.is_reported() || self.target.is_reported() {
            return f32::INFINITY;
        }
        self.source.evidence.decayed(now).max(self.target.evidence.decayed(now))
    }
}

/// A reported episode.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenEpisode {
    pub(super) slot: Slot,
    pub(super) role: Role,
    /// The main peer when it opened.
    pub(super) peer: Option<Address>,
}
