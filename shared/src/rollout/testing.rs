//! Test data: a small valid rollout and assignment, and their signatures.

#![allow(clippy::unwrap_used, reason = "test data")]

use super::assignment::{Assignment, seal_assignment};
use super::message::{ROLLOUT_BYTES, Rollout, TelemetryBudget};
use super::signed::seal;
use crate::release::testing::signing_key;
use alloc::vec::Vec;
use ed25519_dalek::Signer;

/// A rollout of the group `home` without a campaign, valid for 30 days.
pub fn rollout(serial: u64, base: u64) -> Rollout {
    Rollout {
        group: "home".try_into().unwrap(),
        serial,
        base,
        next: None,
        withdrawn: heapless::Vec::new(),
        withdrawn_below: 0,
        spread_s: 3_600,
        budget: TelemetryBudget { rows_per_day: 256, health_every_s: 10 },
        issued_s: 1_700_000_000,
        expires_s: 1_702_592_000,
    }
}

/// The rollout, encoded and signed with key `r1` of this seed.
pub fn signed_rollout(rollout: &Rollout, seed: u8) -> Vec<u8> {
    let sign = |bytes: &[u8]| signing_key(seed).sign(bytes).to_bytes();
    seal(rollout, &"r1".try_into().unwrap(), sign, &mut [0; ROLLOUT_BYTES]).unwrap().to_vec()
}

/// An assignment of this serial for agent `gw-1` that assigns nothing.
pub fn assignment(serial: u64) -> Assignment {
    Assignment { agent: "gw-1".try_into().unwrap(), serial, issued_s: 1_700_000_000, ..Assignment::default() }
}

/// The assignment, encoded and signed with key `r1` of this seed.
pub fn signed_assignment(assignment: &Assignment, seed: u8) -> Vec<u8> {
    let sign = |bytes: &[u8]| signing_key(seed).sign(bytes).to_bytes();
    seal_assignment(assignment, &"r1".try_into().unwrap(), sign, &mut [0; ROLLOUT_BYTES]).unwrap().to_vec()
}
