//! The metering process: packets in time order → flow starts and flow records.
//!
//! A record spans at most one active timeout, and [`LINGER`] more where TCP ended within it, and is made at the latest
//! then, also when no further packet comes. Records appear in the order of their deadlines, whether time is told by
//! packets or by a timer, so that live capture and replay give the same sequence.

use crate::flow::entry::{Flow, Handshake, Wait, add};
use crate::flow::fragments::Fragments;
use crate::flow::key::{End, FlowKey, TCP, initiator};
use crate::flow::lru::{Hash, LruTable, NONE, Slot};
use crate::flow::record::{Direction, EndReason, FlowRecord, FlowSink, FlowStart};
use crate::packet::{Fragment, Packet, tcp_flags};
use crate::units::{Nanos, Timestamp};

/// Timeouts and size of a flow table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowTableConfig {
    /// Flows held at most.
    pub capacity: usize,
    /// A flow ends after so long without a packet.
    pub idle_timeout: Nanos,
    /// A record spans at most so long; held to [`FlowTableConfig::ACTIVE_TIMEOUT_LIMIT`].
    pub active_timeout: Nanos,
    /// Key of the index hash; not observable in the records.
    pub hash_seed: u64,
}

impl FlowTableConfig {
    /// Longest active timeout: the gaps of a record are counted in 32 bits of microseconds.
    pub const ACTIVE_TIMEOUT_LIMIT: Nanos = Nanos::from_secs(3600);
}

impl Default for FlowTableConfig {
    /// 16,384 flows, idle 60 s, active 10 s.
    fn default() -> Self {
        Self {
            capacity: 16_384,
            idle_timeout: Nanos::from_secs(60),
            active_timeout: Nanos::from_secs(10),
            hash_seed: 0,
        }
    }
}

/// How long an ended TCP flow is kept for packets still under way.
pub const LINGER: Nanos = Nanos::from_secs(2);

/// A packet at most this much older than the newest one is taken as reordered and given the newest one's time; an
/// older one means that the clock was set back.
pub const REORDER_TOLERANCE: Nanos = Nanos::from_secs(10);

/// How often something out of the ordinary happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowCounters {
    /// Packets metered.
    pub packets: u64,
    /// Their network octets.
    pub network_octets: u64,
    /// Their octets on the wire.
    pub frame_octets: u64,
    /// Flows begun.
    pub flows: u64,
    /// Records made.
    pub records: u64,
    /// Flows evicted from the full table.
    pub evictions: u64,
    /// Packets older than the newest one, within the tolerance.
    pub reordered: u64,
    /// Times that the clock was set back by more than the tolerance; every flow was ended.
    pub clock_steps: u64,
}

/// Entries that wait for the same span, in the order in which the wait began.
#[derive(Clone, Copy)]
struct Queue {
    oldest: Slot,
    newest: Slot,
    /// When the oldest one's wait began.
    since: Timestamp,
}

impl Default for Queue {
    fn default() -> Self {
        Self { oldest: NONE, newest: NONE, since: Timestamp::EPOCH }
    }
}

type Flows = LruTable<FlowKey, Flow, 5>;

/// The flow table. See the module's text.
pub struct FlowTable {
    flows: Flows,
    active: Queue,
    linger: Queue,
    fragments: Fragments,
    idle_timeout: Nanos,
    active_timeout: Nanos,
    clock: Timestamp,
    /// No deadline is earlier than this.
    due: Timestamp,
    counters: FlowCounters,
}

impl FlowTable {
    /// An empty table; all its memory is taken here (about 300 bytes a flow, index included).
    pub fn new(config: &FlowTableConfig) -> Self {
        Self {
            flows: LruTable::new(config.capacity, config.hash_seed),
            active: Queue::default(),
            linger: Queue::default(),
            fragments: Fragments::default(),
            idle_timeout: config.idle_timeout.max(Nanos(1)),
            active_timeout: config.active_timeout.clamp(Nanos(1), FlowTableConfig::ACTIVE_TIMEOUT_LIMIT),
            clock: Timestamp::EPOCH,
            due: Timestamp::EPOCH,
            counters: FlowCounters::default(),
        }
    }

    /// Counters since the start.
    pub fn counters(&self) -> FlowCounters {
        self.counters
    }

    /// Fragment bookkeeping.
    pub fn fragments(&self) -> &Fragments {
        &self.fragments
    }

    /// Flows held now.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// True when no flow is held.
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Newest time seen.
    pub fn clock(&self) -> Timestamp {
        self.clock
    }

    /// Meters one packet. Records that were due before it are made first.
    #[inline]
    pub fn meter(&mut self, packet: &Packet, sink: &mut impl FlowSink) {
        self.take(&mut { *packet }, sink);
    }

    /// As [`FlowTable::meter`]; the packet is left with the time that it counts for, and with its ports.
    #[inline]
    pub(crate) fn take(&mut self, packet: &mut Packet, sink: &mut impl FlowSink) {
        let now = self.settle_clock(packet.timestamp, sink);
        if packet.timestamp != now || packet.fragment != Fragment::Whole {
            self.settle(packet, now);
        }
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

    /// Gives the packet the time that it counts for, and its ports where a fragment before it told them.
    #[cold]
    fn settle(&mut self, packet: &mut Packet, now: Timestamp) {
        packet.timestamp = now;
        self.fragments.assign_ports(packet);
    }

    /// Moves time on without a packet: makes the records that are due by `now`. Earlier times are ignored.
    pub fn advance(&mut self, now: Timestamp, sink: &mut impl FlowSink) {
        if now > self.clock {
            self.expire(now, sink);
            self.clock = now;
        }
    }

    /// Ends every flow, longest idle first.
    pub fn flush(&mut self, sink: &mut impl FlowSink) {
        while let Some(slot) = self.flows.oldest() {
            let reason = match self.flows.value(slot).wait {
                Wait::Linger => EndReason::EndDetected,
                _ => EndReason::Forced,
            };
            self.finish(slot, reason, self.clock, sink);
        }
    }

    #[inline]
    fn settle_clock(&mut self, timestamp: Timestamp, sink: &mut impl FlowSink) -> Timestamp {
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
        }
        self.clock = timestamp;
        timestamp
    }

    /// A new connection from the same ports while the ended one lingers.
    #[inline]
    fn is_reopened(&self, slot: Slot, packet: &Packet) -> bool {
        packet.tcp_flags & (tcp_flags::SYN | tcp_flags::ACK | tcp_flags::RST) == tcp_flags::SYN
            && self.flows.value(slot).wait == Wait::Linger
    }

    /// Begins a flow that is not held.
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
        let initiator = initiator(packet, sender);
        let flow = self.flows.value_mut(slot);
        (flow.initiator, flow.icmp, flow.last) = (initiator, packet.icmp, now);
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

    #[inline]
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

    /// Follows TCP's opening and its end, by a packet with one of the flags that tell of them.
    #[inline(never)]
    fn follow_tcp(&mut self, slot: Slot, packet: &Packet, sender: End) {
        use tcp_flags::{FIN, RST};
        let flags = packet.tcp_flags;
        let flow = self.flows.value_mut(slot);
        let forward = sender == flow.initiator;
        flow.handshake.follow(flags, forward, packet.timestamp);
        if flags & FIN != 0 {
            flow.fin_forward |= forward;
            flow.fin_reverse |= !forward;
        }
        let over = flags & RST != 0 || (flow.fin_forward && flow.fin_reverse);
        if over && flow.wait == Wait::Active {
            self.dequeue(slot);
            self.enqueue(slot, Wait::Linger, packet.timestamp);
        }
    }

    /// Makes every record whose deadline is at or before `now`, earliest deadline first.
    #[inline(never)]
    fn expire(&mut self, now: Timestamp, sink: &mut impl FlowSink) {
        self.due = Timestamp::MAX;
        while let Some((deadline, slot, reason)) = self.next_deadline() {
            if deadline > now {
                self.due = deadline;
                break;
            }
            match reason {
                EndReason::Active => self.cut(slot, deadline, sink),
                _ => self.finish(slot, reason, deadline, sink),
            }
        }
    }

    #[inline]
    fn next_deadline(&self) -> Option<(Timestamp, Slot, EndReason)> {
        let oldest = self.flows.oldest()?;
        let mut next = (self.flows.value(oldest).last.plus(self.idle_timeout), oldest, EndReason::Idle);
        let waits =
            [(self.active, self.active_timeout, EndReason::Active), (self.linger, LINGER, EndReason::EndDetected)];
        for (queue, span, reason) in waits {
            let deadline = queue.since.plus(span);
            if queue.oldest != NONE && deadline < next.0 {
                next = (deadline, queue.oldest, reason);
            }
        }
        Some(next)
    }

    /// Makes the open record; the flow goes on.
    fn cut(&mut self, slot: Slot, made: Timestamp, sink: &mut impl FlowSink) {
        self.emit(slot, EndReason::Active, made, sink);
        self.dequeue(slot);
        let flow = self.flows.value_mut(slot);
        flow.wait = Wait::Nothing;
        (flow.forward, flow.reverse) = (Direction::NONE, Direction::NONE);
        flow.handshake = Handshake::Unseen;
        flow.earlier_records = flow.earlier_records.saturating_add(1);
    }

    /// Makes the open record, if there is one, and forgets the flow.
    #[inline(never)]
    fn finish(&mut self, slot: Slot, reason: EndReason, made: Timestamp, sink: &mut impl FlowSink) {
        if self.flows.value(slot).wait != Wait::Nothing {
            self.emit(slot, reason, made, sink);
            self.dequeue(slot);
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

    fn enqueue(&mut self, slot: Slot, wait: Wait, since: Timestamp) {
        let span = if wait == Wait::Linger { LINGER } else { self.active_timeout };
        self.due = self.due.min(since.plus(span));
        let newest = self.queue(wait).newest;
        let flow = self.flows.value_mut(slot);
        (flow.wait, flow.wait_since, flow.wait_older, flow.wait_newer) = (wait, since, newest, NONE);
        match newest {
            NONE => {
                let queue = self.queue(wait);
                (queue.oldest, queue.since) = (slot, since);
            }
            newest => self.flows.value_mut(newest).wait_newer = slot,
        }
        self.queue(wait).newest = slot;
    }

    fn dequeue(&mut self, slot: Slot) {
        let flow = self.flows.value(slot);
        let (wait, older, newer) = (flow.wait, flow.wait_older, flow.wait_newer);
        match older {
            NONE => {
                let since = if newer == NONE { Timestamp::EPOCH } else { self.flows.value(newer).wait_since };
                let queue = self.queue(wait);
                (queue.oldest, queue.since) = (newer, since);
            }
            older => self.flows.value_mut(older).wait_newer = newer,
        }
        match newer {
            NONE => self.queue(wait).newest = older,
            newer => self.flows.value_mut(newer).wait_older = older,
        }
    }

    fn queue(&mut self, wait: Wait) -> &mut Queue {
        if wait == Wait::Linger { &mut self.linger } else { &mut self.active }
    }
}
