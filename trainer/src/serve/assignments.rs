//! Assignments of agents in the store → signed, at the brokers; and agents that are set aside → the late channel.
//!
//! A change has a higher serial than every one before it, so that one query finds what is new. A process that begins to publish
//! publishes all of them: the same bytes as the process before it.

use super::ServeError;
use super::obstacle::{News, Obstacle};
use super::publish::Publisher;
use crate::config::Config;
use lapwing_campaigns as rollout;
use lapwing_collect::Counts;
use lapwing_fleet::{AssignmentChange, SERVE, StoredAssignment};
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_store::{StoreError, StoreHandle};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Instant;

/// Assignments that one query reads.
const PAGE: u32 = 500;

/// Publishes the assignments of all agents.
pub(super) struct Assignments {
    /// Key for rollouts of each group that has one.
    keys: BTreeMap<String, PathBuf>,
    /// Highest serial that was published; 0 without one.
    published: u64,
    obstacle: Obstacle,
}

impl Assignments {
    /// Signs with the keys for rollouts.
    pub(super) fn new(config: &Config) -> Self {
        let groups = config.groups().into_iter();
        let keys = groups.filter_map(|group| Some((group.group.clone(), config.rollout_of(&group.group).key?)));
        Self { keys: keys.collect(), published: 0, obstacle: Obstacle::default() }
    }

    /// Nothing is published.
    pub(super) fn reset(&mut self) {
        (self.published, self.obstacle) = (0, Obstacle::default());
    }

    /// Publishes assignments that are new in the store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn pass(
        &mut self,
        handle: &StoreHandle,
        publisher: &mut Publisher,
        counts: &Counts,
        now: Instant,
    ) -> Result<(), ServeError> {
        if self.obstacle.is_pausing(now) {
            return Ok(());
        }
        for stored in handle.assignments(self.published, PAGE)? {
            let result = self.publish(&stored, publisher, counts, now);
            let is_published = result.is_ok();
            if let Some(News::Failed(error)) = self.obstacle.note(result, now) {
                tracing::error!(agent = stored.name, error, "cannot publish an assignment; retrying every minute");
            }
            if !is_published {
                return Ok(());
            }
            self.published = stored.serial;
        }
        Ok(())
    }

    fn publish(
        &self,
        stored: &StoredAssignment,
        publisher: &mut Publisher,
        counts: &Counts,
        now: Instant,
    ) -> Result<(), ServeError> {
        let (agent, serial) = (stored.name.as_str(), stored.serial);
        let key = stored.group.as_ref().and_then(|group| self.keys.get(group));
        let (Some(key), Some(message)) = (key, stored.message()) else {
            let group = stored.group.as_deref().unwrap_or("none");
            tracing::warn!(agent, group, "assignment not published: the agent's group has no key for rollouts");
            return Ok(());
        };
        let failed = |reason: String| ServeError::Assignment { agent: stored.name.clone(), reason };
        let key = ReleaseKey::load(key).map_err(|error| failed(error.to_string()))?;
        let signed = key.sign_assignment(&message).map_err(|error| failed(error.to_string()))?;
        publisher.set_assignment(&message.agent, &signed, now);
        counts.assignments_published.add(1);
        tracing::info!(agent, serial, assigned = %stored.settings, set_aside = stored.is_set_aside, "publishing an assignment");
        Ok(())
    }
}

/// Assigns the late channel to the agents of a group on which two campaigns failed lately, and ends that for others. An
/// assignment whose serial its agent has passed gets a higher one: the store was restored.
///
/// # Errors
/// When the store cannot be used.
pub(super) fn set_aside(handle: &StoreHandle, group: &str, now_s: u64) -> Result<(), StoreError> {
    let failed = rollout::set_aside(handle, group, now_s)?;
    let mut stored = of_group(handle, group)?;
    for row in handle.release_health(group)? {
        let (reported, is_failed) = (row.device.assignment, failed.contains(&row.name));
        let old = stored.remove(&row.name);
        let change = match &old {
            Some(old) if old.is_set_aside != is_failed => AssignmentChange::SetAside(is_failed),
            None if is_failed => AssignmentChange::SetAside(true),
            _ => AssignmentChange::Renew,
        };
        let is_known = old.as_ref().is_some_and(|old| reported <= old.serial) || reported == 0;
        if change == AssignmentChange::Renew && is_known {
            continue;
        }
        let assigned = match handle.assign(&row.name, change, reported, SERVE, now_s) {
            // It must not stop campaigns.
            Err(error @ StoreError::Assignments { .. }) => {
                tracing::warn!(agent = row.name, %error, "cannot assign the late channel");
                return Ok(());
            }
            assigned => assigned?,
        };
        if let Some(new) = assigned {
            let (agent, is_set_aside) = (row.name.as_str(), new.is_set_aside);
            tracing::info!(agent, is_set_aside, reported, "new assignment: campaigns that failed, or a restored store");
        }
    }
    Ok(())
}

/// The assignments of a group's agents, by name.
fn of_group(handle: &StoreHandle, group: &str) -> Result<HashMap<String, StoredAssignment>, StoreError> {
    let (mut all, mut after) = (HashMap::new(), 0);
    loop {
        let page = handle.assignments(after, PAGE)?;
        let Some(last) = page.last() else { return Ok(all) };
        after = last.serial;
        let of_group = page.into_iter().filter(|one| one.group.as_deref() == Some(group));
        all.extend(of_group.map(|one| (one.name.clone(), one)));
    }
}

#[cfg(test)]
#[path = "assignment_tests.rs"]
mod tests;
