//! Requests, schedules and new rows of the groups → trainings, one at a time; finished trainings and approvals → release
//! files and their entries in the store.

use super::learner::{Group, Learner};
use super::training::{Finished, Made, TrainingJob, TrainingRequest};
use super::version_check::known_versions;
use super::{HELD_BACK, ProgressDisplay, ReleaseDir, ServeError, signed_file};
use crate::config::SigningPlace;
use lapwing_common::clock::Moment;
use lapwing_common::private_file;
use lapwing_fleet::{Demand, SERVE, next_version};
use lapwing_pipeline::card::CardFiles;
use lapwing_pipeline::order::{AgentShare, Guard, MadeRelease, MakeError, Order};
use lapwing_pipeline::release::build::{check_signed, sign_held};
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_pipeline::release::read;
use lapwing_shared::release::digest::sha256;
use lapwing_shared::release::name::parse_name;
use lapwing_store::{HeldRelease, HeldState, Release, StoreError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Agents whose share of a release is logged, largest shares first.
const LOGGED_AGENTS: usize = 20;
/// Finding of a release whose key is on another machine.
const SIGNED_ELSEWHERE: &str = "it is signed on another machine: see `lapwing-trainer candidate`";
/// Newest held-back releases among which the last approved one is searched.
const HELD_LOOKED_AT: u32 = 1_000;

/// Group, version and creation time of a release.
#[derive(Clone)]
struct Stored {
    group: String,
    version: u64,
    made_s: u64,
}

impl From<&Order> for Stored {
    fn from(order: &Order) -> Self {
        Self { group: order.group.to_string(), version: order.version, made_s: order.created_s }
    }
}

impl Learner {
    /// Starts a training of the next group for which one was requested or is due.
    pub(super) fn train_if_due(&mut self, now: Moment) -> Result<(), ServeError> {
        let names: Vec<&str> = self.groups.iter().map(|group| group.settings.group.as_str()).collect();
        self.handle.assign_jobs(&names, now.wall_s)?;
        let rows = self.group_rows()?;
        // Round robin: a group that is always due must not keep the others from training.
        for offset in 1..=self.groups.len() {
            let index = (self.last + offset) % self.groups.len();
            let Some(group) = self.groups.get_mut(index).filter(|group| group.is_private) else { continue };
            let rows_seen = rows.get(index).map_or(0, |rows| rows.stored);
            let job = self.handle.take_jobs(&group.settings.group)?;
            let (demand, at) = (Demand { job: job.as_ref(), rows_seen }, self.clock.at(now));
            let Some(cause) = group.history.due(&group.schedule(), demand, at) else { continue };
            self.last = index;
            return self.train(index, (job.map(|job| job.id), cause.to_string(), rows_seen), now);
        }
        Ok(())
    }

    fn train(
        &mut self,
        group: usize,
        (job, reason, rows_seen): (Option<i64>, String, u64),
        now: Moment,
    ) -> Result<(), ServeError> {
        let started = self.order(group, now.wall_s).and_then(|(order, min_rows)| {
            let (only_group, teach) = (!self.has_one_group, self.teach.clone());
            let request = TrainingRequest { order, min_rows, only_group, teach, reason, group, job, rows_seen };
            TrainingJob::start(Arc::clone(&self.maker), self.store.clone(), request)
        });
        match started {
            Ok(training) => {
                let TrainingRequest { order, reason, .. } = &training.request;
                tracing::info!(group = order.group.as_str(), version = order.version, reason, "training started");
                self.training = Some((training, ProgressDisplay::new()));
                Ok(())
            }
            Err(error) => self.failed(group, job, &error.to_string(), now),
        }
    }

    /// The order for the next release of a group, created at `created_s` seconds since the epoch, and the minimum number of
    /// rows.
    pub(super) fn order(&self, group: usize, created_s: u64) -> Result<(Order, u64), MakeError> {
        let missing = || MakeError::Training("the group is not configured".into());
        let Group { settings, releases, .. } = self.groups.get(group).ok_or_else(missing)?;
        let key = match settings.sign {
            SigningPlace::Here => Some(settings.key.clone().ok_or(MakeError::NoKey)?),
            SigningPlace::Elsewhere => None,
        };
        let name = parse_name(&settings.group).ok_or_else(missing)?;
        let comparable = self.comparable_versions(&settings.group, releases)?;
        let (own, highest) = known_versions(&self.handle, &settings.group, releases)?;
        let expires_s = created_s.saturating_add(Duration::from(settings.expires_after.0).as_secs());
        let version = next_version([own, highest.version()]);
        let version = version.ok_or_else(|| MakeError::Training("the group has no higher version left".into()))?;
        let guard = Guard {
            max_agent_share: settings.max_agent_share,
            min_agent_rows: settings.min_agent_rows,
            previous: comparable.last().map(|version| releases.read(*version)).transpose()?,
            reference: self.reference(&settings.group, &comparable, releases)?,
            labelled: Vec::new(),
            hold: settings.gate,
        };
        let unlabelled = self.handle.unlabelled_of(self.teachers(&settings.group)?.as_deref())?;
        let (group, seed, floor) = (name, settings.seed, settings.floor);
        Ok((Order { group, version, created_s, expires_s, floor, seed, key, unlabelled, guard }, settings.min_rows))
    }

    /// Versions of a group with which the gate compares a new one, ascending: not those that a campaign withdrew, because a
    /// release that is as blind as one that failed must not pass.
    fn comparable_versions(&self, group: &str, releases: &ReleaseDir) -> Result<Vec<u64>, MakeError> {
        let rollout = self.handle.newest_rollout(group)?.and_then(|stored| stored.rollout().ok());
        let is_withdrawn = |version: u64| rollout.as_ref().is_some_and(|rollout| rollout.is_withdrawn(version));
        let versions = releases.versions();
        let left: Vec<u64> = versions.iter().copied().filter(|version| !is_withdrawn(*version)).collect();
        Ok(if left.is_empty() { versions } else { left })
    }

    /// The newest release of a group that an operator approved, or else the oldest one, of these versions, that this program can
    /// read and whose features are the present ones.
    fn reference(&self, group: &str, versions: &[u64], releases: &ReleaseDir) -> Result<Option<Vec<u8>>, MakeError> {
        let held = self.handle.held_releases(group, HELD_LOOKED_AT)?;
        let approved = held.iter().filter(|held| held.state == HeldState::Published).map(|held| held.version);
        let approved = approved.filter(|version| versions.contains(version));
        let comparable = |version| {
            let bytes = releases.read(version).ok()?;
            let (_, manifest) = read(&bytes).ok()?;
            (manifest.schema == self.maker.schema()).then_some(bytes)
        };
        Ok(approved.chain(versions.iter().copied()).find_map(comparable))
    }

    /// Agents whose rows train a group; `None`: all.
    fn teachers(&self, group: &str) -> Result<Option<Vec<String>>, StoreError> {
        if self.has_one_group {
            return Ok(self.teach.clone());
        }
        let agents = self.handle.agents_of_group(group)?.into_values();
        let teaches = |name: &String| self.teach.as_ref().is_none_or(|teach| teach.contains(name));
        Ok(Some(agents.filter(teaches).collect()))
    }

    /// Stores the release of a finished training, or holds it back, and records the result. After an error of the store that
    /// may pass, the next call continues with the same release: another training would sign the rows again.
    pub(super) fn finish_training(&mut self, now: Moment) -> Result<(), ServeError> {
        if let Some((training, display)) = self.training.take() {
            display.end();
            let request = training.request.clone();
            let made = training.finish();
            made.iter().for_each(|made| log_made(&request.order, made));
            // After a failure, too: the next attempt waits for new rows or for the schedule.
            let group = self.groups.get_mut(request.group);
            group.into_iter().for_each(|group| group.history.ended(request.rows_seen));
            self.finished = Some(Finished { request, made });
        }
        let Some(finished) = self.finished.take() else { return Ok(()) };
        let TrainingRequest { order, group, job, .. } = &finished.request;
        let error = match self.keep(&finished, now) {
            Ok(()) => {
                let group = self.groups.get_mut(*group);
                group.into_iter().for_each(|group| group.history.succeeded(order.created_s));
                return Ok(());
            }
            Err(ServeError::Store(error)) if error.is_temporary() => {
                self.finished = Some(finished);
                return Err(error.into());
            }
            Err(error) => error.to_string(),
        };
        self.failed(*group, *job, &error, now)
    }

    /// Writes the release of a training to its file and the store, and ends its job. It may be repeated after an error.
    fn keep(&self, finished: &Finished, now: Moment) -> Result<(), ServeError> {
        let Finished { request: TrainingRequest { order, reason, group, job, rows_seen, .. }, made } = finished;
        let made = made.as_ref().map_err(|error| MakeError::Training(error.to_string()))?;
        let text = if made.release.held {
            self.hold(*group, order, &made.release, reason)?
        } else {
            let MadeRelease { file, card, .. } = &made.release;
            self.release(&Stored::from(order), file, card.as_ref(), (reason, now.wall_s))?;
            self.handle.supersede_held(&order.group)?;
            format!("release {}", order.version)
        };
        self.set_trained_rows(&order.group, *rows_seen)?;
        if let Some(job) = job {
            self.handle.finish_jobs(&order.group, *job, Ok(&text), now.wall_s)?;
        }
        Ok(())
    }

    /// Writes a release that the gate holds back, for an operator to approve.
    fn hold(&self, group: usize, order: &Order, made: &MadeRelease, reason: &str) -> Result<String, ServeError> {
        let Some(Group { releases, .. }) = self.groups.get(group) else { return Ok(String::new()) };
        let signed_elsewhere = order.key.is_none().then(|| SIGNED_ELSEWHERE.to_owned());
        let findings: Vec<String> = made.gate.findings.iter().cloned().chain(signed_elsewhere).collect();
        let text = format!("release {} waits for approval: {}", order.version, findings.join("; "));
        let newest = self.handle.held_releases(&order.group, 1)?;
        if newest.iter().any(|held| held.version == order.version) {
            return Ok(text);
        }
        let file = releases.write_held(order.version, &made.file)?;
        write_card(made.card.as_ref(), &file, order.version);
        let findings = findings.join("\n");
        let (group, state) = (order.group.to_string(), HeldState::Waiting);
        let (version, made_s) = (order.version, order.created_s);
        let reason = reason.to_owned();
        tracing::warn!(group, version, findings, "{HELD_BACK}");
        self.handle.hold_release(&HeldRelease { group, version, made_s, file, reason, findings, state, who: None })?;
        Ok(text)
    }

    /// Signs the releases that operators approved. After an error of the store that may pass, the next call does so again,
    /// with the same result: adding the release to the store also ends its approval.
    pub(super) fn sign_approved(&self, now_s: u64) -> Result<(), ServeError> {
        for group in self.groups.iter().filter(|group| group.is_private) {
            let Some(held) = self.handle.approved_release(&group.settings.group)? else { continue };
            let (version, who) = (held.version, held.who.clone().unwrap_or_default());
            match self.sign(group, &held, now_s) {
                Ok(()) => tracing::info!(group = held.group, version, who, "signed the approved release"),
                Err(ServeError::Store(error)) if error.is_temporary() => return Err(error.into()),
                Err(error) => {
                    let group = &held.group;
                    tracing::error!(group, version, who, %error, "cannot sign the approved release; approve it again");
                    self.handle.set_held_state(&held.group, version, HeldState::Waiting)?;
                }
            }
        }
        Ok(())
    }

    fn sign(&self, group: &Group, held: &HeldRelease, now_s: u64) -> Result<(), ServeError> {
        let failed = |error: &dyn std::fmt::Display| MakeError::Training(error.to_string());
        let read =
            |path: &Path| std::fs::read(path).map_err(|source| MakeError::File { path: path.to_owned(), source });
        let bytes = read(&held.file)?;
        let file = match group.settings.sign {
            SigningPlace::Here => {
                let key = group.settings.key.as_ref().ok_or(MakeError::NoKey)?;
                let key = ReleaseKey::load(key).map_err(|error| failed(&error))?;
                sign_held(&bytes, &key, None).map_err(|error| failed(&error))?
            }
            SigningPlace::Elsewhere => {
                let signed = read(&signed_file(&held.file))?;
                check_signed(&bytes, &signed).map_err(|error| failed(&error))?;
                signed
            }
        };
        let stored = Stored { group: held.group.clone(), version: held.version, made_s: held.made_s };
        // The card is already beside the file.
        self.release(&stored, &file, None, (&held.reason, now_s))
    }

    /// Writes the release file and adds it to the store, where the publisher finds it.
    fn release(
        &self,
        stored: &Stored,
        file: &[u8],
        card: Option<&CardFiles>,
        (reason, now_s): (&str, u64),
    ) -> Result<(), ServeError> {
        let Stored { group, version, made_s } = stored.clone();
        let (parts, _) = read(file).map_err(|source| ServeError::Publish { version, source })?;
        let manifest_sha256 = sha256(parts.signed);
        let own = self.groups.iter().find(|own| own.settings.group == group);
        let own = own.ok_or_else(|| MakeError::Training("the group is not configured".into()))?;
        let path = own.releases.write(version, file)?;
        write_card(card, &path, version);
        let reason = Some(reason.to_owned());
        let release = Release { group, version, manifest_sha256, made_s, file: path, reason };
        Ok(self.handle.add_release(&release, SERVE, now_s)?)
    }

    fn failed(&mut self, group: usize, job: Option<i64>, error: &str, now: Moment) -> Result<(), ServeError> {
        let at = self.clock.at(now);
        let Some(group) = self.groups.get_mut(group) else { return Ok(()) };
        let name = group.settings.group.clone();
        tracing::error!(group = name, error, "cannot create a release");
        let schedule = group.schedule();
        group.history.failed(&schedule, at);
        if let Some(job) = job {
            self.handle.finish_jobs(&name, job, Err(error), now.wall_s)?;
        }
        Ok(())
    }
}

/// The card is optional: the release is published without it.
fn write_card(card: Option<&CardFiles>, release: &Path, version: u64) {
    let Some(card) = card else { return };
    let private = |ending| private_file::restrict(&release.with_extension(ending)).map(drop);
    let written =
        card.write_beside(release).and_then(|()| Ok(["card.html", "card.json"].into_iter().try_for_each(private)?));
    if let Err(error) = written {
        tracing::warn!(version, error = format!("{error:#}"), "cannot write the model card");
    }
}

/// Logs what the release was made of: rows by use, agents by share, and the gate's comparison.
fn log_made(order: &Order, made: &Made) {
    let (summary, version, group) = (&made.summary, order.version, order.group.as_str());
    tracing::info!(
        group,
        version,
        rows = summary.rows,
        suspect = summary.suspect,
        in_episode = summary.in_episode,
        called_benign = summary.labelled_benign,
        other_schema = summary.other_schema,
        revoked = summary.revoked,
        not_teaching = made.not_teaching,
        agents = summary.per_agent.len(),
        gate = made.release.gate.summary(),
        "release created"
    );
    let mut shares: Vec<&AgentShare> = made.release.shares.iter().collect();
    shares.sort_by_key(|share| std::cmp::Reverse(share.used));
    let total: usize = shares.iter().map(|share| share.used).sum();
    for AgentShare { agent, given, used } in shares.iter().take(LOGGED_AGENTS) {
        let agent = summary.agents.get(agent).map_or("", String::as_str);
        let percent = 100 * used / total.max(1);
        tracing::info!(group, version, agent, rows = given, used, percent, "share of the training");
    }
    let given: usize = shares.iter().map(|share| share.given).sum();
    if 2 * total < given {
        tracing::warn!(
            group,
            version,
            rows = given,
            used = total,
            "most rows are left out, so that no agent exceeds max-agent-share; raise it or min-agent-rows to use more"
        );
    }
}
