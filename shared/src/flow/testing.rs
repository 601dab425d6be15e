//! Test data: an empty flow record.

use crate::flow::record::{Direction, EndReason, FlowRecord};
use crate::packet::Network;
use crate::units::{Address, Timestamp};

/// A UDP flow record without packets between two public addresses; all its timestamps are `made`.
pub fn record(made: Timestamp) -> FlowRecord {
    FlowRecord {
        source: Address::from_v4([192, 0, 2, 1]),
        destination: Address::from_v4([192, 0, 2, 2]),
        source_port: 1,
        destination_port: 2,
        network: Network::Ipv4,
        protocol: 17,
        vlan: 0,
        icmp: (0, 0),
        start: made,
        end: made,
        made,
        forward: Direction::default(),
        reverse: Direction::default(),
        handshake: None,
        earlier_records: 0,
        answered: false,
        reason: EndReason::Idle,
    }
}
