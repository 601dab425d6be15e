//! Later counters of a health report ↔ the extension of its message: their number, one byte, then little-endian `u64`s.
//!
//! Encoded by hand, because postcard has no optional fields for messages of older programs. Counters that are 0 at the end
//! of the list are left out; readers ignore those that they do not know.

use super::DetectorCounters;
use crate::release::framing::FrameError;

/// Bytes of one counter.
const COUNTER_BYTES: usize = size_of::<u64>();
/// Counters that this program knows.
const COUNTERS: usize = 8;

impl DetectorCounters {
    /// In the order of the message.
    fn to_array(self) -> [u64; COUNTERS] {
        [
            self.episodes_held_back,
            self.episodes_replaced,
            self.episodes_folded,
            self.hosts_turned_away,
            self.flooding_sources,
            self.initiators_forgotten,
            self.damaged_blocks,
            self.rejected_acknowledgements,
        ]
    }

    fn from_array(counters: [u64; COUNTERS]) -> Self {
        let [
            episodes_held_back,
            episodes_replaced,
            episodes_folded,
            hosts_turned_away,
            flooding_sources,
            initiators_forgotten,
            damaged_blocks,
            rejected_acknowledgements,
        ] = counters;
        Self {
            episodes_held_back,
            episodes_replaced,
            episodes_folded,
            hosts_turned_away,
            flooding_sources,
            initiators_forgotten,
            damaged_blocks,
            rejected_acknowledgements,
        }
    }
}

/// True if there is something to send.
pub(super) fn any_set(counters: &DetectorCounters) -> bool {
    *counters != DetectorCounters::default()
}

/// Returns the number of bytes written.
pub(super) fn write(counters: &DetectorCounters, out: &mut [u8]) -> Result<usize, FrameError> {
    let counters = counters.to_array();
    let count = counters.iter().rposition(|counter| *counter > 0).map_or(0, |last| last + 1);
    let (room, bytes) = (out.len(), 1 + count * COUNTER_BYTES);
    let out = out.get_mut(..bytes).ok_or(FrameError::NoRoom { room })?;
    out[0] = count as u8;
    for (counter, out) in counters.iter().zip(out[1..].chunks_exact_mut(COUNTER_BYTES)) {
        out.copy_from_slice(&counter.to_le_bytes());
    }
    Ok(bytes)
}

/// Reads at least one counter; the last one is not 0.
pub(super) fn read(bytes: &[u8]) -> Result<DetectorCounters, FrameError> {
    let (count, bytes) = bytes.split_first().ok_or(FrameError::Malformed)?;
    if *count == 0 || bytes.len() != usize::from(*count) * COUNTER_BYTES {
        return Err(FrameError::Malformed);
    }
    let mut counters = [0; COUNTERS];
    let mut last = 0;
    for (index, bytes) in bytes.chunks_exact(COUNTER_BYTES).enumerate() {
        last = bytes.try_into().map_or(0, u64::from_le_bytes);
        if let Some(counter) = counters.get_mut(index) {
            *counter = last;
        }
    }
    // The encoding is unique.
    if last == 0 { Err(FrameError::Malformed) } else { Ok(DetectorCounters::from_array(counters)) }
}
