//! /proc/net/dev → octet counters of the interfaces, to compare with the packets read from the ring.
//!
//! Reads the table of this thread's network namespace repeatedly through one descriptor into one buffer.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Buffer for the table of all interfaces, bytes; interfaces beyond it are not found.
const TABLE_BYTES: usize = 32 * 1024;

/// Octets that an interface received and sent since its creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Octets {
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

pub(crate) struct Counters {
    file: File,
    table: Vec<u8>,
    filled: usize,
}

impl Counters {
    pub(crate) fn open() -> io::Result<Self> {
        // /proc/net/dev is the main thread's table; this thread may be in another namespace.
        let file = File::open("/proc/thread-self/net/dev")?;
        Ok(Self { file, table: vec![0; TABLE_BYTES], filled: 0 })
    }

    /// Reads the table again; it is empty if that fails.
    pub(crate) fn refresh(&mut self) {
        self.filled = 0;
        while let Ok(octets @ 1..) = self.file.read_at(&mut self.table[self.filled..], self.filled as u64) {
            self.filled += octets;
        }
    }

    /// One interface's counters at the last [`Counters::refresh`].
    pub(crate) fn of(&self, interface: &str) -> Option<Octets> {
        let text = std::str::from_utf8(self.table.get(..self.filled)?).ok()?;
        parse(text, interface)
    }

    /// Octets that passed an interface. For a bridge at least the octets its ports received, because its own counters
    /// omit frames that it forwards between ports.
    pub(crate) fn octets(&self, interface: &str, ports: &[String]) -> Option<u64> {
        let own = self.of(interface)?;
        let into_ports = ports.iter().filter_map(|port| self.of(port)).fold(0_u64, |sum, port| sum + port.received);
        Some(into_ports.max(own.received.saturating_add(own.sent)))
    }
}

fn parse(table: &str, interface: &str) -> Option<Octets> {
    let mut numbers = table.lines().find_map(|line| {
        let (name, numbers) = line.split_once(':')?;
        (name.trim() == interface).then_some(numbers.split_ascii_whitespace())
    })?;
    Some(Octets { received: numbers.next()?.parse().ok()?, sent: numbers.nth(7)?.parse().ok()? })
}

/// Names of all interfaces.
pub fn interfaces() -> Vec<String> {
    let table = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

/// Ports of a bridge. Empty if the interface is not a bridge or the ports cannot be read.
pub(crate) fn bridge_ports(interface: &str) -> Vec<String> {
    let folder = Path::new("/sys/class/net").join(interface).join("brif");
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:  1000      10    0    0    0     0          0         0     1000      10    0    0    0     0       0          0
br-lan:18446744073709551615 7 0 0 0 0 0 0 222 2 0 0 0 0 0 0
";

    #[test]
    fn octets_are_found_by_the_full_interface_name() {
        assert_eq!(parse(TABLE, "lo"), Some(Octets { received: 1000, sent: 1000 }));
        assert_eq!(parse(TABLE, "br-lan"), Some(Octets { received: u64::MAX, sent: 222 }));
        assert_eq!((parse(TABLE, "lan"), parse("", "lo"), parse("lo: x", "lo")), (None, None, None));
    }

    #[test]
    fn a_bridge_counts_at_least_the_octets_its_ports_received() {
        let table = TABLE.replace("br-lan", "br").replace("18446744073709551615", "100");
        let filled = table.len();
        let counters = Counters { file: File::open("/dev/null").unwrap(), table: table.into_bytes(), filled };
        assert_eq!(counters.octets("br", &[]), Some(322));
        assert_eq!(counters.octets("br", &["lo".into(), "gone".into()]), Some(1000));
        assert_eq!(counters.octets("gone", &[]), None);
    }

    #[test]
    fn the_systems_table_contains_loopback_on_every_read() {
        let mut counters = Counters::open().unwrap();
        for _ in 0..2 {
            counters.refresh();
            assert!(counters.of("lo").is_some());
        }
        assert!(interfaces().contains(&"lo".to_owned()));
    }
}
