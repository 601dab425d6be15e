//! Later fields of a health report ↔ the extension of its message: the number of words, one byte, then words of eight bytes.
//! The first are the counters of the detector, little-endian; the others are the [`ReleaseHealth`] and the
//! [`super::DeviceHealth`].
//!
//! Encoded by hand, because postcard has no optional fields for messages of older programs. Words that are 0 at the end are
//! left out; readers ignore words behind those that they know.

use super::release_health::WORD_BYTES;
use super::{DetectorCounters, DeviceHealth, Health, ReleaseHealth};
use crate::release::framing::FrameError;

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
pub(super) fn any_set(health: &Health) -> bool {
    health.detector != DetectorCounters::default()
        || health.release != ReleaseHealth::default()
        || health.device != DeviceHealth::default()
}

/// Returns the number of bytes written.
pub(super) fn write(health: &Health, out: &mut [u8]) -> Result<usize, FrameError> {
    let room = out.len();
    let (count, words) = out.split_first_mut().ok_or(FrameError::NoRoom { room })?;
    let behind = words.get_mut(COUNTERS * WORD_BYTES..).unwrap_or_default();
    let of_release = health.release.write(&health.device, behind)?;
    let counters = health.detector.to_array();
    let written = match of_release {
        0 => counters.iter().rposition(|counter| *counter > 0).map_or(0, |last| last + 1),
        _ => COUNTERS,
    };
    let words = words.get_mut(..written * WORD_BYTES).ok_or(FrameError::NoRoom { room })?;
    for (counter, out) in counters.iter().zip(words.chunks_exact_mut(WORD_BYTES)) {
        out.copy_from_slice(&counter.to_le_bytes());
    }
    *count = (written + of_release) as u8;
    Ok(1 + (written + of_release) * WORD_BYTES)
}

/// Reads at least one word; the last one is not 0.
pub(super) fn read(bytes: &[u8], health: &mut Health) -> Result<(), FrameError> {
    let (count, words) = bytes.split_first().ok_or(FrameError::Malformed)?;
    if words.len() != usize::from(*count) * WORD_BYTES {
        return Err(FrameError::Malformed);
    }
    // The encoding is unique.
    if words.last_chunk::<WORD_BYTES>().is_none_or(|last| *last == [0; WORD_BYTES]) {
        return Err(FrameError::Malformed);
    }
    let (words, release) = words.split_at_checked(COUNTERS * WORD_BYTES).unwrap_or((words, &[]));
    let mut counters = [0; COUNTERS];
    for (counter, bytes) in counters.iter_mut().zip(words.chunks_exact(WORD_BYTES)) {
        *counter = bytes.try_into().map_or(0, u64::from_le_bytes);
    }
    health.detector = DetectorCounters::from_array(counters);
    (health.release, health.device) = ReleaseHealth::read(release)?;
    Ok(())
}
