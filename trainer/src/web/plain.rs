//! Features in words for somebody who has not read the schema. "Source" and "target" are a flow's initiator and
//! responder.

use crate::words::value;

/// How a value is said.
#[derive(Clone, Copy)]
enum Said {
    /// A number, then the words.
    Number,
    /// A share in percent, then the words.
    Share,
    /// The words, then yes or no.
    YesNo,
}
use Said::{Number, Share, YesNo};

const WORDS: [(&str, Said, &str); 48] = [
    ("duration_ms", Number, "ms from the flow's first to its last packet"),
    ("forward_packets", Number, "packets from the source"),
    ("reverse_packets", Number, "packets back from the target"),
    ("forward_octets", Number, "octets from the source"),
    ("reverse_octets", Number, "octets back from the target"),
    ("forward_payload_octets", Number, "octets of content from the source"),
    ("reverse_payload_octets", Number, "octets of content back from the target"),
    ("forward_size_mean", Number, "octets a packet of the source, on average"),
    ("forward_size_deviation", Number, "octets by which the source's packets vary in size"),
    ("forward_size_max", Number, "octets in the source's largest packet"),
    ("reverse_size_mean", Number, "octets a packet of the target, on average"),
    ("reverse_size_deviation", Number, "octets by which the target's packets vary in size"),
    ("reverse_size_max", Number, "octets in the target's largest packet"),
    ("forward_gap_mean_ms", Number, "ms between the source's packets, on average"),
    ("forward_gap_deviation_ms", Number, "ms by which the pauses of the source vary"),
    ("reverse_gap_mean_ms", Number, "ms between the target's packets, on average"),
    ("reverse_gap_deviation_ms", Number, "ms by which the pauses of the target vary"),
    ("gap_max_ms", Number, "ms in the longest pause"),
    ("packet_rate", Number, "packets a second"),
    ("reverse_octet_share", Share, "of the octets came back from the target"),
    ("payload_packet_share", Share, "of the packets carried content"),
    ("syn_packets", Number, "packets that open a connection (SYN)"),
    ("fin_packets", Number, "packets that close a connection (FIN)"),
    ("rst_packets", Number, "packets that break a connection off (RST)"),
    ("psh_share", Share, "of the packets ask to be passed on at once (PSH)"),
    ("forward_first_window", Number, "octets in the source's first TCP window"),
    ("handshake_ms", Number, "ms until the target took the connection"),
    ("answered", YesNo, "the target answered"),
    ("continued", YesNo, "the flow had gone on for a while already"),
    ("is_tcp", YesNo, "it is TCP"),
    ("is_udp", YesNo, "it is UDP"),
    ("is_icmp", YesNo, "it is ICMP"),
    ("responder_port", Number, "is the target's port"),
    ("responder_is_multicast", YesNo, "the target is a multicast address"),
    ("responder_is_local", YesNo, "the target is in this network"),
    ("source_flows_3s", Number, "flows that the source opened within about 3 s"),
    ("source_flows_30s", Number, "flows that the source opened within about 30 s"),
    ("source_flows_300s", Number, "flows that the source opened within about 5 min"),
    ("source_unanswered_share", Share, "of the source's flows had no answer, within about 30 s"),
    ("source_peers_30s", Number, "hosts that the source turned to within 30 to 60 s"),
    ("source_peers_300s", Number, "hosts that the source turned to within 5 to 10 min"),
    ("source_ports_30s", Number, "ports that the source turned to within 30 to 60 s"),
    ("source_octets_out_300s", Number, "octets that the source sent within about 5 min"),
    ("source_octets_in_300s", Number, "octets that the source received within about 5 min"),
    ("target_flows_3s", Number, "flows aimed at the target within about 3 s"),
    ("target_flows_30s", Number, "flows aimed at the target within about 30 s"),
    ("target_unanswered_share", Share, "of the flows aimed at the target had no answer, within about 30 s"),
    ("target_ports_30s", Number, "ports of the target that flows were aimed at within 30 to 60 s"),
];

fn of(feature: &str) -> (Said, &'static str) {
    WORDS.iter().find(|(name, ..)| *name == feature).map_or((Number, ""), |(_, said, words)| (*said, words))
}

/// What a feature is, without a value.
pub(super) fn meaning(feature: &str) -> &'static str {
    of(feature).1
}

/// A value of a feature.
pub(super) fn amount(feature: &str, number: f32) -> String {
    match of(feature).0 {
        Number => value(f64::from(number)),
        Share => format!("{}\u{a0}%", value(f64::from(number) * 100.0)),
        YesNo => if number >= 0.5 { "yes" } else { "no" }.into(),
    }
}

/// What is normal, from its lower to its upper end.
pub(super) fn range(feature: &str, low: f32, high: f32) -> String {
    let (low, high) = (amount(feature, low), amount(feature, high));
    if low == high { low } else { format!("{low} to {high}") }
}

/// What is off, and what would not be.
pub(super) fn sentence(feature: &str, here: f32, low: f32, high: f32) -> String {
    let (said, words) = of(feature);
    let (here, normal) = (amount(feature, here), range(feature, low, high));
    match said {
        Number | Share => format!("{here} {words}; normal here: {normal}"),
        YesNo => format!("{words}: {here}; normal here: {normal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::features::schema::SCHEMA;

    #[test]
    fn every_feature_has_words_in_the_order_of_the_schema() {
        assert!(WORDS.iter().map(|(name, ..)| *name).eq(SCHEMA.iter().map(|feature| feature.name)));
        for (feature, (name, said, _)) in SCHEMA.iter().zip(WORDS) {
            assert_eq!(feature.unit == "0 or 1", matches!(said, YesNo), "{name}");
            assert_eq!(feature.unit.is_empty(), matches!(said, Share), "{name}");
        }
    }

    #[test]
    fn a_sentence_says_the_value_and_what_is_normal() {
        let told = sentence("target_flows_30s", 5.891, 0.0, 2.67);
        assert_eq!(told, "5.89 flows aimed at the target within about 30 s; normal here: 0 to 2.67");
        let told = sentence("psh_share", 0.5, 0.0, 0.0);
        assert_eq!(told, "50\u{a0}% of the packets ask to be passed on at once (PSH); normal here: 0\u{a0}%");
        assert_eq!(sentence("answered", 0.0, 0.0, 1.0), "the target answered: no; normal here: no to yes");
    }
}
