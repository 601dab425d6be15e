//! Free ports for servers that cannot choose one themselves.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Where ports are looked for: below the range from which the system takes ports of outgoing connections (32,768 to 60,999
/// on Linux), so that no connection of another test takes one before its server does.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

/// Ports looked at in this process. It starts at another place in each process.
static LOOKED_AT: AtomicU16 = AtomicU16::new(0);

/// A TCP port of loopback on which nothing listens, and which this process has not got before.
///
/// # Panics
/// When every port is taken.
pub fn free_port() -> u16 {
    let start = u16::try_from(std::process::id().wrapping_mul(61) % u32::from(COUNT)).unwrap();
    let mut candidates = (0..COUNT).map(|_| {
        let looked_at = LOOKED_AT.fetch_add(1, Ordering::Relaxed);
        FIRST + (start + looked_at % COUNT) % COUNT
    });
    candidates.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).expect("a free port")
}

#[cfg(test)]
mod tests {
    use super::{COUNT, FIRST, free_port};
    use std::collections::BTreeSet;
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn ports_differ_and_taken_ones_are_left_out() {
        let first = free_port();
        let next = FIRST + (first - FIRST + 1) % COUNT;
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, next));
        let ports: BTreeSet<u16> = (0..100).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 100);
        assert!(!ports.contains(&first) && !ports.contains(&next), "{first} {next} {ports:?}");
        drop(taken);
    }
}
