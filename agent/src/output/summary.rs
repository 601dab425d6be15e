//! Final counters of a run → text and JSON.

use lapwing_shared::packet::RefusalCounts;
use serde::{Serialize, Serializer};
use std::fmt;

/// Totals of a run, printed when it ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Packets read.
    pub packets: u64,
    /// Network-layer octets of the metered packets.
    pub octets: u64,
    /// Octets on the wire of the metered packets.
    pub frame_octets: u64,
    /// Flows started.
    pub flows: u64,
    /// Flow records made.
    pub records: u64,
    /// Packets refused, by reason; without reasons that did not occur.
    pub refused: Reasons,
    /// Packets metered without all of their fields, by reason; without reasons that did not occur.
    pub irregular: Reasons,
    /// Later fragments metered without ports, because their first was not seen in time.
    pub fragments_without_first: u64,
    /// Records of capture files with a field out of range, which was replaced.
    pub repaired: u64,
    /// Flows evicted from the full table.
    pub(crate) flow_evictions: u64,
    /// Hosts evicted from a full table.
    pub(crate) host_evictions: u64,
    /// Packets that the kernel dropped before they were read.
    pub(crate) kernel_drops: u64,
    /// Packets older than the newest one by at most the reorder tolerance.
    pub reordered: u64,
    /// Times that the capture's clock was set back.
    pub clock_steps: u64,
    pub(crate) scored: u64,
    /// Rows not scored despite a release: scoring queue full or engine fault.
    pub(crate) unscored: u64,
    /// Alert episodes opened.
    pub alerts: u64,
    /// Flows that opened no episode because too many were open.
    pub episodes_held_back: u64,
    /// Release in use at the end, 0 without one.
    pub release: u64,
    /// Engine in use, empty without one.
    pub engine: &'static str,
    /// Seconds of wall-clock time.
    pub seconds: f64,
    /// Packets read per second.
    pub(crate) packets_per_second: f64,
    /// Peak resident memory, bytes; 0 if unknown.
    pub(crate) peak_memory_bytes: u64,
    /// Problems with the input, e.g. a truncated capture.
    pub(crate) warnings: Vec<String>,
}

/// Packets by reason: the reasons that occurred, sorted by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reasons(Vec<(&'static str, u64)>);

impl Reasons {
    /// From these counts.
    pub(crate) fn new(refusals: &RefusalCounts) -> Self {
        let mut reasons = Self::default();
        reasons.merge(refusals);
        reasons
    }

    /// Adds these counts.
    pub(crate) fn merge(&mut self, refusals: &RefusalCounts) {
        for (reason, count) in refusals.iter().filter(|(_, count)| *count > 0) {
            match self.0.binary_search_by_key(&reason.name(), |(name, _)| *name) {
                Ok(place) => self.0[place].1 += count,
                Err(place) => self.0.insert(place, (reason.name(), count)),
            }
        }
    }

    /// Packets in total.
    pub(crate) fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// Reason and packets.
    pub(crate) fn list(&self) -> &[(&'static str, u64)] {
        &self.0
    }
}

impl Serialize for Reasons {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// Peak resident memory of this process, bytes, from /proc/self/status.
pub(crate) fn peak_memory_bytes() -> u64 {
    memory_kib("VmHWM:") * 1024
}

/// A field of /proc/self/status, KiB; 0 if it is unknown.
pub(crate) fn memory_kib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
}

/// Packets by reason, as `3 packets (bad_arp 2, too_many_tags 1)`.
struct Counted<'a>(&'a Reasons);

impl fmt::Display for Counted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} packets", self.0.total())?;
        let reasons: Vec<String> = self.0.list().iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        if reasons.is_empty() { Ok(()) } else { write!(f, " ({})", reasons.join(", ")) }
    }
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
        writeln!(
            f,
            "rejected {}, evicted {} flows and {} hosts, reordered {} packets, {} clock steps",
            Counted(&self.refused),
            self.flow_evictions,
            self.host_evictions,
            self.reordered,
            self.clock_steps
        )?;
        if !self.irregular.list().is_empty() {
            writeln!(f, "metered without all of their fields: {}", Counted(&self.irregular))?;
        }
        if self.repaired > 0 {
            writeln!(f, "repaired {} records of the capture with a time or length out of range", self.repaired)?;
        }
        if self.kernel_drops > 0 {
            writeln!(f, "the kernel dropped {} packets before they were read", self.kernel_drops)?;
        }
        match self.release {
            0 => writeln!(f, "no release: records were not scored")?,
            release => writeln!(
                f,
                "release {release} on {}: {} scored, {} not scored, {} alerts",
                self.engine, self.scored, self.unscored, self.alerts
            )?,
        }
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}
