//! Staged release → trial → confirmed or rolled back: the update state machine and its stored form.
//!
//! There are two slots for releases. The state records the slots of the confirmed release and of the one on trial; the
//! confirmed release is never overwritten. Each transition creates a new [`UpdateState`], stored by atomic replacement,
//! so after a power cut the disk contains the state before or after it, and both can boot:
//!
//! | on disk | at boot |
//! |---|---|
//! | no trial | confirmed release, if any |
//! | trial, fewer than [`TRIAL_BOOTS`] boots | trial again; the boot is counted before the release is used |
//! | trial, [`TRIAL_BOOTS`] boots | confirmed release: the trial never completed |
//!
//! Bytes of a stored state: [`STATE_VERSION`] and the postcard body, then the first [`CHECKSUM_BYTES`] bytes of the
//! SHA-256 of both; at most [`STATE_BYTES`].

use super::digest::sha256;
use super::framing::{self, FrameError};
use super::manifest::{Digest, Name};
use core::fmt;
use serde::{Deserialize, Serialize};

/// First byte of a stored state.
pub const STATE_VERSION: u8 = 1;
/// Bytes of the SHA-256 checksum.
pub const CHECKSUM_BYTES: usize = 8;
/// Largest stored state, bytes.
pub const STATE_BYTES: usize = 256;
/// Limit on agent starts during a trial; then the release is rolled back.
pub const TRIAL_BOOTS: u8 = 3;

/// One of the two slots on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Slot {
    /// First slot.
    A,
    /// Second slot.
    B,
}

impl Slot {
    /// The other slot.
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
    /// Its slot.
    pub slot: Slot,
    /// Its version.
    pub version: u64,
    /// SHA-256 of its encoded manifest.
    pub digest: Digest,
}

/// A release that failed and is not accepted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedRelease {
    /// Its version.
    pub version: u64,
    /// SHA-256 of its encoded manifest.
    pub digest: Digest,
}

/// A release on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// The release.
    pub release: HeldRelease,
    /// Agent starts with it; 0 while it is only staged.
    pub boots: u8,
}

/// Persistent update state of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateState {
    /// Group of `highest_confirmed` and `refused`.
    pub group: Name,
    /// The release in use without a trial.
    pub confirmed: Option<HeldRelease>,
    /// The release on trial.
    pub trial: Option<Trial>,
    /// Highest version ever confirmed, 0 before the first. Never decreases within a group.
    pub highest_confirmed: u64,
    /// The last release that failed here.
    pub refused: Option<RefusedRelease>,
}

/// Reason for an impossible transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateError {
    /// No release is on trial.
    NoTrial,
    /// The slot contains the confirmed release.
    SlotInUse,
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTrial => write!(f, "no release is on trial"),
            Self::SlotInUse => write!(f, "slot contains the confirmed release, which is never overwritten"),
        }
    }
}

impl core::error::Error for UpdateError {}

/// The release to load at a start of the agent, after storing the new state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// No release was ever confirmed.
    Nothing,
    /// The confirmed release.
    Confirmed(HeldRelease),
    /// The release on trial.
    Trial(HeldRelease),
    /// The trial was rolled back after [`TRIAL_BOOTS`] boots.
    RolledBack {
        /// The release that was on trial.
        failed: HeldRelease,
        /// The release in use now, if any.
        confirmed: Option<HeldRelease>,
    },
}

impl UpdateState {
    /// The state of an agent that never had a release.
    pub fn new(group: Name) -> Self {
        Self { group, confirmed: None, trial: None, highest_confirmed: 0, refused: None }
    }

    /// The release in use: the one on trial, else the confirmed one.
    pub fn in_use(&self) -> Option<HeldRelease> {
        self.trial.map(|trial| trial.release).or(self.confirmed)
    }

    /// The slot for a new release; never the confirmed release's.
    pub fn spare_slot(&self) -> Slot {
        self.confirmed.map_or(Slot::A, |confirmed| confirmed.slot.other())
    }

    /// Changes the group: resets the version history and ends a trial; the confirmed release stays in use.
    pub fn join_group(&mut self, group: &Name) {
        if self.group != *group {
            self.group = group.clone();
            (self.trial, self.refused, self.highest_confirmed) = (None, None, 0);
        }
    }

    /// Stages a verified release that was written to its slot. Replaces an earlier trial.
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

    /// Ends the trial before its slot is overwritten, so that no stored state refers to a partly written slot.
    pub fn clear_trial(&mut self) {
        self.trial = None;
    }

    /// Counts a start of the agent, or of a trial in a running agent.
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

    /// Confirms the release on trial.
    ///
    /// # Errors
    /// [`UpdateError::NoTrial`].
    pub fn confirm(&mut self) -> Result<HeldRelease, UpdateError> {
        let release = self.trial.take().ok_or(UpdateError::NoTrial)?.release;
        self.confirmed = Some(release);
        self.highest_confirmed = self.highest_confirmed.max(release.version);
        Ok(release)
    }

    /// Puts the release of the spare slot into use again, because a rollout withdrew the confirmed one; ends a trial. The
    /// highest confirmed version stays, so the withdrawn one is not accepted again.
    ///
    /// # Errors
    /// [`UpdateError::SlotInUse`] for the confirmed release's slot.
    #[inline]
    pub fn restore(&mut self, release: HeldRelease) -> Result<(), UpdateError> {
        if self.confirmed.is_some_and(|confirmed| confirmed.slot == release.slot) {
            return Err(UpdateError::SlotInUse);
        }
        (self.confirmed, self.trial) = (Some(release), None);
        Ok(())
    }

    /// Rolls the trial back; its version is not accepted again. Returns the failed release.
    ///
    /// # Errors
    /// [`UpdateError::NoTrial`].
    pub fn roll_back(&mut self) -> Result<HeldRelease, UpdateError> {
        let release = self.trial.take().ok_or(UpdateError::NoTrial)?.release;
        self.refuse(release.version, release.digest);
        Ok(release)
    }

    /// Records a release that failed before its trial (artifact or golden vectors); it is not accepted again.
    pub fn refuse(&mut self, version: u64, digest: Digest) {
        self.refused = Some(RefusedRelease { version, digest });
    }

    /// Writes the stored form into `out`, for which [`STATE_BYTES`] is always enough; returns the written part.
    ///
    /// # Errors
    /// [`FrameError::NoRoom`].
    #[inline]
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
    /// [`FrameError`]; [`FrameError::Malformed`] also for a wrong checksum or an unreachable state.
    #[inline]
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
    fn a_new_agent_boots_without_a_release() {
        assert_eq!(fresh().boot(), Boot::Nothing);
    }

    #[test]
    fn a_release_goes_from_staged_through_trial_to_confirmed() {
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
    fn an_unfinished_trial_is_rolled_back_at_the_fourth_boot() {
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
    fn a_failed_trial_keeps_the_confirmed_release() {
        let mut state = confirmed(1);
        let before = state.confirmed;
        state.stage(held(state.spare_slot(), 2)).unwrap();
        assert_eq!(state.roll_back().unwrap().version, 2);
        assert_eq!((state.in_use(), state.trial), (before, None));
        assert_eq!((state.roll_back(), state.confirm()), (Err(UpdateError::NoTrial), Err(UpdateError::NoTrial)));
    }

    #[test]
    fn a_restored_release_is_in_use_and_the_highest_version_stays() {
        let mut state = confirmed(1);
        let first = state.confirmed.unwrap();
        state.stage(held(state.spare_slot(), 2)).unwrap();
        state.confirm().unwrap();
        assert_eq!(state.restore(state.confirmed.unwrap()), Err(UpdateError::SlotInUse));
        assert_eq!(state.restore(first), Ok(()));
        assert_eq!((state.boot(), state.highest_confirmed), (Boot::Confirmed(first), 2));
        assert_ne!(state.spare_slot(), first.slot);
    }

    #[test]
    fn staging_into_the_confirmed_slot_is_rejected() {
        let mut state = confirmed(1);
        let slot = state.confirmed.unwrap().slot;
        assert_eq!(state.stage(held(slot, 2)), Err(UpdateError::SlotInUse));
    }

    #[test]
    fn a_new_group_resets_versions_and_keeps_the_release_in_use() {
        let mut state = confirmed(7);
        state.stage(held(state.spare_slot(), 8)).unwrap();
        state.join_group(&"home".try_into().unwrap());
        assert!(state.trial.is_some());
        state.join_group(&"work".try_into().unwrap());
        assert_eq!((state.highest_confirmed, state.trial, state.refused), (0, None, None));
        assert_eq!(state.in_use().unwrap().version, 7);
    }

    #[test]
    fn a_state_round_trips_and_fits_its_stated_size() {
        let mut state = confirmed(u64::MAX);
        state.group = "abcdefghijklmnopqrstuvwxyz012345".try_into().unwrap();
        state.stage(held(state.spare_slot(), u64::MAX)).unwrap();
        state.refuse(u64::MAX, [0xff; 32]);
        let mut room = [0; STATE_BYTES];
        let bytes = state.encode(&mut room).unwrap();
        assert_eq!(UpdateState::decode(bytes), Ok(state));
    }

    #[test]
    fn damage_at_any_byte_of_a_state_is_rejected() {
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
    fn an_unreachable_state_is_rejected() {
        let mut state = confirmed(1);
        state.trial = Some(Trial { release: state.confirmed.unwrap(), boots: 0 });
        let mut room = [0; STATE_BYTES];
        assert_eq!(UpdateState::decode(state.encode(&mut room).unwrap()), Err(FrameError::Malformed));
    }
}
