//! Test data: a small valid rollout.

#![allow(clippy::unwrap_used, reason = "test data")]

use super::message::{Rollout, TelemetryBudget};

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
