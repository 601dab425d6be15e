//! A chain of root documents → the keys in use from now on, and what they mean for releases that are under way.

use super::{Action, Session, text};
use crate::disk::Disk;
use crate::update::engine::EngineFactory;
use crate::update::store::StoreError;
use lapwing_shared::messages::topics::release_topic;
use lapwing_shared::messages::{Body, Update, UpdateStep};
use lapwing_shared::release::digest::sha256;
use lapwing_shared::release::root::{RootDocument, RootError};

impl<D: Disk, F: EngineFactory> Session<D, F> {
    /// The root document in use, if the agent has one.
    pub(crate) fn root(&self) -> Option<&RootDocument> {
        self.store.terms().root.as_ref()
    }

    /// Chains that were rejected.
    pub(crate) fn rejected_roots(&self) -> u64 {
        self.rejected_roots
    }

    pub(super) fn root_chain(&mut self, chain: &[u8], now_ms: u64, now_s: Option<u64>) {
        match self.store.follow_root(chain) {
            Ok(true) => self.use_root(now_ms, now_s),
            Ok(false) => {}
            Err(error) => self.reject_root(chain, &error, now_ms),
        }
    }

    /// Ends what the new document no longer allows. The confirmed release stays in use until the next one.
    fn use_root(&mut self, now_ms: u64, now_s: Option<u64>) {
        if let Some(root) = self.root() {
            tracing::info!(%root, "new root document: only its keys sign releases from now on");
        }
        if let Err(error) = self.store.save_root() {
            tracing::warn!(%error, "cannot store the root document; retrying");
        }
        let is_refused = |signed: &[u8]| self.store.check(signed, now_s).err();
        let refused_fetch = self.fetch.as_ref().and_then(|fetch| is_refused(&fetch.signed));
        if self.retry.as_ref().is_some_and(|retry| is_refused(&retry.signed).is_some()) {
            self.retry = None;
        }
        if let Some(refusal) = refused_fetch {
            self.leave_chunk();
            if let Some(fetch) = self.fetch.take() {
                self.refuse(fetch.verified.manifest().version, &refusal.to_string());
            }
        }
        if let (Err(StoreError::Refused(refusal)), Some(trial)) = (self.store.check_trial(), self.store.state().trial) {
            self.fail_trial(trial.release.version, &refusal.to_string());
        }
        // A release that was refused before may have a key that the document adds: the broker sends it again.
        self.forged = Default::default();
        if self.connected {
            self.actions.push_back(Action::Subscribe(release_topic(&self.store.terms().group).to_string()));
        }
        self.subscribe_to_rollouts();
        self.resume(now_ms, now_s);
        self.steer(now_ms);
    }

    /// Reports each chain once a minute, like a manifest without a valid signature.
    fn reject_root(&mut self, chain: &[u8], error: &RootError, now_ms: u64) {
        self.rejected_roots += 1;
        if self.forged.allow(sha256(chain), now_ms) {
            let reason = error.to_string();
            tracing::warn!(%reason, rejected = self.rejected_roots, "root documents rejected");
            let update = Update { release: 0, step: UpdateStep::Refused(text(&reason)) };
            // Every update is valid.
            let _ = self.outbox.push_volatile(Body::Update(update), 0);
        }
    }
}

#[cfg(test)]
#[path = "root_tests.rs"]
mod tests;
