//! The newest rollout ↔ a file beside the identity, in the folder that outlasts a reboot; and the steps of going back.
//!
//! The file has one signed rollout of the group. Its serial never decreases, so it is replaced for each newer one, at most
//! eight times at once and then once a minute. A rollout whose key is no longer trusted does not count: otherwise a stolen key
//! could use up all serials.

use super::engine::{EngineFactory, InstalledRelease};
use super::store::{Store, StoreError, write};
use crate::disk::Disk;
use lapwing_shared::release::accept::{Refusal, Verified, accept, accept_way_back};
use lapwing_shared::release::manifest::Name;
use lapwing_shared::release::signature::TrustedKeys;
use lapwing_shared::release::update::HeldRelease;
use lapwing_shared::rollout::accept::{RolloutTerms, accept as accept_rollout};
use lapwing_shared::rollout::decide::is_way_back;
use lapwing_shared::rollout::message::{ROLLOUT_BYTES, Rollout, RolloutError};
use lapwing_shared::rollout::signed::open;

/// Start of the file's name; the group follows.
pub(crate) const PREFIX: &str = "rollout-";
/// Lowest version to which an agent goes back: manifests have no field for it.
pub(crate) const FLOOR: u64 = 0;
/// Time between two writes, milliseconds, on average: whoever has the key could wear out the flash.
const WRITE_MS: u64 = 60_000;
/// Time for which writes may be ahead of that, milliseconds: a withdrawal must be on the disk at once.
const AHEAD_MS: u64 = 7 * WRITE_MS;

/// Rollouts of the agent's group.
#[derive(Debug, Default)]
pub(super) struct Rollouts {
    /// Keys of the configuration that sign rollouts.
    keys: TrustedKeys,
    newest: Option<(Rollout, Vec<u8>)>,
    is_unsaved: bool,
    /// Time at which the writes so far would have ended at the average rate, milliseconds.
    written_until_ms: u64,
}

fn path(group: &Name) -> String {
    format!("{PREFIX}{group}")
}

impl<D: Disk> Store<D> {
    /// Accepts rollouts of these keys, unless there is a root document; and loads the newest one. Call it after
    /// [`Store::with_root_disk`].
    #[must_use]
    pub(crate) fn with_rollouts(mut self, keys: TrustedKeys) -> Self {
        self.rollouts.keys = keys;
        let path = path(&self.terms.group);
        let read = self.root_disk.as_mut().map(|disk| disk.read(&path, ROLLOUT_BYTES));
        match read.transpose() {
            Ok(bytes) => {
                if let Some(bytes) = bytes.flatten() {
                    self.trust_rollout(bytes);
                }
            }
            Err(error) => {
                tracing::warn!(file = path, %error, "the newest rollout is unknown; an older one may be accepted")
            }
        }
        self
    }

    fn rollout_terms(&self) -> RolloutTerms<'_> {
        RolloutTerms { root: self.terms.root.as_ref(), keys: &self.rollouts.keys, group: &self.terms.group }
    }

    /// Uses a rollout that was accepted before, if its key is still trusted.
    fn trust_rollout(&mut self, bytes: Vec<u8>) {
        self.rollouts.newest = match open(&bytes, &self.rollout_terms(), &self.terms.group) {
            Ok(rollout) => Some((rollout, bytes)),
            Err(error) => {
                tracing::warn!(%error, "the newest rollout does not count any more");
                None
            }
        };
    }

    /// Checks the key of the newest rollout again, after a change of the root document.
    pub(crate) fn recheck_rollout(&mut self) {
        if let Some((_, bytes)) = self.rollouts.newest.take() {
            self.trust_rollout(bytes);
        }
    }

    /// Whether any key may sign rollouts for this agent.
    pub(crate) fn has_rollout_key(&self) -> bool {
        self.rollout_terms().has_key()
    }

    /// The newest rollout.
    pub(crate) fn rollout(&self) -> Option<&Rollout> {
        self.rollouts.newest.as_ref().map(|(rollout, _)| rollout)
    }

    /// Takes a rollout; true if it is newer than the one before. [`Store::save_rollout`] writes it.
    ///
    /// # Errors
    /// [`RolloutError`]; the newest one stays.
    pub(crate) fn take_rollout(&mut self, bytes: &[u8], now_s: Option<u64>) -> Result<bool, RolloutError> {
        if self.rollouts.newest.as_ref().is_some_and(|(_, newest)| newest == bytes) {
            return Ok(false);
        }
        let Some(rollout) = accept_rollout(bytes, &self.rollout_terms(), self.rollout(), now_s)? else {
            return Ok(false);
        };
        self.rollouts.newest = Some((rollout, bytes.to_vec()));
        self.rollouts.is_unsaved = true;
        Ok(true)
    }

    /// Writes the newest rollout, if it is not on the disk and the last writes were not too often. It counts in any case.
    ///
    /// # Errors
    /// A disk error.
    pub(crate) fn save_rollout(&mut self, now_ms: u64) -> Result<(), StoreError> {
        let is_too_often = now_ms.saturating_add(AHEAD_MS) <= self.rollouts.written_until_ms;
        if !self.rollouts.is_unsaved || is_too_often {
            return Ok(());
        }
        if let (Some((_, bytes)), Some(disk)) = (&self.rollouts.newest, &mut self.root_disk) {
            write(disk, &path(&self.terms.group), bytes)?;
        }
        self.rollouts.is_unsaved = false;
        self.rollouts.written_until_ms = self.rollouts.written_until_ms.max(now_ms).saturating_add(WRITE_MS);
        Ok(())
    }

    /// Checks a new release's signed manifest; a version below the highest confirmed one is accepted if the newest rollout
    /// sends the agent back to it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check(&self, signed: &[u8], now_s: Option<u64>) -> Result<Verified, Refusal> {
        match accept(signed, &self.terms, &self.state, now_s) {
            Err(Refusal::NotNewer { found, .. })
                if self.rollout().is_some_and(|rollout| is_way_back(rollout, &self.state, FLOOR, found)) =>
            {
                accept_way_back(signed, &self.terms, &self.state, found)
            }
            checked => checked,
        }
    }

    /// The whole release in the spare slot, if it was in use here and has not failed.
    pub(crate) fn spare(&mut self) -> Option<HeldRelease> {
        let held = self.held_in(self.state.spare_slot())?;
        let has_failed = self.state.refused.is_some_and(|refused| refused.digest == held.digest);
        (held.version <= self.state.highest_confirmed && !has_failed).then_some(held)
    }

    /// Puts the release of the spare slot into use, after its golden vectors were computed again.
    ///
    /// # Errors
    /// Why it cannot be used; nothing changes then.
    pub(crate) fn restore<F: EngineFactory>(
        &mut self,
        spare: HeldRelease,
        engines: &F,
    ) -> Result<InstalledRelease<F::Engine>, StoreError> {
        let release = self.load(spare, engines, false)?;
        let before = self.state.clone();
        self.state.restore(spare)?;
        self.save().inspect_err(|_| self.state = before)?;
        Ok(release)
    }

    /// Ends the trial without a failure. In memory the confirmed release is in use again, even after a disk error.
    ///
    /// # Errors
    /// As [`Store::roll_back`].
    pub(crate) fn end_trial(&mut self) -> Result<(), StoreError> {
        self.state.clear_trial();
        self.save()
    }
}

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;
