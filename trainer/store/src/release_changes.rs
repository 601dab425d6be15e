//! Health reports → what the store remembers of agents' releases beyond the newest report.
//!
//! A row changes only when an agent runs another version, or its coverage changes: a report without such a change costs no
//! write. What the version before cost is a part of the report that the new one replaces.

use crate::cell::Cell;
use crate::fields::decode_health;
use crate::received::HealthReport;

/// What a report is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReleaseState {
    pub(crate) version: u64,
    pub(crate) is_degraded: bool,
}

impl ReleaseState {
    /// The state that a report describes; `None` from an agent that does not report its release.
    pub(crate) fn of(report: &HealthReport) -> Option<Self> {
        Some(Self { version: report.version?, is_degraded: report.degraded })
    }
}

/// Inserts or changes a row; see [`values`].
pub(crate) const PUT_RELEASE: &str = "INSERT INTO release_health (agent, version, first_s, degraded_since_s, \
    before_version, before_cpu_ms, before_packets) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (agent) DO UPDATE SET \
    version = excluded.version, degraded_since_s = CASE WHEN excluded.degraded_since_s IS NULL THEN NULL \
    ELSE coalesce(release_health.degraded_since_s, excluded.degraded_since_s) END, \
    before_version = CASE WHEN release_health.version = excluded.version THEN release_health.before_version \
    ELSE excluded.before_version END, \
    before_cpu_ms = CASE WHEN release_health.version = excluded.version THEN release_health.before_cpu_ms \
    ELSE excluded.before_cpu_ms END, \
    before_packets = CASE WHEN release_health.version = excluded.version THEN release_health.before_packets \
    ELSE excluded.before_packets END";
/// Every row: agent, version, whether its coverage is degraded.
pub(crate) const RELEASE_STATES: &str =
    "SELECT agent, version, CASE WHEN degraded_since_s IS NULL THEN 0 ELSE 1 END FROM release_health";

/// Values of [`PUT_RELEASE`]. `known` is the state before, and `replaced` the stored report that the new one replaces.
pub(crate) fn values(
    agent: i64,
    state: ReleaseState,
    known: Option<ReleaseState>,
    replaced: Option<Vec<u8>>,
    now_s: i64,
) -> [Cell; 7] {
    let before = known.map_or(0, |known| known.version);
    let replaced = decode_health(replaced).map(|health| health.release);
    let costs = replaced.filter(|release| before != 0 && release.version == before);
    let (cpu_ms, packets) = costs.map_or((0, 0), |release| (release.cpu_ms, release.packets));
    let number = |number: u64| Cell::Integer(number.cast_signed());
    [
        Cell::Integer(agent),
        number(state.version),
        Cell::Integer(now_s),
        if state.is_degraded { Cell::Integer(now_s) } else { Cell::Null },
        number(before),
        number(cpu_ms),
        number(packets),
    ]
}
