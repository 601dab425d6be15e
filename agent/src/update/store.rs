//! Two slots and a state file ↔ the release in use; safe against power cuts at any operation.
//!
//! ```text
//! state            UpdateState, replaced atomically
//! slot-a/manifest  signed manifest        slot-b/…  likewise
//! slot-a/artifact  the engine's form
//! ```
//! An update writes artifact, manifest and state, in this order, into the slot that does not have the confirmed release.
//! Nothing reads the slot before the state names it. Disk errors do not change the release in use.

use super::engine::{EngineFactory, InstallError, InstalledRelease, install};
use super::highest::Highest;
use super::rollout::Rollouts;
use crate::disk::{AnyDisk, Disk};
use lapwing_shared::release::accept::{Refusal, Terms, Verified, accept_held, accept_without_checking_the_signature};
use lapwing_shared::release::manifest::{ARTIFACT_BYTES, Digest};
use lapwing_shared::release::signature::{SIGNED_MANIFEST_BYTES, Source};
use lapwing_shared::release::update::{Boot, HeldRelease, STATE_BYTES, Slot, UpdateError, UpdateState};
use std::io;

const STATE: &str = "state";

/// Why a release cannot be stored or loaded.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum StoreError {
    #[error("cannot {action} {path} in the state folder: {source}; keeping the release in use")]
    Disk {
        /// `read` or `write`.
        action: &'static str,
        path: String,
        source: io::Error,
    },
    /// The state file is damaged.
    #[error("state file is damaged ({0}); rebuilt from the slots")]
    State(lapwing_shared::release::framing::FrameError),
    /// A file of the slot is missing.
    #[error("{0} is missing in the state folder")]
    Missing(String),
    /// The slot has a different release than the state.
    #[error("{0} holds another release than the state file says")]
    Different(String),
    /// The slot's release does not pass its checks.
    #[error("release on disk: {0}")]
    Refused(#[from] Refusal),
    /// The slot's release cannot be installed.
    #[error("release on disk: {0}")]
    Install(#[from] InstallError),
    /// The step is invalid in this state.
    #[error("{0}")]
    Step(#[from] UpdateError),
}

/// The result of [`Store::boot`].
#[derive(Debug)]
pub struct Booted<E> {
    /// The release in use.
    pub release: Option<InstalledRelease<E>>,
    /// The release that was rolled back at this start.
    pub rolled_back: Option<RolledBack>,
    /// Errors on the way.
    pub errors: Vec<StoreError>,
}

/// A release that did not pass its trial.
#[derive(Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct RolledBack {
    pub version: u64,
    /// Why it was rolled back.
    pub reason: String,
}

/// The agent's releases.
pub struct Store<D> {
    disk: D,
    pub(super) terms: Terms,
    pub(super) state: UpdateState,
    unsaved: bool,
    highest: Option<Highest>,
    /// Highest floor of the manifests that were accepted, and its file.
    floor: u64,
    floor_file: Option<Highest>,
    pub(super) root_disk: Option<AnyDisk>,
    /// The signed root document in use, while it is not on its disk.
    pub(super) unsaved_root: Option<Vec<u8>>,
    pub(super) rollouts: Rollouts,
}

pub(super) fn file(slot: Slot, name: &str) -> String {
    match slot {
        Slot::A => format!("slot-a/{name}"),
        Slot::B => format!("slot-b/{name}"),
    }
}

impl<D: Disk> Store<D> {
    /// Reads the state. If it is missing or damaged, rebuilds it from the slots; a damaged one is also returned as an error.
    pub fn open(disk: D, terms: Terms) -> (Self, Option<StoreError>) {
        let mut store = Self {
            disk,
            state: UpdateState::new(terms.group.clone()),
            terms,
            unsaved: false,
            highest: None,
            floor: 0,
            floor_file: None,
            root_disk: None,
            unsaved_root: None,
            rollouts: Rollouts::default(),
        };
        let error = match store.read(STATE, STATE_BYTES) {
            Ok(bytes) => match UpdateState::decode(&bytes) {
                Ok(state) => {
                    store.state = state;
                    None
                }
                Err(error) => Some(StoreError::State(error)),
            },
            Err(error) => Some(error),
        };
        if error.is_some() {
            store.rebuild();
        }
        store.state.join_group(&store.terms.group);
        (store, error.filter(|error| !matches!(error, StoreError::Missing(_))))
    }

    /// Also remembers the highest confirmed version in a file that outlasts the state folder. The release with that
    /// version itself is accepted once more, since it may have been lost with the folder.
    #[must_use]
    pub(crate) fn with_highest(mut self, highest: Highest) -> Self {
        self.state.highest_confirmed = self.state.highest_confirmed.max(highest.stored().saturating_sub(1));
        self.highest = Some(highest);
        self
    }

    /// Keeps the highest floor of accepted manifests in this file. Call it before [`Store::boot`].
    #[must_use]
    pub(crate) fn with_floor(mut self, file: Highest) -> Self {
        self.floor = file.stored();
        self.floor_file = Some(file);
        self
    }

    /// Lowest version that may be installed, or come into use again.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// The floor of a manifest that was accepted. It counts from now on; [`Store::retry_save`] repeats a failed write.
    pub(crate) fn raise_floor(&mut self, floor: u64) {
        self.floor = self.floor.max(floor);
        let _ = raise(&mut self.floor_file, self.floor);
    }

    /// The state.
    pub fn state(&self) -> &UpdateState {
        &self.state
    }

    /// The disk, for a test that restarts.
    #[cfg(test)]
    pub(crate) fn disk_mut(&mut self) -> &mut D {
        &mut self.disk
    }

    /// The conditions that a release must meet.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Loads the release to start with: the one on trial, otherwise the confirmed one, otherwise an older one in the other
    /// slot.
    pub fn boot<F: EngineFactory>(&mut self, engines: &F) -> Booted<F::Engine> {
        let mut booted = Booted { release: None, rolled_back: None, errors: Vec::new() };
        match self.state.boot() {
            Boot::Nothing => return booted,
            Boot::Confirmed(_) => {}
            Boot::RolledBack { failed, .. } => {
                booted.rolled_back = Some(RolledBack {
                    version: failed.version,
                    reason: "its trial did not end in three starts".to_owned(),
                });
                booted.errors.extend(self.save().err());
            }
            Boot::Trial(held) => match self.begin_trial(held, engines) {
                Ok(release) => {
                    booted.release = Some(release);
                    return booted;
                }
                Err(error) => {
                    booted.rolled_back = Some(RolledBack { version: held.version, reason: error.to_string() });
                    let _ = self.state.roll_back();
                    booted.errors.push(error);
                    booted.errors.extend(self.save().err());
                }
            },
        }
        booted.release = self.load_confirmed(engines, &mut booted.errors);
        booted
    }

    /// Stores the boot count before the trial runs, so that a trial that crashes the agent uses up its boots.
    fn begin_trial<F: EngineFactory>(
        &mut self,
        held: HeldRelease,
        engines: &F,
    ) -> Result<InstalledRelease<F::Engine>, StoreError> {
        self.save()?;
        self.load(held, engines, true)
    }

    /// Loads the confirmed release, or the older one in the other slot if the confirmed one is damaged.
    pub(crate) fn load_confirmed<F: EngineFactory>(
        &mut self,
        engines: &F,
        errors: &mut Vec<StoreError>,
    ) -> Option<InstalledRelease<F::Engine>> {
        let confirmed = self.state.confirmed?;
        match self.load(confirmed, engines, false) {
            Ok(release) => return Some(release),
            Err(error) => errors.push(error),
        }
        // Not stored, so that a temporary error of the disk or of the key file has no lasting effect.
        self.state.confirmed = self.older_in(confirmed.slot.other(), confirmed.version);
        self.state.highest_confirmed = self.state.highest_confirmed.min(confirmed.version.saturating_sub(1));
        let older = self.state.confirmed?;
        self.load(older, engines, false).map_err(|error| errors.push(error)).ok()
    }

    /// The confirmed release, to judge the same rows as the one on trial. `None` without one, or if it is damaged.
    pub fn load_incumbent<F: EngineFactory>(&mut self, engines: &F) -> Option<InstalledRelease<F::Engine>> {
        let confirmed = self.state.confirmed.filter(|_| self.state.trial.is_some())?;
        self.load(confirmed, engines, false).ok()
    }

    fn older_in(&mut self, slot: Slot, version: u64) -> Option<HeldRelease> {
        let held = self.held_in(slot)?;
        let refused = self.state.refused.is_some_and(|refused| refused.digest == held.digest);
        (held.version < version && held.version >= self.floor && !refused).then_some(held)
    }

    /// Reads a slot's release, repeats all checks, and builds its engine. The key of a confirmed release may be missing in the
    /// root document: it was withdrawn after the release came into use. The digest in the state then replaces the check
    /// of its signature, which was made before the release was stored.
    pub(super) fn load<F: EngineFactory>(
        &mut self,
        held: HeldRelease,
        engines: &F,
        on_trial: bool,
    ) -> Result<InstalledRelease<F::Engine>, StoreError> {
        let path = file(held.slot, "manifest");
        let signed = self.read(&path, SIGNED_MANIFEST_BYTES)?;
        let verified = match accept_held(&signed, &self.terms, Source::Broker) {
            Err(Refusal::Signature(_)) if !on_trial && self.terms.root.is_some() => {
                accept_without_checking_the_signature(&signed, &self.terms.schema, self.terms.form)
            }
            checked => checked,
        }?;
        if *verified.digest() != held.digest {
            return Err(StoreError::Different(path));
        }
        let artifact = self.read(&file(held.slot, "artifact"), ARTIFACT_BYTES as usize)?;
        // The file may be missing.
        self.raise_floor(verified.manifest().floor);
        Ok(install(verified, &artifact, engines, on_trial)?)
    }

    /// Writes a release to the spare slot and puts it on trial; this counts as the first boot.
    ///
    /// # Errors
    /// [`StoreError`]; the state does not change then. [`UpdateError::SlotInUse`] while another trial runs.
    pub fn stage(&mut self, verified: &Verified, signed: &[u8], artifact: &[u8]) -> Result<(), StoreError> {
        if self.state.trial.is_some() {
            return Err(StoreError::Step(UpdateError::SlotInUse));
        }
        let slot = self.state.spare_slot();
        self.write(&file(slot, "artifact"), artifact)?;
        self.write(&file(slot, "manifest"), signed)?;
        let before = self.state.clone();
        self.state.stage(HeldRelease { slot, version: verified.manifest().version, digest: *verified.digest() })?;
        self.state.boot();
        self.save().inspect_err(|_| self.state = before)
    }

    /// Confirms the release whose trial passed.
    ///
    /// # Errors
    /// [`StoreError`]; after a disk error the release stays on trial, and the call can be repeated.
    pub fn confirm(&mut self) -> Result<HeldRelease, StoreError> {
        let before = self.state.clone();
        let release = self.state.confirm()?;
        self.save().inspect_err(|_| self.state = before)?;
        // The release is confirmed in any case; [`Store::retry_save`] repeats a failed write.
        let _ = self.save_highest();
        Ok(release)
    }

    /// Ends a failed trial. In memory the confirmed release is in use again, even after a disk error.
    ///
    /// # Errors
    /// [`StoreError`]; [`Store::retry_save`] repeats the write after a disk error.
    pub(crate) fn roll_back(&mut self) -> Result<HeldRelease, StoreError> {
        let release = self.state.roll_back()?;
        self.save()?;
        Ok(release)
    }

    /// Rejects a release that failed before its trial, for good.
    ///
    /// # Errors
    /// A disk error, as for [`Store::roll_back`].
    pub(crate) fn refuse(&mut self, version: u64, digest: Digest) -> Result<(), StoreError> {
        self.state.refuse(version, digest);
        self.save()
    }

    /// Repeats a failed write of the state.
    ///
    /// # Errors
    /// A disk error.
    pub(crate) fn retry_save(&mut self) -> Result<(), StoreError> {
        let saved = if self.unsaved { self.save().and_then(|()| self.save_highest()) } else { Ok(()) };
        saved.and(self.save_root()).and(raise(&mut self.floor_file, self.floor))
    }

    pub(super) fn save(&mut self) -> Result<(), StoreError> {
        let mut room = [0; STATE_BYTES];
        let bytes = self.state.encode(&mut room).map_err(StoreError::State)?;
        self.unsaved = true;
        write(&mut self.disk, STATE, bytes)?;
        self.unsaved = false;
        Ok(())
    }

    fn save_highest(&mut self) -> Result<(), StoreError> {
        self.unsaved = true;
        raise(&mut self.highest, self.state.highest_confirmed)?;
        self.unsaved = false;
        Ok(())
    }

    /// Replaces a lost state: of two complete releases the older one counts as confirmed. The newer one, or a single one,
    /// goes on trial again.
    fn rebuild(&mut self) {
        let (a, b) = (self.held_in(Slot::A), self.held_in(Slot::B));
        let (older, newer) = match (a, b) {
            (Some(a), Some(b)) if a.version <= b.version => (Some(a), Some(b)),
            (Some(a), Some(b)) => (Some(b), Some(a)),
            (a, b) => (None, a.or(b)),
        };
        self.state.confirmed = older;
        self.state.highest_confirmed = older.map_or(0, |held| held.version);
        if let Some(newer) = newer {
            let _ = self.state.stage(newer);
        }
    }

    /// A slot's release, if signature, digest and group are right.
    pub(super) fn held_in(&mut self, slot: Slot) -> Option<HeldRelease> {
        let signed = self.read(&file(slot, "manifest"), SIGNED_MANIFEST_BYTES).ok()?;
        let verified = accept_held(&signed, &self.terms, Source::Broker).ok()?;
        let artifact = self.read(&file(slot, "artifact"), ARTIFACT_BYTES as usize).ok()?;
        verified.with_artifact(&artifact).ok()?;
        let held = HeldRelease { slot, version: verified.manifest().version, digest: *verified.digest() };
        (verified.manifest().group == self.terms.group).then_some(held)
    }

    pub(super) fn read(&mut self, path: &str, limit: usize) -> Result<Vec<u8>, StoreError> {
        let read = self.disk.read(path, limit);
        let bytes = read.map_err(|source| StoreError::Disk { action: "read", path: path.to_owned(), source })?;
        bytes.ok_or_else(|| StoreError::Missing(path.to_owned()))
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        write(&mut self.disk, path, bytes)
    }
}

/// Stores a higher version in the file, if there is one.
fn raise(file: &mut Option<Highest>, version: u64) -> Result<(), StoreError> {
    let Some(file) = file else { return Ok(()) };
    let raised = file.raise(version);
    raised.map_err(|source| StoreError::Disk { action: "write", path: file.path().to_owned(), source })
}

pub(super) fn write(disk: &mut impl Disk, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let replaced = disk.replace(path, bytes);
    replaced.map_err(|source| StoreError::Disk { action: "write", path: path.to_owned(), source })
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
