//! The update state machine: staged → trial → confirmed, or rolled back; and its form on disk.
//!
//! Two slots hold releases. The state says which slot holds the confirmed one and which the one on trial; the slot that
//! is written is never the confirmed one's. Each transition is one new [`UpdateState`], stored by one atomic
//! replacement, so at any power cut the disk holds the state before or after, and both can boot:
//!
//! | on disk | at boot |
//! |---|---|
//! | no trial | the confirmed release, if any |
//! | trial, fewer than [`TRIAL_BOOTS`] boots | the trial again, one boot counted before it is used |
//! | trial, [`TRIAL_BOOTS`] boots | back to the confirmed release: it never lived long enough to be judged |
//!
//! Bytes of a stored state: [`STATE_VERSION`] and the postcard body, then the first [`CHECKSUM_BYTES`] bytes of the
//! SHA-256 over both; [`STATE_BYTES`] at most.

use super::digest::sha256;
use super::framing::{self, FrameError};
use super::manifest::{Digest, Name};
use core::fmt;
use serde::{Deserialize, Serialize};

/// First byte of a stored state.
pub const STATE_VERSION: u8 = 1;
/// Bytes of SHA-256 behind it.
pub const CHECKSUM_BYTES: usize = 8;
/// Largest stored state, bytes.
pub const STATE_BYTES: usize = 256;
/// Starts of the agent that a trial may take before it is rolled back.
pub const TRIAL_BOOTS: u8 = 3;

/// One of the two places on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// A release on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldRelease {
    /// Where.
    pub slot: Slot,
    /// Its version.
    pub version: u64,
    /// SHA-256 of its encoded manifest.
    pub digest: Digest,
}

/// A release that is not taken again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedRelease {
    /// Its version.
    pub version: u64,
    /// SHA-256 of its encoded manifest.
    pub digest: Digest,
}

/// A release on probation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// The release.
    pub release: HeldRelease,
    /// Starts of the agent with it; 0 while it is only staged.
    pub boots: u8,
}

/// What an agent remembers of its releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateState {
    /// Group that `highest_confirmed` and `refused` are about.
    pub group: Name,
    /// The release in use when there is no trial.
    pub confirmed: Option<HeldRelease>,
    /// The release on trial.
    pub trial: Option<Trial>,
    /// Highest version ever confirmed, 0 before the first; never falls within a group.
    pub highest_confirmed: u64,
    /// The last release that failed here.
    pub refused: Option<RefusedRelease>,
}

/// Why a transition is not possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateError {
    /// There is no release on trial.
    NoTrial,
    /// The slot holds the confirmed release.
    SlotInUse,
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTrial => write!(f, "no release is on trial"),
            Self::SlotInUse => write!(f, "slot holds the confirmed release and is not overwritten"),
        }
    }
}

impl core::error::Error for UpdateError {}

/// What to load at a start of the agent; the new state must be stored before it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// Nothing was ever confirmed: run without a release.
    Nothing,
    /// The confirmed release.
    Confirmed(HeldRelease),
    /// The release on trial.
    Trial(HeldRelease),
    /// The trial had its boots and was rolled back; the release in use now, if any.
    RolledBack {
        /// What was on trial.
        failed: HeldRelease,
        /// What is in use.
        confirmed: Option<HeldRelease>,
    },
}

impl UpdateState {
    /// The state of an agent that never had a release.
    pub fn new(group: Name) -> Self {
        Self { group, confirmed: None, trial: None, highest_confirmed: 0, refused: None }
    }

    /// The release in use: on trial, else confirmed.
    pub fn in_use(&self) -> Option<HeldRelease> {
        self.trial.map(|trial| trial.release).or(self.confirmed)
    }

    /// The slot that a new release is written to: never the confirmed one's.
    pub fn spare_slot(&self) -> Slot {
        self.confirmed.map_or(Slot::A, |confirmed| confirmed.slot.other())
    }

    /// The agent's group changed: versions count anew, the confirmed release stays in use, a trial ends.
    pub fn join_group(&mut self, group: &Name) {
        if self.group != *group {
            self.group = group.clone();
            (self.trial, self.refused, self.highest_confirmed) = (None, None, 0);
        }
    }

    /// A verified release was written to its slot: it is staged, and goes on trial. An earlier trial gives way.
    ///
    /// # Errors
    /// [`UpdateError::SlotInUse`] for the confirmed release's slot.
    pub fn stage(&mut self, release: HeldRelease) -> Result<(), UpdateError> {
        if self.confirmed.is_some_and(|confirmed| confirmed.slot == release.slot) {
            return Err(UpdateError::SlotInUse);
        }
        self.trial = Some(Trial { release, boots: 0 });
        Ok(())
    }

    /// The slot of the trial is about to be overwritten: the trial ends before, so that no state names a slot whose
    /// content is in between.
    pub fn clear_trial(&mut self) {
        self.trial = None;
    }

    /// A start of the agent, or of a trial in a running one.
    pub fn boot(&mut self) -> Boot {
        match &mut self.trial {
            Some(trial) if trial.boots < TRIAL_BOOTS => {
                trial.boots += 1;
                Boot::Trial(trial.release)
            }
            Some(trial) => {
                let failed = trial.release;
                let _ = self.roll_back();
                Boot::RolledBack { failed, confirmed: self.confirmed }
            }
            None => self.confirmed.map_or(Boot::Nothing, Boot::Confirmed),
        }
    }

    /// The trial passed.
    ///
    /// # Errors
    /// [`UpdateError::NoTrial`].
    pub fn confirm(&mut self) -> Result<HeldRelease, UpdateError> {
        let release = self.trial.take().ok_or(UpdateError::NoTrial)?.release;
        self.confirmed = Some(release);
        self.highest_confirmed = self.highest_confirmed.max(release.version);
        Ok(release)
    }

    /// The trial failed: its version is not taken again. Returns it.
    ///
    /// # Errors
    /// [`UpdateError::NoTrial`].
    pub fn roll_back(&mut self) -> Result<HeldRelease, UpdateError> {
        let release = self.trial.take().ok_or(UpdateError::NoTrial)?.release;
        self.refuse(release.version, release.digest);
        Ok(release)
    }

    /// A release failed before its trial (its artifact or golden vectors): it is not taken again.
    pub fn refuse(&mut self, version: u64, digest: Digest) {
        self.refused = Some(RefusedRelease { version, digest });
    }

    /// Writes the stored form into `out`, for which [`STATE_BYTES`] always suffice; returns the written part.
    ///
    /// # Errors
    /// [`FrameError::NoRoom`].
    pub fn encode<'a>(&self, out: &'a mut [u8]) -> Result<&'a [u8], FrameError> {
        let room = out.len();
        let body = framing::encode(STATE_VERSION, self, out)?;
        let (length, sum) = (body.len(), sha256(body));
        let place = out.get_mut(length..length + CHECKSUM_BYTES).ok_or(FrameError::NoRoom { room })?;
        place.copy_from_slice(&sum[..CHECKSUM_BYTES]);
        Ok(&out[..length + CHECKSUM_BYTES])
    }

    /// Reads a stored state.
    ///
    /// # Errors
    /// [`FrameError`]; [`FrameError::Malformed`] also for a wrong checksum or a state that no transition makes.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let (body, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(FrameError::Malformed)?;
        if sha256(body)[..CHECKSUM_BYTES] != *sum {
            return Err(FrameError::Malformed);
        }
        let state: Self = framing::decode(STATE_VERSION, body, STATE_BYTES - CHECKSUM_BYTES)?;
        if state.is_valid() { Ok(state) } else { Err(FrameError::Malformed) }
    }

    fn is_valid(&self) -> bool {
        match (self.confirmed, self.trial) {
            (Some(confirmed), Some(trial)) => confirmed.slot != trial.release.slot && trial.boots <= TRIAL_BOOTS,
            (None, Some(trial)) => trial.boots <= TRIAL_BOOTS,
            (_, None) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn held(slot: Slot, version: u64) -> HeldRelease {
        HeldRelease { slot, version, digest: [version as u8; 32] }
    }

    fn fresh() -> UpdateState {
        UpdateState::new("home".try_into().unwrap())
    }

    fn confirmed(version: u64) -> UpdateState {
        let mut state = fresh();
        state.stage(held(state.spare_slot(), version)).unwrap();
        state.boot();
        state.confirm().unwrap();
        state
    }

    #[test]
    fn an_agent_without_a_release_boots_without_one() {
        assert_eq!(fresh().boot(), Boot::Nothing);
    }

    #[test]
    fn a_release_goes_from_staged_over_trial_to_confirmed() {
        let mut state = fresh();
        let first = held(state.spare_slot(), 1);
        state.stage(first).unwrap();
        assert_eq!((state.in_use(), state.boot()), (Some(first), Boot::Trial(first)));
        assert_eq!(state.confirm(), Ok(first));
        assert_eq!((state.boot(), state.highest_confirmed), (Boot::Confirmed(first), 1));
        let second = held(state.spare_slot(), 2);
        assert_ne!(second.slot, first.slot);
        state.stage(second).unwrap();
        assert_eq!(state.confirmed, Some(first));
        state.confirm().unwrap();
        assert_eq!((state.confirmed, state.spare_slot()), (Some(second), first.slot));
    }

    #[test]
    fn a_trial_that_never_ends_is_rolled_back_at_the_fourth_boot() {
        let mut state = confirmed(1);
        let trial = held(state.spare_slot(), 2);
        state.stage(trial).unwrap();
        for _ in 0..TRIAL_BOOTS {
            assert_eq!(state.boot(), Boot::Trial(trial));
        }
        let before = state.confirmed;
        assert_eq!(state.boot(), Boot::RolledBack { failed: trial, confirmed: before });
        assert_eq!(state.refused.unwrap().version, 2);
        assert_eq!((state.boot(), state.highest_confirmed), (Boot::Confirmed(before.unwrap()), 1));
    }

    #[test]
    fn a_failed_trial_leaves_the_confirmed_release() {
        let mut state = confirmed(1);
        let before = state.confirmed;
        state.stage(held(state.spare_slot(), 2)).unwrap();
        assert_eq!(state.roll_back().unwrap().version, 2);
        assert_eq!((state.in_use(), state.trial), (before, None));
        assert_eq!((state.roll_back(), state.confirm()), (Err(UpdateError::NoTrial), Err(UpdateError::NoTrial)));
    }

    #[test]
    fn the_confirmed_slot_is_never_staged_over() {
        let mut state = confirmed(1);
        let slot = state.confirmed.unwrap().slot;
        assert_eq!(state.stage(held(slot, 2)), Err(UpdateError::SlotInUse));
    }

    #[test]
    fn another_group_counts_versions_anew_and_keeps_what_is_in_use() {
        let mut state = confirmed(7);
        state.stage(held(state.spare_slot(), 8)).unwrap();
        state.join_group(&"home".try_into().unwrap());
        assert!(state.trial.is_some());
        state.join_group(&"work".try_into().unwrap());
        assert_eq!((state.highest_confirmed, state.trial, state.refused), (0, None, None));
        assert_eq!(state.in_use().unwrap().version, 7);
    }

    #[test]
    fn a_state_reads_back_and_fits_its_size() {
        let mut state = confirmed(u64::MAX);
        state.group = "abcdefghijklmnopqrstuvwxyz012345".try_into().unwrap();
        state.stage(held(state.spare_slot(), u64::MAX)).unwrap();
        state.refuse(u64::MAX, [0xff; 32]);
        let mut room = [0; STATE_BYTES];
        let bytes = state.encode(&mut room).unwrap();
        assert_eq!(UpdateState::decode(bytes), Ok(state));
    }

    #[test]
    fn a_damaged_state_is_refused_at_every_byte() {
        let mut room = vec![0; STATE_BYTES];
        let bytes = confirmed(3).encode(&mut room).unwrap();
        for place in 0..bytes.len() {
            assert!(UpdateState::decode(&bytes[..place]).is_err());
            let mut changed = bytes.to_vec();
            changed[place] ^= 4;
            assert_eq!(UpdateState::decode(&changed), Err(FrameError::Malformed), "byte {place}");
        }
    }

    #[test]
    fn a_state_that_no_transition_makes_is_refused() {
        let mut state = confirmed(1);
        state.trial = Some(Trial { release: state.confirmed.unwrap(), boots: 0 });
        let mut room = [0; STATE_BYTES];
        assert_eq!(UpdateState::decode(state.encode(&mut room).unwrap()), Err(FrameError::Malformed));
    }
}
