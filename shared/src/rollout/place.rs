//! Salt and agent → the agent's place in a campaign, and its delay within a wave.

use crate::release::manifest::Name;
use sha2::{Digest as _, Sha256};

/// Where an agent is in a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// First two bytes of SHA-256(salt ‖ agent), big-endian. The agent may install the release if this is below the reach.
    pub place: u16,
    /// Next four bytes.
    delay: u32,
}

impl Place {
    /// The place of an agent. Both sides compute it, so the trainer knows the agents of a wave in advance.
    #[inline]
    pub fn of(salt: &[u8; 8], agent: &Name) -> Self {
        let digest = Sha256::new().chain_update(salt).chain_update(agent.as_bytes()).finalize();
        let (place, rest) = digest.split_first_chunk().map_or(([0; 2], &[][..]), |(place, rest)| (*place, rest));
        let delay = rest.first_chunk().copied().unwrap_or_default();
        Self { place: u16::from_be_bytes(place), delay: u32::from_be_bytes(delay) }
    }

    /// Delay of this agent's download after it has learned that it may begin, 0 to `spread_s` seconds.
    pub const fn delay_s(&self, spread_s: u32) -> u32 {
        ((self.delay as u64 * spread_s as u64) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::vec::Vec;

    fn agent(index: usize) -> Name {
        Name::try_from(&*format!("gw-{index}")).unwrap()
    }

    #[test]
    fn a_place_is_the_beginning_of_the_digest() {
        let place = Place::of(b"saltsalt", &agent(1));
        let digest = crate::release::digest::sha256(b"saltsaltgw-1");
        assert_eq!(place.place, u16::from_be_bytes([digest[0], digest[1]]));
        assert_eq!(place.delay, u32::from_be_bytes([digest[2], digest[3], digest[4], digest[5]]));
    }

    #[test]
    fn agents_are_spread_evenly_and_differently_for_each_salt() {
        let places = |salt: &[u8; 8]| (0..10_000).map(|index| Place::of(salt, &agent(index))).collect::<Vec<_>>();
        let (one, other) = (places(b"saltsal1"), places(b"saltsal2"));
        // 5 % of 10,000 agents, ± 5 standard deviations of the binomial distribution.
        let first = |places: &[Place]| places.iter().filter(|place| u32::from(place.place) < 65_536 / 20).count();
        assert!((391..=609).contains(&first(&one)) && (391..=609).contains(&first(&other)));
        let in_both = one.iter().zip(&other).filter(|(a, b)| a.place < 3_277 && b.place < 3_277).count();
        assert!(in_both < 60, "{in_both}");
        let late = one.iter().filter(|place| place.delay_s(3_600) >= 1_800).count();
        assert!((4_750..=5_250).contains(&late), "{late}");
        assert!(one.iter().all(|place| place.delay_s(3_600) < 3_600 && place.delay_s(0) == 0));
    }
}
