//! Assignment ↔ signed bytes: what the trainer determines for a single agent.
//!
//! Absent for almost every agent. A local hold stays in force whatever it says; all else takes precedence over the agent's own
//! configuration, if that accepts assignments. The envelope is that of a rollout, with a prefix of its own. An assignment that
//! assigns nothing ends the one before: its serial replaces that.

use super::decide::Settings;
use super::message::{Channel, ROLLOUT_BYTES, RolloutError};
use super::signed::{ASSIGNMENT_PREFIX, RolloutKeys, open_frame, seal_frame};
use crate::release::framing;
use crate::release::manifest::Name;
use crate::release::name::is_name;
use crate::release::signature::SIGNATURE_BYTES;
use serde::{Deserialize, Serialize};

/// First byte of every encoded assignment; readers reject any other value.
pub const ASSIGNMENT_VERSION: u8 = 1;
/// Largest false-alert budget: 1,000 alerts a day.
pub const ALERTS_PER_1000_DAYS: u32 = 1_000_000;

/// Settings for one agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The agent.
    pub agent: Name,
    /// At least 1, and greater than those of all earlier assignments of the agent, which never accepts a lower one.
    pub serial: u64,
    /// Its channel; `None`: that of its configuration.
    pub channel: Option<Channel>,
    /// The only version that it installs.
    pub pin: Option<u64>,
    /// Install nothing new.
    pub hold: bool,
    /// False-alert budget, alerts per 1,000 days, 1 to [`ALERTS_PER_1000_DAYS`].
    pub alerts_per_1000_days: Option<u32>,
    /// Creation time, seconds since the epoch.
    pub issued_s: u64,
}

impl Assignment {
    /// The settings of an agent with these local ones.
    #[inline]
    pub fn apply(&self, local: Settings) -> Settings {
        Settings {
            channel: self.channel.unwrap_or(local.channel),
            hold: self.hold || local.hold,
            pin: self.pin.or(local.pin),
        }
    }

    /// Whether an agent whose newest assignment is `newest` uses this one instead; `false` for the same one again.
    ///
    /// # Errors
    /// [`RolloutError::Stale`] if it is older, or different with the same serial.
    #[inline]
    pub fn replaces(&self, newest: Option<&Self>) -> Result<bool, RolloutError> {
        match newest {
            Some(newest) if self == newest => Ok(false),
            Some(newest) if self.serial <= newest.serial => {
                Err(RolloutError::Stale { found: self.serial, newest: newest.serial })
            }
            _ => Ok(true),
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`RolloutError::Field`].
    #[inline]
    pub fn validate(&self) -> Result<(), RolloutError> {
        let is_budget = |alerts: u32| (1..=ALERTS_PER_1000_DAYS).contains(&alerts);
        let checks = [
            (is_name(&self.agent), "agent"),
            (self.serial > 0, "serial"),
            (self.pin != Some(0), "pin"),
            (self.alerts_per_1000_days.is_none_or(is_budget), "alerts_per_1000_days"),
        ];
        match checks.iter().find(|(is_valid, _)| !is_valid) {
            Some((_, field)) => Err(RolloutError::Field(field)),
            None => Ok(()),
        }
    }
}

/// Writes an assignment and its signature into `out`, as [`super::signed::seal`].
///
/// # Errors
/// [`RolloutError::Field`] for an invalid assignment, [`RolloutError::Envelope`] for an invalid key name or too little room.
#[inline]
pub fn seal_assignment<'a>(
    assignment: &Assignment,
    key: &Name,
    sign: impl FnOnce(&[u8]) -> [u8; SIGNATURE_BYTES],
    out: &'a mut [u8],
) -> Result<&'a [u8], RolloutError> {
    assignment.validate()?;
    let mut room = [0; ROLLOUT_BYTES];
    let frame = framing::encode(ASSIGNMENT_VERSION, assignment, &mut room)?;
    seal_frame(ASSIGNMENT_PREFIX, frame, key, sign, out)
}

/// Verifies a signed assignment of an agent; also returns the name of the key.
///
/// # Errors
/// [`RolloutError`], but never [`RolloutError::Stale`].
#[inline]
pub fn open_assignment(bytes: &[u8], keys: &dyn RolloutKeys, agent: &Name) -> Result<(Assignment, Name), RolloutError> {
    let (frame, key) = open_frame(ASSIGNMENT_PREFIX, bytes, keys)?;
    let assignment: Assignment = framing::decode(ASSIGNMENT_VERSION, frame, ROLLOUT_BYTES)?;
    assignment.validate()?;
    if assignment.agent == *agent { Ok((assignment, key)) } else { Err(RolloutError::Agent(assignment.agent)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::testing::signing_key;
    use crate::rollout::signed::{ROLLOUT_PREFIX, open};
    use crate::rollout::testing::{assignment, rollout, signed_assignment, signed_rollout};
    use ed25519_dalek::{Signer as _, VerifyingKey};
    use std::vec::Vec;

    fn name(text: &str) -> Name {
        text.try_into().unwrap()
    }

    fn keys(seed: u8) -> (Name, VerifyingKey) {
        (name("r1"), signing_key(seed).verifying_key())
    }

    fn full() -> Assignment {
        Assignment {
            channel: Some(Channel::Late),
            pin: Some(300),
            hold: true,
            alerts_per_1000_days: Some(500),
            ..assignment(7)
        }
    }

    #[test]
    fn an_assignment_encodes_to_its_golden_bytes() {
        let mut room = [0; ROLLOUT_BYTES];
        let bytes = framing::encode(ASSIGNMENT_VERSION, &full(), &mut room).unwrap();
        let golden = [
            &[1, 4][..],
            b"gw-1",
            // serial, channel, pin = 300, hold, alerts_per_1000_days = 500
            &[7, 1, 2, 1, 0xac, 0x02, 1, 1, 0xf4, 0x03],
            // issued_s = 1_700_000_000
            &[0x80, 0xe2, 0xcf, 0xaa, 0x06],
        ]
        .concat();
        assert_eq!(bytes, golden);
        assert_eq!(open_assignment(&signed_assignment(&full(), 1), &keys(1), &name("gw-1")), Ok((full(), name("r1"))));
    }

    #[test]
    fn forged_foreign_changed_and_cut_assignments_are_rejected() {
        let bytes = signed_assignment(&full(), 1);
        let opened =
            |bytes: &[u8], seed: u8, agent: &str| open_assignment(bytes, &keys(seed), &name(agent)).unwrap_err();
        assert_eq!(opened(&bytes, 2, "gw-1"), RolloutError::Signature(name("r1")));
        assert_eq!(opened(&bytes, 1, "gw-2"), RolloutError::Agent(name("gw-1")));
        for place in 0..bytes.len() {
            opened(&bytes[..place], 1, "gw-1");
            let mut changed = bytes.clone();
            changed[place] ^= 0x10;
            opened(&changed, 1, "gw-1");
        }
        opened(&[bytes, Vec::from([0; ROLLOUT_BYTES])].concat(), 1, "gw-1");
    }

    #[test]
    fn a_rollout_is_no_assignment_and_an_assignment_no_rollout() {
        let rollout = signed_rollout(&rollout(7, 3), 1);
        let no_signature = RolloutError::Signature(name("r1"));
        assert_eq!(open_assignment(&rollout, &keys(1), &name("gw-1")), Err(no_signature.clone()));
        assert_eq!(open(&signed_assignment(&full(), 1), &keys(1), &name("home")), Err(no_signature.clone()));
        // An assignment under the prefix of rollouts.
        let mut room = [0; ROLLOUT_BYTES];
        let frame = framing::encode(ASSIGNMENT_VERSION, &full(), &mut room).unwrap();
        let sign = |bytes: &[u8]| signing_key(1).sign(bytes).to_bytes();
        let mut out = [0; ROLLOUT_BYTES];
        let forged = seal_frame(ROLLOUT_PREFIX, frame, &name("r1"), sign, &mut out).unwrap();
        assert_eq!(open_assignment(forged, &keys(1), &name("gw-1")), Err(no_signature));
    }

    #[test]
    fn invalid_fields_are_rejected() {
        type Breakage = (&'static str, fn(&mut Assignment));
        let breakages: &[Breakage] = &[
            ("agent", |a| a.agent = "a b".try_into().unwrap()),
            ("serial", |a| a.serial = 0),
            ("pin", |a| a.pin = Some(0)),
            ("alerts_per_1000_days", |a| a.alerts_per_1000_days = Some(0)),
            ("alerts_per_1000_days", |a| a.alerts_per_1000_days = Some(ALERTS_PER_1000_DAYS + 1)),
        ];
        let sign = |bytes: &[u8]| signing_key(1).sign(bytes).to_bytes();
        for (field, change) in breakages {
            let mut changed = full();
            change(&mut changed);
            let mut out = [0; ROLLOUT_BYTES];
            assert_eq!(seal_assignment(&changed, &name("r1"), sign, &mut out), Err(RolloutError::Field(field)));
            let mut room = [0; ROLLOUT_BYTES];
            let frame = framing::encode(ASSIGNMENT_VERSION, &changed, &mut room).unwrap();
            let signed = seal_frame(ASSIGNMENT_PREFIX, frame, &name("r1"), sign, &mut out).unwrap();
            assert_eq!(open_assignment(signed, &keys(1), &changed.agent), Err(RolloutError::Field(field)));
        }
    }

    #[test]
    fn a_local_hold_stays_and_all_else_is_as_assigned() {
        let local = Settings { channel: Channel::Early, hold: true, pin: Some(4) };
        assert_eq!(assignment(7).apply(local), local);
        let assigned = Assignment { hold: false, ..full() }.apply(local);
        assert_eq!(assigned, Settings { channel: Channel::Late, hold: true, pin: Some(300) });
        assert!(full().apply(Settings::default()).hold);
    }
}
