//! Runs filter programs on packets with a small interpreter of the operations that [`super::Filter`] uses.

use super::*;

const SNAPLEN: u32 = 512;

/// Runs a program as the kernel does, on a packet that starts with its IP header.
fn run(program: &[Instruction], ether_type: u16, packet: &[u8]) -> u32 {
    let (mut a, mut x, mut at) = (0_u32, 0_u32, 0_usize);
    let octets = |place: u32, octets: usize| {
        let place = place.wrapping_sub(NETWORK) as usize;
        packet.get(place..place + octets).map(|octets| octets.iter().fold(0, |sum, octet| sum << 8 | u32::from(*octet)))
    };
    loop {
        let step = program[at];
        at += 1;
        let loaded = match step.code {
            LOAD_HALF if step.operand == PROTOCOL => Some(u32::from(ether_type)),
            LOAD_WORD => octets(step.operand, 4),
            LOAD_HALF => octets(step.operand, 2),
            LOAD_BYTE => octets(step.operand, 1),
            LOAD_HALF_INDEXED => octets(step.operand.wrapping_add(x), 2),
            LOAD_HEADER_LENGTH => {
                x = octets(step.operand, 1).unwrap() % 16 * 4;
                continue;
            }
            LOAD_X => {
                x = step.operand;
                continue;
            }
            AND => Some(a & step.operand),
            JUMP => {
                at += step.operand as usize;
                continue;
            }
            JUMP_EQUAL | JUMP_SET => {
                let holds = if step.code == JUMP_SET { a & step.operand != 0 } else { a == step.operand };
                at += usize::from(if holds { step.if_true } else { step.if_false });
                continue;
            }
            RETURN => return step.operand,
            code => panic!("operation {code:#x}"),
        };
        match loaded {
            Some(value) => a = value,
            // A load beyond the packet ends the program and drops the packet.
            None => return 0,
        }
    }
}

fn v4(
    protocol: u8,
    source: [u8; 4],
    destination: [u8; 4],
    ports: (u16, u16),
    fragment: u16,
    options: usize,
) -> Vec<u8> {
    let mut packet = vec![0x45 + options as u8, 0, 0, 60, 0, 0];
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(source);
    packet.extend(destination);
    packet.resize(20 + options * 4, 1);
    packet.extend(ports.0.to_be_bytes());
    packet.extend(ports.1.to_be_bytes());
    packet.resize(80, 0);
    packet
}

fn v6(protocol: u8, source: &str, destination: &str, ports: (u16, u16)) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 40, protocol, 64];
    for address in [source, destination] {
        packet.extend(address.parse::<std::net::Ipv6Addr>().unwrap().octets());
    }
    packet.extend(ports.0.to_be_bytes());
    packet.extend(ports.1.to_be_bytes());
    packet.resize(80, 0);
    packet
}

fn is_excluded(exclusions: &[&str], packet: &[u8]) -> bool {
    let exclusions: Vec<Exclusion> = exclusions.iter().map(|text| text.parse().unwrap()).collect();
    let filter = Filter::new(&exclusions, SNAPLEN).unwrap();
    let ether_type = if packet[0] >> 4 == 4 { 0x0800 } else { 0x86dd };
    let verdict = run(filter.program(), ether_type, packet);
    assert!(verdict == 0 || verdict == SNAPLEN);
    verdict == 0
}

#[test]
fn a_host_exclusion_matches_source_and_destination() {
    let (us, them, other) = ([192, 168, 1, 5], [10, 0, 0, 1], [10, 0, 0, 2]);
    for (source, destination, expected) in [(us, them, true), (them, us, true), (other, them, false)] {
        let packet = v4(6, source, destination, (1, 2), 0, 0);
        assert_eq!(is_excluded(&["host 192.168.1.5"], &packet), expected, "{source:?} to {destination:?}");
    }
    assert!(!is_excluded(&["host 192.168.1.5"], &v6(6, "2001:db8::1", "2001:db8::2", (1, 2))));
}

#[test]
fn a_prefix_matches_by_its_leading_bits() {
    for (last, expected) in [(127, false), (128, true), (255, true)] {
        let packet = v4(17, [1, 2, 3, 4], [10, 9, 8, last], (1, 2), 0, 0);
        assert_eq!(is_excluded(&["net 10.9.8.128/25"], &packet), expected, "{last}");
    }
    assert!(is_excluded(&["net 0.0.0.0/0"], &v4(17, [1, 2, 3, 4], [5, 6, 7, 8], (1, 2), 0, 0)));
    for (address, expected) in [("2001:db8:1:4000::", true), ("2001:db8:1:3fff::", false), ("2001:db9:1:4000::", false)]
    {
        let packet = v6(58, address, "fe80::1", (0, 0));
        assert_eq!(is_excluded(&["net 2001:db8:1:4000::/50"], &packet), expected, "{address}");
        let packet = v6(58, "fe80::1", address, (0, 0));
        assert_eq!(is_excluded(&["net 2001:db8:1:4000::/50"], &packet), expected, "to {address}");
    }
}

#[test]
fn ports_match_after_ip_options_but_not_in_later_fragments() {
    let packet = |protocol, ports, fragment, options| v4(protocol, [1; 4], [2; 4], ports, fragment, options);
    for options in [0, 5, 10] {
        assert!(is_excluded(&["tcp port 1883"], &packet(6, (40000, 1883), 0x4000, options)));
        assert!(is_excluded(&["tcp port 1883"], &packet(6, (1883, 40000), 0, options)));
    }
    assert!(!is_excluded(&["tcp port 1883"], &packet(17, (40000, 1883), 0, 0)));
    assert!(is_excluded(&["port 1883"], &packet(17, (40000, 1883), 0, 0)));
    assert!(!is_excluded(&["port 1883"], &packet(1, (40000, 1883), 0, 0)));
    assert!(!is_excluded(&["port 1883"], &packet(17, (40000, 1883), 3, 0)));
    assert!(is_excluded(&["udp port 53"], &v6(17, "::1", "::2", (53, 9))));
    assert!(!is_excluded(&["udp port 53"], &v6(0, "::1", "::2", (53, 9))));
}

#[test]
fn a_packet_is_excluded_if_all_terms_of_one_exclusion_match() {
    let rules = ["tcp host 192.168.1.5 port 1883", "udp net 10.0.0.0/8", "host 2001:db8::5"];
    assert!(is_excluded(&rules, &v4(6, [192, 168, 1, 5], [9; 4], (5, 1883), 0, 0)));
    assert!(!is_excluded(&rules, &v4(6, [192, 168, 1, 5], [9; 4], (5, 1884), 0, 0)));
    assert!(!is_excluded(&rules, &v4(6, [192, 168, 1, 6], [9; 4], (5, 1883), 0, 0)));
    assert!(is_excluded(&rules, &v4(17, [9; 4], [10, 1, 1, 1], (5, 6), 0, 0)));
    assert!(is_excluded(&rules, &v6(6, "::9", "2001:db8::5", (1, 2))));
    assert!(!is_excluded(&[], &v4(17, [9; 4], [10, 1, 1, 1], (5, 6), 0, 0)));
}

#[test]
fn invalid_exclusions_and_too_many_are_rejected() {
    for wrong in
        ["", "host", "host x", "tcp udp", "port 70000", "net 10.0.0.0", "net 10.0.0.0/33", "port 1 port 2", "arp"]
    {
        assert_eq!(wrong.parse::<Exclusion>(), Err(FilterError::Exclusion(wrong.to_owned())));
    }
    let one: Exclusion = "port 1".parse().unwrap();
    assert_eq!(Filter::new(&[one; 17], SNAPLEN), Err(FilterError::TooMany(17)));
    assert_eq!("tcp host 1.2.3.4 port 5".parse::<Exclusion>().unwrap().to_string(), "tcp net 1.2.3.4/32 port 5");
}

#[test]
fn only_the_output_of_tcpdump_is_parsed_as_a_program() {
    let filter = Filter::from_tcpdump("4\n40 0 0 12\n21 0 1 2048\n6 0 0 262144\n6 0 0 0\n").unwrap();
    assert_eq!(filter.program()[1], Instruction { code: 21, if_true: 0, if_false: 1, operand: 2048 });
    assert!(filter.excludes_packets() && filter.program().len() == 4);
    for (wrong, line) in [("", 1), ("0\n", 1), ("x", 1), ("2\n6 0 0 0\n", 3), ("1\n6 0 0\n", 2), ("1\n6 300 0 0\n", 2)]
    {
        assert_eq!(Filter::from_tcpdump(wrong), Err(FilterError::Program(line)), "{wrong:?}");
    }
}
