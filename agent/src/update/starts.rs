//! Number of starts of the agent ↔ a file of 4 octets in the state folder, written once for each start.

use crate::disk::{AnyDisk, Disk};

/// Name of the file.
pub(crate) const FILE: &str = "starts";
/// Length of the file: a little-endian number.
const BYTES: usize = 4;

/// Counts this start. A missing or damaged file counts as 0 starts before it; the number may be lost with a disk error.
pub(crate) fn next_start(disk: &mut AnyDisk) -> u32 {
    let read = disk.read(FILE, BYTES).unwrap_or_default();
    let before = read.and_then(|bytes| Some(u32::from_le_bytes(bytes.try_into().ok()?))).unwrap_or(0);
    let starts = before.saturating_add(1);
    if let Err(error) = disk.replace(FILE, &starts.to_le_bytes()) {
        tracing::warn!(%error, "cannot store the number of starts");
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::memory::Memory;

    #[test]
    fn starts_are_counted_and_a_damaged_count_begins_again() {
        let mut disk: AnyDisk = Box::<Memory>::default();
        assert_eq!([next_start(&mut disk), next_start(&mut disk)], [1, 2]);
        disk.replace(FILE, &[1]).unwrap();
        assert_eq!(next_start(&mut disk), 1);
    }
}
