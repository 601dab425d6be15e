//! The newest release of each group in the store, or its newest rollout, and assignments of agents → the publisher.
//!
//! Training and publishing may be in different processes, so a release is found in the store and read from its file. A file
//! that cannot be read keeps its group from new releases until it can; the other groups continue.

use super::assignments::Assignments;
use super::newer_roots::adopt_all;
use super::obstacle::{News, Obstacle};
use super::roles::Role;
use super::rollouts::GroupRollouts;
use super::{ReleaseDir, ServeError};
use crate::config::Config;
use crate::serve::publish::Publisher;
use lapwing_collect::Counts;
use lapwing_common::clock::Moment;
use lapwing_fleet::GroupProblem;
use lapwing_pipeline::release::read;
use lapwing_pipeline::release::roots::RootFile;
use lapwing_shared::release::manifest::Manifest;
use lapwing_shared::release::name::parse_name;
use lapwing_store::StoreHandle;
use std::time::Instant;

/// Releases before the current one whose chunks are cleared at the start, except those of the previous one.
const OLD_RELEASES: usize = 8;

/// A group's release files, and which of them is published.
struct Group {
    releases: ReleaseDir,
    /// 0 without one.
    published: u64,
    /// The release on disk is not loaded since this process began to publish.
    must_load: bool,
    /// With a key for rollouts.
    rollouts: Option<GroupRollouts>,
    obstacle: Obstacle,
}

/// See the module.
pub(super) struct Publishing {
    publisher: Publisher,
    groups: Vec<Group>,
    assignments: Assignments,
    /// Version of the root document that is published; 0 without one.
    root_version: u64,
    root_obstacle: Obstacle,
}

impl Publishing {
    pub(super) fn new(publisher: Publisher, config: &Config) -> Self {
        let group = |settings: &crate::config::RetrainSection| Group {
            releases: ReleaseDir::new(&settings.releases, &settings.group),
            published: 0,
            must_load: false,
            rollouts: config.rollout_of(&settings.group).key.map(GroupRollouts::new),
            obstacle: Obstacle::default(),
        };
        let groups = config.groups().iter().map(group).collect();
        let assignments = Assignments::new(config);
        Self { publisher, groups, assignments, root_version: 0, root_obstacle: Obstacle::default() }
    }

    /// Begins to publish: the next pass loads the newest release file of each group.
    pub(super) fn restart(&mut self) {
        (self.root_version, self.root_obstacle) = (0, Obstacle::default());
        self.assignments.reset();
        for group in &mut self.groups {
            group.reset(true);
        }
    }

    /// Stops publishing: another process does it now.
    pub(super) fn stop(&mut self) {
        self.publisher.forget();
        self.assignments.reset();
        for group in &mut self.groups {
            group.reset(false);
        }
    }

    /// Publishes releases and root documents that the store lists since the last pass, and what a broker lacks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn pass(&mut self, handle: &StoreHandle, counts: &Counts, now: Moment) -> Result<(), ServeError> {
        self.publish_root(handle, now.monotonic)?;
        for group in &mut self.groups {
            if group.obstacle.is_pausing(now.monotonic) {
                continue;
            }
            let result = group.pass(handle, &mut self.publisher, counts, now.monotonic);
            if let Err(ServeError::Store(_)) = result {
                return result;
            }
            let (news, name) = (group.obstacle.note(result, now.monotonic), group.releases.group());
            match news {
                Some(News::Failed(error)) => {
                    tracing::error!(group = name, error, "cannot publish a release; retrying every minute");
                }
                Some(News::Recovered) => tracing::info!(group = name, "the release can be published again"),
                None => {}
            }
        }
        self.assignments.pass(handle, &mut self.publisher, counts, now.monotonic)?;
        self.publisher.pass(counts, now.monotonic);
        adopt_all(&mut self.publisher, handle, now);
        Ok(())
    }

    /// Publishes the chain of root documents for every group if there is a newer one.
    fn publish_root(&mut self, handle: &StoreHandle, now: Instant) -> Result<(), ServeError> {
        let newest = handle.newest_root()?.map_or(0, |root| root.version);
        if newest <= self.root_version || self.root_obstacle.is_pausing(now) {
            return Ok(());
        }
        let stored = handle.roots(0)?;
        let chain = RootFile::of(stored.iter().map(|root| root.bytes.as_slice())).map(|file| file.chain());
        let (publisher, groups) = (&mut self.publisher, &self.groups);
        let published = chain.map(|chain| {
            if chain.left_out > 0 {
                let changes = chain.left_out;
                tracing::warn!(changes, "the oldest changes of the root keys have no room in the chain; agents that were away since must be enrolled again");
            }
            let names = groups.iter().filter_map(|group| parse_name(group.releases.group()));
            names.for_each(|group| publisher.set_root(&group, &chain.bytes, now));
        });
        if published.is_ok() {
            self.root_version = newest;
            tracing::info!(version = newest, "publishing the root document");
        }
        if let Some(News::Failed(error)) = self.root_obstacle.note(published, now) {
            tracing::error!(error, "cannot publish the root documents; retrying every minute");
        }
        Ok(())
    }

    /// What keeps groups from new releases.
    pub(super) fn problems(&self) -> impl Iterator<Item = GroupProblem> {
        self.groups.iter().filter_map(|Group { releases, obstacle, .. }| {
            let (group, problem) = (releases.group().to_owned(), obstacle.problem()?.to_owned());
            Some(GroupProblem { role: Role::Publish.as_str(), group, problem })
        })
    }
}

impl Group {
    fn reset(&mut self, must_load: bool) {
        (self.published, self.must_load, self.obstacle) = (0, must_load, Obstacle::default());
        self.rollouts.iter_mut().for_each(GroupRollouts::reset);
    }

    /// Publishes the newest rollout with its releases; without one, the newest release.
    fn pass(
        &mut self,
        handle: &StoreHandle,
        publisher: &mut Publisher,
        counts: &Counts,
        now: Instant,
    ) -> Result<(), ServeError> {
        let group = self.releases.group();
        if let Some(rollouts) = &mut self.rollouts
            && let Some(newest) = handle.newest_rollout(group)?
        {
            rollouts.publish(&newest, (&self.releases, publisher), counts, now)?;
            self.published = rollouts.base();
            return Ok(());
        }
        let newest = handle.releases(group, 1)?.first().map_or(0, |release| release.version);
        self.publish(publisher, newest, now)
    }

    /// Publishes the newest release, on disk after a start and of the store later, if it is not published.
    fn publish(&mut self, publisher: &mut Publisher, newest: u64, now: Instant) -> Result<(), ServeError> {
        if self.must_load {
            self.load(publisher, now)?;
            self.must_load = false;
        }
        if newest > self.published {
            replace(publisher, &self.releases, newest, now)?;
            self.published = newest;
        }
        Ok(())
    }

    /// Publishes the newest release file, and clears what is left of older ones: a broker may have been unreachable when
    /// they were replaced.
    fn load(&mut self, publisher: &mut Publisher, now: Instant) -> Result<(), ServeError> {
        let versions = self.releases.versions();
        let Some(version) = versions.last().copied() else { return Ok(()) };
        let manifest = replace(publisher, &self.releases, version, now)?;
        tracing::info!(version, group = manifest.group.as_str(), "publishing the current release");
        self.published = version;
        let manifest = |version: &u64| read(&self.releases.read(*version).ok()?).ok().map(|(_, manifest)| manifest);
        let older: Vec<Manifest> = versions.iter().rev().skip(1).take(OLD_RELEASES).filter_map(manifest).collect();
        if let Some((previous, old)) = older.split_first() {
            publisher.set_previous(previous.clone());
            old.iter().for_each(|old| publisher.clear(old));
        }
        Ok(())
    }
}

fn replace(
    publisher: &mut Publisher,
    releases: &ReleaseDir,
    version: u64,
    now: Instant,
) -> Result<Manifest, ServeError> {
    let file = releases.read(version)?;
    publisher.replace(&file, now).map_err(|source| ServeError::Publish { version, source })
}
