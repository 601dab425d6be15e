//! Recorded ordinary traffic, hosts, times and ports → a capture file with hostile traffic in it.
//!
//! Every hostile packet is built byte by byte, with a seed, so that a capture is the same on every machine.

use lapwing_shared::flow::lru::splitmix64;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Start of every capture, seconds since the epoch.
const START_S: u64 = 1_700_000_000;
/// TCP flags.
const SYN: u8 = 0x02;
const RST_ACK: u8 = 0x14;

/// One end of a TCP or UDP flow.
pub type End = (Ipv4Addr, u16);

struct Frame {
    at_us: u64,
    octets: Vec<u8>,
}

/// Frames of an Ethernet segment, in any order.
#[derive(Default)]
pub struct Traffic {
    frames: Vec<Frame>,
    random: u64,
    identification: u16,
}

impl Traffic {
    /// No frames yet; `seed` selects ports, addresses and gaps.
    pub fn new(seed: u64) -> Self {
        Self { random: seed, ..Self::default() }
    }

    /// A random number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        splitmix64(&mut self.random) % limit
    }

    /// The capture as a pcap file, frames cut at `snaplen` octets.
    pub fn pcap(mut self, snaplen: usize) -> Vec<u8> {
        self.frames.sort_by_key(|frame| frame.at_us);
        let mut file = Vec::new();
        for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, snaplen as u32, 1] {
            file.extend(u32::to_le_bytes(word));
        }
        for Frame { at_us, octets } in &self.frames {
            let kept = octets.len().min(snaplen);
            let seconds = START_S + at_us / 1_000_000;
            for word in [seconds as u32, (at_us % 1_000_000) as u32, kept as u32, octets.len() as u32] {
                file.extend(word.to_le_bytes());
            }
            file.extend(&octets[..kept]);
        }
        file
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// True without frames.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    fn ethernet(&mut self, at_us: u64, ether_type: u16, packet: &[u8]) {
        let mut octets = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        octets.extend(ether_type.to_be_bytes());
        octets.extend(packet);
        self.frames.push(Frame { at_us, octets });
    }

    /// An IPv4 packet; `fragment` is the field with flags and offset.
    fn ipv4(&mut self, at_us: u64, from: Ipv4Addr, to: Ipv4Addr, protocol: u8, fragment: u16, body: &[u8]) {
        let mut packet = vec![0x45, 0];
        packet.extend((20 + body.len() as u16).to_be_bytes());
        packet.extend(self.identification.to_be_bytes());
        packet.extend(fragment.to_be_bytes());
        packet.extend([64, protocol, 0, 0]);
        packet.extend(from.octets());
        packet.extend(to.octets());
        packet.extend(body);
        self.ethernet(at_us, 0x0800, &packet);
    }

    /// A TCP segment with `payload` octets of data.
    pub fn tcp(&mut self, at_us: u64, from: End, to: End, flags: u8, payload: usize) {
        self.identification = self.identification.wrapping_add(1);
        let body = tcp(from.1, to.1, flags, payload);
        self.ipv4(at_us, from.0, to.0, 6, 0x4000, &body);
    }

    /// Adds the frames of a little-endian pcap file from its beginning.
    pub fn recorded(&mut self, pcap: &[u8]) {
        let mut rest = pcap.get(24..).unwrap_or_default();
        let mut first_us = None;
        while let Some((head, after)) = rest.split_first_chunk::<16>() {
            let word = |index: usize| {
                let bytes = head.as_chunks::<4>().0.get(index);
                bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
            };
            let at_us = u64::from(word(0)) * 1_000_000 + u64::from(word(1));
            let at_us = at_us - *first_us.get_or_insert(at_us);
            let (octets, after) = after.split_at((word(2) as usize).min(after.len()));
            self.frames.push(Frame { at_us, octets: octets.to_vec() });
            rest = after;
        }
    }

    /// A scan of `ports` ports of one host, one every `gap_us`; every port is closed.
    pub fn port_scan(&mut self, from: Ipv4Addr, to: Ipv4Addr, start_us: u64, ports: u16, gap_us: u64) {
        for port in 0..ports {
            let at_us = start_us + u64::from(port) * gap_us;
            let (client, server) = ((from, 40_000 + port % 20_000), (to, 1 + port));
            self.tcp(at_us, client, server, SYN, 0);
            self.tcp(at_us + 300, server, client, RST_ACK, 0);
        }
    }

    /// A search for Telnet servers at `hosts` random addresses, one every `gap_us`; none answers.
    pub fn spread(&mut self, from: Ipv4Addr, start_us: u64, hosts: u64, gap_us: u64) {
        for number in 0..hosts {
            let to = Ipv4Addr::new(203, self.below(200) as u8, self.below(250) as u8, 1 + self.below(250) as u8);
            self.tcp(start_us + number * gap_us, (from, 40_000 + (number % 20_000) as u16), (to, 23), SYN, 0);
        }
    }

    /// Packets of forged sources in 10.0.0.0/8, `flows` SYNs each, `per_second` in all.
    pub fn decoys(&mut self, start_us: u64, seconds: u64, per_second: u64, flows: u64) {
        for number in 0..seconds * per_second {
            let [_, a, b, c] = ((number / flows) as u32).to_be_bytes();
            let from = (Ipv4Addr::new(10, a, b, c), 1_024 + self.below(60_000) as u16);
            let to = (Ipv4Addr::new(203, 0, 113, self.below(250) as u8), 80);
            self.tcp(start_us + number * 1_000_000 / per_second, from, to, SYN, 0);
        }
    }

    /// A scan whose TCP headers are split after eight octets: ports in the first fragment, flags in the second.
    pub fn tiny_fragment_scan(&mut self, from: Ipv4Addr, to: Ipv4Addr, start_us: u64, ports: u16, last_first: bool) {
        for port in 0..ports {
            self.identification = self.identification.wrapping_add(1);
            let at_us = start_us + u64::from(port) * 50_000;
            let segment = tcp(40_000 + port % 20_000, 1 + port, SYN, 0);
            let (first_us, last_us) = if last_first { (at_us + 500, at_us) } else { (at_us, at_us + 500) };
            self.ipv4(first_us, from, to, 6, 0x2000, &segment[..8]);
            self.ipv4(last_us, from, to, 6, 1, &segment[8..]);
        }
    }

    /// A scan over IPv6 with `headers` destination-options headers of `octets` octets each before TCP.
    pub fn extension_scan(&mut self, hosts: (Ipv6Addr, Ipv6Addr), start_us: u64, ports: u16, headers: (usize, usize)) {
        let (count, octets) = headers;
        for port in 0..ports {
            let at_us = start_us + u64::from(port) * 50_000;
            let (client, server) = (40_000 + port % 20_000, 1 + port);
            let probe = options(count, octets, &tcp(client, server, SYN, 0));
            self.ipv6(at_us, hosts, if count > 0 { 60 } else { 6 }, &probe);
            self.ipv6(at_us + 300, (hosts.1, hosts.0), 6, &tcp(server, client, RST_ACK, 0));
        }
    }

    fn ipv6(&mut self, at_us: u64, (from, to): (Ipv6Addr, Ipv6Addr), next_header: u8, body: &[u8]) {
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend((body.len() as u16).to_be_bytes());
        packet.extend([next_header, 64]);
        packet.extend(from.octets());
        packet.extend(to.octets());
        packet.extend(body);
        self.ethernet(at_us, 0x86dd, &packet);
    }
}

fn tcp(from: u16, to: u16, flags: u8, payload: usize) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(from.to_be_bytes());
    segment.extend(to.to_be_bytes());
    segment.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags]);
    segment.extend([0x20, 0, 0, 0, 0, 0]);
    segment.resize(20 + payload, b'x');
    segment
}

/// `count` destination-options headers of `octets` octets (a multiple of eight), filled with PadN, before a TCP segment.
fn options(count: usize, octets: usize, segment: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for header in 0..count {
        let next = if header + 1 < count { 60 } else { 6 };
        let end = body.len() + octets;
        body.extend([next, (octets / 8 - 1) as u8]);
        // PadN has at most 255 octets of data (RFC 8200 §4.2).
        while body.len() + 2 <= end {
            let data = (end - body.len() - 2).min(255);
            body.extend([1, data as u8]);
            body.resize(body.len() + data, 0);
        }
        body.resize(end, 0);
    }
    body.extend(segment);
    body
}
