//! The sentence of every feature, with values from the code that computes it.

use super::*;
use crate::context::hosts::HostTable;
use crate::context::local::LocalNetworks;
use crate::features::FeatureVector;
use crate::features::extract::extract;
use crate::features::schema::index_of;
use crate::flow::key::TCP;
use crate::flow::record::{Direction, FlowRecord, FlowStart};
use crate::flow::testing;
use crate::units::{Address, Nanos, Timestamp};
use std::string::{String, ToString};

fn finding(name: &str, value: f32, normal_low: f32, normal_high: f32) -> Finding {
    Finding { feature: index_of(name).unwrap() as u8, value, normal_low, normal_high }
}

fn sentence(name: &str, value: f32, normal_low: f32, normal_high: f32) -> String {
    finding(name, value, normal_low, normal_high).to_string()
}

const HOST: [u8; 4] = [192, 168, 1, 20];
const NOW: Timestamp = Timestamp::from_secs(1_741_276_800);

/// Four packets forward, 1 s, 1 s and 7 s apart, and two back.
fn record() -> FlowRecord {
    let start = Timestamp::from_secs(1_741_276_790);
    let end = start.plus(Nanos::from_secs(9));
    let forward = Direction {
        first: start,
        last: end,
        network_octets: 4_000,
        payload_octets: 3_600,
        network_octets_squared: 4 * 1_000 * 1_000 + 4 * 300 * 300,
        gaps_squared_us2: 51e12,
        packets: 4,
        payload_packets: 3,
        gap_max_us: 7_000_000,
        size_max: 1_300,
        syn: 1,
        fin: 1,
        psh: 2,
        first_window: 64_240,
        ..Direction::default()
    };
    let reverse = Direction {
        first: start,
        last: start.plus(Nanos::from_millis(40)),
        network_octets: 100,
        payload_octets: 20,
        network_octets_squared: 2 * 50 * 50 + 2 * 10 * 10,
        gaps_squared_us2: 1.6e9,
        packets: 2,
        gap_max_us: 40_000,
        size_max: 60,
        syn: 1,
        rst: 1,
        ..Direction::default()
    };
    FlowRecord {
        source: Address::from_v4(HOST),
        destination: Address::from_v4([192, 168, 1, 60]),
        destination_port: 8_080,
        protocol: TCP,
        start,
        end,
        forward,
        reverse,
        handshake: Some(Nanos::from_millis(3)),
        answered: true,
        earlier_records: 1,
        ..testing::record(NOW)
    }
}

/// The record's features after its source opened 20 flows to 20 hosts and ports, and its target received 30 flows.
fn features() -> FeatureVector {
    let mut hosts = HostTable::new(64, 1, LocalNetworks::default());
    let start = |source: [u8; 4], destination: [u8; 4], destination_port: u16| FlowStart {
        source: Address::from_v4(source),
        destination: Address::from_v4(destination),
        destination_port,
        network: testing::record(NOW).network,
        protocol: TCP,
        at: NOW,
    };
    for number in 0..20 {
        hosts.started(&start(HOST, [192, 168, 2, number], 100 + u16::from(number)));
    }
    for number in 0..30 {
        hosts.started(&start([192, 168, 3, 1], [192, 168, 1, 60], 1_000 + number));
    }
    let unanswered = FlowRecord { answered: false, earlier_records: 0, ..record() };
    hosts.ended(&unanswered);
    hosts.ended(&FlowRecord { answered: true, ..unanswered });
    hosts.ended(&record());
    let mut row = [0.0; FEATURES];
    extract(&record(), &mut hosts, &mut row);
    row
}

/// Distinct counts are estimates: −256 · ln(1 − 20 / 256) is 20.8, and with 30 it is 31.9.
#[rustfmt::skip]
const SEEN: [&str; FEATURES] = [
    "the flow, or this part of it, lasted 9 s",
    "the source sent 4 packets",
    "the target sent 2 packets",
    "the source sent 4 kB",
    "the target sent 100 B",
    "the source sent 3.6 kB of payload",
    "the target sent 20 B of payload",
    "the source's packets averaged 1 kB",
    "the source's packet sizes varied by 300 B",
    "the source's largest packet was 1.3 kB",
    "the target's packets averaged 50 B",
    "the target's packet sizes varied by 10 B",
    "the target's largest packet was 60 B",
    "the source paused 3 s between packets on average",
    "the source's pauses varied by 2.8 s",
    "the target paused 40 ms between packets on average",
    "the target's pauses were all equal, or it paused less than twice",
    "the longest pause of either side was 7 s",
    "the flow had 0.6 packets per second",
    "the target sent 2 % of the bytes",
    "50 % of the packets carried payload",
    "2 packets had the SYN flag (opens a connection)",
    "1 packet had the FIN flag (closes a connection)",
    "1 packet had the RST flag (aborts a connection)",
    "33 % of the packets had the PSH flag (asks for immediate delivery)",
    "the source's first TCP window was 64 kB",
    "the target accepted the connection after 3 ms",
    "the target answered",
    "the flow had started earlier",
    "the flow was TCP",
    "the flow was not UDP",
    "the flow was not ICMP",
    "the target's port was 8080",
    "the target was not a multicast or broadcast address",
    "the target was in this network",
    "the source opened about 20 flows within 3 s",
    "the source opened about 20 flows within 30 s",
    "the source opened about 20 flows within 5 min",
    "50 % of the flows that the source opened within about 30 s got no answer",
    "the source opened flows to about 21 different hosts within 30 to 60 s",
    "the source opened flows to about 21 different hosts within 5 to 10 min",
    "the source opened flows to about 21 different ports within 30 to 60 s",
    "the source sent about 12 kB within 5 min in all its flows",
    "the source received about 300 B within 5 min in all its flows",
    "the target received about 30 flows within 3 s",
    "the target received about 30 flows within 30 s",
    "50 % of the flows to the target within about 30 s got no answer",
    "flows went to about 32 different ports of the target within 30 to 60 s",
];

#[test]
fn every_feature_has_a_sentence_for_its_computed_value() {
    for (feature, (value, expected)) in features().into_iter().zip(SEEN).enumerate() {
        let finding = Finding { feature: feature as u8, value, normal_low: 0.0, normal_high: 0.0 };
        assert_eq!(finding.seen().to_string(), expected, "{} = {value}", SCHEMA[feature].name);
    }
}

#[rustfmt::skip]
const AT_ZERO: [(&str, &str); 19] = [
    ("duration_ms", "the flow had one packet, or several at once"),
    ("forward_payload_octets", "the source sent no payload"),
    ("reverse_payload_octets", "the target sent no payload"),
    ("forward_size_mean", "the source sent no packet"),
    ("forward_size_deviation", "the source's packets all had the same size"),
    ("forward_size_max", "the source sent no packet"),
    ("reverse_size_mean", "the target sent no packet"),
    ("reverse_size_deviation", "the target's packets all had the same size, or it sent none"),
    ("reverse_size_max", "the target sent no packet"),
    ("forward_gap_mean_ms", "the source sent fewer than two packets, or all at once"),
    ("reverse_gap_mean_ms", "the target sent fewer than two packets, or all at once"),
    ("gap_max_ms", "neither side paused between packets"),
    ("packet_rate", "the flow had a single packet"),
    ("handshake_ms", "no TCP handshake was seen"),
    ("answered", "the target did not answer"),
    ("continued", "the flow was new"),
    ("responder_port", "the target's port was 0, or the flow had no ports"),
    ("responder_is_local", "the target was not in this network"),
    ("source_flows_3s", "the source opened about 0 flows within 3 s, or it is not a host of this network"),
];

#[test]
fn a_value_of_zero_has_its_own_sentence() {
    for (name, expected) in AT_ZERO {
        assert_eq!(finding(name, 0.0, 1.0, 2.0).seen().to_string(), expected, "{name}");
    }
    // A record without packets between hosts outside the network has these zeros.
    let mut hosts = HostTable::new(1, 1, LocalNetworks::new(&[]).unwrap());
    let mut features = [0.0; FEATURES];
    extract(&testing::record(NOW), &mut hosts, &mut features);
    for (name, _) in AT_ZERO.iter().filter(|(name, _)| *name != "responder_port") {
        assert_eq!(features[index_of(name).unwrap()], 0.0, "{name}");
    }
}

#[test]
fn the_normal_range_is_in_the_units_of_the_value() {
    assert_eq!(
        sentence("target_ports_30s", 339.4, 0.0, 2.04),
        "flows went to about 339 different ports of the target within 30 to 60 s; here normally 0 to 2"
    );
    assert_eq!(
        sentence("forward_octets", 1_234_567.0, 60.0, 1_500.0),
        "the source sent 1.2 MB; here normally 60 B to 1.5 kB"
    );
    assert_eq!(
        sentence("duration_ms", 90_000.0, 40.4, 312.0),
        "the flow, or this part of it, lasted 90 s; here normally 40 to 312 ms"
    );
    assert_eq!(
        sentence("psh_share", 0.5, 0.0, 0.0),
        "50 % of the packets had the PSH flag (asks for immediate delivery); here normally 0 %"
    );
    assert_eq!(
        sentence("forward_packets", 5.0, 1.0, 40.0),
        "the source sent 5 packets; within the normal range here, 1 to 40",
        "anomalous only in combination"
    );
    assert_eq!(sentence("answered", 0.0, 1.0, 1.0), "the target did not answer; rare here");
    assert_eq!(sentence("answered", 1.0, 0.0, 1.0), "the target answered; common here");
    assert_eq!(sentence("responder_port", 23.0, 53.0, 443.0), "the target's port was 23; here normally 53 to 443");
    assert_eq!(sentence("responder_port", 80.0, 53.0, 49_152.0), "the target's port was 80; here normally 53 to 49152");
}

#[test]
fn rounding_never_moves_a_value_across_a_bound() {
    let amounts = |low: f32, value: f32, high: f32| {
        let finding = finding("target_flows_3s", value, low, high);
        (finding.seen().to_string(), finding.normal().to_string())
    };
    let seen = |number: &str| std::format!("the target received about {number} flows within 3 s");
    assert_eq!(amounts(0.0, 3.8, 1.03), (seen("4"), "0 to 1".into()));
    assert_eq!(amounts(0.0, 3.2, 2.67), (seen("3.2"), "0 to 2.7".into()));
    assert_eq!(amounts(5.0, 4.96, 9.0), (seen("4.96"), "5 to 9".into()));
    assert_eq!(amounts(0.0, 1.000_1, 1.0).1, "0 to 1", "at most three extra decimals");
    assert_eq!(finding("psh_share", 0.004, 0.0, 0.0).seen().to_string().split_once(" of").unwrap().0, "0.4 %");
    let close = finding("duration_ms", 1_004.0, 0.0, 1_000.0);
    assert!(close.seen().to_string().ends_with("1.004 s") && close.normal().to_string() == "0 to 1 s");
}

#[test]
fn units_grow_with_the_amount() {
    let amount = |name: &str, value: f32| finding(name, 7.0, value, value).normal().to_string();
    let times = [0.04, 0.4, 4.25, 42.5, 999.0, 999.9, 1_500.0, 59_400.0, 119_990.0, 5_400_000.0, 86_400_000.0];
    let expected =
        ["0.04 ms", "0.4 ms", "4.3 ms", "43 ms", "999 ms", "1 s", "1.5 s", "59 s", "2 min", "90 min", "24 h"];
    assert_eq!(times.map(|time| amount("gap_max_ms", time)), expected);
    let octets = [999.0, 999.9, 65_535.0, 999_999.0, 2.5e9, 3e12];
    let expected = ["999 B", "1 kB", "66 kB", "1 MB", "2.5 GB", "3 TB"];
    assert_eq!(octets.map(|octets| amount("forward_octets", octets)), expected);
    let counts = [0.4, 1.0, 1_234.0, 54_321.0, 1_234_567.0, 5e10];
    let expected = ["0", "1", "1,234", "54,321", "1.2 million", "50 billion"];
    assert_eq!(counts.map(|count| amount("forward_packets", count)), expected);
    assert_eq!(sentence("forward_packets", 1.0, 4.0, 9.0), "the source sent 1 packet; here normally 4 to 9");
}

#[test]
fn any_value_from_an_agent_has_a_short_sentence() {
    let wild = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, f32::MIN_POSITIVE, -0.0, -5.5];
    for feature in 0..=u8::MAX {
        for value in wild {
            for normal_low in wild {
                let finding = Finding { feature, value, normal_low, normal_high: value };
                let text = finding.to_string();
                assert!(!text.is_empty() && text.len() < 300, "{finding:?}: {text}");
            }
        }
    }
    assert_eq!(sentence("forward_packets", -5.5, 0.0, 9.0), "the source sent -6 packets; here normally 0 to 9");
}
