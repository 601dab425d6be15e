//! Signed manifest → chunks → installed release → trial → verdict.

use super::retry::Retry;
use super::{Action, CHUNK_WAIT_MS, Fetch, Session, text};
use crate::clock;
use crate::disk::Disk;
use crate::publish::ToPipeline;
use crate::update::engine::{EngineFactory, InstalledRelease, install};
use crate::update::store::StoreError;
use lapwing_shared::messages::topics::chunk_topic;
use lapwing_shared::messages::{Body, Update, UpdateStep};
use lapwing_shared::release::accept::{Refusal, Verified};
use lapwing_shared::release::digest::sha256;
use lapwing_shared::release::download::{ChunkOutcome, Download};
use lapwing_shared::release::manifest::{Digest, Manifest};
use lapwing_shared::release::signature::SignedManifest;
use lapwing_shared::release::trial::TrialVerdict;
use lapwing_shared::rollout::decide::Step;

impl Fetch {
    /// Whether the chunk is overdue.
    fn is_stalled(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.asked_ms) >= CHUNK_WAIT_MS
    }
}

impl<D: Disk, F: EngineFactory> Session<D, F> {
    pub(super) fn release(&mut self, signed: &[u8], now_ms: u64, now_s: Option<u64>) {
        let digest = SignedManifest::decode(signed).ok().map(|signed| sha256(signed.manifest));
        let state = self.store.state();
        let is_done = state.in_use().map(|held| held.digest) == digest
            || state.refused.is_some_and(|refused| Some(refused.digest) == digest);
        if digest.is_some() && is_done {
            return;
        }
        if let Some(fetch) = self.fetch.as_ref().filter(|fetch| Some(*fetch.verified.digest()) == digest) {
            // The retained manifest arrives again at each connection, and as often as a client of the broker likes.
            if fetch.is_stalled(now_ms) {
                self.ask_chunk(now_ms);
            }
            return;
        }
        let payload = sha256(signed);
        if self.forged.has(&payload) {
            self.rejected += 1;
            return;
        }
        match self.store.check(signed, now_s) {
            Ok(verified) => self.verified(verified, signed, now_ms),
            Err(refusal) => self.reject_manifest(signed, payload, &refusal, now_ms),
        }
    }

    /// Reports each manifest once a minute. A report on an unsigned one is not written to the disk: whoever may publish on
    /// the topic could wear out the flash.
    fn reject_manifest(&mut self, signed: &[u8], payload: Digest, refusal: &Refusal, now_ms: u64) {
        self.rejected += 1;
        let reason = refusal.to_string();
        if !matches!(refusal, Refusal::Signature(_)) {
            if self.reported.allow(payload, now_ms) {
                self.refuse(version(signed), &reason);
            }
        } else if self.forged.allow(payload, now_ms) {
            tracing::info!(release = 0, %reason, rejected = self.rejected, "manifest rejected");
            let update = Update { release: 0, step: UpdateStep::Refused(text(&reason)) };
            // Every update is valid.
            let _ = self.outbox.push_volatile(Body::Update(update), 0);
        }
    }

    fn verified(&mut self, verified: Verified, signed: &[u8], now_ms: u64) {
        let (version, digest) = (verified.manifest().version, *verified.digest());
        if let Err(obstacle) = self.permits(Step::Download, version) {
            return tracing::debug!(version, %obstacle, "manifest ignored");
        }
        self.store.raise_floor(verified.manifest().floor);
        if self.store.state().trial.is_some() {
            if self.waiting.as_ref().is_none_or(|(waiting, _)| *waiting <= version) {
                self.waiting = Some((version, signed.to_vec()));
            }
            return;
        }
        // Otherwise two old manifests in turn would restart downloads without end.
        let is_older = self
            .fetch
            .as_ref()
            .is_some_and(|fetch| !fetch.is_stalled(now_ms) && version <= fetch.verified.manifest().version);
        if is_older || self.retry.as_ref().is_some_and(|retry| retry.defers(version, &digest, now_ms)) {
            return;
        }
        self.leave_chunk();
        if self.reported.allow(digest, now_ms) {
            self.report(version, UpdateStep::Downloading);
        }
        let download = Download::new(*verified.artifact());
        let buffer = vec![0; verified.artifact().size_bytes as usize];
        self.fetch = Some(Fetch { verified, signed: signed.to_vec(), download, buffer, asked_ms: now_ms, asks: 0 });
        self.ask_chunk(now_ms);
    }

    /// Continues with the release that waited for the end of a trial, or for the time of its next attempt.
    pub(super) fn resume(&mut self, now_ms: u64, now_s: Option<u64>) {
        if let Some((_, signed)) = self.waiting.take_if(|_| self.store.state().trial.is_none()) {
            self.release(&signed, now_ms, now_s);
        }
        let due = |retry: &&Retry| self.connected && self.fetch.is_none() && now_ms >= retry.due_ms;
        if let Some(signed) = self.retry.as_ref().filter(due).map(|retry| retry.signed.clone()) {
            self.release(&signed, now_ms, now_s);
        }
    }

    /// The download or its storage failed through no fault of the release: tries again later.
    fn postpone(&mut self, reason: &str, now_ms: u64) {
        let Some(fetch) = self.fetch.take() else { return };
        let (version, digest) = (fetch.verified.manifest().version, *fetch.verified.digest());
        let retry = Retry::after(self.retry.as_ref(), version, digest, fetch.signed, now_ms);
        let seconds = (retry.due_ms - now_ms) / 1000;
        self.retry = Some(retry);
        self.report(version, UpdateStep::refused_for_now(reason, seconds));
    }

    pub(super) fn chunk_topic(&self) -> Option<String> {
        let fetch = self.fetch.as_ref()?;
        let number = fetch.download.next_chunk()?;
        Some(chunk_topic(&fetch.download.artifact().sha256, number).to_string())
    }

    pub(super) fn ask_chunk(&mut self, now_ms: u64) {
        let Some(topic) = self.chunk_topic().filter(|_| self.connected) else { return };
        if let Some(fetch) = &mut self.fetch {
            (fetch.asked_ms, fetch.asks) = (now_ms, fetch.asks.saturating_add(1));
        }
        self.actions.push_back(Action::Subscribe(topic));
    }

    pub(super) fn leave_chunk(&mut self) {
        if let Some(topic) = self.chunk_topic().filter(|_| self.connected) {
            self.actions.push_back(Action::Unsubscribe(topic));
        }
    }

    pub(super) fn chunk(&mut self, sha256: &[u8; 32], number: u32, bytes: &[u8], now_ms: u64) {
        let topic = self.chunk_topic();
        let Some(fetch) = self.fetch.as_mut().filter(|fetch| fetch.download.artifact().sha256 == *sha256) else {
            return;
        };
        let progress = fetch.download.offer(number, bytes, &mut fetch.buffer);
        if progress == Ok(ChunkOutcome::Ignored) {
            return;
        }
        fetch.asks = 0;
        self.actions.extend(topic.map(Action::Unsubscribe));
        match progress {
            Ok(ChunkOutcome::Complete) => self.fetched(now_ms),
            Ok(ChunkOutcome::Restarted(fault)) => {
                if let Some(suppressed) = self.restarts.allow(now_ms) {
                    tracing::warn!(%fault, suppressed, "download restarts");
                }
                self.ask_chunk(now_ms);
            }
            Ok(_) => self.ask_chunk(now_ms),
            Err(fault) => self.postpone(&fault.to_string(), now_ms),
        }
    }

    /// Rejects the release for good, because of a fault of its own.
    fn reject(&mut self, reason: &str) {
        let Some(fetch) = self.fetch.take() else { return };
        let version = fetch.verified.manifest().version;
        if let Err(error) = self.store.refuse(version, *fetch.verified.digest()) {
            tracing::warn!(%error, "cannot store the rejection");
        }
        self.refuse(version, reason);
    }

    fn fetched(&mut self, now_ms: u64) {
        let Some(fetch) = &self.fetch else { return };
        let version = fetch.verified.manifest().version;
        if self.permits(Step::Write, version).and(self.permits(Step::Trial, version)).is_err() {
            return self.fetch = None;
        }
        let release = match install(fetch.verified.clone(), &fetch.buffer, &self.engines, true) {
            Ok(release) => release,
            Err(error) => return self.reject(&error.to_string()),
        };
        if let Err(error) = self.store.stage(&fetch.verified, &fetch.signed, &fetch.buffer) {
            return self.postpone(&error.to_string(), now_ms);
        }
        (self.fetch, self.retry) = (None, None);
        self.report(version, UpdateStep::Verified);
        self.report(version, UpdateStep::Trial);
        self.install(ToPipeline::Install(release));
    }

    /// Queues a message for the pipeline; it replaces one that is still waiting.
    pub(super) fn install(&mut self, install: ToPipeline<F::Engine>) {
        self.in_use = match &install {
            ToPipeline::Install(release) => {
                if !release.on_trial {
                    // For agents without a clock. A release on trial may have a wrong time.
                    clock::passed(release.manifest.created_s);
                }
                (release.manifest.version, release.on_trial)
            }
            ToPipeline::Remove => (0, false),
        };
        self.installs.clear();
        self.installs.push_back(install);
        self.publish_status();
    }

    /// Confirms the release whose trial passed. The pipeline reports a verdict only once, so a failed write is retried here.
    pub(super) fn confirm_passed(&mut self) -> Result<(), StoreError> {
        let Some(version) = self.passed else { return Ok(()) };
        if self.permits(Step::Confirm, version).is_err() {
            self.end_trial(version, self.flushed_ms);
            return Ok(());
        }
        self.store.confirm()?;
        self.passed = None;
        self.in_use = (version, false);
        self.report(version, UpdateStep::Confirmed);
        self.publish_status();
        Ok(())
    }

    pub(super) fn verdict(&mut self, version: u64, verdict: TrialVerdict) {
        if self.store.state().trial.map(|trial| trial.release.version) != Some(version) {
            return;
        }
        if verdict == TrialVerdict::Confirm {
            self.passed = Some(version);
            if let Err(error) = self.confirm_passed() {
                tracing::warn!(%error, "trial passed, but the confirmation cannot be stored; retrying");
                self.disk_fails = true;
            }
            return;
        }
        self.fail_trial(version, &verdict.to_string());
    }

    /// Rolls the trial back to the confirmed release, or to the configured one.
    pub(super) fn fail_trial(&mut self, version: u64, reason: &str) {
        self.passed = None;
        if let Err(error) = self.store.roll_back() {
            tracing::warn!(%error, "cannot store the rollback");
        }
        self.report(version, UpdateStep::RolledBack(text(reason)));
        self.use_confirmed();
    }

    /// Uses the confirmed release again, or else the configured one.
    pub(super) fn use_confirmed(&mut self) {
        let mut errors = Vec::new();
        let confirmed = self.store.load_confirmed(&self.engines, &mut errors);
        for error in errors {
            tracing::warn!(%error, "cannot load a stored release");
        }
        let release = confirmed.or_else(|| self.built_fallback());
        self.install(release.map_or(ToPipeline::Remove, ToPipeline::Install));
    }

    fn built_fallback(&self) -> Option<InstalledRelease<F::Engine>> {
        let build = &self.fallback.as_ref()?.build;
        build().inspect_err(|error| tracing::warn!(%error, "cannot load the configured release")).ok()
    }
}

/// Version of a manifest whose signature is right, 0 if it cannot be read.
fn version(signed: &[u8]) -> u64 {
    let manifest = SignedManifest::decode(signed).ok().and_then(|signed| Manifest::decode(signed.manifest).ok());
    manifest.map_or(0, |manifest| manifest.version)
}
