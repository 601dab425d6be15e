//! The end of a run in numbers, for people and for scripts.

use lapwing_shared::packet::RefusalCounts;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Packets read.
    pub packets: u64,
    /// Network-layer octets of the metered packets.
    pub octets: u64,
    /// Octets on the wire of the metered packets.
    pub frame_octets: u64,
    /// Flows begun.
    pub flows: u64,
    /// Flow records made.
    pub records: u64,
    /// Packets refused, by reason; reasons that did not occur are left out.
    pub refused: BTreeMap<&'static str, u64>,
    /// Flows evicted from the full table.
    pub flow_evictions: u64,
    /// Hosts evicted from a full table.
    pub host_evictions: u64,
    /// Packets that the kernel dropped before they were read.
    pub kernel_drops: u64,
    /// Packets older than the newest one by at most the reorder tolerance.
    pub reordered: u64,
    /// Times that the capture's clock was set back.
    pub clock_steps: u64,
    /// Rows scored.
    pub scored: u64,
    /// Rows not scored although a release was in use: scoring queue full or engine fault.
    pub unscored: u64,
    /// Alert episodes opened.
    pub alerts: u64,
    /// Flows at which an episode had to wait because too many were open.
    pub episodes_held_back: u64,
    /// Release in use at the end, 0 without one.
    pub release: u64,
    /// Engine in use, empty without one.
    pub engine: &'static str,
    /// Seconds of wall-clock time.
    pub seconds: f64,
    /// Packets read a second.
    pub packets_per_second: f64,
    /// Peak resident memory, bytes; 0 where the system does not tell.
    pub peak_memory_bytes: u64,
    /// What was odd about the input: a capture cut off in the middle, say.
    pub warnings: Vec<String>,
}

/// Refusals by reason name, those that occurred.
pub fn by_reason(refusals: &RefusalCounts) -> BTreeMap<&'static str, u64> {
    refusals.iter().filter(|(_, count)| *count > 0).map(|(reason, count)| (reason.name(), count)).collect()
}

/// Peak resident memory of this process, bytes, as Linux tells it.
pub fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} packets, {} octets, {} flows in {} records, in {:.3} s ({:.0} packets/s), peak memory {:.1} MB",
            self.packets,
            self.octets,
            self.flows,
            self.records,
            self.seconds,
            self.packets_per_second,
            self.peak_memory_bytes as f64 / 1e6
        )?;
        let refused: u64 = self.refused.values().sum();
        let reasons: Vec<String> = self.refused.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let because = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
        writeln!(
            f,
            "refused {refused}{because}, evicted {} flows and {} hosts, reordered {}, clock steps {}",
            self.flow_evictions, self.host_evictions, self.reordered, self.clock_steps
        )?;
        if self.kernel_drops > 0 {
            writeln!(f, "the kernel dropped {} packets before they were read", self.kernel_drops)?;
        }
        match self.release {
            0 => writeln!(f, "no release in use: nothing was scored")?,
            release => writeln!(
                f,
                "release {release} on {}: {} scored, {} not scored, {} alerts",
                self.engine, self.scored, self.unscored, self.alerts
            )?,
        }
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}
