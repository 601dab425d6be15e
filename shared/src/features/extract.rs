//! Flow record and the context of its two hosts → feature vector.

use crate::context::hosts::HostTable;
use crate::features::FeatureVector;
use crate::flow::key::{ICMP, ICMPV6, TCP, UDP};
use crate::flow::record::FlowRecord;
use crate::packet::Network;
use crate::units::nearest_f64;

/// Shortest duration used for a rate, seconds.
const RATE_FLOOR_S: f64 = 0.001;

/// Writes the feature vector of a record, in schema order. `hosts` must already include the record.
#[inline]
pub fn extract(record: &FlowRecord, hosts: &mut HostTable, row: &mut FeatureVector) {
    let (flow, context) = row.split_at_mut(FLOW_FEATURES);
    flow.copy_from_slice(&flow_features(record, hosts));
    context.copy_from_slice(&context_features(record, hosts));
}

/// Features computed from the record and its key.
const FLOW_FEATURES: usize = 35;
/// Features computed from the host context.
const CONTEXT_FEATURES: usize = 13;

fn flow_features(record: &FlowRecord, hosts: &HostTable) -> [f32; FLOW_FEATURES] {
    let (forward, reverse) = (&record.forward, &record.reverse);
    let packets = nearest_f64(record.packets());
    let octets = nearest_f64(record.network_octets());
    let duration_s = record.duration().as_secs_f64();
    // Not `max`: there is no NaN here, and its check costs instructions.
    let rate_span_s = if duration_s > RATE_FLOOR_S { duration_s } else { RATE_FLOOR_S };
    let packets_after_first = if packets > 1.0 { packets - 1.0 } else { 0.0 };
    let ip = matches!(record.network, Network::Ipv4 | Network::Ipv6);
    let is = |protocol: u8| flag(ip && record.protocol == protocol);
    let share = |part: f64, whole: f64| if whole > 0.0 { (part / whole) as f32 } else { 0.0 };
    let (forward_gaps_us, reverse_gaps_us) = (forward.gaps_us(), reverse.gaps_us());
    let payload_packets = f64::from(forward.payload_packets) + f64::from(reverse.payload_packets);
    [
        (duration_s * 1000.0) as f32,
        forward.packets as f32,
        reverse.packets as f32,
        forward.network_octets as f32,
        reverse.network_octets as f32,
        forward.payload_octets as f32,
        reverse.payload_octets as f32,
        forward.size_mean() as f32,
        forward.size_deviation() as f32,
        forward.size_max as f32,
        reverse.size_mean() as f32,
        reverse.size_deviation() as f32,
        reverse.size_max as f32,
        milliseconds(forward_gaps_us.0),
        milliseconds(forward_gaps_us.1),
        milliseconds(reverse_gaps_us.0),
        milliseconds(reverse_gaps_us.1),
        milliseconds(f64::from(forward.gap_max_us.max(reverse.gap_max_us))),
        (packets_after_first / rate_span_s) as f32,
        share(nearest_f64(reverse.network_octets), octets),
        share(payload_packets, packets),
        sum(forward.syn, reverse.syn),
        sum(forward.fin, reverse.fin),
        sum(forward.rst, reverse.rst),
        share(f64::from(forward.psh) + f64::from(reverse.psh), packets),
        f32::from(forward.first_window),
        record.handshake.map_or(0.0, |handshake| (handshake.as_secs_f64() * 1000.0) as f32),
        flag(record.answered),
        flag(record.earlier_records > 0),
        is(TCP),
        is(UDP),
        is(ICMP).max(is(ICMPV6)),
        if ip { f32::from(record.destination_port) } else { 0.0 },
        flag(record.destination.is_multicast()),
        flag(hosts.local().contains(&record.destination)),
    ]
}

fn context_features(record: &FlowRecord, hosts: &mut HostTable) -> [f32; CONTEXT_FEATURES] {
    let source = hosts.source_activity(&record.source, record.made);
    let target = hosts.target_activity(&record.destination, record.made);
    [
        source.flows[0],
        source.flows[1],
        source.flows[2],
        source.unanswered_share,
        source.peers_short,
        source.peers_long,
        source.ports,
        source.octets_out[2],
        source.octets_in[2],
        target.flows[0],
        target.flows[1],
        target.unanswered_share,
        target.ports,
    ]
}

fn flag(condition: bool) -> f32 {
    if condition { 1.0 } else { 0.0 }
}

fn milliseconds(microseconds: f64) -> f32 {
    (microseconds / 1000.0) as f32
}

fn sum(forward: u16, reverse: u16) -> f32 {
    f32::from(forward) + f32::from(reverse)
}
