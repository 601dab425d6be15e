//! One home: the update state machine of a real agent, and the time that its steps take.

use crate::campaign::AgentStep;
use lapwing_shared::release::manifest::Name;
use lapwing_shared::release::update::{Boot, HeldRelease, Slot, UpdateState};
use lapwing_shared::rollout::assignment::Assignment;
use lapwing_shared::rollout::decide::{Action, Settings, Situation, Step, decide, permits};
use lapwing_shared::rollout::message::Rollout;
use lapwing_shared::rollout::place::Place;
use std::sync::Arc;

/// Time that writing a release takes, seconds.
const WRITE_S: u64 = 2;
/// Time between two starts of an agent that crashes, seconds.
const CRASH_S: u64 = 60;

/// How a trial ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialOutcome {
    /// Passed.
    Confirm,
    /// Rolled back.
    RollBack,
    /// The agent crashes whenever it uses the release.
    Crash,
}

/// What a release does on a home.
#[derive(Clone, Copy, Debug)]
pub struct Conduct {
    /// Duration of the download, seconds.
    pub download_s: u64,
    /// It is refused because of a defect.
    pub has_defect: bool,
    /// Duration of the trial, seconds.
    pub trial_s: u64,
    /// How the trial ends.
    pub outcome: TrialOutcome,
    /// Floor in its manifest.
    pub floor: u64,
}

/// What a home reports: status and update step in one message, so that any newer one replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Number, increasing.
    pub number: u64,
    /// Confirmed version in use.
    pub running: u64,
    /// Version and step of the update, if one is or was under way.
    pub step: Option<(u64, AgentStep)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Waiting { version: u64, until_s: u64 },
    Downloading { version: u64, until_s: u64 },
    Writing { version: u64, until_s: u64 },
    Trial { until_s: u64 },
}

/// A home.
#[derive(Clone, Debug)]
pub struct Home {
    /// Name of its agent.
    pub name: Name,
    /// The agent's own settings.
    pub settings: Settings,
    /// Newest accepted assignment, stored.
    pub assignment: Option<Arc<Assignment>>,
    /// Highest floor of the manifests that it has accepted, stored.
    pub floor: u64,
    /// The agent's update state.
    pub update: UpdateState,
    /// The verified release in the spare slot.
    pub spare: Option<HeldRelease>,
    /// Version that each slot holds, 0 while it is empty or half-written.
    pub slots: [u64; 2],
    /// Newest accepted rollout, stored.
    pub newest: Option<Arc<Rollout>>,
    phase: Phase,
    reports: u64,
}

impl Home {
    /// A home that has confirmed `version`, if it is not 0.
    pub fn new(name: Name, group: Name, settings: Settings, version: u64) -> Self {
        let mut update = UpdateState::new(group);
        let mut slots = [0; 2];
        if version > 0 {
            slots = [version, 0];
            // A new state has no confirmed release, so its slot is free.
            let _ = update.stage(held(&update, version));
            let _ = update.confirm();
        }
        let (assignment, newest, spare) = (None, None, None);
        Self { name, settings, assignment, floor: 0, update, spare, slots, newest, phase: Phase::Idle, reports: 0 }
    }

    /// Confirmed version in use, 0 if none.
    pub fn running(&self) -> u64 {
        self.update.confirmed.map_or(0, |release| release.version)
    }

    /// Version in use, on trial or confirmed.
    pub fn in_use(&self) -> u64 {
        self.update.in_use().map_or(0, |release| release.version)
    }

    /// Accepts a rollout with a higher serial. Returns whether it did.
    pub fn receive(&mut self, rollout: &Arc<Rollout>) -> bool {
        let is_newer = rollout.replaces(self.newest.as_deref()) == Ok(true);
        if is_newer {
            self.newest = Some(Arc::clone(rollout));
        }
        is_newer
    }

    /// Accepts an assignment with a higher serial. Returns whether it did.
    pub fn assign(&mut self, assignment: &Arc<Assignment>) -> bool {
        let is_newer = assignment.replaces(self.assignment.as_deref()) == Ok(true);
        if is_newer {
            self.assignment = Some(Arc::clone(assignment));
        }
        is_newer
    }

    /// The settings in force.
    pub fn in_force(&self) -> Settings {
        self.assignment.as_ref().map_or(self.settings, |assignment| assignment.apply(self.settings))
    }

    /// A power cut and the following start. What was not stored is lost: the download, and a half-written slot.
    pub fn power_cut(&mut self, now_s: u64, conduct: &mut dyn FnMut(u64) -> Conduct) -> Option<Report> {
        self.phase = Phase::Idle;
        match self.update.boot() {
            Boot::Trial(release) => {
                self.phase = Phase::Trial { until_s: now_s + conduct(release.version).trial_s };
                None
            }
            Boot::RolledBack { failed, .. } => Some(self.report(failed.version, AgentStep::RolledBack)),
            Boot::Nothing | Boot::Confirmed(_) => None,
        }
    }

    /// When the home has something to do next, if it waits for that.
    pub fn wakes_s(&self) -> Option<u64> {
        match self.phase {
            Phase::Idle => None,
            Phase::Waiting { until_s, .. }
            | Phase::Downloading { until_s, .. }
            | Phase::Writing { until_s, .. }
            | Phase::Trial { until_s } => Some(until_s),
        }
    }

    /// Takes every step that is due. `conduct` is called once for each step of a version.
    pub fn advance(
        &mut self,
        now_s: u64,
        is_online: bool,
        conduct: &mut dyn FnMut(u64) -> Conduct,
        reports: &mut Vec<Report>,
    ) {
        while let Some(rollout) = self.newest.clone()
            && self.act(&rollout, now_s, is_online, conduct, reports)
        {}
    }

    fn act(
        &mut self,
        rollout: &Rollout,
        now_s: u64,
        is_online: bool,
        conduct: &mut dyn FnMut(u64) -> Conduct,
        reports: &mut Vec<Report>,
    ) -> bool {
        match decide(rollout, &self.situation(now_s)) {
            Action::EndTrial(_) => {
                self.update.clear_trial();
                (self.phase, self.spare) = (Phase::Idle, None);
                reports.push(self.status());
                true
            }
            Action::Restore(release) => {
                let before = self.update.confirmed;
                self.phase = Phase::Idle;
                if self.update.restore(release).is_err() {
                    return false;
                }
                self.spare = before;
                reports.push(self.status());
                true
            }
            Action::Install(version) | Action::GoBack(version) => {
                self.install(rollout, version, now_s, is_online, conduct, reports)
            }
            Action::Keep(_) => match self.phase {
                Phase::Trial { until_s } => now_s >= until_s && self.end_trial(rollout, now_s, conduct, reports),
                _ => {
                    self.phase = Phase::Idle;
                    false
                }
            },
        }
    }

    fn install(
        &mut self,
        rollout: &Rollout,
        version: u64,
        now_s: u64,
        is_online: bool,
        conduct: &mut dyn FnMut(u64) -> Conduct,
        reports: &mut Vec<Report>,
    ) -> bool {
        let may = |step| permits(rollout, &self.situation(now_s), step, version).is_ok();
        match self.phase {
            Phase::Waiting { version: own, until_s } if own == version => {
                if now_s < until_s || !is_online || !may(Step::Download) {
                    return false;
                }
                let Conduct { download_s, floor, .. } = conduct(version);
                self.floor = self.floor.max(floor);
                self.phase = Phase::Downloading { version, until_s: now_s + download_s };
                reports.push(self.report(version, AgentStep::Downloading));
            }
            Phase::Downloading { version: own, until_s } if own == version => {
                if now_s < until_s || !is_online || !may(Step::Write) {
                    return false;
                }
                if conduct(version).has_defect {
                    self.update.refuse(version, [version as u8; 32]);
                    self.phase = Phase::Idle;
                    reports.push(self.report(version, AgentStep::Defect));
                    return true;
                }
                self.update.clear_trial();
                self.spare = None;
                self.write(0);
                self.phase = Phase::Writing { version, until_s: now_s + WRITE_S };
            }
            Phase::Writing { version: own, until_s } if own == version => {
                let is_done = now_s >= until_s && may(Step::Trial);
                return is_done && self.begin_trial(version, now_s, conduct, reports);
            }
            _ => {
                let salt = rollout.next.map_or([0; 8], |next| next.salt);
                let delay_s = Place::of(&salt, &self.name).delay_s(rollout.spread_s);
                self.phase = Phase::Waiting { version, until_s: now_s + u64::from(delay_s) };
            }
        }
        true
    }

    fn begin_trial(
        &mut self,
        version: u64,
        now_s: u64,
        conduct: &mut dyn FnMut(u64) -> Conduct,
        reports: &mut Vec<Report>,
    ) -> bool {
        self.write(version);
        if self.update.stage(held(&self.update, version)).is_err() {
            return false;
        }
        self.update.boot();
        let does = conduct(version);
        let trial_s = if does.outcome == TrialOutcome::Crash { CRASH_S } else { does.trial_s };
        self.phase = Phase::Trial { until_s: now_s + trial_s };
        reports.push(self.report(version, AgentStep::Trial));
        true
    }

    fn end_trial(
        &mut self,
        rollout: &Rollout,
        now_s: u64,
        conduct: &mut dyn FnMut(u64) -> Conduct,
        reports: &mut Vec<Report>,
    ) -> bool {
        let Some(trial) = self.update.trial else {
            self.phase = Phase::Idle;
            return true;
        };
        let version = trial.release.version;
        if permits(rollout, &self.situation(now_s), Step::Confirm, version).is_err() {
            return false;
        }
        let step = match conduct(version).outcome {
            TrialOutcome::Confirm => {
                self.spare = self.update.confirmed;
                // A release is on trial.
                let _ = self.update.confirm();
                AgentStep::Confirmed
            }
            TrialOutcome::RollBack => {
                let _ = self.update.roll_back();
                AgentStep::RolledBack
            }
            TrialOutcome::Crash => match self.update.boot() {
                Boot::RolledBack { .. } => AgentStep::RolledBack,
                _ => {
                    self.phase = Phase::Trial { until_s: now_s + CRASH_S };
                    return false;
                }
            },
        };
        self.phase = Phase::Idle;
        reports.push(self.report(version, step));
        true
    }

    /// Writes the slot that the confirmed release does not use.
    fn write(&mut self, version: u64) {
        let [a, b] = &mut self.slots;
        *(if self.update.spare_slot() == Slot::A { a } else { b }) = version;
    }

    /// Whether a release is whole in its slot.
    pub fn holds(&self, release: HeldRelease) -> bool {
        let [a, b] = self.slots;
        release.version == if release.slot == Slot::A { a } else { b }
    }

    fn situation(&self, now_s: u64) -> Situation<'_> {
        let (agent, settings, state, spare) = (&self.name, self.in_force(), &self.update, self.spare);
        Situation { agent, settings, state, spare, floor: self.floor, now_s: Some(now_s) }
    }

    fn report(&mut self, version: u64, step: AgentStep) -> Report {
        Report { step: Some((version, step)), ..self.status() }
    }

    /// A report without a step.
    pub fn status(&mut self) -> Report {
        self.reports += 1;
        Report { number: self.reports, running: self.running(), step: None }
    }
}

fn held(update: &UpdateState, version: u64) -> HeldRelease {
    HeldRelease { slot: update.spare_slot(), version, digest: [version as u8; 32] }
}
