//! Frame bytes → flow records and their feature vectors.
//!
//! Agent and trainer share this path, so a model sees on the router what it was trained on.

use crate::context::hosts::HostTable;
use crate::context::irregular::{IrregularHosts, Notice};
use crate::context::local::{Followed, LocalNetworks};
use crate::features::extract::extract;
use crate::features::flow_rows::Row;
use crate::features::{FEATURES, FeatureVector};
use crate::flow::record::{FlowRecord, FlowSink, FlowStart};
use crate::flow::table::{FlowCounters, FlowTable, FlowTableConfig};
use crate::packet::{LinkType, Packet, Refusal, RefusalCounts, decode_into};
use crate::units::Timestamp;

/// Default capacity of the host table.
pub const DEFAULT_HOSTS: usize = 2048;

/// Configuration of a meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterConfig {
    /// Flow table configuration.
    pub flows: FlowTableConfig,
    /// Capacity of the host table.
    pub hosts: usize,
    /// Local networks of the site.
    pub local: LocalNetworks,
}

impl Default for MeterConfig {
    /// Default flow table, [`DEFAULT_HOSTS`] hosts, private addresses.
    fn default() -> Self {
        Self { flows: FlowTableConfig::default(), hosts: DEFAULT_HOSTS, local: LocalNetworks::default() }
    }
}

/// Receives a meter's records, in time order.
pub trait RecordSink {
    /// Returns a row to be filled in place, which saves a copy; its old content is arbitrary. `None` (the default): the
    /// meter calls [`RecordSink::record`].
    fn room(&mut self) -> Option<&mut Row> {
        None
    }

    /// Called when the row returned by [`RecordSink::room`] is complete.
    fn filled(&mut self) {}

    /// Receives a notice of a host whose packets hide their ports, after the records that were due before. The default
    /// ignores it.
    fn notice(&mut self, _: &Notice) {}

    /// Receives a record and its features when [`RecordSink::room`] returned `None`.
    fn record(&mut self, record: &FlowRecord, features: &FeatureVector);
}

impl<F: FnMut(&FlowRecord, &FeatureVector)> RecordSink for F {
    fn record(&mut self, record: &FlowRecord, features: &FeatureVector) {
        self(record, features);
    }
}

/// Decodes frames, meters flows, updates the host context and extracts features. Allocates all its memory when created.
///
/// Its methods are not inlined: router builds are optimised for size, and only this crate for speed.
pub struct Meter {
    flows: FlowTable,
    hosts: HostTable,
    irregular_hosts: IrregularHosts,
    refusals: RefusalCounts,
    irregular: RefusalCounts,
}

impl Meter {
    /// A meter with empty tables.
    #[inline]
    pub fn new(config: &MeterConfig) -> Self {
        Self {
            flows: FlowTable::new(&config.flows),
            hosts: HostTable::new(config.hosts, config.flows.hash_seed, config.local.clone()),
            irregular_hosts: IrregularHosts::default(),
            refusals: RefusalCounts::default(),
            irregular: RefusalCounts::default(),
        }
    }

    /// One frame; `wire_octets` is its length on the wire, which may be more than was captured.
    #[inline]
    pub fn frame(
        &mut self,
        link: LinkType,
        timestamp: Timestamp,
        frame: &[u8],
        wire_octets: u32,
        sink: &mut dyn RecordSink,
    ) {
        self.frame_if(link, timestamp, frame, wire_octets, None, sink);
    }

    /// As [`Meter::frame`], but skips a packet for which `keeps` returns false; a frame that cannot be decoded is counted
    /// in any case. Returns false for a skipped packet.
    #[inline(never)]
    pub fn frame_if(
        &mut self,
        link: LinkType,
        timestamp: Timestamp,
        frame: &[u8],
        wire_octets: u32,
        keeps: Option<&dyn Fn(&Packet) -> bool>,
        sink: &mut dyn RecordSink,
    ) -> bool {
        let mut packet = Packet::unread(timestamp, frame, wire_octets);
        if let Err(reason) = decode_into(&mut packet, link, frame)
            && !self.count_irregular(&mut packet, reason, sink)
        {
            return true;
        }
        if keeps.is_some_and(|keeps| !keeps(&packet)) {
            return false;
        }
        self.flows.meter_in_place(&mut packet, &mut Contextual { hosts: &mut self.hosts, sink });
        true
    }

    /// Counts a packet whose decoding stopped for `reason`; returns true if it is metered all the same.
    #[cold]
    #[inline(never)]
    fn count_irregular(&mut self, packet: &mut Packet, reason: Refusal, sink: &mut dyn RecordSink) -> bool {
        if !packet.is_metered_despite(reason) {
            self.refusals.count(reason);
            return false;
        }
        self.irregular.count(reason);
        // The records due by now come first, so that notices and records are in order of time.
        self.flows.advance(packet.timestamp, &mut Contextual { hosts: &mut self.hosts, sink });
        let followed = self.hosts.local().followed(&packet.source, &packet.destination);
        self.irregular_hosts.add(packet, followed, self.flows.clock(), &mut |notice| sink.notice(notice));
        true
    }

    /// Advances the clock without a packet.
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

    /// Hosts with irregular packets.
    pub fn irregular_hosts(&self) -> &IrregularHosts {
        &self.irregular_hosts
    }

    /// Rejected packets, by reason.
    pub fn refusals(&self) -> &RefusalCounts {
        &self.refusals
    }

    /// Packets metered without all of their fields, by reason.
    pub fn irregular(&self) -> &RefusalCounts {
        &self.irregular
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

/// Adds the row's record to the host context and computes its features.
#[inline(never)]
fn describe(hosts: &mut HostTable, row: &mut Row) {
    row.followed = hosts.ended(&row.record);
    extract(&row.record, hosts, &mut row.features);
}
