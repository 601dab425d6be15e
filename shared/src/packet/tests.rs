//! Frames built byte by byte according to the RFCs, and random damage to all of them.

use super::*;
use std::vec::Vec;

mod irregular;

const AT: Timestamp = Timestamp::from_secs(1_700_000_000);
const MACS: [u8; 12] = [2, 0, 0, 0, 0, 0xd, 2, 0, 0, 0, 0, 0x5];

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn ethernet(ether_type: u16, content: &[u8]) -> Vec<u8> {
    join(&[&MACS, &ether_type.to_be_bytes(), content])
}

fn ipv4_with(protocol: u8, fragment: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let total = (20 + options.len() + payload.len()) as u16;
    let ihl = 0x45 + (options.len() / 4) as u8;
    let mut header = std::vec![ihl, 0, 0, 0, 0xab, 0xcd, 0, 0, 63, protocol, 0, 0, 10, 0, 0, 1, 192, 0, 2, 7];
    header[2..4].copy_from_slice(&total.to_be_bytes());
    header[6..8].copy_from_slice(&fragment.to_be_bytes());
    join(&[&header, options, payload])
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_with(protocol, 0, &[], payload)
}

fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = std::vec![0x60, 0, 0, 0, 0, 0, next_header, 64];
    header[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    let (mut from, mut to) = ([0; 16], [0; 16]);
    (from[0], from[15], to[0], to[15]) = (0x20, 1, 0x20, 2);
    join(&[&header, &from, &to, payload])
}

fn tcp(options: &[u8], payload: &[u8]) -> Vec<u8> {
    let offset = (5 + options.len() / 4) as u8;
    let mut header = std::vec![0x9c, 0x40, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0x18, 0x20, 0x00, 0, 0, 0, 0];
    header[12] = offset << 4;
    join(&[&header, options, payload])
}

fn udp(payload: &[u8]) -> Vec<u8> {
    join(&[&[0x14, 0xe9, 0, 53], &(8 + payload.len() as u16).to_be_bytes(), &[0, 0], payload])
}

fn arp() -> Vec<u8> {
    join(&[&[0, 1, 8, 0, 6, 4, 0, 2], &[2, 0, 0, 0, 0, 5], &[10, 0, 0, 1], &[2, 0, 0, 0, 0, 0xd], &[10, 0, 0, 9]])
}

fn read(frame: &[u8]) -> Result<Packet, Refusal> {
    decode(LinkType::Ethernet, AT, frame, frame.len() as u32)
}

fn ports(packet: &Packet) -> (u16, u16) {
    (packet.source_port, packet.destination_port)
}

#[test]
fn every_field_of_a_tcp_segment_is_read() {
    let frame = ethernet(0x0800, &ipv4(6, &tcp(&[1; 12], b"hello")));
    let expected = Packet {
        timestamp: AT,
        network: Network::Ipv4,
        protocol: 6,
        vlan: 0,
        source: Address::from_v4([10, 0, 0, 1]),
        destination: Address::from_v4([192, 0, 2, 7]),
        source_port: 40_000,
        destination_port: 443,
        tcp_flags: tcp_flags::PSH | tcp_flags::ACK,
        tcp_window: 0x2000,
        icmp: (0, 0),
        hop_limit: 63,
        fragment: Fragment::Whole,
        frame_octets: 71,
        network_octets: 57,
        payload_octets: 5,
        irregular: None,
    };
    assert_eq!(read(&frame), Ok(expected));
}

#[test]
fn a_short_snaplen_changes_no_octet_count() {
    let frame = ethernet(0x0800, &ipv4_with(6, 0, &[1; 8], &tcp(&[1; 20], &[7; 1000])));
    let whole = read(&frame).unwrap();
    assert_eq!((whole.frame_octets, whole.network_octets, whole.payload_octets), (1082, 1068, 1000));
    let fixed_headers = 14 + 28 + 20;
    for captured in fixed_headers..frame.len() {
        assert_eq!(decode(LinkType::Ethernet, AT, &frame[..captured], 1082), Ok(whole), "{captured} octets");
    }
    for (captured, reason) in [
        (0, Refusal::EmptyFrame),
        (13, Refusal::TruncatedLinkHeader),
        (14, Refusal::TruncatedNetworkHeader),
        (33, Refusal::TruncatedNetworkHeader),
    ] {
        assert_eq!(decode(LinkType::Ethernet, AT, &frame[..captured], 1082), Err(reason), "{captured} octets");
    }
    // From the addresses on, it is metered with what was captured.
    for (captured, reason, expected_ports, flags) in [
        (34, Refusal::TruncatedNetworkHeader, (0, 0), 0),
        (41, Refusal::TruncatedNetworkHeader, (0, 0), 0),
        (42, Refusal::TruncatedTransportHeader, (0, 0), 0),
        (46, Refusal::TruncatedTransportHeader, (40_000, 443), 0),
        (56, Refusal::TruncatedTransportHeader, (40_000, 443), 0x18),
    ] {
        let packet = decode(LinkType::Ethernet, AT, &frame[..captured], 1082).unwrap();
        assert_eq!((packet.irregular, ports(&packet), packet.tcp_flags), (Some(reason), expected_ports, flags));
        assert_eq!((packet.source, packet.destination, packet.protocol), (whole.source, whole.destination, 6));
        assert_eq!((packet.network_octets, packet.concealment()), (1068, None), "{captured} octets");
    }
}

#[test]
fn padding_of_a_short_frame_is_not_payload() {
    let mut frame = ethernet(0x0800, &ipv4(17, &udp(b"x")));
    frame.resize(60, 0xee);
    let packet = read(&frame).unwrap();
    assert_eq!((packet.frame_octets, packet.network_octets, packet.payload_octets), (60, 29, 1));
    let mut no_room = ethernet(0x0800, &ipv4(6, &[0; 8]));
    no_room.resize(60, 0x55);
    let packet = read(&no_room).unwrap();
    assert_eq!((packet.irregular, packet.payload_octets), (Some(Refusal::HeaderBeyondDatagram), 0));
    assert_eq!((ports(&packet), packet.tcp_flags), ((0, 0), 0), "octets of the datagram, not of the padding");
}

#[test]
fn the_innermost_vlan_is_used_and_tags_are_limited() {
    let inner = ipv4(17, &udp(b""));
    let tag = |vid: u16, next: u16| [vid.to_be_bytes(), next.to_be_bytes()].concat();
    let one = ethernet(0x8100, &join(&[&tag(0xe005, 0x0800), &inner]));
    assert_eq!(read(&one).map(|p| (p.vlan, ports(&p), p.network_octets)), Ok((5, (5353, 53), 28)));
    for outer in [0x88a8, 0x9100] {
        let two = ethernet(outer, &join(&[&tag(7, 0x8100), &tag(9, 0x0800), &inner]));
        assert_eq!(read(&two).map(|p| p.vlan), Ok(9));
    }
    let four = ethernet(0x8100, &join(&[&tag(1, 0x8100), &tag(2, 0x8100), &tag(3, 0x8100), &tag(4, 0x0800), &inner]));
    assert_eq!(read(&four).map(|p| p.vlan), Ok(4));
    let five = ethernet(0x8100, &tag(1, 0x8100).repeat(9));
    assert_eq!(read(&five), Err(Refusal::TooManyTags));
    assert_eq!(read(&one[..16]), Err(Refusal::TruncatedLinkHeader));
}

#[test]
fn pppoe_carries_both_ip_versions() {
    let session = |protocol: u16, inner: &[u8]| {
        let length = (inner.len() as u16 + 2).to_be_bytes();
        ethernet(0x8864, &join(&[&[0x11, 0, 0, 1], &length, &protocol.to_be_bytes(), inner]))
    };
    let v4 = read(&session(0x0021, &ipv4(17, &udp(b"abc")))).unwrap();
    assert_eq!((v4.network, ports(&v4), v4.payload_octets), (Network::Ipv4, (5353, 53), 3));
    let v6 = read(&session(0x0057, &ipv6(6, &tcp(&[], b"")))).unwrap();
    assert_eq!((v6.network, ports(&v6)), (Network::Ipv6, (40_000, 443)));
    let control = read(&session(0xc021, &[1, 1, 0, 4])).unwrap();
    assert_eq!((control.network, ports(&control)), (Network::Other, (0x8864, 0x8864)));
    assert_eq!(read(&ethernet(0x8864, &[0x21, 0, 0, 1, 0, 2, 0, 0x21])), Err(Refusal::BadPppoeHeader));
    assert_eq!(read(&ethernet(0x8864, &[0x11, 0, 0, 1])), Err(Refusal::TruncatedLinkHeader));
}

#[test]
fn ieee_802_3_frames_are_other_unless_snap_names_an_ether_type() {
    let spanning_tree = read(&ethernet(38, &[0x42; 46])).unwrap();
    assert_eq!((spanning_tree.network, ports(&spanning_tree)), (Network::Other, (4, 4)));
    assert_eq!(spanning_tree.source.0[10..], [2, 0, 0, 0, 0, 5]);
    assert_eq!(spanning_tree.destination.0[10..], [2, 0, 0, 0, 0, 0xd]);
    assert_eq!((spanning_tree.network_octets, spanning_tree.payload_octets), (46, 46));
    let inner = ipv4(17, &udp(b""));
    let snap = ethernet(36, &join(&[&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &inner]));
    assert_eq!(read(&snap).map(|p| (p.network, p.network_octets)), Ok((Network::Ipv4, 28)));
    let cisco = ethernet(36, &[0xaa, 0xaa, 3, 0, 0, 0xc, 0x20, 0]);
    assert_eq!(read(&cisco).map(|p| p.source_port), Ok(4));
}

#[test]
fn cooked_raw_and_loopback_links_decode_to_the_same_packet() {
    let inner = ipv4(6, &tcp(&[], b"hi"));
    let v1 = join(&[&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 5, 0, 0, 8, 0], &inner]);
    let v2 = join(&[&[8, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 0, 0, 0, 0, 5, 0, 0], &inner]);
    let little = join(&[&[2, 0, 0, 0], &inner]);
    let big = join(&[&[0, 0, 0, 2], &inner]);
    for (link, frame) in [
        (LinkType::LinuxSll, &v1),
        (LinkType::LinuxSll2, &v2),
        (LinkType::Loopback, &little),
        (LinkType::Loopback, &big),
        (LinkType::RawIp, &inner),
    ] {
        let packet = decode(link, AT, frame, frame.len() as u32).unwrap();
        assert_eq!((packet.network, ports(&packet)), (Network::Ipv4, (40_000, 443)), "{link:?}");
        assert_eq!((packet.network_octets, packet.payload_octets), (42, 2), "{link:?}");
    }
    // An EtherType in the place of the family, with and without octets before it.
    for header in [[0x0f, 0, 8, 0], [0, 0, 8, 0]] {
        let frame = join(&[&header, &inner]);
        let packet = decode(LinkType::Loopback, AT, &frame, frame.len() as u32).unwrap();
        assert_eq!((packet.network, ports(&packet)), (Network::Ipv4, (40_000, 443)), "{header:?}");
    }
    for family in [10, 23, 24, 26, 28, 30] {
        let frame = join(&[&[family, 0, 0, 0], &ipv6(58, &[128, 0, 0, 0, 0, 1, 0, 1])]);
        assert_eq!(decode(LinkType::Loopback, AT, &frame, 52).map(|p| p.icmp), Ok((128, 0)));
    }
    let netlink = join(&[&[0, 0, 3, 0x38, 0, 0, 2, 0, 0, 0, 0, 5, 0, 0, 8, 0], &inner]);
    assert_eq!(decode(LinkType::LinuxSll, AT, &netlink, 58).map(|p| p.network), Ok(Network::Other));
    assert_eq!(decode(LinkType::RawIp, AT, &[0x50; 40], 40), Err(Refusal::BadVersion));
    assert_eq!(decode(LinkType::LinuxSll, AT, &v1[..15], 58), Err(Refusal::TruncatedLinkHeader));
    assert_eq!(decode(LinkType::LinuxSll2, AT, &v2[..19], 62), Err(Refusal::TruncatedLinkHeader));
    assert_eq!(decode(LinkType::Loopback, AT, &little[..3], 46), Err(Refusal::TruncatedLinkHeader));
}

#[test]
fn only_the_first_ipv4_fragment_has_ports() {
    let first = read(&ethernet(0x0800, &ipv4_with(17, 0x2000, &[], &udp(&[0; 1472])))).unwrap();
    assert_eq!((first.fragment, ports(&first)), (Fragment::First(0xabcd), (5353, 53)));
    let later = read(&ethernet(0x0800, &ipv4_with(17, 0x00b9, &[], &[0x35; 100]))).unwrap();
    assert_eq!((later.fragment, ports(&later), later.payload_octets), (Fragment::Later(0xabcd), (0, 0), 100));
    let dont_fragment = read(&ethernet(0x0800, &ipv4_with(17, 0x4000, &[], &udp(b"")))).unwrap();
    assert_eq!(dont_fragment.fragment, Fragment::Whole);
}

#[test]
fn ipv6_extension_headers_are_skipped_and_limited() {
    let hop_by_hop = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let routing = |next: u8| join(&[&[next, 2, 0, 1, 0, 0, 0, 0], &[0x20; 16]]);
    let authentication = |next: u8| [next, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];
    let options = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let chain = join(&[&hop_by_hop(43), &routing(51), &authentication(60), &options(17), &udp(b"abcd")]);
    let packet = read(&ethernet(0x86dd, &ipv6(0, &chain))).unwrap();
    assert_eq!((packet.protocol, ports(&packet), packet.payload_octets), (17, (5353, 53), 4));
    assert_eq!((packet.network_octets, packet.hop_limit), (116, 64));

    assert_eq!(packet.irregular, None);

    let eight = join(&[&options(60).repeat(7), &options(17), &udp(b"")]);
    assert_eq!(read(&ethernet(0x86dd, &ipv6(60, &eight))).map(|p| (ports(&p), p.irregular)), Ok(((5353, 53), None)));
    assert_eq!(
        read(&ethernet(0x86dd, &ipv6(60, &[17, 9, 0, 0, 0, 0, 0, 0]))).map(|p| (p.protocol, p.irregular)),
        Ok((60, Some(Refusal::HeaderBeyondDatagram)))
    );
    let frame = ethernet(0x86dd, &ipv6(0, &chain));
    let cut = decode(LinkType::Ethernet, AT, &frame[..70], 130).unwrap();
    assert_eq!((cut.protocol, cut.irregular, cut.concealment()), (43, Some(Refusal::TruncatedNetworkHeader), None));
    let authentication = read(&ethernet(0x86dd, &ipv6(51, &[17; 12].map(|_| 0)))).unwrap();
    assert_eq!((authentication.protocol, authentication.irregular), (51, Some(Refusal::BadHeaderLength)));
}

#[test]
fn ipv6_fragments_carry_their_identification() {
    let fragment = |place: u16, payload: &[u8]| {
        let header = join(&[&[17, 0], &place.to_be_bytes(), &[0, 1, 0, 2]]);
        read(&ethernet(0x86dd, &ipv6(44, &join(&[&header, payload])))).unwrap()
    };
    let first = fragment(0x0001, &udp(&[0; 40]));
    assert_eq!((first.fragment, ports(&first)), (Fragment::First(0x0001_0002), (5353, 53)));
    let later = fragment(0x0030, &[0x35; 48]);
    assert_eq!((later.fragment, ports(&later), later.protocol), (Fragment::Later(0x0001_0002), (0, 0), 17));
    assert_eq!(later.payload_octets, 48);
    let atomic = fragment(0, &udp(b""));
    assert_eq!((atomic.fragment, ports(&atomic)), (Fragment::Whole, (5353, 53)));
}

#[test]
fn an_ip_length_of_0_from_offload_becomes_the_wire_length() {
    let mut v4 = ethernet(0x0800, &ipv4(6, &tcp(&[], &[1; 200])));
    (v4[16], v4[17]) = (0, 0);
    let packet = decode(LinkType::Ethernet, AT, &v4[..96], 64_054).unwrap();
    assert_eq!((packet.network_octets, packet.payload_octets), (64_040, 64_000));
    let mut v6 = ethernet(0x86dd, &ipv6(6, &tcp(&[], &[1; 200])));
    (v6[18], v6[19]) = (0, 0);
    let packet = decode(LinkType::Ethernet, AT, &v6[..96], 70_074).unwrap();
    assert_eq!((packet.network_octets, packet.payload_octets), (70_060, 70_000));
    let mut nothing = ethernet(0x86dd, &ipv6(59, &[]));
    nothing.resize(60, 0);
    assert_eq!(read(&nothing).map(|p| (p.network_octets, p.payload_octets)), Ok((40, 0)));
}

#[test]
fn contradictory_headers_are_rejected_or_metered_with_a_reason() {
    let good = ethernet(0x0800, &ipv4(6, &tcp(&[], b"")));
    let with = |changes: &[(usize, u8)]| {
        let mut frame = good.clone();
        changes.iter().for_each(|(at, octet)| frame[*at] = *octet);
        read(&frame)
    };
    assert_eq!(with(&[(14, 0x65)]), Err(Refusal::BadVersion));
    assert_eq!(with(&[(12, 0x86), (13, 0xdd)]), Err(Refusal::BadVersion));
    assert_eq!(with(&[]).map(|p| p.irregular), Ok(None));
    // The addresses are readable, so these are metered. Their receivers drop them: the flags must not end a flow.
    for (changes, reason, expected_ports) in [
        (&[(14, 0x44)][..], Refusal::BadHeaderLength, (0, 0)),
        (&[(16, 0), (17, 19)], Refusal::TotalLengthBelowHeader, (0, 0)),
        (&[(46, 0x40)], Refusal::BadDataOffset, (40_000, 443)),
        (&[(46, 0xf0)], Refusal::BadDataOffset, (40_000, 443)),
        (&[(17, 36)], Refusal::HeaderBeyondDatagram, (40_000, 443)),
    ] {
        let packet = with(changes).unwrap();
        assert_eq!((packet.irregular, ports(&packet), packet.tcp_flags), (Some(reason), expected_ports, 0));
        assert_eq!(packet.concealment(), Some(Concealment::MalformedHeaders), "{reason}");
        assert_eq!((packet.network, packet.source), (Network::Ipv4, Address::from_v4([10, 0, 0, 1])));
    }
}

#[test]
fn icmp_sctp_dccp_udp_lite_and_unknown_protocols_are_metered() {
    let v4 = |protocol: u8, payload: &[u8]| read(&ethernet(0x0800, &ipv4(protocol, payload)));
    assert_eq!(v4(1, &[8, 0, 0, 0, 0, 1, 0, 1, 9, 9]).map(|p| (p.icmp, p.payload_octets)), Ok(((8, 0), 2)));
    assert_eq!(v4(1, &[8, 0]).map(|p| (p.icmp, p.irregular)), Ok(((0, 0), Some(Refusal::HeaderBeyondDatagram))));
    assert_eq!(v4(136, &udp(b"ab")).map(|p| (ports(&p), p.payload_octets)), Ok(((5353, 53), 2)));
    let sctp = join(&[&[0x0b, 0x59, 0x0b, 0x5a], &[0; 24]]);
    assert_eq!(v4(132, &sctp).map(|p| (ports(&p), p.payload_octets)), Ok(((2905, 2906), 16)));
    let cut = (2905, 2906, Some(Refusal::HeaderBeyondDatagram));
    assert_eq!(v4(132, &sctp[..8]).map(|p| (p.source_port, p.destination_port, p.irregular)), Ok(cut));
    let dccp = join(&[&[0x13, 0x88, 0x13, 0x89, 4], &[0; 15]]);
    assert_eq!(v4(33, &dccp).map(|p| (ports(&p), p.payload_octets)), Ok(((5000, 5001), 4)));
    assert_eq!(v4(33, &[0; 16]).map(|p| p.irregular), Ok(Some(Refusal::BadDataOffset)));
    let gre = v4(47, &[0; 30]).unwrap();
    assert_eq!((gre.protocol, ports(&gre), gre.payload_octets), (47, (0, 0), 30));
    let authentication = [6, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];
    let packet = v4(51, &join(&[&authentication, &tcp(&[], b"x")])).unwrap();
    assert_eq!((packet.protocol, ports(&packet), packet.payload_octets), (6, (40_000, 443), 1));
}

#[test]
fn arp_gives_its_protocol_addresses() {
    let mut frame = ethernet(0x0806, &arp());
    frame.resize(60, 0);
    let packet = read(&frame).unwrap();
    assert_eq!((packet.network, packet.protocol, packet.network_octets), (Network::Arp, 2, 46));
    assert_eq!(packet.source, Address::from_v4([10, 0, 0, 1]));
    assert_eq!(packet.destination, Address::from_v4([10, 0, 0, 9]));
    assert_eq!(read(&frame[..41]), Err(Refusal::TruncatedNetworkHeader));
    for (at, octet, expected) in [(19, 5, Some(Refusal::BadArp)), (20, 1, Some(Refusal::BadArp)), (16, 9, None)] {
        let mut changed = frame.clone();
        changed[at] = octet;
        assert_eq!(read(&changed).err(), expected, "octet {at}");
    }
}

#[test]
fn a_wire_length_below_the_captured_one_is_raised() {
    let frame = ethernet(0x0800, &ipv4(17, &udp(b"abc")));
    assert_eq!(decode(LinkType::Ethernet, AT, &frame, 3).map(|p| p.frame_octets), Ok(45));
}

#[test]
fn damaged_frames_never_panic_or_exceed_their_stated_length() {
    let seeds = [
        ethernet(0x0800, &ipv4_with(6, 0, &[1; 8], &tcp(&[1; 12], b"hello"))),
        ethernet(0x8100, &join(&[&[0, 5, 0x86, 0xdd], &ipv6(0, &join(&[&[17, 0, 1, 4, 0, 0, 0, 0], &udp(b"xyz")]))])),
        ethernet(0x8864, &join(&[&[0x11, 0, 0, 1, 0, 9, 0, 0x57], &ipv6(44, &[6, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4])])),
        ethernet(0x0806, &arp()),
        ipv6(51, &join(&[&[58, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1], &[128, 0, 0, 0, 0, 0, 0, 0]])),
        join(&[&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 5, 0, 0, 8, 0], &ipv4(132, &[1; 20])]),
    ];
    let links = [LinkType::Ethernet, LinkType::LinuxSll, LinkType::LinuxSll2, LinkType::RawIp, LinkType::Loopback];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut accepted = 0;
    for round in 0..200_000 {
        let mut frame = seeds[random(seeds.len())].clone();
        for _ in 0..random(4) {
            let at = random(frame.len());
            frame[at] = random(256) as u8;
        }
        frame.truncate(random(frame.len() + 8));
        let wire = random(3000) as u32;
        let link = if round % 2 == 0 { LinkType::Ethernet } else { links[random(links.len())] };
        if let Ok(packet) = decode(link, AT, &frame, wire) {
            accepted += 1;
            assert!(packet.frame_octets >= frame.len() as u32);
            assert!(packet.payload_octets <= packet.network_octets, "{frame:02x?}");
            assert!(packet.irregular.is_some() || packet.concealment().is_none());
        }
    }
    assert!(accepted > 20_000, "only {accepted} damaged frames were metered: too few for this test");
}
