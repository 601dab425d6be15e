//! The newest rollout, the agent's assignment and its state → what the session requests, ends and restores.
//!
//! Without a rollout, the session installs what the group's release topic has. With one, it ignores that topic and subscribes
//! to the manifest of the version that [`decide`] selects, after the agent's delay.

use super::{Action, Session, text};
use crate::disk::Disk;
use crate::publish::ToPipeline;
use crate::report::{Report, RolloutStatus};
use crate::update::engine::EngineFactory;
use crate::update::settings::{Change, LocalSettings, channel_name};
use crate::update::store::StoreError;
use lapwing_shared::messages::topics::{Kind, agent_topic, manifest_topic, rollout_topic};
use lapwing_shared::messages::{Body, DeviceHealth, Health, TARGET_BYTES, Update, UpdateStep};
use lapwing_shared::release::digest::sha256;
use lapwing_shared::release::update::HeldRelease;
use lapwing_shared::rollout::decide::{self, Obstacle, Settings, Situation, Step, decide};
use lapwing_shared::rollout::message::{Rollout, RolloutError};
use lapwing_shared::rollout::place::Place;
use std::fmt::Write;

/// Place of rollouts in [`KINDS`].
pub(super) const ROLLOUT: usize = 0;
/// Place of assignments in [`KINDS`].
pub(super) const ASSIGNMENT: usize = 1;
/// Messages that a rollout key signs.
const KINDS: [&str; 2] = ["rollout", "assignment"];
/// What the agent reports of its build.
const TARGET: &str = env!("LAPWING_TARGET");

/// The session's part in campaigns.
pub(super) struct Steering {
    settings: LocalSettings,
    /// False-alert budget of the configuration, alerts per day.
    alerts_per_day: f32,
    /// Version to install next, and the time from which its manifest is requested, milliseconds.
    wanted: Option<(u64, u64)>,
    /// Version whose manifest the session has subscribed to on this connection.
    subscribed: Option<u64>,
    /// Why nothing is to be done.
    obstacle: Option<Obstacle>,
    /// A release in the spare slot that cannot be used.
    unusable: Option<HeldRelease>,
    /// Rejected messages, in the order of [`KINDS`].
    rejected: [u64; 2],
    /// Starts of the agent.
    starts: u32,
}

impl Default for Steering {
    fn default() -> Self {
        Self {
            settings: LocalSettings::new(Settings::default(), None),
            alerts_per_day: 1.0,
            wanted: None,
            subscribed: None,
            obstacle: None,
            unusable: None,
            rejected: [0; 2],
            starts: 0,
        }
    }
}

/// Delay of an agent for a version. A version without a campaign has no salt.
fn delay_s(rollout: &Rollout, agent: &lapwing_shared::messages::AgentName, version: u64) -> u32 {
    let salt = rollout.next.filter(|next| next.version == version).map_or(version.to_be_bytes(), |next| next.salt);
    Place::of(&salt, agent).delay_s(rollout.spread_s)
}

impl<D: Disk, F: EngineFactory> Session<D, F> {
    /// Uses this false-alert budget, unless another one is assigned.
    #[must_use]
    pub(crate) fn with_budget(mut self, alerts_per_day: f32) -> Self {
        self.steering.alerts_per_day = alerts_per_day;
        self
    }

    /// The false-alert budget in force.
    fn alerts_per_day(&self) -> f32 {
        let assigned = self.store.assignment().and_then(|assignment| assignment.alerts_per_1000_days);
        assigned.map_or(self.steering.alerts_per_day, |alerts| alerts as f32 / 1_000.0)
    }

    /// The settings in force.
    fn settings(&self) -> Settings {
        let local = self.steering.settings.get();
        self.store.assignment().map_or(local, |assignment| assignment.apply(local))
    }

    /// Serial of the newest assignment; 0 without one.
    fn assignment_serial(&self) -> u64 {
        self.store.assignment().map_or(0, |assignment| assignment.serial)
    }

    /// Uses these settings, and does what the stored rollout requires: the release on trial may be withdrawn.
    #[must_use]
    pub(crate) fn with_settings(mut self, settings: LocalSettings, starts: u32) -> Self {
        (self.steering.settings, self.steering.starts) = (settings, starts);
        self.steer(0);
        self
    }

    /// Updates what the report says of rollouts.
    pub(crate) fn report_updates(&self, report: &mut Report) {
        let status = |rollout: &Rollout| RolloutStatus {
            serial: rollout.serial,
            base: rollout.base,
            next: rollout.next.map_or(0, |next| next.version),
            rows_per_day: rollout.budget.rows_per_day,
            health_every_s: rollout.budget.health_every_s,
            expires_s: rollout.expires_s,
        };
        report.rollout = self.rollout().map(status);
        [report.rejected_rollouts, report.rejected_assignments] = self.steering.rejected;
        (report.assignment, report.floor) = (self.assignment_serial(), self.store.floor());
        (report.alerts_per_day, report.updates) = (self.alerts_per_day(), self.describe_updates());
    }

    /// The newest rollout.
    pub(crate) fn rollout(&self) -> Option<&Rollout> {
        self.store.rollout()
    }

    /// The version whose manifest it wants.
    pub(super) fn wants(&self, version: u64) -> bool {
        self.store.rollout().is_some() && self.steering.wanted.is_some_and(|(wanted, _)| wanted == version)
    }

    /// On a new connection, or with new keys: the broker sends rollout and manifest again.
    pub(super) fn subscribe_to_rollouts(&mut self) {
        self.steering.subscribed = None;
        if self.store.has_rollout_key() && self.connected {
            let topic = rollout_topic(&self.store.terms().group);
            self.actions.push_back(Action::Subscribe(topic.to_string()));
            if self.store.accepts_assignments() {
                self.actions.push_back(Action::Subscribe(agent_topic(&self.agent, Kind::Assignment).to_string()));
            }
        }
    }

    /// Takes a message of a kind of [`KINDS`].
    pub(super) fn take_signed(&mut self, kind: usize, bytes: &[u8], now_ms: u64, now_s: Option<u64>) {
        if !self.store.has_rollout_key() {
            return;
        }
        let digest = sha256(bytes);
        if self.forged.has(&digest) {
            self.steering.rejected[kind] += 1;
            return;
        }
        let taken = match kind {
            ROLLOUT => self.store.take_rollout(bytes, now_s),
            _ => self.store.take_assignment(bytes, now_s),
        };
        match taken {
            Ok(true) => {
                tracing::info!("new {}: {}", KINDS[kind], self.describe_updates());
                self.steering.obstacle = None;
                if let Err(error) = self.store.save_rollout(now_ms) {
                    tracing::warn!(%error, "cannot store the rollout or assignment; retrying");
                }
                self.steer(now_ms);
            }
            Ok(false) => {}
            Err(error) => self.reject_signed(kind, digest, &error, now_ms),
        }
    }

    /// Reports each message once a minute, like a manifest without a valid signature.
    fn reject_signed(&mut self, kind: usize, digest: [u8; 32], error: &RolloutError, now_ms: u64) {
        self.steering.rejected[kind] += 1;
        if self.forged.allow(digest, now_ms) {
            let reason = format!("{}: {error}", KINDS[kind]);
            tracing::warn!(%reason, rejected = self.steering.rejected[kind], "message rejected");
            let update = Update { release: 0, step: UpdateStep::Refused(text(&reason)) };
            // Every update is valid.
            let _ = self.outbox.push_volatile(Body::Update(update), 0);
        }
    }

    fn situation(&self, spare: Option<HeldRelease>) -> Situation<'_> {
        Situation {
            agent: &self.agent,
            settings: self.settings(),
            state: self.store.state(),
            spare,
            floor: self.store.floor(),
            now_s: Some(self.now_s).filter(|now_s| *now_s > 0),
        }
    }

    /// Whether the newest rollout permits a step; without one, everything is permitted.
    pub(super) fn permits(&self, step: Step, version: u64) -> Result<(), Obstacle> {
        match self.store.rollout() {
            Some(rollout) => decide::permits(rollout, &self.situation(None), step, version),
            None => Ok(()),
        }
    }

    /// Does what the newest rollout requires; call after each change of it, of the state and of the settings, and now and then.
    pub(super) fn steer(&mut self, now_ms: u64) {
        let Some(action) = self.decide() else { return self.want(None, now_ms) };
        self.steering.obstacle = None;
        let version = match action {
            decide::Action::Install(version) | decide::Action::GoBack(version) => Some(version),
            _ => None,
        };
        self.end_other_downloads(version);
        match action {
            decide::Action::Keep(obstacle) => self.steering.obstacle = Some(obstacle),
            decide::Action::EndTrial(version) => return self.end_trial(version, now_ms),
            decide::Action::Restore(spare) => return self.restore(spare, now_ms),
            decide::Action::Install(_) | decide::Action::GoBack(_) => {}
        }
        self.want(version, now_ms);
    }

    fn decide(&mut self) -> Option<decide::Action> {
        let confirmed = self.store.state().confirmed;
        let rollout = self.store.rollout()?;
        let Steering { wanted, obstacle, .. } = &self.steering;
        // The whole slot is read: once for each rollout, not at every tick.
        let is_known =
            wanted.is_some_and(|(wanted, _)| wanted == rollout.base) || *obstacle == Some(Obstacle::NoWayBack);
        let may_restore = !is_known && confirmed.is_some_and(|release| rollout.is_withdrawn(release.version));
        let has_trial = self.store.state().trial.is_some();
        let spare = if may_restore && !has_trial { self.store.spare() } else { None };
        let spare = spare.filter(|spare| self.steering.unusable != Some(*spare));
        Some(decide(self.store.rollout()?, &self.situation(spare)))
    }

    /// Ends a download, and does not wait for one any longer, unless it is of this version.
    fn end_other_downloads(&mut self, version: Option<u64>) {
        let is_other = |other: u64| Some(other) != version;
        if self.fetch.as_ref().is_some_and(|fetch| is_other(fetch.verified.manifest().version)) {
            self.leave_chunk();
            self.fetch = None;
        }
        self.retry.take_if(|retry| is_other(retry.version));
        self.waiting.take_if(|(waiting, _)| is_other(*waiting));
    }

    /// Requests the manifest of a version, after the agent's delay.
    fn want(&mut self, version: Option<u64>, now_ms: u64) {
        if self.steering.wanted.map(|(wanted, _)| wanted) != version {
            let due_ms = |version| {
                let delay_s = self.store.rollout().map_or(0, |rollout| delay_s(rollout, &self.agent, version));
                now_ms + u64::from(delay_s) * 1000
            };
            self.steering.wanted = version.map(|version| (version, due_ms(version)));
        }
        let due = self.steering.wanted.filter(|(_, due_ms)| now_ms >= *due_ms).map(|(version, _)| version);
        if !self.connected || self.steering.subscribed == due {
            return;
        }
        let topic = |version| manifest_topic(&self.store.terms().group, version).to_string();
        let ended = self.steering.subscribed.map(|version| Action::Unsubscribe(topic(version)));
        let begun = due.map(|version| Action::Subscribe(topic(version)));
        self.actions.extend(ended.into_iter().chain(begun));
        self.steering.subscribed = due;
    }

    /// The rollout does not permit the trial any more; the release has not failed.
    pub(super) fn end_trial(&mut self, version: u64, now_ms: u64) {
        self.passed = None;
        tracing::info!(release = version, "the rollout ends the trial");
        if let Err(error) = self.store.end_trial() {
            tracing::warn!(%error, "cannot store the end of the trial; retrying");
        }
        self.use_confirmed();
        self.report_return();
        self.steer(now_ms);
    }

    fn restore(&mut self, spare: HeldRelease, now_ms: u64) {
        match self.store.restore(spare, &self.engines) {
            Ok(release) => {
                tracing::info!(
                    release = spare.version,
                    "the release in use is withdrawn; its predecessor is in use again"
                );
                self.install(ToPipeline::Install(release));
                self.report_return();
            }
            // Tried again at the next tick.
            Err(error @ StoreError::Disk { action: "write", .. }) => {
                if !std::mem::replace(&mut self.disk_fails, true) {
                    tracing::warn!(%error, "cannot write to the state folder; retrying");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot use the release in the spare slot; it is downloaded again");
                self.steering.unusable = Some(spare);
            }
        }
        self.want(None, now_ms);
    }

    /// Reports the release that is in use again.
    fn report_return(&mut self) {
        if let Some(release) = self.store.state().confirmed {
            self.report(release.version, UpdateStep::Confirmed);
        }
    }

    /// Adds what the session knows to a health report.
    pub(super) fn complete_health(&self, health: &mut Health) {
        let Settings { channel, hold, pin } = self.settings();
        health.device = DeviceHealth {
            target: TARGET.chars().take(TARGET_BYTES).collect(),
            alerts_per_1000_days: (self.alerts_per_day() * 1_000.0 + 0.5) as u32,
            assignment: self.assignment_serial(),
        };
        let release = &mut health.release;
        release.starts = self.steering.starts;
        release.serial = self.store.rollout().map_or(0, |rollout| rollout.serial);
        release.root_version = self.root().map_or(0, |root| root.version);
        // A pinned agent takes no part in campaigns either.
        (release.channel, release.is_held) = (channel, hold || pin.is_some());
    }

    /// Applies a command of a person; returns the answer.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub(super) fn change_settings(&mut self, change: Change, now_ms: u64) -> Result<String, String> {
        if let Err(error) = self.steering.settings.change(change) {
            return Err(format!("cannot store the setting: {error}; it holds until the agent stops"));
        }
        self.steer(now_ms);
        let mut text = self.describe_updates();
        if change == Change::Release && self.steering.settings.is_hold_configured() {
            text += "; held by update.hold in the configuration";
        }
        if self.steering.settings.get() != self.settings() && change != Change::Show {
            text += "; the trainer's assignment is in force, what you set is used when it ends";
        }
        Ok(text)
    }

    /// Settings, newest rollout and what keeps the agent from installing, for people.
    fn describe_updates(&self) -> String {
        let Settings { channel, hold, pin } = self.settings();
        let mut text = format!("channel {}", channel_name(channel));
        if hold {
            text += ", held";
        }
        // Writing to a string does not fail.
        if let Some(pin) = pin {
            let _ = write!(text, ", pinned to {pin}");
        }
        if let Some(assignment) = self.store.assignment() {
            let _ = write!(text, ", assignment {}", assignment.serial);
        }
        match (self.store.rollout(), self.store.has_rollout_key()) {
            (Some(rollout), _) => {
                let _ = write!(text, "; rollout {} of group {}: base {}", rollout.serial, rollout.group, rollout.base);
                if let Some(next) = &rollout.next {
                    let _ = write!(text, ", next {}", next.version);
                }
                match (self.steering.wanted, self.steering.obstacle) {
                    (Some((version, _)), _) => {
                        let _ = write!(text, "; to install: {version}");
                    }
                    (None, Some(obstacle)) => {
                        let _ = write!(text, "; {obstacle}");
                    }
                    (None, None) => {}
                }
            }
            (None, true) => text += "; no rollout received yet",
            (None, false) => text += "; no key for rollouts: releases come from the group's release topic",
        }
        text
    }
}

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;
