//! The role `train`: groups with their schedules and histories, the running training, the classifier of alerts, and the joiner
//! of incidents.

use super::classify::AlertClassifier;
use super::incidents::Incidents;
use super::key_check::{KeyCheck, KeyOf};
use super::obstacle::{News, Obstacle};
use super::roles::Role;
use super::training::{Finished, TrainingJob};
use super::version_check::VersionCheck;
use super::{ProgressDisplay, ReleaseDir, ServeError};
use crate::config::{Config, RetrainSection};
use lapwing_common::clock::Moment;
use lapwing_fleet::{GroupProblem, Now, Schedule, Training};
use lapwing_pipeline::order::ReleaseMaker;
use lapwing_shared::release::root::Purpose;
use lapwing_store::{AgentsOfGroup, Counter, GroupRows, StoreError, StoreHandle, StoreUrl};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Interval between two looks for agents of groups that the trainer does not serve.
const FOREIGN_INTERVAL: Duration = Duration::from_secs(60);
/// Groups named in a warning, at most.
const NAMED_GROUPS: u32 = 100;

/// A moment → the same as the rules of the fleet take it, since the start of the process.
#[derive(Clone, Copy)]
pub(super) struct ProcessClock(pub(super) Instant);

impl ProcessClock {
    pub(super) fn at(self, now: Moment) -> Now {
        Now { wall_s: now.wall_s, elapsed: now.monotonic.saturating_duration_since(self.0) }
    }
}

/// A group for which releases are made.
pub(super) struct Group {
    pub(super) settings: RetrainSection,
    pub(super) releases: ReleaseDir,
    /// Its past trainings.
    pub(super) history: Training,
    /// Its files were made private. Until then it makes no releases.
    pub(super) is_private: bool,
    obstacle: Obstacle,
}

impl Group {
    /// A group with its past in the store, of whose rows `trained` have been trained on.
    fn new(settings: RetrainSection, trained: u64, handle: &StoreHandle, now: Now) -> Result<Self, StoreError> {
        let releases = ReleaseDir::new(&settings.releases, &settings.group);
        let made_s = handle.releases(&settings.group, 1)?.first().map(|release| release.made_s);
        let history = Training::new(made_s, trained, now);
        Ok(Self { settings, releases, history, is_private: false, obstacle: Obstacle::default() })
    }

    pub(super) fn schedule(&self) -> Schedule {
        let RetrainSection { every, after_rows, retry_pause, .. } = &self.settings;
        let every = every.map(|every| every.0.into());
        Schedule { every, after_rows: *after_rows, retry_pause: retry_pause.0.into() }
    }
}

/// See the module.
pub(super) struct Learner {
    pub(super) maker: Arc<dyn ReleaseMaker>,
    pub(super) store: StoreUrl,
    pub(super) handle: StoreHandle,
    pub(super) clock: ProcessClock,
    /// Every agent belongs to the only group, whatever its status reports.
    pub(super) has_one_group: bool,
    pub(super) groups: Vec<Group>,
    /// Group of the last training.
    pub(super) last: usize,
    pub(super) training: Option<(TrainingJob, ProgressDisplay)>,
    /// A training that has ended, and whose release the store does not have yet.
    pub(super) finished: Option<Finished>,
    /// Agents whose rows train; `None`: all.
    pub(super) teach: Option<Vec<String>>,
    /// `None` without a model.
    classifier: Option<Arc<AlertClassifier>>,
    /// Joins alerts to incidents after they are classified.
    incidents: Incidents,
    /// A pass has failed, so jobs may be running in the store that no training serves.
    must_requeue: bool,
    foreign: Vec<AgentsOfGroup>,
    foreign_at: Option<Instant>,
    key_check: KeyCheck,
    version_check: VersionCheck,
}

impl Learner {
    /// Takes over from the state in the store: requests whose training has not ended wait again.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub(super) fn start(
        config: &Config,
        maker: Arc<dyn ReleaseMaker>,
        classifier: Option<Arc<AlertClassifier>>,
        (clock, now): (ProcessClock, Moment),
    ) -> Result<Self, ServeError> {
        let handle = StoreHandle::open(&config.store.path)?;
        handle.requeue_jobs()?;
        if classifier.is_some() {
            AlertClassifier::warn_of_agents_without_rows(&handle)?;
        }
        let settings = config.groups();
        if !config.has_one_group() {
            handle.add_groups(&settings.iter().map(|group| group.group.as_str()).collect::<Vec<_>>())?;
        }
        let rows = group_rows(&handle, config.has_one_group(), &settings)?;
        let last = settings.len().saturating_sub(1);
        let group = |(settings, rows): (_, GroupRows)| Group::new(settings, rows.trained, &handle, clock.at(now));
        let groups = settings.into_iter().zip(rows).map(group).collect::<Result<_, StoreError>>()?;
        let mut learner = Self {
            maker,
            store: config.store.path.clone(),
            handle,
            clock,
            has_one_group: config.has_one_group(),
            groups,
            last,
            training: None,
            finished: None,
            teach: config.agents.teach.clone(),
            classifier,
            incidents: Incidents::default(),
            must_requeue: false,
            foreign: Vec::new(),
            foreign_at: None,
            key_check: KeyCheck::new(Role::Train, Purpose::Release),
            version_check: VersionCheck::default(),
        };
        learner.make_private(now.monotonic);
        Ok(learner)
    }

    /// Takes other accounts' access to release files away. A group whose files do not allow it makes no releases until they
    /// do; the others continue.
    fn make_private(&mut self, now: Instant) {
        let waits = |group: &&mut Group| !group.is_private && !group.obstacle.is_pausing(now);
        for group in self.groups.iter_mut().filter(waits) {
            let result = group.releases.make_private();
            group.is_private = result.is_ok();
            let name = &group.settings.group;
            match group.obstacle.note(result, now) {
                Some(News::Failed(error)) => tracing::error!(
                    group = name,
                    error,
                    "cannot make the release files private, so no release of the group is made; retrying every minute"
                ),
                Some(News::Recovered) => tracing::info!(group = name, "the release files are private now"),
                None => {}
            }
        }
    }

    /// What keeps groups from releases.
    pub(super) fn problems(&self) -> impl Iterator<Item = GroupProblem> {
        let of_group = |Group { settings, obstacle, .. }: &Group| {
            let (group, problem) = (settings.group.clone(), obstacle.problem()?.to_owned());
            Some(GroupProblem { role: Role::Train.as_str(), group, problem })
        };
        self.groups.iter().filter_map(of_group).chain(self.key_check.problems()).chain(self.version_check.problems())
    }

    /// One pass at `now`.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub(super) fn pass(&mut self, now: Moment) -> Result<(), ServeError> {
        if self.must_requeue && self.training.is_none() && self.finished.is_none() {
            self.handle.requeue_jobs()?;
            self.must_requeue = false;
        }
        let passed = self.work(now);
        // The end of a job may be unwritten.
        self.must_requeue |= passed.is_err();
        passed
    }

    fn work(&mut self, now: Moment) -> Result<(), ServeError> {
        self.classify_alerts(now.wall_s)?;
        self.incidents.pass(&self.handle, self.classifier.is_some(), now)?;
        self.make_private(now.monotonic);
        let keys = self.groups.iter().filter_map(|Group { settings, .. }| {
            settings.key.as_deref().map(|path| KeyOf { group: &settings.group, path })
        });
        self.key_check.pass(&self.handle, keys, now.wall_s, now.monotonic)?;
        self.version_check.pass(&self.handle, &self.groups, now.monotonic)?;
        self.sign_approved(now.wall_s)?;
        self.warn_of_foreign_groups(now)?;
        if let Some((job, display)) = self.training.as_mut() {
            display.update(&job.reports);
        }
        if self.finished.is_some() || self.training.as_ref().is_some_and(|(job, _)| job.is_finished()) {
            return self.finish_training(now);
        }
        if self.training.is_none() {
            self.train_if_due(now)?;
        }
        Ok(())
    }

    /// Classifies alerts that have new messages; if the store is busy, the next pass tries again.
    fn classify_alerts(&self, now_s: u64) -> Result<(), ServeError> {
        match self.classifier.as_ref().map_or(Ok(()), |classifier| classifier.pass(&self.handle, now_s)) {
            Err(error) if error.is_temporary() => {
                tracing::warn!(%error, "cannot classify alerts now; retrying");
                Ok(())
            }
            result => Ok(result?),
        }
    }

    /// Logs the groups of agents for which this trainer makes no releases, when they change.
    fn warn_of_foreign_groups(&mut self, now: Moment) -> Result<(), ServeError> {
        if self.foreign_at.is_some_and(|at| now.monotonic.saturating_duration_since(at) < FOREIGN_INTERVAL) {
            return Ok(());
        }
        self.foreign_at = Some(now.monotonic);
        let mut foreign = self.handle.agents_by_group(NAMED_GROUPS)?;
        foreign.retain(|line| self.groups.iter().all(|group| group.settings.group != line.group));
        let names = |lines: &[AgentsOfGroup]| lines.iter().map(|line| line.group.clone()).collect::<Vec<_>>();
        if names(&foreign) != names(&self.foreign) && !foreign.is_empty() {
            let lines = foreign.iter().map(|line| format!("{} ({} agents)", line.group, line.agents));
            tracing::warn!(
                groups = lines.collect::<Vec<_>>().join(", "),
                "agents of these groups get no releases from this trainer; add them to [[groups]], or change the group in \
                 the agents' configuration"
            );
        }
        self.foreign = foreign;
        Ok(())
    }

    /// Feature rows of each group, in order.
    pub(super) fn group_rows(&self) -> Result<Vec<GroupRows>, StoreError> {
        group_rows(&self.handle, self.has_one_group, self.groups.iter().map(|group| &group.settings))
    }

    pub(super) fn set_trained_rows(&self, group: &str, rows: u64) -> Result<(), StoreError> {
        if self.has_one_group {
            return self.handle.set_counter(Counter::SampleRowsTrained, rows);
        }
        self.handle.set_trained_rows(group, rows)
    }
}

fn group_rows<'a>(
    handle: &StoreHandle,
    has_one_group: bool,
    groups: impl IntoIterator<Item = &'a RetrainSection>,
) -> Result<Vec<GroupRows>, StoreError> {
    if has_one_group {
        let stored = handle.counter(Counter::SampleRowsStored)?;
        return Ok(vec![GroupRows { stored, trained: handle.counter(Counter::SampleRowsTrained)? }]);
    }
    let rows = handle.group_rows()?;
    Ok(groups.into_iter().map(|group| rows.get(&group.group).copied().unwrap_or_default()).collect())
}
