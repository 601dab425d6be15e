//! The part of the session that brings a release from its manifest to its trial and on to the verdict.

use super::{Action, Fetch, Session, text};
use crate::publish::ToPipeline;
use crate::update::disk::Disk;
use crate::update::engine::{EngineFactory, InstalledRelease, install};
use crate::update::store::StoreError;
use lapwing_shared::messages::UpdateStep;
use lapwing_shared::messages::topics::chunk_topic;
use lapwing_shared::release::digest::sha256;
use lapwing_shared::release::download::{Download, Progress};
use lapwing_shared::release::signature::SignedManifest;
use lapwing_shared::release::trial::TrialVerdict;

impl<D: Disk, F: EngineFactory> Session<D, F> {
    pub(super) fn release(&mut self, signed: &[u8], now_ms: u64, now_s: Option<u64>) {
        let digest = SignedManifest::decode(signed).ok().map(|signed| sha256(signed.manifest));
        let state = self.store.state();
        let known = state.in_use().map(|held| held.digest) == digest
            || state.refused.is_some_and(|refused| Some(refused.digest) == digest);
        if digest.is_some() && known {
            return;
        }
        if self.fetch.as_ref().is_some_and(|fetch| Some(*fetch.verified.digest()) == digest) {
            return self.ask_chunk(now_ms);
        }
        let verified = match self.store.check(signed, now_s) {
            Ok(verified) => verified,
            Err(refusal) => return self.refuse(0, &refusal.to_string()),
        };
        if self.store.state().trial.is_some() {
            self.waiting = Some(signed.to_vec());
            return;
        }
        self.leave_chunk();
        self.report(verified.manifest().version, UpdateStep::Downloading);
        let download = Download::new(*verified.artifact());
        let buffer = vec![0; verified.artifact().size_bytes as usize];
        self.fetch = Some(Fetch { verified, signed: signed.to_vec(), download, buffer, asked_ms: now_ms, asks: 0 });
        self.ask_chunk(now_ms);
    }

    pub(super) fn resume(&mut self, now_ms: u64, now_s: Option<u64>) {
        if let Some(signed) = self.waiting.take_if(|_| self.store.state().trial.is_none()) {
            self.release(&signed, now_ms, now_s);
        }
    }

    pub(super) fn chunk_topic(&self) -> Option<String> {
        let fetch = self.fetch.as_ref()?;
        let wanted = fetch.download.wanted()?;
        Some(chunk_topic(&fetch.download.artifact().sha256, wanted).to_string())
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
        if progress == Ok(Progress::Ignored) {
            return;
        }
        fetch.asks = 0;
        self.actions.extend(topic.map(Action::Unsubscribe));
        match progress {
            Ok(Progress::Complete) => self.fetched(),
            Ok(Progress::Restarted(fault)) => {
                tracing::warn!(%fault, "download begins again");
                self.ask_chunk(now_ms);
            }
            Ok(_) => self.ask_chunk(now_ms),
            Err(fault) => self.give_up(&fault.to_string()),
        }
    }

    /// The release itself is at fault: it is not taken again.
    fn give_up(&mut self, reason: &str) {
        let Some(fetch) = self.fetch.take() else { return };
        let version = fetch.verified.manifest().version;
        if let Err(error) = self.store.refuse(version, *fetch.verified.digest()) {
            tracing::warn!(%error, "release store");
        }
        self.refuse(version, reason);
    }

    fn fetched(&mut self) {
        let Some(fetch) = &self.fetch else { return };
        let version = fetch.verified.manifest().version;
        let release = match install(fetch.verified.clone(), &fetch.buffer, &self.engines, true) {
            Ok(release) => release,
            Err(error) => return self.give_up(&error.to_string()),
        };
        if let Err(error) = self.store.stage(&fetch.verified, &fetch.signed, &fetch.buffer) {
            self.fetch = None;
            return self.refuse(version, &error.to_string());
        }
        self.fetch = None;
        self.report(version, UpdateStep::Verified);
        self.report(version, UpdateStep::Trial);
        self.install(ToPipeline::Install(release));
    }

    /// Only the newest waits for the packet side.
    pub(super) fn install(&mut self, install: ToPipeline<F::Engine>) {
        self.in_use = match &install {
            ToPipeline::Install(release) => (release.manifest.version, release.on_trial),
            ToPipeline::Remove => (0, false),
        };
        self.installs.clear();
        self.installs.push_back(install);
        self.publish_status();
    }

    /// Confirms the release whose trial passed. The verdict comes once, so a disk that fails is tried again here.
    pub(super) fn confirm_passed(&mut self) -> Result<(), StoreError> {
        let Some(version) = self.passed else { return Ok(()) };
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
                tracing::warn!(%error, "trial passed, but is not confirmed; it is tried again");
                self.disk_fails = true;
            }
            return;
        }
        if let Err(error) = self.store.roll_back() {
            tracing::warn!(%error, "release store");
        }
        self.report(version, UpdateStep::RolledBack(text(&verdict.to_string())));
        let mut errors = Vec::new();
        let confirmed = self.store.load_confirmed(&self.engines, &mut errors);
        for error in errors {
            tracing::warn!(%error, "release store");
        }
        let release = confirmed.or_else(|| self.built_fallback());
        self.install(release.map_or(ToPipeline::Remove, ToPipeline::Install));
    }

    fn built_fallback(&self) -> Option<InstalledRelease<F::Engine>> {
        let build = &self.fallback.as_ref()?.build;
        build().inspect_err(|error| tracing::warn!(%error, "the configured release")).ok()
    }
}
