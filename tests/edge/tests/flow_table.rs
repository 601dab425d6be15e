//! Stories of flows: when one begins, which way it goes, and when its record is made.

use lapwing_edge_tests::{Metering, at_ms, host, packet, tcp, udp};
use lapwing_shared::flow::record::EndReason;
use lapwing_shared::packet::tcp_flags::{ACK, FIN, PSH, RST, SYN};
use lapwing_shared::packet::{Fragment, Packet};
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
fn both_directions_are_one_flow_and_forward_is_the_initiators() {
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
fn a_silent_flow_ends_at_its_idle_timeout_without_a_further_packet() {
    let metering = Metering::new(16).see([udp((1, 1), (2, 2000), 0)]).until_ms(9_999);
    assert_eq!(metering.told.records.len(), 0);
    let metering = metering.until_ms(10_000);
    // The active timeout comes first and makes the record; at the idle timeout nothing is left to tell.
    assert_eq!(metering.told.records[0].reason, EndReason::Active);
    assert_eq!(metering.told.records[0].made, at_ms(10_000));
    let metering = metering.until_ms(60_000);
    assert_eq!((metering.told.records.len(), metering.table.len()), (1, 0));
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
    assert_eq!(metering.told.records[0].reason, EndReason::Idle);
    assert_eq!(metering.told.records[0].made, at_ms(9_000));
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
    assert_eq!(metering.told.started.len(), 2);
    assert_eq!(metering.end()[1].source, host(2));
}

#[test]
fn a_tcp_flow_ends_after_both_fins_and_takes_the_last_ack_with_it() {
    let close =
        [tcp(CLIENT, SERVER, FIN | ACK, 100), tcp(SERVER, CLIENT, FIN | ACK, 120), tcp(CLIENT, SERVER, ACK, 140)];
    let metering = Metering::new(16).see(handshake(0)).see(close).until_ms(2_120);
    let [record] = metering.told.records[..] else { panic!("{:?}", metering.told.records) };
    assert_eq!((record.reason, record.packets()), (EndReason::EndDetected, 6));
    assert!(metering.table.is_empty());
}

#[test]
fn a_reset_ends_a_flow() {
    let metering = Metering::new(16).see(handshake(0)).see([tcp(SERVER, CLIENT, RST, 60)]).until_ms(2_060);
    assert_eq!(metering.told.records[0].reason, EndReason::EndDetected);
    assert_eq!(metering.told.records[0].reverse.rst, 1);
}

#[test]
fn a_new_syn_while_the_ended_flow_lingers_opens_a_new_one() {
    let first = [tcp(CLIENT, SERVER, SYN, 0), tcp(SERVER, CLIENT, RST | ACK, 1)];
    let records = Metering::new(16).see(first).see([tcp(CLIENT, SERVER, SYN, 500)]).end();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].reason, EndReason::EndDetected);
    assert_eq!(records[1].forward.syn, 1);
}

#[test]
fn a_full_table_evicts_the_longest_idle_flow_and_says_so() {
    let metering = Metering::new(4).see((0..5).map(|port| udp((1, 5000 + port), (2, 2000), u64::from(port))));
    assert_eq!(metering.table.counters().evictions, 1);
    let [record] = metering.told.records[..] else { panic!() };
    assert_eq!((record.source_port, record.reason), (5000, EndReason::LackOfResources));
}

#[test]
fn later_fragments_get_the_ports_of_the_first() {
    let first = Packet { fragment: Fragment::First(77), ..udp((1, 5000), (2, 2000), 0) };
    let later = Packet { fragment: Fragment::Later(77), source_port: 0, destination_port: 0, ..first };
    let stray = Packet { fragment: Fragment::Later(78), ..later };
    let metering = Metering::new(16).see([first, later, stray]);
    assert_eq!(metering.table.fragments().without_first, 1);
    let records = metering.end();
    assert_eq!(records.len(), 2);
    assert_eq!(records.iter().find(|record| record.source_port == 5000).unwrap().forward.packets, 2);
}

#[test]
fn a_reordered_packet_counts_at_the_newest_time() {
    let metering = Metering::new(16).see([udp((1, 1), (2, 2000), 500), udp((1, 1), (2, 2000), 400)]);
    assert_eq!(metering.table.counters().reordered, 1);
    assert_eq!(metering.end()[0].duration(), Nanos(0));
}

#[test]
fn a_clock_set_back_ends_every_flow_and_metering_goes_on() {
    let future = Packet { timestamp: Timestamp::from_secs(4_294_967_295), ..udp((1, 1), (2, 2000), 0) };
    let metering = Metering::new(16).see([udp((1, 1), (2, 2000), 0), future]);
    assert_eq!(metering.told.records.len(), 1, "the jump to 2106 lets the first flow expire");
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
fn time_told_by_a_timer_or_by_packets_makes_the_same_records() {
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
