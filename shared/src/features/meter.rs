//! The whole path from a frame's bytes to a flow record and its feature vector.
//!
//! The agent and the trainer both go this way, so what a model was trained on is what it sees on the router.

use crate::context::hosts::HostTable;
use crate::context::local::{Followed, LocalNetworks};
use crate::features::extract::extract;
use crate::features::rows::Row;
use crate::features::{FEATURES, FeatureVector};
use crate::flow::record::{FlowRecord, FlowSink, FlowStart};
use crate::flow::table::{FlowCounters, FlowTable, FlowTableConfig};
use crate::packet::{LinkType, Packet, RefusalCounts, decode_into};
use crate::units::Timestamp;

/// Hosts that the context table holds unless told otherwise.
pub const DEFAULT_HOSTS: usize = 2048;

/// Sizes, timeouts and site of a meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterConfig {
    /// The flow table.
    pub flows: FlowTableConfig,
    /// Hosts that the context table holds at most.
    pub hosts: usize,
    /// Addresses of the site.
    pub local: LocalNetworks,
}

impl Default for MeterConfig {
    /// Default flow table, [`DEFAULT_HOSTS`] hosts, private addresses.
    fn default() -> Self {
        Self { flows: FlowTableConfig::default(), hosts: DEFAULT_HOSTS, local: LocalNetworks::default() }
    }
}

/// Where a meter's records go, in time order.
pub trait RecordSink {
    /// Room where the next record and its features are put together, so that they need not be copied there; what it
    /// holds is old. A sink need not have any.
    fn room(&mut self) -> Option<&mut Row> {
        None
    }

    /// The row in [`RecordSink::room`] is whole.
    fn filled(&mut self) {}

    /// One record and its features, where there was no room.
    fn record(&mut self, record: &FlowRecord, features: &FeatureVector);
}

impl<F: FnMut(&FlowRecord, &FeatureVector)> RecordSink for F {
    fn record(&mut self, record: &FlowRecord, features: &FeatureVector) {
        self(record, features);
    }
}

/// Decodes, meters, keeps context, extracts features. Takes all its memory when made.
///
/// Its methods are compiled once, here, and not into whoever calls them: a router's build is made for size, and only
/// this crate for speed.
pub struct Meter {
    flows: FlowTable,
    hosts: HostTable,
    refusals: RefusalCounts,
}

impl Meter {
    /// A meter with empty tables.
    pub fn new(config: &MeterConfig) -> Self {
        Self {
            flows: FlowTable::new(&config.flows),
            hosts: HostTable::new(config.hosts, config.flows.hash_seed, config.local.clone()),
            refusals: RefusalCounts::default(),
        }
    }

    /// One frame; `wire_octets` is its length on the wire, which may be more than was captured.
    #[inline(never)]
    pub fn frame(
        &mut self,
        link: LinkType,
        timestamp: Timestamp,
        frame: &[u8],
        wire_octets: u32,
        sink: &mut dyn RecordSink,
    ) {
        let mut packet = Packet::unread(timestamp, frame, wire_octets);
        match decode_into(&mut packet, link, frame) {
            Ok(()) => self.flows.take(&mut packet, &mut Contextual { hosts: &mut self.hosts, sink }),
            Err(reason) => self.refusals.count(reason),
        }
    }

    /// Time passes without a packet.
    #[inline(never)]
    pub fn advance(&mut self, now: Timestamp, sink: &mut dyn RecordSink) {
        self.flows.advance(now, &mut Contextual { hosts: &mut self.hosts, sink });
    }

    /// Ends every flow.
    #[inline(never)]
    pub fn flush(&mut self, sink: &mut dyn RecordSink) {
        self.flows.flush(&mut Contextual { hosts: &mut self.hosts, sink });
    }

    /// Counters of the flow table.
    pub fn counters(&self) -> FlowCounters {
        self.flows.counters()
    }

    /// The flow table.
    pub fn flows(&self) -> &FlowTable {
        &self.flows
    }

    /// The host context.
    pub fn hosts(&self) -> &HostTable {
        &self.hosts
    }

    /// Packets refused, by reason.
    pub fn refusals(&self) -> &RefusalCounts {
        &self.refusals
    }
}

struct Contextual<'a> {
    hosts: &'a mut HostTable,
    sink: &'a mut dyn RecordSink,
}

impl FlowSink for Contextual<'_> {
    fn started(&mut self, flow: &FlowStart) {
        self.hosts.started(flow);
    }

    fn ended(&mut self, record: impl FnOnce() -> FlowRecord) {
        if let Some(row) = self.sink.room() {
            row.record = record();
            describe(self.hosts, row);
            self.sink.filled();
        } else {
            let mut row = Row { record: record(), features: [0.0; FEATURES], followed: Followed::default() };
            describe(self.hosts, &mut row);
            self.sink.record(&row.record, &row.features);
        }
    }
}

/// Counts the row's record at its hosts and writes its features.
#[inline(never)]
fn describe(hosts: &mut HostTable, row: &mut Row) {
    row.followed = hosts.ended(&row.record);
    extract(&row.record, hosts, &mut row.features);
}
