//! Hosts that a full table turned away → whether one comes again soon.
//!
//! Whoever forges source addresses needs two flows for each to enter a full table, and a host with few flows is remembered
//! although it is not in the table.

use crate::flow::lru::{Key, KeyedHash};
use crate::units::Address;
use alloc::boxed::Box;

/// Bits of a generation for each entry of the table.
const BITS_PER_ENTRY: usize = 128;
/// Bits of a generation for each host in it: with two bits set per host, one in twenty others looks the same.
const BITS_PER_HOST: usize = 8;
/// Seeds of the hashes. Fixed, so that features and alerts are the same everywhere. Addresses chosen to collide are
/// admitted at their first flow, as without a doorkeeper.
const SEEDS: [u64; 2] = [0x6c61_7077_696e_6732, 0x6c61_7077_696e_6733];

/// A Bloom filter in two generations: the current one, and the one before, which is dropped when the current one is full.
pub(crate) struct Doorkeeper {
    current: Box<[u64]>,
    before: Box<[u64]>,
    hashes: [KeyedHash<2>; 2],
    mask: u32,
    /// Hosts in the current generation.
    hosts: usize,
}

impl Doorkeeper {
    /// For a table of this capacity. Allocates all its memory here (at most 32 bytes per entry of the table).
    pub(crate) fn new(capacity: usize) -> Self {
        let bits = 1_usize << (capacity.max(1) * BITS_PER_ENTRY).ilog2();
        let generation = || alloc::vec![0; bits / u64::BITS as usize].into_boxed_slice();
        Self {
            current: generation(),
            before: generation(),
            hashes: SEEDS.map(KeyedHash::new),
            mask: (bits - 1) as u32,
            hosts: 0,
        }
    }

    /// True if the host was turned away recently; else remembers it.
    #[inline(never)]
    pub(crate) fn returns(&mut self, host: &Address) -> bool {
        let words = host.words();
        let places = self.hashes.each_ref().map(|hash| {
            let bit = hash.hash(&words) & self.mask;
            ((bit / u64::BITS) as usize, 1_u64 << (bit % u64::BITS))
        });
        let is_in = |generation: &[u64]| places.iter().all(|(word, bit)| generation[*word] & bit != 0);
        if is_in(&self.current) || is_in(&self.before) {
            return true;
        }
        if self.hosts * BITS_PER_HOST > self.mask as usize {
            core::mem::swap(&mut self.current, &mut self.before);
            self.current.fill(0);
            self.hosts = 0;
        }
        self.hosts += 1;
        places.iter().for_each(|(word, bit)| self.current[*word] |= bit);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: u32) -> Address {
        Address::from_v4(number.to_be_bytes())
    }

    #[test]
    fn hosts_pass_at_their_second_flow_unless_very_many_came_between() {
        // 131,072 bits, or 16,384 hosts per generation.
        let mut doorkeeper = Doorkeeper::new(1_048);
        (0..100).for_each(|number| _ = doorkeeper.returns(&host(number)));
        (1_000..17_000).for_each(|number| _ = doorkeeper.returns(&host(number)));
        assert!((0..100).all(|number| doorkeeper.returns(&host(number))));
        (20_000..60_000).for_each(|number| _ = doorkeeper.returns(&host(number)));
        let passed = (0..100).filter(|number| doorkeeper.returns(&host(*number))).count();
        assert!(passed < 20, "forgotten after two generations, but {passed} pass");
    }

    #[test]
    fn few_hosts_pass_at_their_first_flow() {
        let mut doorkeeper = Doorkeeper::new(1_048);
        let passed = (0..200_000).filter(|number| doorkeeper.returns(&host(*number))).count();
        assert!(passed < 20_000, "{passed}");
    }
}
