//! A group without an open campaign → its rollout.

use super::serial::credible;
use super::state::VALID_S;
use super::telemetry::telemetry_budget;
use lapwing_shared::release::manifest::Name;
use lapwing_shared::rollout::message::Rollout;

/// Default of [`Standing::rows_per_day`].
pub const ROWS_PER_DAY: u64 = 2_000_000;
/// What the next rollout of a group depends on, besides the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Number of the group's agents.
    pub agents: u64,
    /// Feature rows per day that they send in all, at most.
    pub rows_per_day: u64,
    /// Highest serial that one of them reports. It is above that of the store if an older store was restored.
    pub reported: u64,
    /// Time, seconds since the epoch.
    pub now_s: u64,
}

impl Standing {
    /// The first rollout of a group: every agent runs `base`.
    pub fn first(&self, group: Name, base: u64, spread_s: u32) -> Rollout {
        Rollout {
            group,
            serial: self.serial_after(0),
            base,
            next: None,
            withdrawn: Default::default(),
            withdrawn_below: 0,
            spread_s,
            budget: telemetry_budget(self.rows_per_day, self.agents),
            issued_s: self.now_s,
            expires_s: self.now_s.saturating_add(VALID_S),
        }
    }

    /// The rollout that replaces `newest`: halfway to its expiry, if agents have a newer one, which the store does not know, or if
    /// telemetry must change more than twofold. It differs in serial, times and telemetry only.
    pub fn renewed(&self, newest: &Rollout) -> Option<Rollout> {
        let is_old = self.now_s.saturating_sub(newest.issued_s) >= VALID_S / 2;
        let rollout = self.first(newest.group.clone(), newest.base, newest.spread_s);
        let (rows, before) = (rollout.budget.rows_per_day, newest.budget.rows_per_day);
        let is_twofold = rows > before.saturating_mul(2) || before > rows.saturating_mul(2);
        if !is_old && !is_twofold && !self.has_newer(newest) {
            return None;
        }
        let (withdrawn, withdrawn_below) = (newest.withdrawn.clone(), newest.withdrawn_below);
        Some(Rollout { serial: self.serial_after(newest.serial), withdrawn, withdrawn_below, ..rollout })
    }

    /// Whether agents have a rollout with a higher serial, so that they reject this one and those after it.
    pub fn has_newer(&self, newest: &Rollout) -> bool {
        credible(self.reported, newest.serial) > newest.serial
    }

    fn serial_after(&self, serial: u64) -> u64 {
        serial.max(credible(self.reported, serial)).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::rollout::message::Next;

    const DAY_S: u64 = 86_400;

    fn standing(now_s: u64, reported: u64) -> Standing {
        Standing { agents: 100, rows_per_day: ROWS_PER_DAY, reported, now_s }
    }

    fn first() -> Rollout {
        standing(1_000, 0).first("home".try_into().unwrap(), 3, 60)
    }

    #[test]
    fn the_first_rollout_names_the_release_that_the_group_runs() {
        let rollout = first();
        rollout.validate().unwrap();
        assert_eq!((rollout.serial, rollout.base, rollout.next, rollout.spread_s), (1, 3, None, 60));
        assert_eq!((rollout.budget.rows_per_day, rollout.expires_s), (20_000, 1_000 + 30 * DAY_S));
        assert_eq!(standing(0, 41).first("home".try_into().unwrap(), 3, 60).serial, 42, "after a store was lost");
    }

    #[test]
    fn a_rollout_is_renewed_halfway_to_its_expiry() {
        let mut newest = first();
        newest.next = Some(Next { version: 4, salt: [0; 8], reach: [0; 3] });
        newest.withdraw(2);
        assert_eq!(standing(1_000 + 15 * DAY_S - 1, 1).renewed(&newest), None);
        let now_s = 1_000 + 15 * DAY_S;
        let renewed = standing(now_s, 1).renewed(&newest).unwrap();
        assert_eq!(
            renewed,
            Rollout { serial: 2, next: None, issued_s: now_s, expires_s: now_s + 30 * DAY_S, ..newest }
        );
    }

    #[test]
    fn telemetry_that_changes_more_than_twofold_is_renewed_at_once() {
        let newest = first();
        let rows = |agents, rows_per_day| {
            let standing = Standing { agents, rows_per_day, ..standing(2_000, 1) };
            standing.renewed(&newest).map(|rollout| rollout.budget.rows_per_day)
        };
        assert_eq!((rows(200, 2_000_000), rows(50, 2_000_000)), (None, None));
        assert_eq!((rows(201, 2_000_000), rows(100, 100_000)), (Some(9_950), Some(1_000)));
        assert_eq!(rows(100, 0), Some(0), "no samples at all");
    }

    #[test]
    fn a_rollout_of_a_restored_store_follows_those_that_agents_have() {
        let newest = first();
        let serial = |reported| standing(2_000, reported).renewed(&newest).map(|rollout| rollout.serial);
        assert_eq!((serial(0), serial(1), serial(9)), (None, None, Some(10)));
        assert_eq!(serial(u64::MAX), None, "an agent that lies");
        assert!(standing(0, 2).has_newer(&newest) && !standing(0, u64::MAX).has_newer(&newest));
    }
}
