//! The newest rollout and the newest assignment ↔ files beside the identity, in the folder that outlasts a reboot; and the steps
//! of going back.
//!
//! A file has one signed message. Its serial never decreases, so it is replaced for each newer one, at most
//! eight times at once and then once a minute. A message whose key is no longer trusted does not count: otherwise a stolen key
//! could use up all serials.

use super::engine::{EngineFactory, InstalledRelease};
use super::store::{Store, StoreError, write};
use crate::disk::Disk;
use lapwing_shared::release::accept::{Refusal, Verified, accept, accept_way_back};
use lapwing_shared::release::manifest::Name;
use lapwing_shared::release::signature::TrustedKeys;
use lapwing_shared::release::update::HeldRelease;
use lapwing_shared::rollout::accept::{RolloutTerms, accept as accept_rollout, accept_assignment};
use lapwing_shared::rollout::assignment::{Assignment, open_assignment};
use lapwing_shared::rollout::decide::is_way_back;
use lapwing_shared::rollout::message::{ROLLOUT_BYTES, Rollout, RolloutError};
use lapwing_shared::rollout::signed::open;

/// Start of the name of a rollout's file; the group follows.
pub(crate) const PREFIX: &str = "rollout-";
/// Name of the assignment's file.
pub(crate) const ASSIGNMENT: &str = "assignment";
/// Time between two writes, milliseconds, on average: whoever has the key could wear out the flash.
const WRITE_MS: u64 = 60_000;
/// Time for which writes may be ahead of that, milliseconds: a withdrawal must be on the disk at once.
const AHEAD_MS: u64 = 7 * WRITE_MS;

/// Rollouts of the agent's group, and assignments of the agent.
#[derive(Debug, Default)]
pub(super) struct Rollouts {
    /// Keys of the configuration that sign them.
    keys: TrustedKeys,
    newest: Option<(Rollout, Vec<u8>)>,
    is_unsaved: bool,
    /// The agent, if it accepts assignments.
    agent: Option<Name>,
    assignment: Option<(Assignment, Vec<u8>)>,
    is_assignment_unsaved: bool,
    /// Time at which the writes so far of rollouts, and of assignments, would have ended at the average rate, milliseconds.
    written_until_ms: [u64; 2],
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
        if let Some(bytes) = self.read_signed(&path(&self.terms.group)) {
            self.trust_rollout(bytes);
        }
        self
    }

    /// Also accepts assignments of this agent; and loads the newest one. Call it after [`Store::with_rollouts`].
    #[must_use]
    pub(crate) fn with_assignments(mut self, agent: Name) -> Self {
        self.rollouts.agent = Some(agent);
        if let Some(bytes) = self.read_signed(ASSIGNMENT) {
            self.trust_assignment(bytes);
        }
        self
    }

    fn read_signed(&mut self, path: &str) -> Option<Vec<u8>> {
        let read = self.root_disk.as_mut()?.read(path, ROLLOUT_BYTES);
        let warn = |error: &std::io::Error| {
            tracing::warn!(file = path, %error, "the newest message is unknown; an older one may be accepted");
        };
        read.inspect_err(warn).ok().flatten()
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

    /// As [`Store::trust_rollout`], for an assignment.
    fn trust_assignment(&mut self, bytes: Vec<u8>) {
        let Some(agent) = &self.rollouts.agent else { return };
        self.rollouts.assignment = match open_assignment(&bytes, &self.rollout_terms(), agent) {
            Ok((assignment, _)) => Some((assignment, bytes)),
            Err(error) => {
                tracing::warn!(%error, "the newest assignment does not count any more");
                None
            }
        };
    }

    /// Checks the keys of the newest rollout and assignment again, after a change of the root document.
    pub(crate) fn recheck_rollout(&mut self) {
        if let Some((_, bytes)) = self.rollouts.newest.take() {
            self.trust_rollout(bytes);
        }
        if let Some((_, bytes)) = self.rollouts.assignment.take() {
            self.trust_assignment(bytes);
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

    /// Whether the agent accepts assignments.
    pub(crate) fn accepts_assignments(&self) -> bool {
        self.rollouts.agent.is_some()
    }

    /// The newest assignment.
    pub(crate) fn assignment(&self) -> Option<&Assignment> {
        self.rollouts.assignment.as_ref().map(|(assignment, _)| assignment)
    }

    /// As [`Store::take_rollout`], for an assignment.
    ///
    /// # Errors
    /// [`RolloutError`]; the newest one stays.
    pub(crate) fn take_assignment(&mut self, bytes: &[u8], now_s: Option<u64>) -> Result<bool, RolloutError> {
        let Some(agent) = &self.rollouts.agent else { return Ok(false) };
        if self.rollouts.assignment.as_ref().is_some_and(|(_, newest)| newest == bytes) {
            return Ok(false);
        }
        let accepted = accept_assignment(bytes, &self.rollout_terms(), agent, self.assignment(), now_s)?;
        let Some(assignment) = accepted else { return Ok(false) };
        self.rollouts.assignment = Some((assignment, bytes.to_vec()));
        self.rollouts.is_assignment_unsaved = true;
        Ok(true)
    }

    /// Writes the newest rollout and assignment, if they are not on the disk and the last writes were not too often. They count
    /// in any case.
    ///
    /// # Errors
    /// A disk error.
    pub(crate) fn save_rollout(&mut self, now_ms: u64) -> Result<(), StoreError> {
        let Rollouts { newest, is_unsaved, assignment, is_assignment_unsaved, written_until_ms, .. } =
            &mut self.rollouts;
        let [of_rollouts, of_assignments] = written_until_ms;
        let newest = newest.as_ref().map(|(_, bytes)| bytes);
        let assignment = assignment.as_ref().map(|(_, bytes)| bytes);
        for (path, bytes, is_unsaved, until_ms) in [
            (path(&self.terms.group), newest, is_unsaved, of_rollouts),
            (ASSIGNMENT.to_owned(), assignment, is_assignment_unsaved, of_assignments),
        ] {
            let is_too_often = now_ms.saturating_add(AHEAD_MS) <= *until_ms;
            if !*is_unsaved || is_too_often {
                continue;
            }
            if let (Some(bytes), Some(disk)) = (bytes, &mut self.root_disk) {
                write(disk, &path, bytes)?;
            }
            *is_unsaved = false;
            *until_ms = (*until_ms).max(now_ms).saturating_add(WRITE_MS);
        }
        Ok(())
    }

    /// Checks a new release's signed manifest; a version below the highest confirmed one is accepted if the newest rollout
    /// sends the agent back to it. None below the floor is.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check(&self, signed: &[u8], now_s: Option<u64>) -> Result<Verified, Refusal> {
        let floor = self.floor();
        let verified = match accept(signed, &self.terms, &self.state, now_s) {
            Err(Refusal::NotNewer { found, .. })
                if self.rollout().is_some_and(|rollout| is_way_back(rollout, &self.state, floor, found)) =>
            {
                accept_way_back(signed, &self.terms, &self.state, found)
            }
            checked => checked,
        }?;
        let found = verified.manifest().version;
        if found < floor { Err(Refusal::BelowFloor { found, floor }) } else { Ok(verified) }
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
