//! Two slots and a state file ↔ the release in use; safe at any power cut.
//!
//! ```text
//! state            UpdateState, replaced whole
//! slot-a/manifest  signed manifest        slot-b/…  the same
//! slot-a/artifact  the engine's form
//! ```
//! Order of an update: artifact, manifest, state. Until the state names the slot, nothing reads it; the slot that is
//! written is never the confirmed release's. Errors of the disk leave the release in use as it is.

use super::disk::Disk;
use super::engine::{EngineFactory, InstallError, InstalledRelease, install};
use lapwing_shared::release::accept::{Refusal, Terms, Verified, accept, accept_held};
use lapwing_shared::release::manifest::{ARTIFACT_BYTES, Digest};
use lapwing_shared::release::signature::SIGNED_MANIFEST_BYTES;
use lapwing_shared::release::update::{Boot, HeldRelease, STATE_BYTES, Slot, UpdateError, UpdateState};
use std::io;

/// The state's file.
const STATE: &str = "state";

/// Why something did not reach the disk or come from it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk failed.
    #[error("cannot {action} {path} in the state folder: {source}; the release in use stays")]
    Disk {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The state file is damaged.
    #[error("state file is damaged ({0}); rebuilt from the slots")]
    State(lapwing_shared::release::framing::FrameError),
    /// A file of the slot is missing.
    #[error("{0} is missing in the state folder")]
    Missing(String),
    /// The slot holds another release than the state says.
    #[error("{0} holds another release than the state file says")]
    Different(String),
    /// The slot's release does not pass its checks.
    #[error("release on disk: {0}")]
    Refused(#[from] Refusal),
    /// The slot's release cannot be installed.
    #[error("release on disk: {0}")]
    Install(#[from] InstallError),
    /// The step does not fit the state.
    #[error("{0}")]
    Step(#[from] UpdateError),
}

/// What a start found.
#[derive(Debug)]
pub struct Booted<E> {
    /// The release in use.
    pub release: Option<InstalledRelease<E>>,
    /// Version that was rolled back at this start, and why.
    pub rolled_back: Option<(u64, String)>,
    /// What went wrong on the way.
    pub errors: Vec<StoreError>,
}

/// The agent's releases.
#[derive(Debug)]
pub struct Store<D> {
    disk: D,
    terms: Terms,
    state: UpdateState,
    unsaved: bool,
}

fn file(slot: Slot, name: &str) -> String {
    match slot {
        Slot::A => format!("slot-a/{name}"),
        Slot::B => format!("slot-b/{name}"),
    }
}

impl<D: Disk> Store<D> {
    /// Reads the state. A missing or damaged one is rebuilt from what the slots hold, which is told beside the store.
    pub fn open(disk: D, terms: Terms) -> (Self, Option<StoreError>) {
        let mut store = Self { disk, state: UpdateState::new(terms.group.clone()), terms, unsaved: false };
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

    /// What the agent remembers.
    pub fn state(&self) -> &UpdateState {
        &self.state
    }

    /// What the agent takes.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Checks a new release's signed manifest.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check(&self, signed: &[u8], now_s: Option<u64>) -> Result<Verified, Refusal> {
        accept(signed, &self.terms, &self.state, now_s)
    }

    /// Loads the release to begin with: the trial, else the confirmed one, else an older one in the other slot.
    pub fn boot<F: EngineFactory>(&mut self, engines: &F) -> Booted<F::Engine> {
        let mut booted = Booted { release: None, rolled_back: None, errors: Vec::new() };
        match self.state.boot() {
            Boot::Nothing => return booted,
            Boot::Confirmed(_) => {}
            Boot::RolledBack { failed, .. } => {
                booted.rolled_back = Some((failed.version, "its trial did not end in three starts".to_owned()));
                booted.errors.extend(self.save().err());
            }
            Boot::Trial(held) => match self.begin_trial(held, engines) {
                Ok(release) => {
                    booted.release = Some(release);
                    return booted;
                }
                Err(error) => {
                    booted.rolled_back = Some((held.version, error.to_string()));
                    let _ = self.state.roll_back();
                    booted.errors.push(error);
                    booted.errors.extend(self.save().err());
                }
            },
        }
        booted.release = self.load_confirmed(engines, &mut booted.errors);
        booted
    }

    /// The boot is on disk before the trial runs: a trial that kills the agent runs out of boots.
    fn begin_trial<F: EngineFactory>(
        &mut self,
        held: HeldRelease,
        engines: &F,
    ) -> Result<InstalledRelease<F::Engine>, StoreError> {
        self.save()?;
        self.load(held, engines, true)
    }

    /// Loads the confirmed release; where it is damaged, the older one that the other slot may hold.
    pub fn load_confirmed<F: EngineFactory>(
        &mut self,
        engines: &F,
        errors: &mut Vec<StoreError>,
    ) -> Option<InstalledRelease<F::Engine>> {
        let confirmed = self.state.confirmed?;
        match self.load(confirmed, engines, false) {
            Ok(release) => return Some(release),
            Err(error) => errors.push(error),
        }
        // Kept in memory only: a fault of the disk or of the key file that goes away again costs nothing.
        self.state.confirmed = self.older_in(confirmed.slot.other(), confirmed.version);
        self.state.highest_confirmed = self.state.highest_confirmed.min(confirmed.version.saturating_sub(1));
        let older = self.state.confirmed?;
        self.load(older, engines, false).map_err(|error| errors.push(error)).ok()
    }

    fn older_in(&mut self, slot: Slot, version: u64) -> Option<HeldRelease> {
        let held = self.held_in(slot)?;
        let refused = self.state.refused.is_some_and(|refused| refused.digest == held.digest);
        (held.version < version && !refused).then_some(held)
    }

    /// Reads a slot's release, checks all of it again, and builds its engine.
    fn load<F: EngineFactory>(
        &mut self,
        held: HeldRelease,
        engines: &F,
        on_trial: bool,
    ) -> Result<InstalledRelease<F::Engine>, StoreError> {
        let path = file(held.slot, "manifest");
        let signed = self.read(&path, SIGNED_MANIFEST_BYTES)?;
        let verified = accept_held(&signed, &self.terms)?;
        if *verified.digest() != held.digest {
            return Err(StoreError::Different(path));
        }
        let artifact = self.read(&file(held.slot, "artifact"), ARTIFACT_BYTES as usize)?;
        Ok(install(verified, &artifact, engines, on_trial)?)
    }

    /// Writes a release to the spare slot and puts it on trial, first boot counted.
    ///
    /// # Errors
    /// [`StoreError`]; the state is then as before. [`UpdateError::SlotInUse`] while another trial runs.
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

    /// The trial passed.
    ///
    /// # Errors
    /// [`StoreError`]; a disk error leaves the release on trial, to be confirmed again.
    pub fn confirm(&mut self) -> Result<HeldRelease, StoreError> {
        let before = self.state.clone();
        let release = self.state.confirm()?;
        self.save().inspect_err(|_| self.state = before)?;
        Ok(release)
    }

    /// The trial failed. In memory the confirmed release is in use again whatever the disk says.
    ///
    /// # Errors
    /// [`StoreError`]; after a disk error [`Store::retry_save`] tries again.
    pub fn roll_back(&mut self) -> Result<HeldRelease, StoreError> {
        let release = self.state.roll_back()?;
        self.save()?;
        Ok(release)
    }

    /// A release failed before its trial: it is not taken again.
    ///
    /// # Errors
    /// A disk error, as for [`Store::roll_back`].
    pub fn refuse(&mut self, version: u64, digest: Digest) -> Result<(), StoreError> {
        self.state.refuse(version, digest);
        self.save()
    }

    /// Stores a state that the disk did not take before.
    ///
    /// # Errors
    /// A disk error.
    pub fn retry_save(&mut self) -> Result<(), StoreError> {
        if self.unsaved { self.save() } else { Ok(()) }
    }

    fn save(&mut self) -> Result<(), StoreError> {
        let mut room = [0; STATE_BYTES];
        let bytes = self.state.encode(&mut room).map_err(StoreError::State)?;
        self.unsaved = true;
        write(&mut self.disk, STATE, bytes)?;
        self.unsaved = false;
        Ok(())
    }

    /// Without a state file: with two whole releases the older one counts as confirmed and the newer one, like a single
    /// one, earns its place on trial again.
    fn rebuild(&mut self) {
        let (a, b) = (self.held_in(Slot::A), self.held_in(Slot::B));
        let (older, newer) = match (a, b) {
            (Some(a), Some(b)) if a.version <= b.version => (Some(a), Some(b)),
            (Some(a), Some(b)) => (Some(b), Some(a)),
            (one, other) => (None, one.or(other)),
        };
        self.state.confirmed = older;
        self.state.highest_confirmed = older.map_or(0, |held| held.version);
        if let Some(newer) = newer {
            let _ = self.state.stage(newer);
        }
    }

    /// A slot's release with right signature and digest, of this agent's group.
    fn held_in(&mut self, slot: Slot) -> Option<HeldRelease> {
        let signed = self.read(&file(slot, "manifest"), SIGNED_MANIFEST_BYTES).ok()?;
        let verified = accept_held(&signed, &self.terms).ok()?;
        let artifact = self.read(&file(slot, "artifact"), ARTIFACT_BYTES as usize).ok()?;
        verified.with_artifact(&artifact).ok()?;
        let held = HeldRelease { slot, version: verified.manifest().version, digest: *verified.digest() };
        (verified.manifest().group == self.terms.group).then_some(held)
    }

    fn read(&mut self, path: &str, limit: usize) -> Result<Vec<u8>, StoreError> {
        let read = self.disk.read(path, limit);
        let bytes = read.map_err(|source| StoreError::Disk { action: "read", path: path.to_owned(), source })?;
        bytes.ok_or_else(|| StoreError::Missing(path.to_owned()))
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        write(&mut self.disk, path, bytes)
    }
}

fn write(disk: &mut impl Disk, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let replaced = disk.replace(path, bytes);
    replaced.map_err(|source| StoreError::Disk { action: "write", path: path.to_owned(), source })
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
