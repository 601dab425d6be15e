//! Packets that hide their ports in fragments and extension headers.

use super::*;

/// Destination options of `octets` octets, a multiple of eight, padded as RFC 8200 says.
fn padded_options(next: u8, octets: usize) -> Vec<u8> {
    let mut header = std::vec![0; octets];
    (header[0], header[1], header[2]) = (next, (octets / 8 - 1) as u8, 1);
    header[3] = (octets - 4).min(255) as u8;
    header
}

#[test]
fn ports_behind_unusual_extension_headers_are_read_where_they_were_captured() {
    let hidden = |packet: &Packet| (packet.irregular, packet.concealment());
    let unusual = (Some(Refusal::TooManyExtensions), Some(Concealment::ExtensionHeaders));
    for headers in [9, 20, MAX_EXTENSIONS] {
        let chain = join(&[&padded_options(60, 8).repeat(headers - 1), &padded_options(6, 8), &tcp(&[], b"")]);
        let packet = read(&ethernet(0x86dd, &ipv6(60, &chain))).unwrap();
        assert_eq!((hidden(&packet), ports(&packet), packet.protocol), (unusual, (40_000, 443), 6), "{headers}");
        assert_eq!((packet.tcp_flags, packet.payload_octets), (0x18, 0));
    }
    let endless = join(&[&padded_options(60, 8).repeat(MAX_EXTENSIONS), &padded_options(6, 8), &tcp(&[], b"")]);
    let packet = read(&ethernet(0x86dd, &ipv6(60, &endless))).unwrap();
    assert_eq!((hidden(&packet), ports(&packet), packet.protocol), (unusual, (0, 0), 60));

    let long = ethernet(0x86dd, &ipv6(60, &join(&[&padded_options(6, 512), &tcp(&[], b"")])));
    assert_eq!(read(&long).map(|p| (hidden(&p), ports(&p))), Ok((unusual, (40_000, 443))));
    let snaplen = decode(LinkType::Ethernet, AT, &long[..512], long.len() as u32).unwrap();
    assert_eq!((hidden(&snaplen), ports(&snaplen), snaplen.network_octets), (unusual, (0, 0), 572));
    let usual = ethernet(0x86dd, &ipv6(60, &join(&[&padded_options(6, 256), &tcp(&[], b"")])));
    assert_eq!(read(&usual).map(|p| hidden(&p)), Ok((None, None)));
}

#[test]
fn ports_in_a_tiny_first_fragment_are_read() {
    let tiny = (Some(Refusal::HeaderBeyondDatagram), Some(Concealment::TinyFragments));
    let v4 = |place: u16, payload: &[u8]| read(&ethernet(0x0800, &ipv4_with(6, place, &[], payload))).unwrap();
    let header = tcp(&[1; 12], b"");
    for (octets, flags) in [(8, 0), (16, 0x18), (24, 0x18)] {
        let first = v4(0x2000, &header[..octets]);
        assert_eq!((first.irregular, first.concealment()), tiny, "{octets} octets");
        assert_eq!((ports(&first), first.tcp_flags, first.payload_octets), ((40_000, 443), flags, 0));
        assert_eq!(first.fragment, Fragment::First(0xabcd));
    }
    assert_eq!(v4(0x2000, &header).irregular, None);
    // A later fragment inside the header of the first one.
    for (place, expected) in [(1, tiny), (2, tiny), (3, (None, None))] {
        let later = v4(place, &header[8..]);
        assert_eq!((later.irregular, later.concealment()), expected, "at {place} times eight octets");
        assert_eq!((later.fragment, ports(&later)), (Fragment::Later(0xabcd), (0, 0)));
    }
    // IPv6: the chain of headers does not end in the first fragment (RFC 7112).
    let fragment = join(&[&[60, 0, 0, 1, 0, 0, 0, 9], &padded_options(6, 16)]);
    let chain = read(&ethernet(0x86dd, &ipv6(44, &fragment))).unwrap();
    assert_eq!((chain.irregular, chain.concealment(), chain.protocol), (tiny.0, tiny.1, 6));
    let fragment = join(&[&[60, 0, 0, 1, 0, 0, 0, 9], &padded_options(6, 64)[..40]]);
    let chain = read(&ethernet(0x86dd, &ipv6(44, &fragment))).unwrap();
    assert_eq!((chain.irregular, chain.concealment(), chain.protocol), (tiny.0, tiny.1, 60));
    // Other protocols: four octets of ports suffice, and a whole UDP header is not tiny.
    let udp_header = read(&ethernet(0x0800, &ipv4_with(17, 0x2000, &[], &udp(b"")))).unwrap();
    assert_eq!((udp_header.irregular, ports(&udp_header)), (None, (5353, 53)));
    for protocol in [132, 33] {
        let first = read(&ethernet(0x0800, &ipv4_with(protocol, 0x2000, &[], &[0x13, 0x88, 0x13, 0x89, 4, 0, 0, 0])));
        assert_eq!(first.map(|p| (p.irregular, ports(&p))), Ok((tiny.0, (5000, 5001))), "protocol {protocol}");
    }
}
