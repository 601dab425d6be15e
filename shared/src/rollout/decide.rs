//! Newest rollout and the agent's state → what the agent may do next.
//!
//! The agent asks [`permits`] before each step of an update: before the download, before it writes the spare slot, before
//! the trial, before it confirms. So a pause or a withdrawal takes effect at the next step, whatever the agent did when it
//! arrived. [`decide`] selects the next action from the newest rollout; it depends on nothing else, so an agent that missed
//! any number of rollouts ends where all others do.

use super::message::{Channel, Rollout};
use super::place::Place;
use crate::release::manifest::Name;
use crate::release::update::{HeldRelease, UpdateState};
use core::fmt;

/// Settings of one agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Its channel.
    pub channel: Channel,
    /// Install nothing new. A withdrawn release is replaced nevertheless.
    pub hold: bool,
    /// The only version that it installs; `None`: as the rollout determines.
    pub pin: Option<u64>,
}

/// An agent, as far as it matters for its next step.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// Its name.
    pub agent: &'a Name,
    /// Its settings.
    pub settings: Settings,
    /// Its update state.
    pub state: &'a UpdateState,
    /// The whole and verified release in the spare slot, if there is one.
    pub spare: Option<HeldRelease>,
    /// Lowest version that it may install or go back to: the highest floor of the manifests that it has accepted.
    pub floor: u64,
    /// Wall clock, seconds since the epoch; `None` if it is not set. Expiry is then not enforced.
    pub now_s: Option<u64>,
}

impl Situation<'_> {
    /// The settings, without a pin as long as no release is confirmed: an agent needs one first, and brokers may not have the
    /// pinned one.
    fn settings(&self) -> Settings {
        Settings { pin: self.settings.pin.filter(|_| self.state.confirmed.is_some()), ..self.settings }
    }
}

/// A step of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Requesting the artifact.
    Download,
    /// Writing it to the spare slot.
    Write,
    /// Using it on trial.
    Trial,
    /// Confirming it.
    Confirm,
}

/// Why an agent does not take a step, or keeps its release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It runs the version that it should.
    UpToDate,
    /// Its trial goes on.
    OnTrial,
    /// The rollout does not name this version for this agent.
    NotNamed,
    /// The version is withdrawn.
    Withdrawn,
    /// The agent is held.
    Held,
    /// The rollout has expired.
    Expired,
    /// The version is below the highest floor of the manifests that the agent has accepted.
    BelowFloor,
    /// The version failed on this agent.
    Failed,
    /// The version is not above the highest ever confirmed.
    NotNewer,
    /// The release in use is withdrawn, and no other is named that the agent may install.
    NoWayBack,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UpToDate => "up to date",
            Self::OnTrial => "trial is running",
            Self::NotNamed => "the rollout does not name this version for this agent",
            Self::Withdrawn => "the version is withdrawn",
            Self::Held => "updates are held on this agent",
            Self::Expired => "the rollout has expired",
            Self::BelowFloor => "the version is below the floor of a release that the agent has accepted",
            Self::Failed => "the version failed on this agent before",
            Self::NotNewer => "the version is not above the highest ever confirmed",
            Self::NoWayBack => "the release in use is withdrawn, and no release to go back to is named",
        })
    }
}

/// The next action of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// None, and why.
    Keep(Obstacle),
    /// Download this version, which is newer than all before.
    Install(u64),
    /// End the trial of this version, which is not permitted any more. It has not failed, and may be tried again.
    EndTrial(u64),
    /// Use the release in the spare slot again; needs no network.
    Restore(HeldRelease),
    /// Download this version, to which the agent goes back.
    GoBack(u64),
}

/// The version that an agent should run; 0 if the rollout names none.
#[inline]
pub fn wanted(rollout: &Rollout, agent: &Name, settings: Settings) -> u64 {
    if let Some(pin) = settings.pin.filter(|pin| !rollout.is_withdrawn(*pin)) {
        return pin;
    }
    let next = rollout.next.as_ref().filter(|next| {
        let reach = next.reach_of(settings.channel);
        // Most rollouts reach no agent or all agents of a channel: then no digest is needed.
        reach > 0 && u32::from(Place::of(&next.salt, agent).place) < reach
    });
    next.map_or(rollout.base, |next| next.version)
}

/// Whether `version` is the one to go back to: the release in use is withdrawn, or was lost with the state folder after an
/// agent confirmed a higher version.
#[inline]
pub fn is_way_back(rollout: &Rollout, state: &UpdateState, floor: u64, version: u64) -> bool {
    let is_open = match state.confirmed {
        Some(release) => rollout.is_withdrawn(release.version),
        None => version <= state.highest_confirmed,
    };
    is_open && version != 0 && version == rollout.base && version >= floor
}

/// Whether an agent may take this step of installing `version`.
///
/// # Errors
/// The [`Obstacle`].
#[inline]
pub fn permits(rollout: &Rollout, situation: &Situation<'_>, step: Step, version: u64) -> Result<(), Obstacle> {
    if rollout.is_withdrawn(version) {
        return Err(Obstacle::Withdrawn);
    }
    if version < situation.floor {
        return Err(Obstacle::BelowFloor);
    }
    if is_way_back(rollout, situation.state, situation.floor, version) {
        return Ok(());
    }
    let settings = situation.settings();
    let is_base = version == rollout.base && settings.pin.is_none();
    if !is_base && version != wanted(rollout, situation.agent, settings) {
        return Err(Obstacle::NotNamed);
    }
    if situation.now_s.is_some_and(|now_s| now_s >= rollout.expires_s) {
        return Err(Obstacle::Expired);
    }
    if settings.hold && step != Step::Confirm {
        return Err(Obstacle::Held);
    }
    Ok(())
}

/// The next action of an agent that is not downloading. During a download, call it too: another version than that of the
/// download ends it.
#[inline]
pub fn decide(rollout: &Rollout, situation: &Situation<'_>) -> Action {
    let state = situation.state;
    if let Some(trial) = state.trial {
        let version = trial.release.version;
        return match permits(rollout, situation, Step::Confirm, version) {
            Ok(()) => Action::Keep(Obstacle::OnTrial),
            Err(_) => Action::EndTrial(version),
        };
    }
    let running = state.confirmed.map_or(0, |release| release.version);
    if rollout.is_withdrawn(running) && rollout.base != 0 {
        return go_back(rollout, situation);
    }
    let version = wanted(rollout, situation.agent, situation.settings());
    if version <= running {
        let is_stuck = rollout.is_withdrawn(running);
        return Action::Keep(if is_stuck { Obstacle::NoWayBack } else { Obstacle::UpToDate });
    }
    install(rollout, situation, version)
}

fn install(rollout: &Rollout, situation: &Situation<'_>, version: u64) -> Action {
    let state = situation.state;
    if let Err(obstacle) = permits(rollout, situation, Step::Download, version) {
        Action::Keep(obstacle)
    } else if state.refused.is_some_and(|refused| refused.version == version) {
        Action::Keep(Obstacle::Failed)
    } else if version <= state.highest_confirmed {
        let is_way_back = is_way_back(rollout, state, situation.floor, version);
        if is_way_back { Action::GoBack(version) } else { Action::Keep(Obstacle::NotNewer) }
    } else {
        Action::Install(version)
    }
}

fn go_back(rollout: &Rollout, situation: &Situation<'_>) -> Action {
    let (base, state) = (rollout.base, situation.state);
    if let Some(spare) = situation.spare.filter(|spare| spare.version == base && base >= situation.floor) {
        return Action::Restore(spare);
    }
    if base > state.highest_confirmed {
        return install(rollout, situation, base);
    }
    let failed = state.refused.is_some_and(|refused| refused.version == base);
    if base < situation.floor || failed { Action::Keep(Obstacle::NoWayBack) } else { Action::GoBack(base) }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
