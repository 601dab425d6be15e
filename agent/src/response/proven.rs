//! Flow records → addresses that are certainly not forged: they completed a TCP connection as its initiator.
//!
//! Whoever forges a source address does not see the answers, so it cannot acknowledge the server's sequence number, and no
//! server sends it data. If the address belongs to a host that sees those answers, that host resets the connection.

use lapwing_shared::flow::lru::LruTable;
use lapwing_shared::flow::record::FlowRecord;
use lapwing_shared::packet::tcp_flags;
use lapwing_shared::units::Address;

/// Addresses that are remembered. Every host that completes connections can fill it; the one that was seen longest ago is
/// evicted, and is then not blocked until it connects again.
const ADDRESSES: usize = 1024;
/// IANA protocol number.
const TCP: u8 = 6;

/// The addresses.
pub(crate) struct Proven {
    addresses: LruTable<Address, (), 2>,
}

impl Proven {
    /// None; `seed` keys the hash.
    pub(crate) fn new(seed: u64) -> Self {
        Self { addresses: LruTable::new(ADDRESSES, seed) }
    }

    /// Takes a record.
    pub(crate) fn record(&mut self, record: &FlowRecord) {
        if !is_completed(record) {
            return;
        }
        if let Some(slot) = self.addresses.find(&record.source) {
            return self.addresses.touch(slot);
        }
        if let Some(oldest) = self.addresses.oldest().filter(|_| self.addresses.is_full()) {
            self.addresses.remove(oldest);
        }
        let _ = self.addresses.find_or_insert(&record.source);
    }

    /// Whether the address completed a connection.
    pub(crate) fn contains(&self, address: &Address) -> bool {
        self.addresses.find(address).is_some()
    }
}

fn is_completed(record: &FlowRecord) -> bool {
    let (forward, reverse) = (&record.forward, &record.reverse);
    let acknowledged = forward.tcp_flags & tcp_flags::ACK != 0 && reverse.payload_octets > 0;
    record.protocol == TCP && record.handshake.is_some() && acknowledged && forward.rst == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::units::Nanos;

    fn record(last: u8) -> FlowRecord {
        let made = lapwing_shared::units::Timestamp::from_secs(1);
        let mut record = lapwing_shared::flow::testing::record(made);
        (record.protocol, record.handshake) = (TCP, Some(Nanos(1)));
        record.source = Address::from_v4([10, 0, last, last]);
        (record.forward.tcp_flags, record.reverse.payload_octets) = (tcp_flags::SYN | tcp_flags::ACK, 20);
        record
    }

    #[test]
    fn only_the_initiator_of_a_completed_connection_is_proven() {
        let mut proven = Proven::new(1);
        let changes: [fn(&mut FlowRecord); 5] = [
            |record| record.protocol = 17,
            |record| record.handshake = None,
            |record| record.forward.tcp_flags = tcp_flags::SYN,
            |record| record.reverse.payload_octets = 0,
            // The host that owns the address resets a connection that it did not open.
            |record| record.forward.rst = 1,
        ];
        for change in changes {
            let mut forged = record(1);
            change(&mut forged);
            proven.record(&forged);
        }
        assert!(!proven.contains(&record(1).source));
        proven.record(&record(1));
        assert!(proven.contains(&record(1).source) && !proven.contains(&record(1).destination));
    }

    #[test]
    fn a_full_table_forgets_the_address_seen_longest_ago() {
        let mut proven = Proven::new(1);
        let mut first = record(1);
        first.source = Address::from_v4([192, 168, 0, 1]);
        proven.record(&first);
        for number in 0..ADDRESSES as u32 {
            let mut record = record(1);
            record.source = Address::from_v4((0x0a00_0000 + number).to_be_bytes());
            proven.record(&record);
        }
        assert!(!proven.contains(&first.source) && proven.addresses.len() == ADDRESSES);
    }
}
