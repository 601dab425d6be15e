//! Flow starts and flow records → a bounded table of recent activity per host.

use crate::context::damped::{Damped, Faded, SCALES_S};
use crate::context::doorkeeper::Doorkeeper;
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

/// A full table considers one in this many of its entries for eviction, longest silent first, but at most
/// [`CANDIDATES`]. A smaller table evicts the longest silent host.
const ENTRIES_PER_CANDIDATE: usize = 64;
/// Limit on entries considered for one eviction.
const CANDIDATES: usize = 8;

/// Seed of the sketches' hash. Fixed, because estimates are features and must be the same everywhere. The cost: an
/// attacker can choose peers that count as one.
const SKETCH_SEED: u64 = 0x6c61_7077_696e_6731;

impl Key<2> for Address {
    #[inline]
    fn words(&self) -> [u64; 2] {
        let bits = u128::from_be_bytes(self.0);
        [(bits >> 64) as u64, bits as u64]
    }
}

/// Indices of a host's damped counters in [`Host::counts`].
const FLOWS_OUT: usize = 0;
const FLOWS_IN: usize = 1;
const OCTETS_OUT: usize = 2;
const OCTETS_IN: usize = 3;
const ENDED_OUT: usize = 4;
const ENDED_IN: usize = 5;
const UNANSWERED_OUT: usize = 6;
const UNANSWERED_IN: usize = 7;
/// Number of counters.
const COUNTS: usize = 8;

/// Index of the longest time scale in a damped counter.
const LONG_SCALE: usize = SCALES_S.len() - 1;

/// An amount for each counter.
type Amounts = [f32; COUNTS];

/// These amounts, 0 for the other counters.
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

    /// True if it had two flows or more within minutes, and the last one within [`LONG_WINDOW`]. Whoever forges
    /// addresses needs twice the packets for such a host.
    fn is_established(&self, now: Timestamp) -> bool {
        let flows = self.counts.of(FLOWS_OUT)[LONG_SCALE] + self.counts.of(FLOWS_IN)[LONG_SCALE];
        flows > 1.0 && now.since(self.faded.at()) < LONG_WINDOW
    }

    /// Decays the counters and advances all sketches.
    #[inline]
    fn advance(&mut self, now: Timestamp) {
        self.fade(now);
        self.peers_short.advance(now, SHORT_WINDOW);
        self.peers_long.advance(now, LONG_WINDOW);
        self.ports_out.advance(now, SHORT_WINDOW);
        self.ports_in.advance(now, SHORT_WINDOW);
    }
}

/// Recent activity of a host as the source of flows; 0 for hosts that are not in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SourceActivity {
    /// Flows that it opened, damped over [`crate::context::damped::SCALES_S`].
    pub flows: [f32; 3],
    /// Share of those flows that got no answer, over 30 s, 0 to 1.
    pub unanswered_share: f32,
    /// Distinct hosts that it opened flows to, over 30 to 60 s.
    pub peers_short: f32,
    /// Distinct hosts that it opened flows to, over 300 to 600 s.
    pub peers_long: f32,
    /// Distinct ports that it opened flows to, over 30 to 60 s.
    pub ports: f32,
    /// Network octets sent, in all its flows.
    pub octets_out: [f32; 3],
    /// Network octets received, in all its flows.
    pub octets_in: [f32; 3],
}

/// Recent activity of a host as the target of flows; 0 for hosts that are not in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TargetActivity {
    /// Flows to it, damped over [`crate::context::damped::SCALES_S`].
    pub flows: [f32; 3],
    /// Share of those flows that it did not answer, over 30 s, 0 to 1.
    pub unanswered_share: f32,
    /// Distinct ports of its own that they went to, over 30 to 60 s.
    pub ports: f32,
}

/// Bounded table of hosts. A full table admits a host at its second flow, and evicts the least recently active one, but
/// spares hosts with several recent flows while there are others, so that forged addresses do not displace the hosts of
/// the site.
///
/// It contains the hosts that are [`Followed`], except for flows that are neither IP nor ARP.
pub struct HostTable {
    hosts: LruTable<Address, Host, 2>,
    doorkeeper: Doorkeeper,
    local: LocalNetworks,
    peer_hash: KeyedHash<2>,
    estimates: Estimates,
    /// Cache of the slots used last, which the next lookup often needs. A hit is verified by address, so a reused slot
    /// is harmless.
    recent: [Slot; 2],
    /// Established hosts that were not evicted since the last eviction.
    spared: usize,
    /// Hosts evicted from a full table.
    pub evictions: u64,
    /// Flows of new hosts that the full table turned away.
    pub turned_away: u64,
    /// First flows of hosts as their source; a host that returns after its eviction counts again.
    pub new_sources: u64,
}

impl HostTable {
    /// An empty table for `capacity` hosts. Allocates all its memory here (about 500 bytes per host).
    pub fn new(capacity: usize, hash_seed: u64, local: LocalNetworks) -> Self {
        Self {
            hosts: LruTable::new(capacity, hash_seed),
            doorkeeper: Doorkeeper::new(capacity),
            local,
            peer_hash: KeyedHash::new(SKETCH_SEED),
            estimates: Estimates::default(),
            recent: [NONE; 2],
            spared: 0,
            evictions: 0,
            turned_away: 0,
            new_sources: 0,
        }
    }

    /// Number of hosts.
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// True if there are no hosts.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Local networks of the site.
    pub fn local(&self) -> &LocalNetworks {
        &self.local
    }

    /// Adds the start of a flow to its followed hosts.
    pub fn started(&mut self, flow: &FlowStart) {
        if flow.network == Network::Other {
            return;
        }
        let peer = self.peer_hash.hash(&flow.destination.words());
        let port = mix_port(flow.protocol, flow.destination_port);
        let followed = self.local.followed(&flow.source, &flow.destination);
        if followed.source
            && let Some(host) = self.add(0, &flow.source, flow.at, true, &amounts([(FLOWS_OUT, 1.0)]))
        {
            host.peers_short.insert(peer, flow.at, SHORT_WINDOW);
            host.peers_long.insert(peer, flow.at, LONG_WINDOW);
            host.ports_out.insert(port, flow.at, SHORT_WINDOW);
        }
        if followed.destination
            && let Some(host) = self.add(1, &flow.destination, flow.at, true, &amounts([(FLOWS_IN, 1.0)]))
        {
            host.ports_in.insert(port, flow.at, SHORT_WINDOW);
        }
    }

    /// Adds a record to its followed hosts, and returns which these are.
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
            self.add(0, &record.source, record.made, false, &amounts(counts));
        }
        if followed.destination {
            let counts = [(OCTETS_OUT, reverse), (OCTETS_IN, forward), (ENDED_IN, ended), (UNANSWERED_IN, unanswered)];
            self.add(1, &record.destination, record.made, false, &amounts(counts));
        }
        followed
    }

    /// Activity of a host as a source, at `now`.
    pub fn source_activity(&mut self, address: &Address, now: Timestamp) -> SourceActivity {
        let Some(slot) = self.find(0, address) else { return SourceActivity::default() };
        let host = self.hosts.value_mut(slot);
        host.advance(now);
        SourceActivity {
            flows: host.counts.of(FLOWS_OUT),
            unanswered_share: share(host.counts.of(UNANSWERED_OUT)[1], host.counts.of(ENDED_OUT)[1]),
            peers_short: host.peers_short.estimate(now, SHORT_WINDOW, &self.estimates),
            peers_long: host.peers_long.estimate(now, LONG_WINDOW, &self.estimates),
            ports: host.ports_out.estimate(now, SHORT_WINDOW, &self.estimates),
            octets_out: host.counts.of(OCTETS_OUT),
            octets_in: host.counts.of(OCTETS_IN),
        }
    }

    /// Activity of a host as a target, at `now`.
    pub fn target_activity(&mut self, address: &Address, now: Timestamp) -> TargetActivity {
        let Some(slot) = self.find(1, address) else { return TargetActivity::default() };
        let host = self.hosts.value_mut(slot);
        host.advance(now);
        TargetActivity {
            flows: host.counts.of(FLOWS_IN),
            unanswered_share: share(host.counts.of(UNANSWERED_IN)[1], host.counts.of(ENDED_IN)[1]),
            ports: host.ports_in.estimate(now, SHORT_WINDOW, &self.estimates),
        }
    }

    /// Slot of a host; `end` is 0 for a flow's source and 1 for its destination.
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

    /// Adds amounts to a host, inserting it if missing, at the start or the end of a flow. `None` if the full table turned
    /// the host away.
    #[inline(never)]
    fn add(
        &mut self,
        end: usize,
        address: &Address,
        now: Timestamp,
        is_start: bool,
        amounts: &Amounts,
    ) -> Option<&mut Host> {
        let slot = match self.find(end, address) {
            Some(slot) => slot,
            None => self.admit(end, address, now, is_start)?,
        };
        self.recent[end] = slot;
        self.hosts.touch(slot);
        let host = self.hosts.value_mut(slot);
        host.counts.fade_and_add(&host.faded.until(now).unwrap_or([1.0; 3]), amounts);
        Some(host)
    }

    #[inline(never)]
    fn admit(&mut self, end: usize, address: &Address, now: Timestamp, is_start: bool) -> Option<Slot> {
        self.new_sources += u64::from(end == 0 && is_start);
        let has_doorkeeper = self.hosts.capacity() >= ENTRIES_PER_CANDIDATE;
        if !(self.hosts.is_full() && has_doorkeeper) {
            return self.slot_of(address, now);
        }
        // The end of a flow that was turned away is not a second flow.
        if !is_start {
            return None;
        }
        if !self.doorkeeper.returns(address) {
            self.turned_away += 1;
            return None;
        }
        self.slot_of(address, now)
    }

    /// Slot of a host, inserted if missing. `None` if the full table turned the host away.
    fn slot_of(&mut self, address: &Address, now: Timestamp) -> Option<Slot> {
        if let Some((slot, _)) = self.hosts.find_or_insert(address) {
            return Some(slot);
        }
        let Some(victim) = self.victim(now) else {
            self.turned_away += 1;
            return None;
        };
        self.hosts.remove(victim);
        self.evictions += 1;
        self.hosts.find_or_insert(address).map(|(slot, _)| slot)
    }

    /// The host to evict: of the candidates the longest silent one that is not established. Established candidates become
    /// the newest, so that the next call considers others. Once it has spared as many in a row as there are hosts, all are
    /// established, and it returns the longest silent one.
    fn victim(&mut self, now: Timestamp) -> Option<Slot> {
        let candidates = (self.hosts.capacity() / ENTRIES_PER_CANDIDATE).min(CANDIDATES);
        if candidates == 0 {
            return self.hosts.oldest();
        }
        for _ in 0..candidates {
            let candidate = self.hosts.oldest()?;
            if self.spared >= self.hosts.capacity() || !self.hosts.value(candidate).is_established(now) {
                self.spared = 0;
                return Some(candidate);
            }
            self.spared += 1;
            self.hosts.touch(candidate);
        }
        None
    }
}

/// Part of whole, 0 to 1; 0 if the whole is below 0.001, which is only rounding error.
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
    fn mac_addresses_do_not_count_as_hosts() {
        let mut hosts = HostTable::new(8, 1, LocalNetworks::default());
        let at = Timestamp::from_secs(1);
        let (source, destination) = (Address([2; 16]), Address([1; 16]));
        let of = |network| FlowRecord { source, destination, network, ..record(at) };
        assert_eq!(hosts.ended(&of(Network::Other)), Followed::default());
        assert!(hosts.is_empty());
        assert_eq!(hosts.ended(&of(Network::Ipv6)), Followed { source: true, destination: true });
        assert_eq!(hosts.len(), 2);
    }

    #[test]
    fn forged_sources_do_not_displace_hosts_with_several_flows() {
        let mut hosts = HostTable::new(512, 1, LocalNetworks::default());
        let start = |source: [u8; 4], at| FlowStart {
            source: Address::from_v4(source),
            destination: Address::from_v4([203, 0, 113, 1]),
            destination_port: 443,
            network: Network::Ipv4,
            protocol: 6,
            at: Timestamp::from_nanos(at),
        };
        let home = |host| [192, 168, 1, host];
        for round in 0..2 {
            (0..32).for_each(|host| hosts.started(&start(home(host), round * 1_000_000)));
        }
        for forged in 0..100_000_u32 {
            let [_, a, b, c] = forged.to_be_bytes();
            hosts.started(&start([10, a, b, c], 2_000_000_000 + u64::from(forged) * 1_000_000));
        }
        let now = Timestamp::from_secs(102);
        for host in 0..32 {
            let activity = hosts.source_activity(&Address::from_v4(home(host)), now);
            assert!(activity.flows[2] > 1.0, "host {host} was evicted");
        }
        assert_eq!((hosts.len(), hosts.new_sources), (512, 100_032));
        assert!(hosts.evictions < 10_000, "{}", hosts.evictions);
        // A host between them that sends a flow every ten seconds is admitted, and keeps its context.
        for second in 0..30 {
            hosts.started(&start(home(99), (200 + second * 10) * 1_000_000_000));
            for forged in 0..1_000_u32 {
                let [_, a, b, c] = (1_000_000 + second as u32 * 1_000 + forged).to_be_bytes();
                hosts.started(&start([10, a, b, c], (200 + second * 10) * 1_000_000_000 + 1));
            }
        }
        let activity = hosts.source_activity(&Address::from_v4(home(99)), Timestamp::from_secs(491));
        assert!((17.0..20.0).contains(&activity.flows[2]), "{:?}", activity.flows);
        // Hosts that are silent for longer than the long window are evicted like any other.
        for forged in 0..4_000_u32 {
            let [_, a, b, c] = (2_000_000 + forged / 2).to_be_bytes();
            hosts.started(&start([10, a, b, c], 800_000_000_000 + u64::from(forged)));
        }
        assert_eq!(hosts.source_activity(&Address::from_v4(home(0)), now).flows[2], 0.0);
    }
}
