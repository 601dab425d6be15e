//! Packets → flow records: when a flow starts, which direction is forward, and when its record is made.

use lapwing_edge_tests::{Metering, at_ms, host, packet, tcp, udp};
use lapwing_shared::flow::fragments::HELD_FRAGMENTS;
use lapwing_shared::flow::record::{EndReason, FlowRecord};
use lapwing_shared::packet::tcp_flags::{ACK, FIN, PSH, RST, SYN};
use lapwing_shared::packet::{Fragment, Network, Packet};
use lapwing_shared::units::{Nanos, Timestamp};

const CLIENT: (u8, u16) = (1, 50_000);
const SERVER: (u8, u16) = (2, 443);

fn handshake(millis: u64) -> [Packet; 3] {
    [
        tcp(CLIENT, SERVER, SYN, millis),
        tcp(SERVER, CLIENT, SYN | ACK, millis + 20),
        tcp(CLIENT, SERVER, ACK, millis + 40),
    ]
}

#[test]
fn both_directions_are_one_flow_and_forward_starts_at_the_initiator() {
    let records = Metering::new(16).see([udp((1, 5000), (2, 53), 0), udp((2, 53), (1, 5000), 30)]).end();
    let [record] = records[..] else { panic!("one record expected: {records:?}") };
    assert_eq!((record.source, record.source_port), (host(1), 5000));
    assert_eq!((record.forward.packets, record.reverse.packets), (1, 1));
    assert_eq!((record.start, record.end), (at_ms(0), at_ms(30)));
    assert!(record.answered && record.reason == EndReason::Forced);
}

#[test]
fn a_syn_ack_seen_first_makes_its_receiver_the_initiator() {
    let records = Metering::new(16).see([tcp((2, 8443), CLIENT, SYN | ACK, 0)]).end();
    assert_eq!(records[0].source, host(1));
    assert_eq!(records[0].reverse.packets, 1);
}

#[test]
fn an_answer_from_a_system_port_seen_first_is_the_reverse_direction() {
    let records = Metering::new(16).see([udp((2, 53), (1, 5000), 0)]).end();
    assert_eq!((records[0].source, records[0].destination_port), (host(1), 53));
}

#[test]
fn the_handshake_is_timed_from_syn_to_syn_ack() {
    let records = Metering::new(16).see(handshake(0)).end();
    assert_eq!(records[0].handshake, Some(Nanos::from_millis(20)));
}

#[test]
fn a_silent_flow_ends_at_its_idle_timeout_without_another_packet() {
    let metering = Metering::new(16).see([udp((1, 1), (2, 2000), 0)]).until_ms(9_999);
    assert_eq!(metering.output.records.len(), 0);
    let metering = metering.until_ms(10_000);
    // The active timeout expires first and makes the record; nothing is left for the idle timeout.
    assert_eq!(metering.output.records[0].reason, EndReason::Active);
    assert_eq!(metering.output.records[0].made, at_ms(10_000));
    let metering = metering.until_ms(60_000);
    assert_eq!((metering.output.records.len(), metering.table.len()), (1, 0));
}

#[test]
fn an_idle_timeout_shorter_than_the_active_one_ends_the_flow() {
    let config = lapwing_shared::flow::table::FlowTableConfig {
        idle_timeout: Nanos::from_secs(5),
        ..lapwing_shared::flow::table::FlowTableConfig::default()
    };
    let mut metering = Metering::new(16);
    metering.table = lapwing_shared::flow::table::FlowTable::new(&config);
    let metering = metering.see([udp((1, 1), (2, 2000), 0), udp((1, 1), (2, 2000), 4_000)]).until_ms(9_000);
    assert_eq!(metering.output.records[0].reason, EndReason::Idle);
    assert_eq!(metering.output.records[0].made, at_ms(9_000));
}

#[test]
fn a_long_flow_is_cut_at_the_active_timeout_and_keeps_its_direction() {
    let packets = (0..25).map(|second| udp((2, 9000), (1, 40_000), second * 1000 + 1));
    let records = Metering::new(16).see(packets).end();
    let counts: Vec<_> = records.iter().map(|record| (record.forward.packets, record.earlier_records)).collect();
    assert_eq!(counts, [(10, 0), (10, 1), (5, 2)]);
    assert!(records.iter().all(|record| record.source == host(2)));
    assert_eq!(records[0].reason, EndReason::Active);
}

#[test]
fn a_reused_port_after_the_idle_timeout_is_a_new_flow() {
    let metering = Metering::new(16).see([udp((1, 7), (2, 2000), 0), udp((2, 2000), (1, 7), 70_000)]);
    assert_eq!(metering.output.started.len(), 2);
    assert_eq!(metering.end()[1].source, host(2));
}

/// A connection to a port above the system range that then pauses; its server speaks first after `pause_ms`.
fn server_speaks_after(pause_ms: u64) -> Vec<Packet> {
    let mqtt = (2, 8883);
    let opening = [tcp(CLIENT, mqtt, SYN, 0), tcp(mqtt, CLIENT, SYN | ACK, 10), tcp(CLIENT, mqtt, ACK, 20)];
    let push = [tcp(mqtt, CLIENT, PSH | ACK, pause_ms), tcp(CLIENT, mqtt, ACK, pause_ms + 10)];
    opening.into_iter().chain(push).collect()
}

#[test]
fn a_server_that_speaks_first_after_the_idle_timeout_is_not_the_initiator() {
    for pause_ms in [75_000, 2 * 3_600_000] {
        let metering = Metering::new(64).see(server_speaks_after(pause_ms));
        assert_eq!(metering.output.started.len(), 2);
        let records = metering.end();
        assert!(records.len() == 2 && records.iter().all(|record| record.source == host(CLIENT.0)), "{records:?}");
        assert_eq!((records[1].forward.packets, records[1].reverse.packets), (1, 1));
    }
    // Known again after every further pause, but not forever.
    let again = server_speaks_after(75_000).into_iter().chain([tcp((2, 8883), CLIENT, PSH | ACK, 150_000)]);
    assert_eq!(Metering::new(64).see(again).end()[2].source, host(CLIENT.0));
    assert_eq!(Metering::new(64).see(server_speaks_after(4 * 3_600_000)).end()[1].source, host(2));
}

#[test]
fn a_new_connection_on_remembered_ports_has_its_own_initiator() {
    let mqtt = (2, 8883);
    let metering = Metering::new(64).see(server_speaks_after(75_000)).see([tcp(mqtt, CLIENT, SYN, 200_000)]);
    assert_eq!(metering.end()[2].source, host(2));
}

#[test]
fn scans_do_not_displace_the_initiators_of_idle_connections() {
    let mut packets = server_speaks_after(7_200_000);
    let push = packets.split_off(3);
    // Unanswered, and answered by a reset: neither is a connection that may continue.
    for port in 0..2_000_u16 {
        let millis = 1_000 + u64::from(port) * 100;
        packets.push(tcp((3, 40_000), (2, 10_000 + port), SYN, millis));
        if port % 2 == 0 {
            packets.push(tcp((2, 10_000 + port), (3, 40_000), RST | ACK, millis + 1));
        }
    }
    let metering = Metering::new(64).see(packets).see(push);
    assert_eq!(metering.table.counters().initiators_forgotten, 0);
    assert_eq!(metering.end().last().unwrap().source, host(CLIENT.0));
}

#[test]
fn a_full_memory_of_initiators_forgets_the_longest_idle_and_counts_it() {
    let open = |port: u16| {
        let (client, server, millis) = ((1, port), (2, 8883), u64::from(port));
        [tcp(client, server, SYN, millis), tcp(server, client, SYN | ACK, millis)]
    };
    let metering = Metering::new(64).see((5_000..5_020).flat_map(open)).until_ms(100_000);
    // A table of 64 flows remembers 8.
    assert_eq!(metering.table.counters().initiators_forgotten, 12);
    let metering = metering.see([5_011, 5_012].map(|port| tcp((2, 8883), (1, port), ACK, 200_000)));
    let sources: Vec<_> = metering.output.started.iter().skip(20).map(|flow| flow.source).collect();
    assert_eq!(sources, [host(2), host(1)]);
}

#[test]
fn a_tcp_flow_ends_after_both_fins_and_includes_the_last_ack() {
    let close =
        [tcp(CLIENT, SERVER, FIN | ACK, 100), tcp(SERVER, CLIENT, FIN | ACK, 120), tcp(CLIENT, SERVER, ACK, 140)];
    let metering = Metering::new(16).see(handshake(0)).see(close).until_ms(2_120);
    let [record] = metering.output.records[..] else { panic!("{:?}", metering.output.records) };
    assert_eq!((record.reason, record.packets()), (EndReason::EndDetected, 6));
    assert!(metering.table.is_empty());
}

#[test]
fn a_reset_ends_a_flow() {
    let metering = Metering::new(16).see(handshake(0)).see([tcp(SERVER, CLIENT, RST, 60)]).until_ms(2_060);
    assert_eq!(metering.output.records[0].reason, EndReason::EndDetected);
    assert_eq!(metering.output.records[0].reverse.rst, 1);
}

#[test]
fn a_new_syn_while_the_ended_flow_lingers_starts_a_new_flow() {
    let first = [tcp(CLIENT, SERVER, SYN, 0), tcp(SERVER, CLIENT, RST | ACK, 1)];
    let records = Metering::new(16).see(first).see([tcp(CLIENT, SERVER, SYN, 500)]).end();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].reason, EndReason::EndDetected);
    assert_eq!(records[1].forward.syn, 1);
}

#[test]
fn a_full_table_evicts_the_longest_idle_flow_and_counts_it() {
    let metering = Metering::new(4).see((0..5).map(|port| udp((1, 5000 + port), (2, 2000), u64::from(port))));
    assert_eq!(metering.table.counters().evictions, 1);
    let [record] = metering.output.records[..] else { panic!() };
    assert_eq!((record.source_port, record.reason), (5000, EndReason::LackOfResources));
}

#[test]
fn later_fragments_get_the_ports_of_the_first() {
    let first = Packet { fragment: Fragment::First(77), ..udp((1, 5000), (2, 2000), 0) };
    let later = Packet { fragment: Fragment::Later(77), source_port: 0, destination_port: 0, ..first };
    let stray = Packet { fragment: Fragment::Later(78), ..later };
    let metering = Metering::new(16).see([first, later, stray]);
    assert_eq!(metering.table.counters().packets, 2, "the stray one waits for its first fragment");
    let metering = metering.until_ms(2_000);
    assert_eq!((metering.table.counters().packets, metering.table.fragments().without_first), (3, 1));
    let records = metering.end();
    assert_eq!(records.len(), 2);
    assert_eq!(records.iter().find(|record| record.source_port == 5000).unwrap().forward.packets, 2);
}

#[test]
fn fragments_in_any_order_form_one_flow() {
    for network in [Network::Ipv4, Network::Ipv6] {
        let whole = Packet { network, ..udp((1, 5353), (2, 9999), 0) };
        let first = Packet { fragment: Fragment::First(777), payload_octets: 1472, ..whole };
        let later = |payload_octets| Packet {
            fragment: Fragment::Later(777),
            source_port: 0,
            destination_port: 0,
            payload_octets,
            ..whole
        };
        let parts = [first, later(1480), later(8)];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let sent = order.iter().zip(0..).map(|(part, millis)| Packet { timestamp: at_ms(millis), ..parts[*part] });
            let metering = Metering::new(16).see(sent);
            assert_eq!(metering.table.fragments().without_first, 0);
            let [record] = metering.end()[..] else { panic!("{order:?}") };
            assert_eq!((record.forward.packets, record.forward.payload_octets), (3, 2_960), "{order:?}");
            assert_eq!((record.source, record.source_port, record.destination_port), (host(1), 5353, 9999));
        }
    }
}

#[test]
fn a_fragment_behind_another_header_belongs_to_the_flow_of_its_first() {
    // The later fragments of a datagram with an authentication header, or options, name that header as protocol.
    for protocol in [51, 60] {
        let first = Packet { fragment: Fragment::First(5), ..tcp((1, 5000), (2, 2000), SYN, 0) };
        let later = Packet { fragment: Fragment::Later(5), source_port: 0, destination_port: 0, protocol, ..first };
        for order in [[first, later], [later, first]] {
            let [record] = Metering::new(16).see(order).end()[..] else { panic!("protocol {protocol}") };
            assert_eq!((record.protocol, record.packets(), record.forward.syn), (6, 2, 2));
        }
    }
}

#[test]
fn fragments_without_their_first_are_held_in_a_bounded_list_for_a_bounded_time() {
    let stray = |number: u32| Packet {
        fragment: Fragment::Later(number),
        source_port: 0,
        destination_port: 0,
        ..udp((1, 0), (2, 0), u64::from(number))
    };
    let metering = Metering::new(16).see((0..500).map(stray));
    let held = HELD_FRAGMENTS as u64;
    assert_eq!((metering.table.counters().packets, metering.table.fragments().without_first), (500 - held, 500 - held));
    let metering = metering.until_ms(499 + 2_000);
    assert_eq!(metering.table.counters().packets, 500);
    let late = Packet { fragment: Fragment::First(499), ..udp((1, 5000), (2, 2000), 2_600) };
    let records = metering.see([late]).end();
    assert_eq!(records.iter().map(FlowRecord::packets).sum::<u64>(), 501, "each is metered once");
}

#[test]
fn a_held_fragment_is_metered_at_the_same_time_whatever_advances_the_clock() {
    let stray = Packet { fragment: Fragment::Later(1), source_port: 0, destination_port: 0, ..udp((1, 0), (2, 0), 0) };
    let next = udp((3, 1), (4, 2000), 30_000);
    let by_packet = Metering::new(16).see([stray, next]);
    let by_timer = Metering::new(16).see([stray]).until_ms(1_000).until_ms(2_500).see([next]);
    assert_eq!(by_packet.output.started, by_timer.output.started);
    assert_eq!(by_packet.output.started[0].at, at_ms(2_000));
    assert_eq!(by_packet.end(), by_timer.end());
}

#[test]
fn a_reordered_packet_counts_at_the_newest_time() {
    let metering = Metering::new(16).see([udp((1, 1), (2, 2000), 500), udp((1, 1), (2, 2000), 400)]);
    assert_eq!(metering.table.counters().reordered, 1);
    assert_eq!(metering.end()[0].duration(), Nanos(0));
}

#[test]
fn a_clock_set_back_ends_every_flow_and_metering_continues() {
    let future = Packet { timestamp: Timestamp::from_secs(4_294_967_295), ..udp((1, 1), (2, 2000), 0) };
    let metering = Metering::new(16).see([udp((1, 1), (2, 2000), 0), future]);
    assert_eq!(metering.output.records.len(), 1, "the jump to 2106 expires the first flow");
    let metering = metering.see([udp((1, 1), (2, 2000), 1_000), udp((1, 1), (2, 2000), 3_000)]);
    assert_eq!(metering.table.counters().clock_steps, 1);
    let records = metering.end();
    assert_eq!(records.len(), 3);
    assert_eq!(records[2].duration(), Nanos::from_secs(2));
}

#[test]
fn octets_and_packets_are_conserved() {
    let mut state = 9;
    let mut packets = Vec::new();
    for step in 0..50_000u64 {
        let mut pick = |limit: u64| lapwing_shared::flow::lru::splitmix64(&mut state) % limit;
        let (from, to) = ((pick(20) as u8, pick(30) as u16), (20 + pick(20) as u8, pick(30) as u16));
        let flags = [SYN, ACK, FIN | ACK, RST, PSH | ACK][pick(5) as usize];
        let size = 40 + pick(1460) as u32;
        let sent = Packet { network_octets: size, ..tcp(from, to, flags, step * 3) };
        packets.push(if pick(2) == 0 { sent } else { packet(17, to, from, step * 3) });
    }
    let octets: u64 = packets.iter().map(|packet| u64::from(packet.network_octets)).sum();
    let count = packets.len() as u64;
    let records = Metering::new(64).see(packets).end();
    assert_eq!(records.iter().map(|record| record.packets()).sum::<u64>(), count);
    assert_eq!(records.iter().map(|record| record.network_octets()).sum::<u64>(), octets);
}

#[test]
fn advancing_time_by_timer_or_by_packets_gives_the_same_records() {
    let packets: Vec<_> = (0..400u64)
        .map(|step| udp((1 + (step % 7) as u8, 100 + (step % 11) as u16), (100, 2000), step * 700))
        .collect();
    let by_packets = Metering::new(64).see(packets.iter().copied()).until_ms(400_000).end();
    let mut metering = Metering::new(64);
    for packet in packets {
        for tick in 0..7 {
            let packet_ms = packet.timestamp.since(at_ms(0)).0 / 1_000_000;
            metering = metering.until_ms((packet_ms.saturating_sub(700) + tick * 100).min(packet_ms));
        }
        metering = metering.see([packet]);
    }
    let by_timer = metering.until_ms(400_000).end();
    assert_eq!(by_timer.len(), by_packets.len());
    assert!(by_timer == by_packets, "records differ");
}
