//! Capture file, pipe or other packet source → frames with link type, time and wire length.
//!
//! [`FileSource`] reads capture files and pipes. Every source delivers its frames in recorded order with unchanged
//! times; the flow table handles jumps in time.

#![forbid(unsafe_code)]

mod classic;
mod error;
mod file;
#[cfg(feature = "gzip")]
pub mod gzip;
mod pcapng;
mod window;

pub use error::{CaptureError, Problem};
pub use file::FileSource;
pub use window::{WINDOW_BYTES, WINDOW_LIMIT_BYTES};

use core::ops::Range;
use lapwing_shared::features::meter::{Meter, RecordSink};
use lapwing_shared::packet::{LinkType, RefusalCounts};
use lapwing_shared::units::Timestamp;

/// One recorded frame, valid until the next call of [`PacketSource::next_frame`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Frame<'a> {
    /// Link type of `data`.
    pub link: LinkType,
    pub timestamp: Timestamp,
    /// Captured octets, without the frame check sequence.
    pub data: &'a [u8],
    /// Octets on the wire, without the frame check sequence.
    pub wire_octets: u32,
    /// Index of the interface in the pcapng section, 0 if there is only one.
    pub interface: u16,
}

/// The recording ends inside a record. All earlier records were delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// Offset of the incomplete record, bytes.
    pub offset: u64,
}

impl core::fmt::Display for Truncation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ends inside the record that begins at byte {}; everything before it was read", self.offset)
    }
}

/// A stream of frames.
pub trait PacketSource {
    /// The next frame. `None` at the end, or, if [`PacketSource::quiet_until`] then returns a time, after a while
    /// without frames. After the first frame, allocates only for a record longer than all before. After an error the
    /// source is at its end.
    ///
    /// # Errors
    /// What could not be read, with file and offset. All earlier frames were delivered.
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError>;

    /// Meters the buffered frames until the buffer is empty or the meter's clock leaves `span`; true in the latter
    /// case. Same as a loop over [`PacketSource::next_frame`], but faster. The default does nothing.
    fn meter_buffered(&mut self, _: &mut Meter, _: &mut dyn RecordSink, _span: Range<Timestamp>) -> bool {
        false
    }

    /// Packets rejected by the source itself, by reason.
    fn refusals(&self) -> &RefusalCounts;

    /// Set at the end if the recording ends inside a record.
    fn truncation(&self) -> Option<Truncation>;

    /// Records with a field out of range, which was replaced.
    fn repaired(&self) -> u64 {
        0
    }

    /// After a `None` from [`PacketSource::next_frame`]: all packets before this time were delivered and the source
    /// continues. `None` at the end.
    fn quiet_until(&self) -> Option<Timestamp> {
        None
    }
}
