//! Feature index → name, unit, definition, source, and the counterparts in CICFlowMeter and NFStream.

use crate::features::{FEATURES, SchemaId};
use sha2::{Digest, Sha256};

/// Version of the schema, for people. Programs compare [`schema_id`].
pub const SCHEMA_VERSION: u16 = 1;

/// Description of one feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Column name.
    pub name: &'static str,
    /// Unit of the plain value; empty if dimensionless.
    pub unit: &'static str,
    /// True for counts, sizes and times whose benign values span orders of magnitude.
    pub heavy_tailed: bool,
    /// Definition.
    pub definition: &'static str,
    /// Origin of the value.
    pub source: &'static str,
    /// Counterpart in CICFlowMeter, or empty.
    pub cicflowmeter: &'static str,
    /// Counterpart in NFStream, or empty.
    pub nfstream: &'static str,
}

/// Id of schema version 1: SHA-256 of the version and each feature's name, unit and definition, line by line.
#[inline]
pub fn schema_id() -> SchemaId {
    let mut hash = Sha256::new();
    hash.update(b"lapwing feature schema 1\n");
    for feature in &SCHEMA {
        for text in [feature.name, "\t", feature.unit, "\t", feature.definition, "\n"] {
            hash.update(text.as_bytes());
        }
    }
    hash.finalize().into()
}

/// Index of a feature by name.
pub fn index_of(name: &str) -> Option<usize> {
    SCHEMA.iter().position(|feature| feature.name == name)
}

/// Schema version 1, in the order of the feature vector.
#[rustfmt::skip]
pub const SCHEMA: [Feature; FEATURES] = [
    Feature { name: "duration_ms", unit: "ms", heavy_tailed: true,
        definition: "last packet minus first packet of the record", source: "flow record",
        cicflowmeter: "Flow Duration", nfstream: "bidirectional_duration_ms" },
    Feature { name: "forward_packets", unit: "packets", heavy_tailed: true,
        definition: "packets from the initiator", source: "flow record",
        cicflowmeter: "Total Fwd Packet", nfstream: "src2dst_packets" },
    Feature { name: "reverse_packets", unit: "packets", heavy_tailed: true,
        definition: "packets from the responder", source: "flow record",
        cicflowmeter: "Total Bwd packets", nfstream: "dst2src_packets" },
    Feature { name: "forward_octets", unit: "octets", heavy_tailed: true,
        definition: "network-layer octets from the initiator", source: "flow record",
        cicflowmeter: "", nfstream: "src2dst_bytes (accounting_mode=1)" },
    Feature { name: "reverse_octets", unit: "octets", heavy_tailed: true,
        definition: "network-layer octets from the responder", source: "flow record",
        cicflowmeter: "", nfstream: "dst2src_bytes (accounting_mode=1)" },
    Feature { name: "forward_payload_octets", unit: "octets", heavy_tailed: true,
        definition: "octets behind the transport header, from the initiator", source: "flow record",
        cicflowmeter: "Total Length of Fwd Packet", nfstream: "src2dst_bytes (accounting_mode=3)" },
    Feature { name: "reverse_payload_octets", unit: "octets", heavy_tailed: true,
        definition: "octets behind the transport header, from the responder", source: "flow record",
        cicflowmeter: "Total Length of Bwd Packet", nfstream: "dst2src_bytes (accounting_mode=3)" },
    Feature { name: "forward_size_mean", unit: "octets", heavy_tailed: false,
        definition: "mean network-layer size of the initiator's packets", source: "flow record",
        cicflowmeter: "", nfstream: "src2dst_mean_ps" },
    Feature { name: "forward_size_deviation", unit: "octets", heavy_tailed: false,
        definition: "population standard deviation of that size", source: "flow record",
        cicflowmeter: "", nfstream: "src2dst_stddev_ps (sample)" },
    Feature { name: "forward_size_max", unit: "octets", heavy_tailed: false,
        definition: "largest of those sizes", source: "flow record",
        cicflowmeter: "", nfstream: "src2dst_max_ps" },
    Feature { name: "reverse_size_mean", unit: "octets", heavy_tailed: false,
        definition: "mean network-layer size of the responder's packets", source: "flow record",
        cicflowmeter: "", nfstream: "dst2src_mean_ps" },
    Feature { name: "reverse_size_deviation", unit: "octets", heavy_tailed: false,
        definition: "population standard deviation of that size", source: "flow record",
        cicflowmeter: "", nfstream: "dst2src_stddev_ps (sample)" },
    Feature { name: "reverse_size_max", unit: "octets", heavy_tailed: false,
        definition: "largest of those sizes", source: "flow record",
        cicflowmeter: "", nfstream: "dst2src_max_ps" },
    Feature { name: "forward_gap_mean_ms", unit: "ms", heavy_tailed: true,
        definition: "mean time between the initiator's packets", source: "flow record",
        cicflowmeter: "Fwd IAT Mean", nfstream: "src2dst_mean_piat_ms" },
    Feature { name: "forward_gap_deviation_ms", unit: "ms", heavy_tailed: true,
        definition: "population standard deviation of that time", source: "flow record",
        cicflowmeter: "Fwd IAT Std", nfstream: "src2dst_stddev_piat_ms (sample)" },
    Feature { name: "reverse_gap_mean_ms", unit: "ms", heavy_tailed: true,
        definition: "mean time between the responder's packets", source: "flow record",
        cicflowmeter: "Bwd IAT Mean", nfstream: "dst2src_mean_piat_ms" },
    Feature { name: "reverse_gap_deviation_ms", unit: "ms", heavy_tailed: true,
        definition: "population standard deviation of that time", source: "flow record",
        cicflowmeter: "Bwd IAT Std", nfstream: "dst2src_stddev_piat_ms (sample)" },
    Feature { name: "gap_max_ms", unit: "ms", heavy_tailed: true,
        definition: "longest time between two packets of one direction", source: "flow record",
        cicflowmeter: "Fwd IAT Max, Bwd IAT Max", nfstream: "src2dst_max_piat_ms, dst2src_max_piat_ms" },
    Feature { name: "packet_rate", unit: "packets/s", heavy_tailed: true,
        definition: "packets less one over the duration, which counts as 1 ms at least", source: "flow record",
        cicflowmeter: "Flow Packets/s", nfstream: "" },
    Feature { name: "reverse_octet_share", unit: "", heavy_tailed: false,
        definition: "responder's share of the network-layer octets", source: "flow record",
        cicflowmeter: "Down/Up Ratio (related)", nfstream: "" },
    Feature { name: "payload_packet_share", unit: "", heavy_tailed: false,
        definition: "share of packets with payload", source: "flow record",
        cicflowmeter: "", nfstream: "" },
    Feature { name: "syn_packets", unit: "packets", heavy_tailed: true,
        definition: "TCP packets with SYN", source: "flow record",
        cicflowmeter: "SYN Flag Count", nfstream: "bidirectional_syn_packets" },
    Feature { name: "fin_packets", unit: "packets", heavy_tailed: true,
        definition: "TCP packets with FIN", source: "flow record",
        cicflowmeter: "FIN Flag Count", nfstream: "bidirectional_fin_packets" },
    Feature { name: "rst_packets", unit: "packets", heavy_tailed: true,
        definition: "TCP packets with RST", source: "flow record",
        cicflowmeter: "RST Flag Count", nfstream: "bidirectional_rst_packets" },
    Feature { name: "psh_share", unit: "", heavy_tailed: false,
        definition: "share of packets with PSH", source: "flow record",
        cicflowmeter: "PSH Flag Count (related)", nfstream: "bidirectional_psh_packets (related)" },
    Feature { name: "forward_first_window", unit: "octets", heavy_tailed: true,
        definition: "TCP window of the initiator's first packet, not scaled", source: "flow record",
        cicflowmeter: "FWD Init Win Bytes", nfstream: "" },
    Feature { name: "handshake_ms", unit: "ms", heavy_tailed: true,
        definition: "SYN to SYN+ACK, 0 where not seen", source: "flow record",
        cicflowmeter: "", nfstream: "" },
    Feature { name: "answered", unit: "0 or 1", heavy_tailed: false,
        definition: "the responder has sent a packet", source: "flow record",
        cicflowmeter: "", nfstream: "" },
    Feature { name: "continued", unit: "0 or 1", heavy_tailed: false,
        definition: "an earlier record of the same flow exists", source: "flow record",
        cicflowmeter: "", nfstream: "" },
    Feature { name: "is_tcp", unit: "0 or 1", heavy_tailed: false,
        definition: "protocol 6", source: "flow key",
        cicflowmeter: "Protocol", nfstream: "protocol" },
    Feature { name: "is_udp", unit: "0 or 1", heavy_tailed: false,
        definition: "protocol 17", source: "flow key",
        cicflowmeter: "Protocol", nfstream: "protocol" },
    Feature { name: "is_icmp", unit: "0 or 1", heavy_tailed: false,
        definition: "protocol 1 or 58", source: "flow key",
        cicflowmeter: "Protocol", nfstream: "protocol" },
    Feature { name: "responder_port", unit: "port", heavy_tailed: true,
        definition: "the responder's port", source: "flow key",
        cicflowmeter: "Dst Port", nfstream: "dst_port" },
    Feature { name: "responder_is_multicast", unit: "0 or 1", heavy_tailed: false,
        definition: "multicast or broadcast address", source: "flow key",
        cicflowmeter: "", nfstream: "" },
    Feature { name: "responder_is_local", unit: "0 or 1", heavy_tailed: false,
        definition: "address of the site", source: "flow key",
        cicflowmeter: "", nfstream: "" },
    Feature { name: "source_flows_3s", unit: "flows", heavy_tailed: true,
        definition: "flows that the initiator started, damped over 3 s", source: "host context",
        cicflowmeter: "", nfstream: "" },
    Feature { name: "source_flows_30s", unit: "flows", heavy_tailed: true,
        definition: "the same over 30 s", source: "host context",
        cicflowmeter: "", nfstream: "" },
    Feature { name: "source_flows_300s", unit: "flows", heavy_tailed: true,
        definition: "the same over 300 s", source: "host context",
        cicflowmeter: "", nfstream: "" },
    Feature { name: "source_unanswered_share", unit: "", heavy_tailed: false,
        definition: "share of the initiator's flows that nobody answered, 30 s", source: "host context",
        cicflowmeter: "", nfstream: "" },
    Feature { name: "source_peers_30s", unit: "hosts", heavy_tailed: true,
        definition: "distinct hosts that the initiator opened flows to, 30 to 60 s", source: "host context",
        cicflowmeter: "", nfstream: "" },
    Feature { name: "source_peers_300s", unit: "hosts", heavy_tailed: true,
        definition: "the same over 300 to 600 s", source: "host context",
        cicflowmeter: "", nfstream: "" },
    Feature { name: "source_ports_30s", unit: "ports", heavy_tailed: true,
        definition: "distinct ports that the initiator opened flows to, 30 to 60 s", source: "host context",
        cicflowmeter: "", nfstream: "" },
    Feature { name: "source_octets_out_300s", unit: "octets", heavy_tailed: true,
        definition: "network-layer octets that the initiator sent, damped over 300 s", source: "host context",
        cicflowmeter: "", nfstream: "" },
    Feature { name: "source_octets_in_300s", unit: "octets", heavy_tailed: true,
        definition: "network-layer octets that the initiator received, damped over 300 s", source: "host context",
        cicflowmeter: "", nfstream: "" },
    Feature { name: "target_flows_3s", unit: "flows", heavy_tailed: true,
        definition: "flows aimed at the responder, damped over 3 s", source: "host context",
        cicflowmeter: "", nfstream: "" },
    Feature { name: "target_flows_30s", unit: "flows", heavy_tailed: true,
        definition: "the same over 30 s", source: "host context",
        cicflowmeter: "", nfstream: "" },
    Feature { name: "target_unanswered_share", unit: "", heavy_tailed: false,
        definition: "share of the flows aimed at the responder that it did not answer, 30 s", source: "host context",
        cicflowmeter: "", nfstream: "" },
    Feature { name: "target_ports_30s", unit: "ports", heavy_tailed: true,
        definition: "distinct ports of the responder that flows were aimed at, 30 to 60 s", source: "host context",
        cicflowmeter: "", nfstream: "" },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_unique() {
        for (index, feature) in SCHEMA.iter().enumerate() {
            assert_eq!(index_of(feature.name), Some(index), "{}", feature.name);
        }
    }

    #[test]
    fn the_schema_id_changes_only_on_purpose() {
        let hex: std::string::String = schema_id().iter().map(|byte| std::format!("{byte:02x}")).collect();
        assert_eq!(hex, "41bc2fdb3960516aca8aae7138fef92e7a0db2dd91fadbd77951c8897c477fd0");
    }
}
