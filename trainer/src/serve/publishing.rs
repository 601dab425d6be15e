//! The newest release of each group in the store → the publisher.
//!
//! Training and publishing may be in different processes, so a release is found in the store and read from its file.

use super::{ReleaseDir, ServeError};
use crate::config::Config;
use crate::serve::publish::Publisher;
use lapwing_collect::Counts;
use lapwing_common::clock::Moment;
use lapwing_pipeline::release::read;
use lapwing_shared::release::manifest::Manifest;
use lapwing_store::StoreHandle;
use std::time::{Duration, Instant};

/// Releases before the current one whose chunks are cleared at the start, except those of the previous one.
const OLD_RELEASES: usize = 8;
/// Pause after a release file could not be read.
const RETRY: Duration = Duration::from_secs(60);

/// A group's release files, and which of them is published.
struct Group {
    releases: ReleaseDir,
    /// 0 without one.
    published: u64,
    /// Earliest next attempt after a failure.
    retry_at: Option<Instant>,
}

/// See the module.
pub(super) struct Publishing {
    publisher: Publisher,
    groups: Vec<Group>,
}

impl Publishing {
    pub(super) fn new(publisher: Publisher, config: &Config) -> Self {
        let group = |settings: &crate::config::RetrainSection| Group {
            releases: ReleaseDir::new(&settings.releases, &settings.group),
            published: 0,
            retry_at: None,
        };
        Self { publisher, groups: config.groups().iter().map(group).collect() }
    }

    /// Loads the newest release file of each group for publication, and what to clear of older ones: a broker may have been
    /// unreachable when they were replaced.
    ///
    /// # Errors
    /// When the newest file of a group cannot be read, or is not a release.
    pub(super) fn restart(&mut self, now: Instant) -> Result<(), ServeError> {
        let publisher = &mut self.publisher;
        for group in &mut self.groups {
            let versions = group.releases.versions();
            let Some(version) = versions.last().copied() else { continue };
            let manifest = publisher.replace(&group.releases.read(version)?, now);
            let manifest = manifest.map_err(|source| ServeError::Publish { version, source })?;
            tracing::info!(version, group = manifest.group.as_str(), "publishing the current release");
            group.published = version;
            let older: Vec<Manifest> = versions
                .iter()
                .rev()
                .skip(1)
                .take(OLD_RELEASES)
                .filter_map(|version| read(&group.releases.read(*version).ok()?).ok().map(|(_, manifest)| manifest))
                .collect();
            if let Some((previous, old)) = older.split_first() {
                publisher.set_previous(previous.clone());
                old.iter().for_each(|old| publisher.clear(old));
            }
        }
        Ok(())
    }

    /// Stops publishing: another process does it now.
    pub(super) fn stop(&mut self) {
        self.publisher.forget();
        self.groups.iter_mut().for_each(|group| group.published = 0);
    }

    /// Publishes releases that the store lists since the last pass, and what a broker lacks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn pass(&mut self, handle: &StoreHandle, counts: &Counts, now: Moment) -> Result<(), ServeError> {
        for group in &mut self.groups {
            let newest = handle.releases(group.releases.group(), 1)?.first().map_or(0, |release| release.version);
            let is_paused = group.retry_at.is_some_and(|at| now.monotonic < at);
            if newest <= group.published || is_paused {
                continue;
            }
            match publish(&mut self.publisher, &group.releases, newest, now.monotonic) {
                Ok(()) => (group.published, group.retry_at) = (newest, None),
                Err(error) => {
                    group.retry_at = Some(now.monotonic + RETRY);
                    let name = group.releases.group();
                    tracing::error!(group = name, version = newest, %error, "cannot publish a release; retrying");
                }
            }
        }
        self.publisher.pass(counts, now.monotonic);
        Ok(())
    }
}

fn publish(publisher: &mut Publisher, releases: &ReleaseDir, version: u64, now: Instant) -> Result<(), ServeError> {
    let file = releases.read(version)?;
    publisher.replace(&file, now).map(drop).map_err(|source| ServeError::Publish { version, source })
}
