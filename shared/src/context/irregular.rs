//! Irregular packets → counts per host, and a notice when a host has too many that hide their ports.
//!
//! The counts are not features of the network: hardly any benign host has one, so a network trained on benign rows could
//! not learn what they mean (docs/adr/0014).

use crate::context::local::Followed;
use crate::packet::{Concealment, Packet};
use crate::units::{Address, Nanos, Timestamp};
use alloc::vec::Vec;

/// Limit on hosts with counts. A full table replaces the host with the fewest packets, and counts it.
pub const IRREGULAR_HOSTS: usize = 128;
/// A host's counts begin again after this long.
pub const WINDOW: Nanos = Nanos::from_secs(300);
/// Minimum time between two notices of a host and kind.
pub const NOTICE_INTERVAL: Nanos = Nanos::from_secs(60);

/// Number of ways to hide ports.
const KINDS: usize = Concealment::ALL.len();
/// Packets of each kind in a window that give a notice. A damaged packet occurs by chance; the other kinds do not, but one
/// packet must not be enough for an alert.
pub const NOTICE_FROM: [u32; KINDS] = [4, 4, 64];

/// A host that sends, or is sent, packets that hide their ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The host.
    pub host: Address,
    /// True if it sends them.
    pub is_source: bool,
    /// How they hide their ports.
    pub kind: Concealment,
    /// Such packets since the last notice.
    pub packets: u32,
    /// The other host of the newest one.
    pub peer: Address,
    /// Its destination port, 0 if it was not read.
    pub port: u16,
    /// First packet of the window.
    pub since: Timestamp,
    /// The newest packet.
    pub at: Timestamp,
}

#[derive(Clone, Copy, Default)]
struct Host {
    address: Address,
    is_source: bool,
    since: Timestamp,
    /// Packets of any reason, including those that only the capture cut short.
    packets: u32,
    kinds: [Count; KINDS],
}

#[derive(Clone, Copy, Default)]
struct Count {
    /// In the window.
    packets: u32,
    /// Of these, part of a notice.
    noticed: u32,
    noticed_at: Timestamp,
}

/// Hosts with irregular packets, by role. Allocates all its memory when created.
pub struct IrregularHosts {
    hosts: Vec<Host>,
    /// Hosts replaced in the full table within their window.
    pub evictions: u64,
}

impl Default for IrregularHosts {
    fn default() -> Self {
        Self { hosts: Vec::with_capacity(IRREGULAR_HOSTS), evictions: 0 }
    }
}

impl IrregularHosts {
    /// Counts an irregular packet for its followed hosts; calls `notify` for each that has reached the limit.
    pub fn add(&mut self, packet: &Packet, followed: Followed, at: Timestamp, notify: &mut dyn FnMut(&Notice)) {
        let ends = [
            (followed.source, packet.source, packet.destination, true),
            (followed.destination, packet.destination, packet.source, false),
        ];
        for (_, address, peer, is_source) in ends.into_iter().filter(|(is_followed, ..)| *is_followed) {
            let host = self.host(address, is_source, at);
            host.packets = host.packets.saturating_add(1);
            let Some(kind) = packet.concealment() else { continue };
            let since = host.since;
            if let Some(packets) = host.kinds[kind.index()].add(NOTICE_FROM[kind.index()], at) {
                let port = packet.destination_port;
                notify(&Notice { host: address, is_source, kind, packets, peer, port, since, at });
            }
        }
    }

    /// Irregular packets of a host in its window.
    pub fn packets(&self, address: &Address, is_source: bool) -> u32 {
        let found = self.hosts.iter().find(|host| host.address == *address && host.is_source == is_source);
        found.map_or(0, |host| host.packets)
    }

    /// Number of hosts.
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// True if there are no hosts.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    fn host(&mut self, address: Address, is_source: bool, at: Timestamp) -> &mut Host {
        let is_it = |host: &Host| host.address == address && host.is_source == is_source;
        let found = self.hosts.iter().position(is_it);
        let index = found.unwrap_or_else(|| self.free(at));
        let host = &mut self.hosts[index];
        if found.is_none() || is_over(host, at) {
            *host = Host { address, is_source, since: at, ..Host::default() };
        }
        host
    }

    /// Index of an entry for a new host: one never used, or else the one with the fewest packets, the oldest of equals.
    fn free(&mut self, at: Timestamp) -> usize {
        if self.hosts.len() < IRREGULAR_HOSTS {
            self.hosts.push(Host::default());
            return self.hosts.len() - 1;
        }
        let weight = |host: &Host| if is_over(host, at) { (0, host.since) } else { (host.packets, host.since) };
        let least = self.hosts.iter().enumerate().min_by_key(|(_, host)| weight(host)).map_or(0, |(index, _)| index);
        self.evictions += u64::from(!is_over(&self.hosts[least], at));
        least
    }
}

/// True if the host's window is over, or the clock was set back.
fn is_over(host: &Host, at: Timestamp) -> bool {
    at < host.since || at.since(host.since) >= WINDOW
}

impl Count {
    /// Adds a packet; returns the number for a notice, if one is due.
    fn add(&mut self, from: u32, at: Timestamp) -> Option<u32> {
        self.packets = self.packets.saturating_add(1);
        let is_due = self.noticed == 0 || at.since(self.noticed_at) >= NOTICE_INTERVAL;
        if self.packets < from || !is_due {
            return None;
        }
        let new = self.packets - self.noticed;
        (self.noticed, self.noticed_at) = (self.packets, at);
        Some(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Fragment, Network, Refusal};
    use std::vec::Vec;

    const BOTH: Followed = Followed { source: true, destination: true };
    const SOURCE: Followed = Followed { source: true, destination: false };

    fn packet(source: u32, irregular: Refusal) -> Packet {
        Packet {
            network: Network::Ipv4,
            source: Address::from_v4(source.to_be_bytes()),
            destination: Address::from_v4([192, 0, 2, 1]),
            destination_port: 23,
            fragment: Fragment::First(1),
            irregular: Some(irregular),
            ..Packet::unread(Timestamp::EPOCH, &[], 0)
        }
    }

    fn add(hosts: &mut IrregularHosts, packet: &Packet, followed: Followed, second: u64) -> Vec<Notice> {
        let mut notices = Vec::new();
        hosts.add(packet, followed, Timestamp::from_secs(second), &mut |notice| notices.push(*notice));
        notices
    }

    #[test]
    fn the_fourth_tiny_fragment_of_a_window_gives_a_notice_for_sender_and_target() {
        let mut hosts = IrregularHosts::default();
        let tiny = packet(9, Refusal::HeaderBeyondDatagram);
        for second in 1_000..1_003 {
            assert!(add(&mut hosts, &tiny, BOTH, second).is_empty());
        }
        let notices = add(&mut hosts, &tiny, BOTH, 1_003);
        let seen: Vec<_> = notices.iter().map(|notice| (notice.host, notice.is_source, notice.packets)).collect();
        assert_eq!(seen, [(tiny.source, true, 4), (tiny.destination, false, 4)]);
        assert_eq!((notices[0].peer, notices[0].port), (tiny.destination, 23));
        assert_eq!(notices[0].since, Timestamp::from_secs(1_000));
        assert!(add(&mut hosts, &tiny, BOTH, 1_004).is_empty(), "at most one notice a minute");
        assert_eq!(add(&mut hosts, &tiny, SOURCE, 1_063)[0].packets, 2);
        assert!(add(&mut hosts, &tiny, SOURCE, 1_300).is_empty(), "a new window");
        assert_eq!((hosts.packets(&tiny.source, true), hosts.packets(&tiny.source, false)), (1, 0));
    }

    #[test]
    fn packets_that_the_capture_cut_are_counted_without_a_notice() {
        let mut hosts = IrregularHosts::default();
        for _ in 0..500 {
            assert!(add(&mut hosts, &packet(9, Refusal::TruncatedTransportHeader), SOURCE, 1_000).is_empty());
        }
        assert_eq!(hosts.packets(&packet(9, Refusal::BadArp).source, true), 500);
    }

    #[test]
    fn decoys_do_not_displace_a_host_with_more_packets() {
        let mut hosts = IrregularHosts::default();
        let tiny = |source| packet(source, Refusal::HeaderBeyondDatagram);
        add(&mut hosts, &tiny(7), SOURCE, 1_000);
        add(&mut hosts, &tiny(7), SOURCE, 1_000);
        for decoy in 0..10_000 {
            add(&mut hosts, &tiny(1_000 + decoy), SOURCE, 1_001);
        }
        add(&mut hosts, &tiny(7), SOURCE, 1_002);
        assert_eq!(add(&mut hosts, &tiny(7), SOURCE, 1_002).len(), 1);
        assert_eq!((hosts.len(), hosts.evictions), (IRREGULAR_HOSTS, 10_000 - (IRREGULAR_HOSTS as u64 - 1)));
    }

    #[test]
    fn a_clock_set_back_begins_a_new_window() {
        let mut hosts = IrregularHosts::default();
        let tiny = packet(9, Refusal::HeaderBeyondDatagram);
        for _ in 0..9 {
            add(&mut hosts, &tiny, SOURCE, 9_000_000);
        }
        let notices: usize = (0..4).map(|_| add(&mut hosts, &tiny, SOURCE, 1_000).len()).sum();
        assert_eq!(notices, 1);
    }
}
