//! Records, marks of capture time between them, and the packet thread's progress → one batch for the scoring stage.

use crate::scoring::{BATCH_ROWS, Mark};
use lapwing_shared::features::flow_rows::Rows;
use lapwing_shared::features::meter::Meter;
use lapwing_shared::flow::table::FlowCounters;
use lapwing_shared::messages::DetectorCounters;
use lapwing_shared::packet::RefusalCounts;
use lapwing_shared::units::Timestamp;
use lapwing_shared::verdict::tracker::TrackerCounters;

/// Limit for the marks of a batch.
pub(crate) const BATCH_MARKS: usize = 64;

/// Counters of the packet thread.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PacketCounters {
    /// Newest packet's time.
    pub(crate) at: Timestamp,
    /// The flow table's counters.
    pub(crate) flows: FlowCounters,
    /// Hosts evicted from the context table.
    pub(crate) host_evictions: u64,
    /// Flows of new hosts that the full context table turned away.
    pub(crate) hosts_turned_away: u64,
    /// Hosts that have sent a first flow.
    pub(crate) new_sources: u64,
    /// Records dropped because the queue was full.
    pub(crate) left_out: u64,
    /// Packets refused, by reason.
    pub(crate) refusals: RefusalCounts,
    /// Packets metered without all of their fields, by reason.
    pub(crate) irregular: RefusalCounts,
    /// Hosts with such packets now.
    pub(crate) irregular_hosts: usize,
    /// Of these, replaced in the full table.
    pub(crate) irregular_evictions: u64,
    /// Later fragments metered without ports, because their first was not seen in time.
    pub(crate) fragments_without_first: u64,
    /// First fragments evicted from the full list.
    pub(crate) fragment_evictions: u64,
    /// Flows in the table now.
    pub(crate) held_flows: usize,
    /// Hosts in the context table now.
    pub(crate) held_hosts: usize,
}

impl PacketCounters {
    /// Limits of the detector that were hit; damaged blocks are the monitor's.
    pub(crate) fn detector(&self, tracker: &TrackerCounters) -> DetectorCounters {
        DetectorCounters {
            episodes_held_back: tracker.episodes_held_back,
            episodes_replaced: tracker.episodes_replaced,
            episodes_folded: tracker.episodes_folded,
            hosts_turned_away: tracker.hosts_turned_away + self.hosts_turned_away,
            flooding_sources: tracker.flooding_sources,
            initiators_forgotten: self.flows.initiators_forgotten,
            damaged_blocks: 0,
            rejected_acknowledgements: 0,
        }
    }

    /// Takes the counters of the meter.
    pub(crate) fn update(&mut self, meter: &Meter, left_out: u64) {
        self.at = meter.flows().clock();
        self.flows = meter.counters();
        self.host_evictions = meter.hosts().evictions;
        self.hosts_turned_away = meter.hosts().turned_away;
        self.new_sources = meter.hosts().new_sources;
        self.left_out = left_out;
        self.refusals = *meter.refusals();
        self.irregular = *meter.irregular();
        self.irregular_hosts = meter.irregular_hosts().len();
        self.irregular_evictions = meter.irregular_hosts().evictions;
        let fragments = meter.flows().fragments();
        (self.fragments_without_first, self.fragment_evictions) = (fragments.without_first, fragments.evicted);
        self.held_flows = meter.flows().len();
        self.held_hosts = meter.hosts().len();
    }
}

/// Records for the scoring stage, and the packet thread's counters at its last report.
pub(crate) struct Batch {
    pub(crate) rows: Rows,
    pub(crate) marks: Vec<Mark>,
    pub(crate) progress: PacketCounters,
}

impl Batch {
    /// An empty batch. Boxed, since the queues would copy its 600 octets.
    pub(crate) fn boxed() -> Box<Self> {
        let (rows, marks) = (Rows::with_capacity(BATCH_ROWS), Vec::with_capacity(BATCH_MARKS));
        Box::new(Self { rows, marks, progress: PacketCounters::default() })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.marks.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.marks.clear();
    }

    /// Drops the records, and keeps the notices unless they fill the batch.
    pub(crate) fn clear_records(&mut self) {
        self.rows.clear();
        self.marks.retain(|mark| mark.notice.is_some());
        if self.marks.len() >= BATCH_MARKS {
            self.marks.clear();
        }
        self.marks.iter_mut().for_each(|mark| mark.rows_before = 0);
    }

    /// Replaces the batch by `empty`, which keeps the counters, and returns it.
    pub(crate) fn exchange(self: &mut Box<Self>, mut empty: Box<Self>) -> Box<Self> {
        empty.progress = self.progress;
        std::mem::replace(self, empty)
    }
}
