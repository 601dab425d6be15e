//! One batch of messages → the changes that its commit makes to the writer's cache.

use super::progress::RunProgress;
use crate::committed::Committed;
use crate::received::{Content, HealthReport, Received, StatusReport};
use crate::release_changes::ReleaseState;
use lapwing_shared::messages::AgentName;
use std::collections::{BTreeMap, HashMap};

/// Sizes of the tables that have a limit, of all agents or of one. Rows in segments count, with the size of the files.
#[derive(Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) sample_bytes: u64,
    pub(super) sample_rows: u64,
    pub(super) alerts: u64,
    pub(super) updates: u64,
}

/// Changes of an uncommitted batch to the writer's cache.
#[derive(Default)]
pub(super) struct PendingBatch {
    pub(super) agents: HashMap<AgentName, i64>,
    pub(super) schemas: HashMap<[u8; 32], i64>,
    /// Numbers of the runs that the batch uses, by agent and run.
    pub(super) progress: BTreeMap<(i64, u64), RunProgress>,
    pub(super) forgotten_runs: Vec<(i64, u64)>,
    pub(super) totals: Totals,
    pub(super) usage: HashMap<i64, Totals>,
    /// Changed versions and coverage.
    pub(super) releases: Vec<(i64, ReleaseState)>,
    pub(super) evicted: Vec<(AgentName, i64)>,
    /// Agents to remove for new ones, as far as needed.
    pub(super) evictable: Option<Vec<(AgentName, i64)>>,
    pub(super) activity: BTreeMap<i64, AgentActivity>,
    /// Changes of the numbers of episodes, by day of their start and agent.
    pub(super) days: BTreeMap<(i64, i64), i64>,
    /// Position of the newest sample batch, once it is known.
    pub(super) newest_batch: Option<i64>,
    /// Rows that exceed the limit by age may be left.
    pub(super) has_more_expired: bool,
    pub(super) result: Committed,
}

/// Messages of one agent in a batch: the newest state and counts.
#[derive(Default)]
pub(super) struct AgentActivity {
    pub(super) run: u64,
    /// The newest status of a connected agent; without one, its last will.
    pub(super) status: Option<(Vec<u8>, StatusReport)>,
    /// A last will followed that status.
    pub(super) is_gone: bool,
    pub(super) health: Option<(Vec<u8>, HealthReport)>,
    pub(super) sample_rows: u64,
    pub(super) alerts: u64,
    /// Change of the number of open episodes.
    pub(super) open_episodes: i64,
}

impl AgentActivity {
    pub(super) fn add(&mut self, received: &Received) {
        self.run = self.run.max(received.run);
        match &received.content {
            Content::Status(status) if !status.online && self.status.is_some() => self.is_gone = true,
            Content::Status(status) => {
                self.status = Some((received.payload.clone(), status.as_ref().clone()));
                self.is_gone = false;
            }
            Content::Health(health) => self.health = Some((received.payload.clone(), *health)),
            _ => {}
        }
    }
}
