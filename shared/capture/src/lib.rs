//! Where packets come from: one frame at a time, with its link type, time and length on the wire.
//!
//! [`FileSource`] reads capture files and pipes. Every source gives its frames in the order in which they were recorded
//! and leaves their times as they are; time that jumps is the flow table's business.

#![forbid(unsafe_code)]

mod classic;
mod error;
mod file;
mod pcapng;
mod window;

pub use error::{CaptureError, Problem};
pub use file::FileSource;
pub use window::{WINDOW_BYTES, WINDOW_LIMIT_BYTES};

use core::ops::Range;
use lapwing_shared::features::meter::{Meter, RecordSink};
use lapwing_shared::packet::{LinkType, RefusalCounts};
use lapwing_shared::units::Timestamp;

/// One frame as it was recorded; its octets live until the next call of [`PacketSource::next_frame`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// How `data` begins.
    pub link: LinkType,
    /// When it was seen.
    pub timestamp: Timestamp,
    /// The octets that were captured, frame check sequence not included.
    pub data: &'a [u8],
    /// Octets on the wire, frame check sequence not included.
    pub wire_octets: u32,
    /// Interface that saw it: its place within the pcapng section, 0 where there is only one.
    pub interface: u16,
}

/// Where a recording stops in the middle of a record. What came before it was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// Bytes before the record that is not whole.
    pub offset: u64,
}

/// "ends inside the record that begins at byte N".
impl core::fmt::Display for Truncation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ends inside the record that begins at byte {}; everything before it was read", self.offset)
    }
}

/// A stream of frames.
pub trait PacketSource {
    /// The next frame, or `None` at the end or, where [`PacketSource::quiet_until`] then tells a time, because none has
    /// come for a while. Allocates nothing once the first frame was read, but for a record longer
    /// than any before. After an error the source is at its end.
    ///
    /// # Errors
    /// What could not be read or understood, in which file and where. Frames before that place were delivered.
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError>;

    /// Meters the frames that the source holds already, one after the other, until there are no more or the meter's clock
    /// has left `span`; true in the latter case. Each is metered as if [`PacketSource::next_frame`] had given it, only
    /// without a way there and back for every one. A source need not.
    fn meter_held(&mut self, _: &mut Meter, _: &mut dyn RecordSink, _span: Range<Timestamp>) -> bool {
        false
    }

    /// Packets that the source itself could not deliver, by reason.
    fn refusals(&self) -> &RefusalCounts;

    /// Set at the end, where the recording stopped in the middle of a record.
    fn truncation(&self) -> Option<Truncation>;

    /// After a `None`: the time until which no packet will come any more, for a source that goes on; `None` at the end.
    fn quiet_until(&self) -> Option<Timestamp> {
        None
    }
}
