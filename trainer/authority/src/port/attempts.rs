//! Failed attempts by address → whether an address must wait.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Failed attempts in a window, after which the address waits for its end.
pub(super) const MOST_FAILED: u32 = 10;
/// Length of a window.
pub(super) const WINDOW: Duration = Duration::from_secs(60);
/// Addresses to remember. When all are taken, the one whose window began first makes room.
const ADDRESSES: usize = 4096;

#[derive(Clone, Copy)]
struct Window {
    began: Instant,
    failed: u32,
}

/// Failed attempts of every address, or IPv6 network of 64 bits, in the present window.
#[derive(Default)]
pub(super) struct Attempts(HashMap<IpAddr, Window>);

impl Attempts {
    /// Seconds until this address may try again; `None` if it may now.
    pub(super) fn wait_s(&self, address: IpAddr, now: Instant) -> Option<u32> {
        let window = self.0.get(&site(address)).filter(|window| window.failed >= MOST_FAILED)?;
        let left = WINDOW.checked_sub(now.saturating_duration_since(window.began))?;
        Some(left.as_secs() as u32 + 1)
    }

    /// Counts a failed attempt.
    /// Returns the number of attempts of this address in the window at the first and at the last that is permitted.
    pub(super) fn failed(&mut self, address: IpAddr, now: Instant) -> Option<u32> {
        let site = site(address);
        if !self.0.contains_key(&site) && self.0.len() >= ADDRESSES {
            self.make_room(now);
        }
        let window = self.0.entry(site).or_insert(Window { began: now, failed: 0 });
        if now.saturating_duration_since(window.began) >= WINDOW {
            *window = Window { began: now, failed: 0 };
        }
        window.failed = window.failed.saturating_add(1);
        Some(window.failed).filter(|failed| matches!(*failed, 1 | MOST_FAILED))
    }

    fn make_room(&mut self, now: Instant) {
        self.0.retain(|_, window| now.saturating_duration_since(window.began) < WINDOW);
        if self.0.len() >= ADDRESSES {
            let oldest = self.0.iter().min_by_key(|(_, window)| window.began).map(|(site, _)| *site);
            oldest.and_then(|site| self.0.remove(&site));
        }
    }
}

/// A host has 2^64 IPv6 addresses.
pub(super) fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_common::clock::monotonic;

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn an_address_with_too_many_failures_waits_for_the_end_of_its_window() {
        let (mut attempts, start) = (Attempts::default(), monotonic());
        for _ in 0..MOST_FAILED {
            assert_eq!(attempts.wait_s(address(1), start), None);
            attempts.failed(address(1), start);
        }
        assert_eq!(attempts.wait_s(address(1), start + WINDOW / 2), Some(31));
        assert_eq!(attempts.wait_s(address(2), start), None);
        let later = start + WINDOW + Duration::from_secs(1);
        assert_eq!(attempts.wait_s(address(1), later), None);
        attempts.failed(address(1), later);
        assert_eq!(attempts.wait_s(address(1), later), None, "a new window");
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together() {
        let (mut attempts, start) = (Attempts::default(), monotonic());
        for number in 0..MOST_FAILED {
            attempts.failed(format!("2001:db8::{number}").parse().unwrap(), start);
        }
        assert!(attempts.wait_s("2001:db8::ffff:1".parse().unwrap(), start).is_some());
        assert!(attempts.wait_s("2001:db8:0:1::1".parse().unwrap(), start).is_none());
        assert_eq!(site("::ffff:192.0.2.1".parse().unwrap()), "192.0.2.1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn a_full_table_forgets_the_oldest_window() {
        let (mut attempts, start) = (Attempts::default(), monotonic());
        for number in 0..2 * ADDRESSES as u32 {
            attempts.failed(address(number), start + Duration::from_millis(number.into()) / 1000);
        }
        assert_eq!(attempts.0.len(), ADDRESSES);
        assert!(attempts.0.contains_key(&address(2 * ADDRESSES as u32 - 1)) && !attempts.0.contains_key(&address(0)));
    }
}
