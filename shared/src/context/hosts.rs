//! The table of hosts and what each has been doing lately.

use crate::context::damped::{Damped, Faded};
use crate::context::local::LocalNetworks;
use crate::context::sketch::Sketch;
use crate::flow::lru::{Key, KeyedHash, LruTable, Slot};
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

impl Key<4> for Address {
    #[inline]
    fn words(&self) -> [u32; 4] {
        let mut words = [0; 4];
        for (word, octets) in words.iter_mut().zip(self.0.chunks_exact(4)) {
            *word = u32::from_be_bytes([octets[0], octets[1], octets[2], octets[3]]);
        }
        words
    }
}

#[derive(Clone, Copy, Default)]
struct Host {
    faded: Faded,
    flows_out: Damped,
    flows_in: Damped,
    octets_out: Damped,
    octets_in: Damped,
    ended_out: Damped,
    ended_in: Damped,
    unanswered_out: Damped,
    unanswered_in: Damped,
    peers_short: Sketch,
    peers_long: Sketch,
    ports_out: Sketch,
    ports_in: Sketch,
}

impl Host {
    fn fade(&mut self, now: Timestamp) {
        let Some(factors) = self.faded.until(now) else { return };
        let outwards = [&mut self.flows_out, &mut self.octets_out, &mut self.ended_out, &mut self.unanswered_out];
        let inwards = [&mut self.flows_in, &mut self.octets_in, &mut self.ended_in, &mut self.unanswered_in];
        for count in outwards.into_iter().chain(inwards) {
            count.fade(&factors);
        }
    }
}

/// A host's recent past, as feature vectors read it; zero for hosts that are not in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HostView {
    /// Flows that it started, damped over [`crate::context::damped::SCALES_S`].
    pub flows_out: [f32; 3],
    /// Flows that were aimed at it.
    pub flows_in: [f32; 3],
    /// Network octets that it sent.
    pub octets_out: [f32; 3],
    /// Network octets that it received.
    pub octets_in: [f32; 3],
    /// Share of its started flows that nobody answered, over 30 s, 0 to 1.
    pub unanswered_out_share: f32,
    /// Share of the flows aimed at it that it did not answer, over 30 s, 0 to 1.
    pub unanswered_in_share: f32,
    /// Distinct hosts that it opened flows to, over 30 to 60 s.
    pub peers_short: f32,
    /// Distinct hosts that it opened flows to, over 300 to 600 s.
    pub peers_long: f32,
    /// Distinct ports that it opened flows to, over 30 to 60 s.
    pub ports_out: f32,
    /// Distinct ports of its own that flows were aimed at, over 30 to 60 s.
    pub ports_in: f32,
}

/// Bounded table of hosts; the longest silent one is evicted when it is full.
///
/// A host is followed when it belongs to the site; where neither end of a flow does, both are followed. Multicast and
/// unspecified addresses never are, nor the ends of flows that are neither IP nor ARP.
pub struct HostTable {
    hosts: LruTable<Address, Host, 4>,
    local: LocalNetworks,
    peer_hash: KeyedHash<4>,
    /// Hosts evicted from the full table.
    pub evictions: u64,
}

impl HostTable {
    /// An empty table for `capacity` hosts; all its memory is taken here (about 450 bytes a host).
    pub fn new(capacity: usize, hash_seed: u64, local: LocalNetworks) -> Self {
        Self { hosts: LruTable::new(capacity, hash_seed), local, peer_hash: KeyedHash::new(SKETCH_SEED), evictions: 0 }
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
        let (follow_source, follow_destination) = follows(&self.local, &flow.source, &flow.destination);
        if follow_source {
            let host = self.enter(&flow.source, flow.at);
            host.flows_out.add(1.0);
            host.peers_short.note(peer, flow.at, SHORT_WINDOW);
            host.peers_long.note(peer, flow.at, LONG_WINDOW);
            host.ports_out.note(port, flow.at, SHORT_WINDOW);
        }
        if follow_destination {
            let host = self.enter(&flow.destination, flow.at);
            host.flows_in.add(1.0);
            host.ports_in.note(port, flow.at, SHORT_WINDOW);
        }
    }

    /// Counts a record at both of its ends.
    pub fn ended(&mut self, record: &FlowRecord) {
        if record.network == Network::Other {
            return;
        }
        let (forward, reverse) = (record.forward.network_octets as f32, record.reverse.network_octets as f32);
        let unanswered = if record.answered { 0.0 } else { 1.0 };
        let first = record.earlier_records == 0;
        let (follow_source, follow_destination) = follows(&self.local, &record.source, &record.destination);
        if follow_source {
            let host = self.enter(&record.source, record.made);
            host.octets_out.add(forward);
            host.octets_in.add(reverse);
            if first {
                host.ended_out.add(1.0);
                host.unanswered_out.add(unanswered);
            }
        }
        if follow_destination {
            let host = self.enter(&record.destination, record.made);
            host.octets_out.add(reverse);
            host.octets_in.add(forward);
            if first {
                host.ended_in.add(1.0);
                host.unanswered_in.add(unanswered);
            }
        }
    }

    /// A host's recent past at `now`.
    pub fn view(&mut self, address: &Address, now: Timestamp) -> HostView {
        let Some(slot) = self.hosts.find(address) else { return HostView::default() };
        let host = self.hosts.value_mut(slot);
        host.fade(now);
        HostView {
            flows_out: host.flows_out.0,
            flows_in: host.flows_in.0,
            octets_out: host.octets_out.0,
            octets_in: host.octets_in.0,
            unanswered_out_share: share(host.unanswered_out.0[1], host.ended_out.0[1]),
            unanswered_in_share: share(host.unanswered_in.0[1], host.ended_in.0[1]),
            peers_short: host.peers_short.estimate(now, SHORT_WINDOW),
            peers_long: host.peers_long.estimate(now, LONG_WINDOW),
            ports_out: host.ports_out.estimate(now, SHORT_WINDOW),
            ports_in: host.ports_in.estimate(now, SHORT_WINDOW),
        }
    }

    fn enter(&mut self, address: &Address, now: Timestamp) -> &mut Host {
        let slot = self.slot_of(address);
        self.hosts.touch(slot);
        let host = self.hosts.value_mut(slot);
        host.fade(now);
        host
    }

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

/// Which ends of a flow are followed; see [`HostTable`].
pub fn follows(local: &LocalNetworks, source: &Address, destination: &Address) -> (bool, bool) {
    let (source_local, destination_local) = (local.contains(source), local.contains(destination));
    let neither = !source_local && !destination_local;
    let is_host = |address: &Address| !address.is_multicast() && !address.is_unspecified();
    ((source_local || neither) && is_host(source), (destination_local || neither) && is_host(destination))
}

/// 0 to 1; 0 when nothing was counted. Below a thousandth of a count nothing is left but rounding.
fn share(part: f32, whole: f32) -> f32 {
    if whole > 0.001 { (part / whole).clamp(0.0, 1.0) } else { 0.0 }
}

/// Spreads port and protocol over 32 bits (Knuth's multiplicative hash, TAOCP volume 3, §6.4).
fn mix_port(protocol: u8, port: u16) -> u32 {
    (u32::from(protocol) << 16 | u32::from(port)).wrapping_mul(2_654_435_769) >> 8
}
