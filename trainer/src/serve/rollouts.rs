//! The newest rollout of a group in the store → signed, with the releases that it names, at the brokers.
//!
//! The store has rollouts unsigned, so that commands which change a campaign need no key. A signature is the same each time:
//! after a crash between storing and publishing, the next process publishes the same bytes.

use super::publish::{Publisher, Wanted};
use super::{ReleaseDir, ServeError};
use lapwing_collect::Counts;
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_pipeline::release::read;
use lapwing_shared::release::manifest::Manifest;
use lapwing_shared::rollout::message::Rollout;
use lapwing_store::traits::StoredRollout;
use std::path::PathBuf;
use std::time::Instant;

/// Versions beside those that agents may need, of which the brokers may still have something.
const OLD_RELEASES: usize = 8;

/// Publishes the rollouts of one group.
pub(super) struct GroupRollouts {
    key: PathBuf,
    /// Serial of the published rollout; 0 without one.
    serial: u64,
    /// Its base and next version, whose releases are published.
    versions: Option<(u64, Option<u64>)>,
}

impl GroupRollouts {
    /// Signs with the key in this file.
    pub(super) fn new(key: PathBuf) -> Self {
        Self { key, serial: 0, versions: None }
    }

    /// Nothing is published.
    pub(super) fn reset(&mut self) {
        (self.serial, self.versions) = (0, None);
    }

    /// Version that the whole group runs according to the published rollout; 0 without one.
    pub(super) fn base(&self) -> u64 {
        self.versions.map_or(0, |(base, _)| base)
    }

    /// Publishes a rollout if another one is published, its releases first.
    ///
    /// # Errors
    /// When the key, or the file of a release that the rollout names, cannot be used.
    pub(super) fn publish(
        &mut self,
        stored: &StoredRollout,
        (releases, publisher): (&ReleaseDir, &mut Publisher),
        counts: &Counts,
        now: Instant,
    ) -> Result<(), ServeError> {
        if stored.serial == self.serial {
            return Ok(());
        }
        let rollout = decoded(stored)?;
        let failed = |error: &dyn std::fmt::Display| ServeError::Rollout {
            group: stored.group.clone(),
            serial: stored.serial,
            reason: error.to_string(),
        };
        let key = ReleaseKey::load(&self.key).map_err(|error| failed(&error))?;
        let signed = key.sign_rollout(&rollout).map_err(|error| failed(&error))?;
        let versions = (rollout.base, rollout.next.as_ref().map(|next| next.version));
        if self.versions != Some(versions) {
            set_releases(&rollout, releases, publisher, now)?;
            self.versions = Some(versions);
        }
        publisher.set_rollout(&rollout.group, &signed, now);
        counts.rollouts_published.add(1);
        let (group, next) = (rollout.group.as_str(), versions.1);
        tracing::info!(group, serial = rollout.serial, base = rollout.base, next, "publishing a rollout");
        self.serial = stored.serial;
        Ok(())
    }
}

/// The rollout in the store.
///
/// # Errors
/// When it is damaged, or of another group than the store says.
pub(super) fn decoded(stored: &StoredRollout) -> Result<Rollout, ServeError> {
    let failed = |reason| ServeError::Rollout { group: stored.group.clone(), serial: stored.serial, reason };
    let rollout = Rollout::decode(&stored.body).map_err(|error| failed(error.to_string()))?;
    if rollout.group.as_str() != stored.group || rollout.serial != stored.serial {
        return Err(failed(format!(
            "the store has rollout {} of group {} in its place",
            rollout.serial, rollout.group
        )));
    }
    Ok(rollout)
}

/// Publishes the releases that a rollout names, and clears what brokers may have of others. What is on disk decides, so that
/// the result is the same after a crash or in another process.
fn set_releases(
    rollout: &Rollout,
    releases: &ReleaseDir,
    publisher: &mut Publisher,
    now: Instant,
) -> Result<(), ServeError> {
    let next = rollout.next.as_ref().map(|next| next.version);
    let file = releases.read(rollout.base)?;
    let next_file = next.map(|version| releases.read(version)).transpose()?;
    let manifest = |version: &u64| read(&releases.read(*version).ok()?).ok().map(|(_, manifest)| manifest);
    let others = releases.versions();
    let others: Vec<u64> =
        others.into_iter().rev().filter(|version| *version != rollout.base && Some(*version) != next).collect();
    let before = others.iter().find(|version| **version < rollout.base && !rollout.is_withdrawn(**version));
    let wanted = Wanted { base: &file, next: next_file.as_deref(), before: before.and_then(manifest) };
    let version = next.unwrap_or(rollout.base);
    publisher.set_releases(&wanted, now).map_err(|source| ServeError::Publish { version, source })?;
    let old: Vec<Manifest> = others.iter().take(OLD_RELEASES + 1).filter_map(manifest).collect();
    old.iter().for_each(|old| publisher.clear_version(old));
    Ok(())
}
