//! Sources of one run that end together after so many packets.

use crate::capture::{CaptureError, Frame, PacketSource, Truncation};
use lapwing_shared::features::meter::{Meter, RecordSink};
use lapwing_shared::packet::RefusalCounts;
use lapwing_shared::units::Timestamp;
use std::cell::Cell;
use std::ops::Range;

/// A source that may end before its own end.
pub struct Counted<'a, S> {
    inner: S,
    left: &'a Cell<Option<u64>>,
}

impl<'a, S: PacketSource> Counted<'a, S> {
    /// Ends once `left`, which several sources may share, has come down to 0; never where it is `None`.
    pub fn new(inner: S, left: &'a Cell<Option<u64>>) -> Self {
        Self { inner, left }
    }
}

impl<S: PacketSource> PacketSource for Counted<'_, S> {
    #[inline]
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        let Some(left) = self.left.get() else { return self.inner.next_frame() };
        if left == 0 {
            return Ok(None);
        }
        let frame = self.inner.next_frame()?;
        if frame.is_some() {
            self.left.set(Some(left - 1));
        }
        Ok(frame)
    }

    fn meter_held(&mut self, meter: &mut Meter, sink: &mut dyn RecordSink, span: Range<Timestamp>) -> bool {
        self.left.get().is_none() && self.inner.meter_held(meter, sink, span)
    }

    fn refusals(&self) -> &RefusalCounts {
        self.inner.refusals()
    }

    fn truncation(&self) -> Option<Truncation> {
        self.inner.truncation()
    }

    fn quiet_until(&self) -> Option<Timestamp> {
        self.inner.quiet_until().filter(|_| self.left.get() != Some(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::FileSource;
    use std::io::Cursor;

    /// A classic pcap of so many empty Ethernet frames.
    fn capture(packets: u32) -> FileSource {
        let header = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1];
        let records = (0..packets).flat_map(|second| [second, 0, 14, 14, 0, 0, 0, 0]);
        let mut bytes: Vec<u8> = header.iter().copied().flat_map(u32::to_le_bytes).collect();
        for record in records.collect::<Vec<_>>().chunks(8) {
            bytes.extend(record.iter().flat_map(|word: &u32| word.to_le_bytes()).take(16 + 14));
        }
        FileSource::from_reader("made", Box::new(Cursor::new(bytes))).unwrap()
    }

    fn packets(source: &mut impl PacketSource) -> u32 {
        let mut packets = 0;
        while source.next_frame().unwrap().is_some() {
            packets += 1;
        }
        packets
    }

    #[test]
    fn two_files_end_together_after_so_many_packets() {
        for (most, expected) in
            [(None, (3, 2)), (Some(9), (3, 2)), (Some(4), (3, 1)), (Some(2), (2, 0)), (Some(0), (0, 0))]
        {
            let left = Cell::new(most);
            let found = [3, 2].map(|held| packets(&mut Counted::new(capture(held), &left)));
            assert_eq!((found[0], found[1]), expected, "{most:?}");
        }
    }
}
