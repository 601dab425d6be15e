//! Packets in time order → flow starts and flow records: the metering process.
//!
//! A record spans at most one active timeout, plus [`LINGER`] if the TCP connection ended within it. It is exported by
//! then even if no further packet arrives. Records are exported in the order of their deadlines, whether packets or a
//! timer advance the clock, so that live capture and replay produce the same sequence.

mod deadlines;
mod fragmented;

use crate::flow::entry::{Flow, Handshake, Wait, add};
use crate::flow::fragments::Fragments;
use crate::flow::initiators::Initiators;
use crate::flow::key::{End, FlowKey, TCP, initiator};
use crate::flow::lru::{Hash, LruTable, NONE, Slot};
use crate::flow::record::{Direction, EndReason, FlowRecord, FlowSink, FlowStart};
use crate::packet::{Fragment, Packet, tcp_flags};
use crate::units::{Nanos, Timestamp};

/// Configuration of a flow table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowTableConfig {
    /// Largest number of flows.
    pub capacity: usize,
    /// A flow ends after this long without a packet.
    pub idle_timeout: Nanos,
    /// Longest span of a record; clamped to [`FlowTableConfig::ACTIVE_TIMEOUT_LIMIT`].
    pub active_timeout: Nanos,
    /// Seed of the index hash; does not affect the records.
    pub hash_seed: u64,
}

impl FlowTableConfig {
    /// Longest active timeout: gaps within a record are counted in 32-bit microseconds.
    pub const ACTIVE_TIMEOUT_LIMIT: Nanos = Nanos::from_secs(3600);
}

impl Default for FlowTableConfig {
    /// 16,384 flows, idle timeout 60 s, active timeout 10 s.
    fn default() -> Self {
        Self {
            capacity: 16_384,
            idle_timeout: Nanos::from_secs(60),
            active_timeout: Nanos::from_secs(10),
            hash_seed: 0,
        }
    }
}

/// How long an ended TCP flow is kept for late packets.
pub const LINGER: Nanos = Nanos::from_secs(2);

/// A packet at most this much older than the newest one is reordered and gets the newest packet's time. An older packet
/// means that the clock was set back.
pub const REORDER_TOLERANCE: Nanos = Nanos::from_secs(10);

/// Counters of a flow table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowCounters {
    /// Packets metered.
    pub packets: u64,
    /// Their network octets.
    pub network_octets: u64,
    /// Their octets on the wire.
    pub frame_octets: u64,
    /// Flows started.
    pub flows: u64,
    /// Records exported.
    pub records: u64,
    /// Flows evicted from a full table.
    pub evictions: u64,
    /// Packets older than the newest one, within the tolerance.
    pub reordered: u64,
    /// Times the clock was set back by more than the tolerance, which ended every flow.
    pub clock_steps: u64,
    /// Connections whose initiator was forgotten early, because too many were idle.
    pub initiators_forgotten: u64,
}

/// Entries waiting for the same span of time, in order of the start of their wait.
#[derive(Clone, Copy)]
struct Queue {
    oldest: Slot,
    newest: Slot,
    /// Start of the oldest entry's wait.
    since: Timestamp,
}

impl Default for Queue {
    fn default() -> Self {
        Self { oldest: NONE, newest: NONE, since: Timestamp::EPOCH }
    }
}

type Flows = LruTable<FlowKey, Flow, 5>;

/// The flow table; see the module documentation.
pub struct FlowTable {
    flows: Flows,
    active: Queue,
    linger: Queue,
    fragments: Fragments,
    initiators: Initiators,
    idle_timeout: Nanos,
    active_timeout: Nanos,
    clock: Timestamp,
    /// No deadline is earlier than this.
    due: Timestamp,
    counters: FlowCounters,
}

impl FlowTable {
    /// An empty table. Allocates all its memory here (about 300 bytes per flow, including the index).
    pub fn new(config: &FlowTableConfig) -> Self {
        Self {
            flows: LruTable::new(config.capacity, config.hash_seed),
            active: Queue::default(),
            linger: Queue::default(),
            fragments: Fragments::default(),
            initiators: Initiators::new(config.capacity, config.hash_seed),
            idle_timeout: config.idle_timeout.max(Nanos(1)),
            active_timeout: config.active_timeout.clamp(Nanos(1), FlowTableConfig::ACTIVE_TIMEOUT_LIMIT),
            clock: Timestamp::EPOCH,
            due: Timestamp::EPOCH,
            counters: FlowCounters::default(),
        }
    }

    /// Counters since creation.
    pub fn counters(&self) -> FlowCounters {
        FlowCounters { initiators_forgotten: self.initiators.forgotten, ..self.counters }
    }

    /// Fragment tracking.
    pub fn fragments(&self) -> &Fragments {
        &self.fragments
    }

    /// Number of flows.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// True if there are no flows.
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Newest time seen.
    pub fn clock(&self) -> Timestamp {
        self.clock
    }

    /// Meters one packet, after exporting the records due before it.
    #[inline]
    pub fn meter(&mut self, packet: &Packet, sink: &mut impl FlowSink) {
        self.meter_in_place(&mut { *packet }, sink);
    }

    /// Same as [`FlowTable::meter`]; corrects the packet's time and the ports of a fragment in place.
    #[inline]
    pub(crate) fn meter_in_place(&mut self, packet: &mut Packet, sink: &mut impl FlowSink) {
        let now = self.advance_clock(packet.timestamp, sink);
        if packet.timestamp != now || packet.fragment != Fragment::Whole {
            packet.timestamp = now;
            if packet.fragment != Fragment::Whole {
                return self.meter_fragment(packet, sink);
            }
        }
        self.meter_now(packet, sink);
    }

    /// Meters a packet at the table's time.
    #[inline(always)]
    fn meter_now(&mut self, packet: &Packet, sink: &mut impl FlowSink) {
        self.counters.packets += 1;
        self.counters.network_octets += u64::from(packet.network_octets);
        self.counters.frame_octets += u64::from(packet.frame_octets);
        let (key, sender) = FlowKey::of(packet);
        let slot = match self.flows.find_or_hash(&key) {
            Ok(slot) if self.is_reopened(slot, packet) => {
                let hash = self.flows.hash_of(slot);
                self.finish(slot, EndReason::EndDetected, packet.timestamp, sink);
                self.open(&key, hash, packet, sender, sink)
            }
            Ok(slot) => slot,
            Err(hash) => self.open(&key, hash, packet, sender, sink),
        };
        self.flows.touch(slot);
        self.count(slot, packet, sender);
    }

    /// Advances the clock without a packet and exports the records due by `now`. Earlier times are ignored.
    pub fn advance(&mut self, now: Timestamp, sink: &mut impl FlowSink) {
        if now > self.clock {
            self.expire(now, sink);
            self.clock = now;
        }
    }

    /// Ends every flow, longest idle first.
    pub fn flush(&mut self, sink: &mut impl FlowSink) {
        self.release_fragments(sink);
        while let Some(slot) = self.flows.oldest() {
            let reason = match self.flows.value(slot).wait {
                Wait::Linger => EndReason::EndDetected,
                _ => EndReason::Forced,
            };
            self.finish(slot, reason, self.clock, sink);
        }
    }

    #[inline]
    fn advance_clock(&mut self, timestamp: Timestamp, sink: &mut impl FlowSink) -> Timestamp {
        if timestamp >= self.clock {
            if timestamp >= self.due {
                self.expire(timestamp, sink);
            }
        } else if self.clock.since(timestamp) <= REORDER_TOLERANCE {
            self.counters.reordered += 1;
            return self.clock;
        } else {
            self.counters.clock_steps += 1;
            self.flush(sink);
            self.initiators.clear();
        }
        self.clock = timestamp;
        timestamp
    }

    /// True if the packet opens a new connection on the same ports while the ended one lingers.
    #[inline]
    fn is_reopened(&self, slot: Slot, packet: &Packet) -> bool {
        packet.tcp_flags & (tcp_flags::SYN | tcp_flags::ACK | tcp_flags::RST) == tcp_flags::SYN
            && self.flows.value(slot).wait == Wait::Linger
    }

    /// Inserts a new flow.
    #[inline(never)]
    fn open(&mut self, key: &FlowKey, hash: Hash, packet: &Packet, sender: End, sink: &mut impl FlowSink) -> Slot {
        let now = packet.timestamp;
        let slot = loop {
            if let Some(slot) = self.flows.insert(key, hash) {
                break slot;
            }
            if let Some(oldest) = self.flows.oldest() {
                self.counters.evictions += 1;
                self.finish(oldest, EndReason::LackOfResources, now, sink);
            }
        };
        self.counters.flows += 1;
        self.due = self.due.min(now.plus(self.idle_timeout));
        let remembered = self.initiators.of(key, packet);
        let initiator = remembered.unwrap_or_else(|| initiator(packet, sender));
        let flow = self.flows.value_mut(slot);
        (flow.initiator, flow.icmp, flow.last, flow.opened) = (initiator, packet.icmp, now, remembered.is_some());
        sink.started(&FlowStart {
            source: key.address(initiator),
            destination: key.address(initiator.other()),
            destination_port: key.port(initiator.other()),
            network: key.network(),
            protocol: key.protocol(),
            at: now,
        });
        slot
    }

    /// Opens a record.
    #[inline(never)]
    fn begin(&mut self, slot: Slot, now: Timestamp) {
        self.flows.value_mut(slot).start = now;
        self.enqueue(slot, Wait::Active, now);
    }

    #[inline(always)]
    fn count(&mut self, slot: Slot, packet: &Packet, sender: End) {
        let now = packet.timestamp;
        if self.flows.value(slot).wait == Wait::Nothing {
            self.begin(slot, now);
        }
        let flow = self.flows.value_mut(slot);
        flow.last = now;
        let forward = sender == flow.initiator;
        flow.answered |= !forward;
        add(if forward { &mut flow.forward } else { &mut flow.reverse }, packet);
        if packet.tcp_flags & (tcp_flags::SYN | tcp_flags::FIN | tcp_flags::RST) != 0 && packet.protocol == TCP {
            self.follow_tcp(slot, packet, sender);
        }
    }

    /// Updates the TCP state by a packet with any of the flags SYN, FIN and RST.
    #[inline(never)]
    fn follow_tcp(&mut self, slot: Slot, packet: &Packet, sender: End) {
        use tcp_flags::{ACK, FIN, RST, SYN};
        let flags = packet.tcp_flags;
        let flow = self.flows.value_mut(slot);
        let forward = sender == flow.initiator;
        flow.handshake.follow(flags, forward, packet.timestamp);
        flow.opened |= flags & SYN != 0 && forward == (flags & ACK == 0);
        if flags & FIN != 0 {
            flow.fin_forward |= forward;
            flow.fin_reverse |= !forward;
        }
        let ended = flags & RST != 0 || (flow.fin_forward && flow.fin_reverse);
        if ended && flow.wait == Wait::Active {
            self.dequeue(slot);
            self.enqueue(slot, Wait::Linger, packet.timestamp);
        }
    }

    /// Exports the open record; the flow continues.
    fn cut(&mut self, slot: Slot, made: Timestamp, sink: &mut impl FlowSink) {
        self.emit(slot, EndReason::Active, made, sink);
        self.dequeue(slot);
        let flow = self.flows.value_mut(slot);
        flow.wait = Wait::Nothing;
        (flow.forward, flow.reverse) = (Direction::NONE, Direction::NONE);
        flow.handshake = Handshake::Unseen;
        flow.earlier_records = flow.earlier_records.saturating_add(1);
    }

    /// Exports the open record, if any, and removes the flow.
    #[inline(never)]
    fn finish(&mut self, slot: Slot, reason: EndReason, made: Timestamp, sink: &mut impl FlowSink) {
        if self.flows.value(slot).wait != Wait::Nothing {
            self.emit(slot, reason, made, sink);
            self.dequeue(slot);
        }
        let flow = self.flows.value(slot);
        if flow.opened && flow.answered && matches!(reason, EndReason::Idle | EndReason::LackOfResources) {
            self.initiators.remember(self.flows.key(slot), flow.initiator, flow.last);
        }
        self.flows.remove(slot);
    }

    fn emit(&mut self, slot: Slot, reason: EndReason, made: Timestamp, sink: &mut impl FlowSink) {
        self.counters.records += 1;
        let (key, flow) = (self.flows.key(slot), self.flows.value(slot));
        let (source, destination) = (flow.initiator, flow.initiator.other());
        sink.ended(|| FlowRecord {
            source: key.address(source),
            destination: key.address(destination),
            source_port: key.port(source),
            destination_port: key.port(destination),
            network: key.network(),
            protocol: key.protocol(),
            vlan: key.vlan(),
            icmp: flow.icmp,
            start: flow.start,
            end: flow.last,
            made,
            forward: flow.forward,
            reverse: flow.reverse,
            handshake: flow.handshake.span(),
            earlier_records: flow.earlier_records,
            answered: flow.answered,
            reason,
        });
    }
}
