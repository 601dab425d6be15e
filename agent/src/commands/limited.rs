//! A source that ends after a number of packets, which the sources of one run share.

use crate::capture::{CaptureError, Frame, PacketSource, Truncation};
use lapwing_shared::features::meter::{Meter, RecordSink};
use lapwing_shared::packet::RefusalCounts;
use lapwing_shared::units::Timestamp;
use std::cell::Cell;
use std::ops::Range;

/// A source that ends at its own end or when the packet limit is reached.
pub(crate) struct Limited<'a, S> {
    inner: S,
    left: &'a Cell<Option<u64>>,
}

impl<'a, S: PacketSource> Limited<'a, S> {
    /// Ends once `left`, which several sources may share, is 0; `None` is unlimited.
    pub(crate) fn new(inner: S, left: &'a Cell<Option<u64>>) -> Self {
        Self { inner, left }
    }
}

impl<S: PacketSource> PacketSource for Limited<'_, S> {
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

    fn meter_buffered(&mut self, meter: &mut Meter, sink: &mut dyn RecordSink, span: Range<Timestamp>) -> bool {
        self.left.get().is_none() && self.inner.meter_buffered(meter, sink, span)
    }

    fn refusals(&self) -> &RefusalCounts {
        self.inner.refusals()
    }

    fn truncation(&self) -> Option<Truncation> {
        self.inner.truncation()
    }

    fn repaired(&self) -> u64 {
        self.inner.repaired()
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

    /// A classic pcap with this number of empty Ethernet frames.
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
    fn two_files_share_one_packet_limit() {
        for (limit, expected) in
            [(None, (3, 2)), (Some(9), (3, 2)), (Some(4), (3, 1)), (Some(2), (2, 0)), (Some(0), (0, 0))]
        {
            let left = Cell::new(limit);
            let read = [3, 2].map(|size| packets(&mut Limited::new(capture(size), &left)));
            assert_eq!((read[0], read[1]), expected, "{limit:?}");
        }
    }
}
