//! What the packet thread hands to the scoring stage: records, how far capture time had come between them, and where
//! the packet thread stood.

use crate::scoring::{BATCH_ROWS, Mark};
use lapwing_shared::features::meter::Meter;
use lapwing_shared::features::rows::Rows;
use lapwing_shared::flow::table::FlowCounters;
use lapwing_shared::packet::RefusalCounts;
use lapwing_shared::units::Timestamp;

/// Reports in one batch.
pub(crate) const BATCH_MARKS: usize = 64;

/// Where the packet thread stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Newest packet's time.
    pub at: Timestamp,
    /// The flow table's counters.
    pub flows: FlowCounters,
    /// Hosts evicted from the context table.
    pub host_evictions: u64,
    /// Records that the full queue left out.
    pub left_out: u64,
    /// Packets refused, by reason.
    pub refusals: RefusalCounts,
    /// Flows in the table now.
    pub held_flows: usize,
    /// Hosts in the context table now.
    pub held_hosts: usize,
}

impl Progress {
    /// Where the packet thread stands with this meter.
    pub(crate) fn note(&mut self, meter: &Meter, left_out: u64) {
        self.at = meter.flows().clock();
        self.flows = meter.counters();
        self.host_evictions = meter.hosts().evictions;
        self.left_out = left_out;
        self.refusals = *meter.refusals();
        self.held_flows = meter.flows().len();
        self.held_hosts = meter.hosts().len();
    }
}

/// Records on their way, and where the packet thread stood at its last report.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) rows: Rows,
    pub(crate) marks: Vec<Mark>,
    pub(crate) progress: Progress,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self { rows: Rows::with_capacity(BATCH_ROWS), marks: Vec::with_capacity(BATCH_MARKS), ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.marks.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.marks.clear();
    }

    /// Gives what it holds away and goes on with an empty batch, which knows no less of where the packet thread stands.
    pub(crate) fn exchange(&mut self, empty: Self) -> Self {
        let progress = self.progress;
        std::mem::replace(self, Self { progress, ..empty })
    }
}
