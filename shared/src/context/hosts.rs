//! The table of hosts and what each has been doing lately.

use crate::context::damped::{Damped, Faded};
use crate::context::local::{Followed, LocalNetworks};
use crate::context::sketch::{Estimates, Sketch};
use crate::flow::lru::{Key, KeyedHash, LruTable, NONE, Slot};
use crate::flow::record::{FlowRecord, FlowStart};
use crate::packet::Network;
use crate::units::{Address, Nanos, Timestamp};

/// Window of the short sketches.
pub const SHORT_WINDOW: Nanos = Nanos::from_secs(30);
/// Window of the long sketches.
pub const LONG_WINDOW: Nanos = Nanos::from_secs(300);

/// Seed of the sketches' hash. Fixed, because estimates are features and must be the same everywhere; the price is
/// that whoever reads this can choose peers that count as one.
const SKETCH_SEED: u64 = 0x6c61_7077_696e_6731;

impl Key<2> for Address {
    #[inline]
    fn words(&self) -> [u64; 2] {
        let bits = u128::from_be_bytes(self.0);
        [(bits >> 64) as u64, bits as u64]
    }
}

/// Damped counts of a host, by their place in [`Host::counts`].
const FLOWS_OUT: usize = 0;
const FLOWS_IN: usize = 1;
const OCTETS_OUT: usize = 2;
const OCTETS_IN: usize = 3;
const ENDED_OUT: usize = 4;
const ENDED_IN: usize = 5;
const UNANSWERED_OUT: usize = 6;
const UNANSWERED_IN: usize = 7;
/// How many there are.
const COUNTS: usize = 8;

/// What is counted at one time, for each count.
type Amounts = [f32; COUNTS];

/// Nothing but these.
#[inline(always)]
fn amounts<const N: usize>(counted: [(usize, f32); N]) -> Amounts {
    let mut amounts = [0.0; COUNTS];
    for (count, amount) in counted {
        amounts[count] = amount;
    }
    amounts
}

#[derive(Clone, Copy, Default)]
struct Host {
    faded: Faded,
    counts: Damped<COUNTS>,
    peers_short: Sketch,
    peers_long: Sketch,
    ports_out: Sketch,
    ports_in: Sketch,
}

impl Host {
    #[inline]
    fn fade(&mut self, now: Timestamp) {
        if let Some(factors) = self.faded.until(now) {
            self.counts.fade(&factors);
        }
    }

    /// Time passes for the sketches, too, also for those that nobody asks.
    #[inline]
    fn view(&mut self, now: Timestamp) {
        self.fade(now);
        self.peers_short.turn(now, SHORT_WINDOW);
        self.peers_long.turn(now, LONG_WINDOW);
        self.ports_out.turn(now, SHORT_WINDOW);
        self.ports_in.turn(now, SHORT_WINDOW);
    }
}

/// What a host has been doing lately by itself; zero for hosts that are not in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outwards {
    /// Flows that it started, damped over [`crate::context::damped::SCALES_S`].
    pub flows: [f32; 3],
    /// Share of its started flows that nobody answered, over 30 s, 0 to 1.
    pub unanswered_share: f32,
    /// Distinct hosts that it opened flows to, over 30 to 60 s.
    pub peers_short: f32,
    /// Distinct hosts that it opened flows to, over 300 to 600 s.
    pub peers_long: f32,
    /// Distinct ports that it opened flows to, over 30 to 60 s.
    pub ports: f32,
    /// Network octets that it sent.
    pub octets_out: [f32; 3],
    /// Network octets that it received.
    pub octets_in: [f32; 3],
}

/// What has been aimed at a host lately; zero for hosts that are not in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Inwards {
    /// Flows that were aimed at it, damped over [`crate::context::damped::SCALES_S`].
    pub flows: [f32; 3],
    /// Share of them that it did not answer, over 30 s, 0 to 1.
    pub unanswered_share: f32,
    /// Distinct ports of its own that they were aimed at, over 30 to 60 s.
    pub ports: f32,
}

/// Bounded table of hosts; the longest silent one is evicted when it is full.
///
/// It holds the hosts that are [`Followed`], and no ends of flows that are neither IP nor ARP.
pub struct HostTable {
    hosts: LruTable<Address, Host, 2>,
    local: LocalNetworks,
    peer_hash: KeyedHash<2>,
    estimates: Estimates,
    /// Where the hosts that were counted last are: the next question is often about them. What a slot holds is held
    /// against the address, and an evicted host's slot is at once its successor's.
    recent: [Slot; 2],
    /// Hosts evicted from the full table.
    pub evictions: u64,
}

impl HostTable {
    /// An empty table for `capacity` hosts; all its memory is taken here (about 450 bytes a host).
    pub fn new(capacity: usize, hash_seed: u64, local: LocalNetworks) -> Self {
        Self {
            hosts: LruTable::new(capacity, hash_seed),
            local,
            peer_hash: KeyedHash::new(SKETCH_SEED),
            estimates: Estimates::default(),
            recent: [NONE; 2],
            evictions: 0,
        }
    }

    /// Hosts held now.
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// True when no host is held.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// The site's prefixes.
    pub fn local(&self) -> &LocalNetworks {
        &self.local
    }

    /// Counts a flow's start at both of its ends.
    pub fn started(&mut self, flow: &FlowStart) {
        if flow.network == Network::Other {
            return;
        }
        let peer = self.peer_hash.hash(&flow.destination.words());
        let port = mix_port(flow.protocol, flow.destination_port);
        let followed = self.local.followed(&flow.source, &flow.destination);
        if followed.source {
            let host = self.enter(0, &flow.source, flow.at, &amounts([(FLOWS_OUT, 1.0)]));
            host.peers_short.note(peer, flow.at, SHORT_WINDOW);
            host.peers_long.note(peer, flow.at, LONG_WINDOW);
            host.ports_out.note(port, flow.at, SHORT_WINDOW);
        }
        if followed.destination {
            let host = self.enter(1, &flow.destination, flow.at, &amounts([(FLOWS_IN, 1.0)]));
            host.ports_in.note(port, flow.at, SHORT_WINDOW);
        }
    }

    /// Counts a record at its followed ends, and says which these are.
    pub fn ended(&mut self, record: &FlowRecord) -> Followed {
        if record.network == Network::Other {
            return Followed::default();
        }
        let (forward, reverse) = (record.forward.network_octets as f32, record.reverse.network_octets as f32);
        let ended = if record.earlier_records == 0 { 1.0 } else { 0.0 };
        let unanswered = if record.answered { 0.0 } else { ended };
        let followed = self.local.followed(&record.source, &record.destination);
        if followed.source {
            let counts =
                [(OCTETS_OUT, forward), (OCTETS_IN, reverse), (ENDED_OUT, ended), (UNANSWERED_OUT, unanswered)];
            self.enter(0, &record.source, record.made, &amounts(counts));
        }
        if followed.destination {
            let counts = [(OCTETS_OUT, reverse), (OCTETS_IN, forward), (ENDED_IN, ended), (UNANSWERED_IN, unanswered)];
            self.enter(1, &record.destination, record.made, &amounts(counts));
        }
        followed
    }

    /// What a host has been doing by itself, at `now`.
    pub fn outwards(&mut self, address: &Address, now: Timestamp) -> Outwards {
        let Some(slot) = self.find(0, address) else { return Outwards::default() };
        let host = self.hosts.value_mut(slot);
        host.view(now);
        Outwards {
            flows: host.counts.of(FLOWS_OUT),
            unanswered_share: share(host.counts.of(UNANSWERED_OUT)[1], host.counts.of(ENDED_OUT)[1]),
            peers_short: host.peers_short.estimate(now, SHORT_WINDOW, &self.estimates),
            peers_long: host.peers_long.estimate(now, LONG_WINDOW, &self.estimates),
            ports: host.ports_out.estimate(now, SHORT_WINDOW, &self.estimates),
            octets_out: host.counts.of(OCTETS_OUT),
            octets_in: host.counts.of(OCTETS_IN),
        }
    }

    /// What has been aimed at a host, at `now`.
    pub fn inwards(&mut self, address: &Address, now: Timestamp) -> Inwards {
        let Some(slot) = self.find(1, address) else { return Inwards::default() };
        let host = self.hosts.value_mut(slot);
        host.view(now);
        Inwards {
            flows: host.counts.of(FLOWS_IN),
            unanswered_share: share(host.counts.of(UNANSWERED_IN)[1], host.counts.of(ENDED_IN)[1]),
            ports: host.ports_in.estimate(now, SHORT_WINDOW, &self.estimates),
        }
    }

    /// `end` is 0 for a flow's source and 1 for its destination.
    #[inline]
    fn find(&self, end: usize, address: &Address) -> Option<Slot> {
        let slot = self.recent[end];
        if self.hosts.holds(slot, address) { Some(slot) } else { self.find_elsewhere(1 - end, address) }
    }

    #[inline(never)]
    fn find_elsewhere(&self, end: usize, address: &Address) -> Option<Slot> {
        let slot = self.recent[end];
        if self.hosts.holds(slot, address) { Some(slot) } else { self.hosts.find_by_hash(address) }
    }

    /// The host, followed from now on where it was not, with these amounts counted.
    #[inline(never)]
    fn enter(&mut self, end: usize, address: &Address, now: Timestamp, amounts: &Amounts) -> &mut Host {
        let slot = match self.find(end, address) {
            Some(slot) => slot,
            None => self.slot_of(address),
        };
        self.recent[end] = slot;
        self.hosts.touch(slot);
        let host = self.hosts.value_mut(slot);
        host.counts.fade_and_add(&host.faded.until(now).unwrap_or([1.0; 3]), amounts);
        host
    }

    #[inline(never)]
    fn slot_of(&mut self, address: &Address) -> Slot {
        loop {
            if let Some((slot, _)) = self.hosts.find_or_insert(address) {
                return slot;
            }
            if let Some(oldest) = self.hosts.oldest() {
                self.hosts.remove(oldest);
                self.evictions += 1;
            }
        }
    }
}

/// 0 to 1; 0 when nothing was counted. Below a thousandth of a count nothing is left but rounding.
fn share(part: f32, whole: f32) -> f32 {
    if whole > 0.001 { (part / whole).clamp(0.0, 1.0) } else { 0.0 }
}

/// Spreads port and protocol over 32 bits (Knuth's multiplicative hash, TAOCP volume 3, §6.4).
fn mix_port(protocol: u8, port: u16) -> u32 {
    (u32::from(protocol) << 16 | u32::from(port)).wrapping_mul(2_654_435_769) >> 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing::record;

    #[test]
    fn mac_addresses_are_no_hosts() {
        let mut hosts = HostTable::new(8, 1, LocalNetworks::default());
        let at = Timestamp::from_secs(1);
        let (source, destination) = (Address([2; 16]), Address([1; 16]));
        let of = |network| FlowRecord { source, destination, network, ..record(at) };
        assert_eq!(hosts.ended(&of(Network::Other)), Followed::default());
        assert!(hosts.is_empty());
        assert_eq!(hosts.ended(&of(Network::Ipv6)), Followed { source: true, destination: true });
        assert_eq!(hosts.len(), 2);
    }
}
