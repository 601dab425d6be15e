//! Builders for tests of the code that runs on routers: packets, times, and a flow table with its records. [`goldens`]
//! checks what must be the same on every processor.

pub mod goldens;
pub mod traffic;

use lapwing_shared::flow::record::{FlowRecord, FlowSink, FlowStart};
use lapwing_shared::flow::table::{FlowTable, FlowTableConfig};
use lapwing_shared::packet::{Fragment, Network, Packet};
use lapwing_shared::units::{Address, Nanos, Timestamp};

/// Time in milliseconds after the start of a test.
pub fn at_ms(millis: u64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000).plus(Nanos::from_millis(millis))
}

/// 192.0.2.`last`.
pub fn host(last: u8) -> Address {
    Address::from_v4([192, 0, 2, last])
}

/// A 60-octet packet between two hosts; tests change the fields that they need.
pub fn packet(protocol: u8, from: (u8, u16), to: (u8, u16), millis: u64) -> Packet {
    Packet {
        timestamp: at_ms(millis),
        network: Network::Ipv4,
        protocol,
        vlan: 0,
        source: host(from.0),
        destination: host(to.0),
        source_port: from.1,
        destination_port: to.1,
        tcp_flags: 0,
        tcp_window: 0,
        icmp: (0, 0),
        hop_limit: 64,
        fragment: Fragment::Whole,
        frame_octets: 74,
        network_octets: 60,
        payload_octets: 20,
        irregular: None,
    }
}

/// A UDP packet.
pub fn udp(from: (u8, u16), to: (u8, u16), millis: u64) -> Packet {
    packet(17, from, to, millis)
}

/// A TCP packet with these flags.
pub fn tcp(from: (u8, u16), to: (u8, u16), flags: u8, millis: u64) -> Packet {
    Packet { tcp_flags: flags, ..packet(6, from, to, millis) }
}

/// Collects the flow starts and records of a table.
#[derive(Default)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Collected {
    pub started: Vec<FlowStart>,
    pub records: Vec<FlowRecord>,
}

impl FlowSink for Collected {
    fn started(&mut self, flow: &FlowStart) {
        self.started.push(*flow);
    }

    fn ended(&mut self, record: impl FnOnce() -> FlowRecord) {
        self.records.push(record());
    }
}

/// A flow table and its output.
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Metering {
    pub table: FlowTable,
    /// Its output so far.
    pub output: Collected,
}

impl Metering {
    /// A table of `capacity` flows with idle timeout 60 s and active timeout 10 s.
    pub fn new(capacity: usize) -> Self {
        let table = FlowTable::new(&FlowTableConfig { capacity, hash_seed: 42, ..FlowTableConfig::default() });
        Self { table, output: Collected::default() }
    }

    /// Meters packets in order.
    pub fn see(mut self, packets: impl IntoIterator<Item = Packet>) -> Self {
        for packet in packets {
            self.table.meter(&packet, &mut self.output);
        }
        self
    }

    /// Advances time.
    pub fn until_ms(mut self, millis: u64) -> Self {
        self.table.advance(at_ms(millis), &mut self.output);
        self
    }

    /// Ends every flow and returns all records.
    pub fn end(mut self) -> Vec<FlowRecord> {
        self.table.flush(&mut self.output);
        self.output.records
    }
}
