//! Requests, schedule and new rows → trainings; finished trainings and approvals → published releases.

use super::training::{Made, TrainingJob, TrainingRequest};
use super::{HELD_BACK, ProgressDisplay, ServeError, Server};
use lapwing_common::clock::Moment;
use lapwing_common::private_file;
use lapwing_fleet::{Demand, next_version};
use lapwing_pipeline::card::CardFiles;
use lapwing_pipeline::order::{AgentShare, Guard, MadeRelease, MakeError, Order};
use lapwing_pipeline::release::build::sign_held;
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_pipeline::release::read;
use lapwing_shared::release::digest::sha256;
use lapwing_shared::release::manifest::Manifest;
use lapwing_store::{Counter, HeldRelease, HeldState, Release};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Agents whose share of a release is logged, largest shares first.
const LOGGED_AGENTS: usize = 20;
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

impl Server {
    /// Starts a training if one was requested or is due.
    pub(super) fn train_if_due(&mut self, now: Moment) -> Result<(), ServeError> {
        let rows_seen = self.handle.counter(Counter::SampleRowsStored)?;
        let job = self.handle.take_jobs()?;
        let (demand, schedule, at) = (Demand { job: job.as_ref(), rows_seen }, self.schedule(), self.at(now));
        let Some(cause) = self.history.due(&schedule, demand, at) else { return Ok(()) };
        let (job, reason) = (job.map(|job| job.id), cause.to_string());
        let retrain = &self.config.retrain;
        let started = self.order(now.wall_s).and_then(|order| {
            let maker = Arc::clone(&self.maker);
            let store = self.config.store.path.clone();
            let (min_rows, teach) = (retrain.min_rows, self.config.agents.teach.clone());
            TrainingJob::start(maker, store, TrainingRequest { order, min_rows, teach, reason, job, rows_seen })
        });
        match started {
            Ok(training) => {
                let TrainingRequest { order, reason, .. } = &training.request;
                tracing::info!(version = order.version, reason, "training started");
                self.training = Some((training, ProgressDisplay::new()));
                Ok(())
            }
            Err(error) => self.failed(job, &error, now),
        }
    }

    /// The order for the next release, created at `created_s` seconds since the epoch.
    pub(super) fn order(&self, created_s: u64) -> Result<Order, MakeError> {
        let retrain = &self.config.retrain;
        let key = retrain.key.clone().ok_or(MakeError::NoKey)?;
        let group = self.config.group().map_err(|error| MakeError::Training(error.to_string()))?;
        let stored = self.handle.releases(&retrain.group, 1)?.first().map_or(0, |line| line.version);
        let on_disk = self.releases.versions().last().copied();
        let held = self.handle.held_releases(&retrain.group, 1)?.first().map_or(0, |line| line.version);
        let floor = self.handle.counter(Counter::ReleaseVersionFloor)?;
        let expires_s = created_s.saturating_add(Duration::from(retrain.expires_after.0).as_secs());
        let version = next_version([stored, on_disk.unwrap_or(0), held, floor]);
        let version = version.ok_or_else(|| MakeError::Training("the group has no higher version left".into()))?;
        let unlabelled = self.handle.unlabelled_of(self.config.agents.teach.as_deref())?;
        let guard = Guard {
            max_agent_share: retrain.max_agent_share,
            min_agent_rows: retrain.min_agent_rows,
            previous: on_disk.map(|version| self.releases.read(version)).transpose()?,
            reference: self.reference()?,
            labelled: Vec::new(),
            hold: retrain.gate,
        };
        Ok(Order { group, version, created_s, expires_s, seed: retrain.seed, key, unlabelled, guard })
    }

    /// The newest release that an operator approved, or else the oldest one, of those that this version can read and whose
    /// features are the present ones.
    fn reference(&self) -> Result<Option<Vec<u8>>, MakeError> {
        let held = self.handle.held_releases(&self.config.retrain.group, HELD_LOOKED_AT)?;
        let approved = held.iter().filter(|held| held.state == HeldState::Published).map(|held| held.version);
        let comparable = |version| {
            let bytes = self.releases.read(version).ok()?;
            let (_, manifest) = read(&bytes).ok()?;
            (manifest.schema == self.maker.schema()).then_some(bytes)
        };
        Ok(approved.chain(self.releases.versions()).find_map(comparable))
    }

    /// Stores and publishes the release of a finished training, or holds it back, and records the result.
    pub(super) fn finish_training(&mut self, now: Moment) -> Result<(), ServeError> {
        let Some((training, display)) = self.training.take() else { return Ok(()) };
        display.end();
        let TrainingRequest { order, reason, job, rows_seen, .. } = training.request.clone();
        let made = training.finish();
        // After a failure, too: the next attempt waits for new rows or for the schedule.
        self.history.ended(rows_seen);
        let result = made.and_then(|made| {
            log_made(order.version, &made);
            let text = |error: ServeError| MakeError::Training(error.to_string());
            if made.release.held {
                return self.hold(&order, &made.release, reason).map_err(text);
            }
            let MadeRelease { file, card, .. } = &made.release;
            self.release(&Stored::from(&order), file, card.as_ref(), reason, now).map_err(text)?;
            self.handle.supersede_held(&order.group)?;
            Ok(format!("release {}", order.version))
        });
        match result {
            Ok(text) => {
                self.history.succeeded(order.created_s);
                self.handle.set_counter(Counter::SampleRowsTrained, rows_seen)?;
                if let Some(job) = job {
                    self.handle.finish_jobs(job, Ok(&text), now.wall_s)?;
                }
                Ok(())
            }
            Err(error) => self.failed(job, &error, now),
        }
    }

    /// Writes a release that the gate holds back, for an operator to approve.
    fn hold(&mut self, order: &Order, made: &MadeRelease, reason: String) -> Result<String, ServeError> {
        let file = self.releases.write_held(order.version, &made.file)?;
        write_card(made.card.as_ref(), &file, order.version);
        let findings = made.gate.findings.join("\n");
        let (group, state) = (order.group.to_string(), HeldState::Waiting);
        let (version, made_s) = (order.version, order.created_s);
        let text = format!("release {version} waits for approval: {}", made.gate.findings.join("; "));
        tracing::warn!(version, findings, "{HELD_BACK}");
        self.handle.hold_release(&HeldRelease { group, version, made_s, file, reason, findings, state, who: None })?;
        Ok(text)
    }

    /// Signs and publishes a release that an operator approved.
    pub(super) fn publish_approved(&mut self, now: Moment) -> Result<(), ServeError> {
        let Some(held) = self.handle.approved_release(&self.config.retrain.group)? else { return Ok(()) };
        let (version, who) = (held.version, held.who.clone().unwrap_or_default());
        let state = match self.sign_approved(&held, now) {
            Ok(()) => HeldState::Published,
            Err(error) => {
                tracing::error!(version, %error, "cannot publish the approved release; approve it again");
                HeldState::Waiting
            }
        };
        self.handle.set_held_state(&held.group, version, state)?;
        tracing::info!(version, who, state = state.as_str(), "approved release");
        Ok(())
    }

    fn sign_approved(&mut self, held: &HeldRelease, now: Moment) -> Result<(), ServeError> {
        let key = self.config.retrain.key.clone().ok_or(MakeError::NoKey)?;
        let failed = |error: &dyn std::fmt::Display| MakeError::Training(error.to_string());
        let key = ReleaseKey::load(&key).map_err(|error| failed(&error))?;
        let bytes = std::fs::read(&held.file).map_err(|source| MakeError::File { path: held.file.clone(), source })?;
        let file = sign_held(&bytes, &key).map_err(|error| failed(&error))?;
        let stored = Stored { group: held.group.clone(), version: held.version, made_s: held.made_s };
        // The card is already beside the file.
        self.release(&stored, &file, None, held.reason.clone(), now).map(drop)
    }

    /// Writes the release file, publishes it, and clears the chunks of the release before the previous one.
    fn release(
        &mut self,
        stored: &Stored,
        file: &[u8],
        card: Option<&CardFiles>,
        reason: String,
        now: Moment,
    ) -> Result<Manifest, ServeError> {
        let Stored { group, version, made_s } = stored.clone();
        let publish = |source| ServeError::Publish { version, source };
        let before: Vec<Manifest> = self.newest_manifests();
        let (parts, _) = read(file).map_err(publish)?;
        let manifest_sha256 = sha256(parts.signed);
        let path = self.releases.write(version, file)?;
        write_card(card, &path, version);
        let reason = Some(reason);
        self.handle.add_release(&Release { group, version, manifest_sha256, made_s, file: path, reason })?;
        let manifest = self.publisher.replace(file, now.monotonic).map_err(publish)?;
        if let [previous, old] = before.as_slice() {
            self.publisher.clear(old, &[&manifest, previous]);
        }
        self.publisher.pass(&self.counts, now.monotonic);
        Ok(manifest)
    }

    /// Manifests of the two newest releases, newest first; unreadable ones are skipped.
    fn newest_manifests(&self) -> Vec<Manifest> {
        let newest = self.releases.versions().into_iter().rev().take(2);
        let read = |version| read(&self.releases.read(version).ok()?).ok().map(|(_, manifest)| manifest);
        newest.filter_map(read).collect()
    }

    fn failed(&mut self, job: Option<i64>, error: &MakeError, now: Moment) -> Result<(), ServeError> {
        tracing::error!(%error, "cannot create a release");
        let (schedule, at) = (self.schedule(), self.at(now));
        self.history.failed(&schedule, at);
        if let Some(job) = job {
            self.handle.finish_jobs(job, Err(&error.to_string()), now.wall_s)?;
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
fn log_made(version: u64, made: &Made) {
    let summary = &made.summary;
    tracing::info!(
        version,
        rows = summary.rows,
        suspect = summary.suspect,
        in_episode = summary.in_episode,
        called_benign = summary.labelled_benign,
        other_schema = summary.other_schema,
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
        tracing::info!(version, agent, rows = given, used, percent, "share of the training");
    }
    let given: usize = shares.iter().map(|share| share.given).sum();
    if 2 * total < given {
        tracing::warn!(
            version,
            rows = given,
            used = total,
            "most rows are left out, so that no agent exceeds max-agent-share; raise it or min-agent-rows to use more"
        );
    }
}
