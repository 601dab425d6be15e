//! Number of agents of a group → how much telemetry each sends.

use lapwing_shared::rollout::message::TelemetryBudget;

/// Most sampled feature rows per agent and day.
const ROWS: u64 = 36_864;
/// Agents up to which health reports are sent every [`HEALTH_S`] seconds.
const AGENTS: u64 = 1_000;
/// Shortest and longest interval of health reports, seconds.
const HEALTH_S: (u64, u64) = (10, 300);

/// The telemetry of each of a group's agents, so that the group sends at most `rows_per_day` feature rows a day and the
/// load of health reports stays about that of 1,000 agents.
pub fn telemetry_budget(rows_per_day: u64, agents: u64) -> TelemetryBudget {
    let rows = (rows_per_day / agents.max(1)).min(ROWS);
    let health_s = (HEALTH_S.0 * agents / AGENTS).clamp(HEALTH_S.0, HEALTH_S.1);
    TelemetryBudget {
        rows_per_day: u32::try_from(rows).unwrap_or(u32::MAX),
        health_every_s: u16::try_from(health_s).unwrap_or(u16::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_shares_its_rows_and_large_groups_report_less_often() {
        let budget = |agents| telemetry_budget(2_000_000, agents);
        assert_eq!((budget(0).rows_per_day, budget(1).health_every_s), (36_864, 10));
        assert_eq!((budget(100).rows_per_day, budget(1_000).rows_per_day), (20_000, 2_000));
        assert_eq!((budget(10_000).rows_per_day, budget(10_000).health_every_s), (200, 100));
        assert_eq!((budget(1_000_000).rows_per_day, budget(1_000_000).health_every_s), (2, 300));
    }
}
