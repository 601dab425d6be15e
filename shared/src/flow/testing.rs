//! A flow record of no packets, for the tests of this crate and of the agent.

use lapwing_shared::flow::record::{Direction, EndReason, FlowRecord};
use lapwing_shared::packet::Network;
use lapwing_shared::units::{Address, Timestamp};

/// From a host outside to another one, all at one time.
pub(crate) fn record(made: Timestamp) -> FlowRecord {
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
