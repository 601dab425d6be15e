//! What a health report says of the release in use and of the gateway, for the gates of a campaign; and its bytes behind the
//! counters.

use crate::release::framing::FrameError;
use crate::rollout::message::Channel;
use heapless::String;
use serde::{Deserialize, Serialize};

/// Rows with at least this surprise are anomalous, nats: −ln 0.01.
pub const ANOMALOUS_NATS: f32 = 4.605_17;
/// Bins of [`ReleaseHealth::surprise`].
pub const SURPRISE_BINS: usize = 8;

/// Length of the words in the extension, bytes.
pub(super) const WORD_BYTES: usize = size_of::<u64>();
/// Words that the longest value takes: eight `u64` of at most ten bytes, eleven `u32` of at most five, two single bytes, the
/// target with its length, and the end.
pub(super) const WORDS: usize = (8 * 10 + 11 * 5 + 2 + 1 + TARGET_BYTES + 1).div_ceil(WORD_BYTES);
/// Longest [`DeviceHealth::target`], bytes.
pub const TARGET_BYTES: usize = 40;
/// Byte after the values; zeros fill its word. So the last word is never 0. The length of a target is never this.
const END: u8 = 0x80;

/// The release in use since it came into use, and where the agent is in its group's campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseHealth {
    /// Version in use, 0 without one.
    pub version: u64,
    /// Rows scored with it.
    pub rows: u64,
    /// Anomalous ones of these (p < 1 %).
    pub anomalous: u64,
    /// Rows by −log2 p: [0, 1), [1, 2) … [7, ∞). A calibrated model has 1/2, 1/4 … 1/128 and 1/128 of its rows there.
    pub surprise: [u32; SURPRISE_BINS],
    /// CPU time of the agent, milliseconds.
    pub cpu_ms: u64,
    /// Packets read.
    pub packets: u64,
    /// Resident memory of the agent, KiB.
    pub rss_kib: u32,
    /// Starts of the agent since its state folder exists.
    pub starts: u32,
    /// Serial of the newest accepted rollout, 0 without one.
    pub serial: u64,
    /// Version of the root document in use, 0 without one.
    pub root_version: u64,
    /// Channel of the agent.
    pub channel: Channel,
    /// Updates are held on the agent.
    pub is_held: bool,
}

/// The gateway that reports, and what is in force on it. Added after [`ReleaseHealth`], which agents before it send alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceHealth {
    /// Target of the agent's build, e.g. `aarch64-unknown-linux-musl`; empty if it is not reported.
    pub target: String<TARGET_BYTES>,
    /// False-alert budget in force, alerts per 1,000 days; 0 if it is not reported.
    pub alerts_per_1000_days: u32,
    /// Serial of the newest accepted assignment, 0 without one.
    pub assignment: u64,
}

impl ReleaseHealth {
    /// Counts a scored row.
    #[inline]
    pub fn count_row(&mut self, surprise_nats: f32) {
        self.rows += 1;
        self.anomalous += u64::from(surprise_nats >= ANOMALOUS_NATS);
        let bits = surprise_nats * core::f32::consts::LOG2_E;
        // The conversion saturates: a negative number or NaN counts as 0.
        if let Some(count) = self.surprise.get_mut((bits as usize).min(SURPRISE_BINS - 1)) {
            *count = count.saturating_add(1);
        }
    }

    /// Writes both values as whole words; returns their number. None for the defaults, which an older agent means.
    pub(super) fn write(&self, device: &DeviceHealth, out: &mut [u8]) -> Result<usize, FrameError> {
        let has_device = *device != DeviceHealth::default();
        if *self == Self::default() && !has_device {
            return Ok(0);
        }
        let mut bytes = [0; WORDS * WORD_BYTES];
        let no_room = FrameError::NoRoom { room: out.len() };
        let mut length = postcard::to_slice(self, &mut bytes).map_err(|_| no_room)?.len();
        if has_device {
            let rest = bytes.get_mut(length..).ok_or(no_room)?;
            length += postcard::to_slice(device, rest).map_err(|_| no_room)?.len();
        }
        *bytes.get_mut(length).ok_or(no_room)? = END;
        let words = length / WORD_BYTES + 1;
        out.get_mut(..words * WORD_BYTES).ok_or(no_room)?.copy_from_slice(&bytes[..words * WORD_BYTES]);
        Ok(words)
    }

    /// Reads words; none mean the defaults. Ignores what a newer agent appends.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, DeviceHealth), FrameError> {
        if bytes.is_empty() {
            return Ok(Default::default());
        }
        let (value, rest) = postcard::take_from_bytes(bytes).map_err(|_| FrameError::Malformed)?;
        let (device, rest) = match rest.first() {
            Some(&END) => (DeviceHealth::default(), rest),
            _ => postcard::take_from_bytes(rest).map_err(|_| FrameError::Malformed)?,
        };
        if rest.is_empty() { Err(FrameError::Malformed) } else { Ok((value, device)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_by_their_surprise() {
        let mut health = ReleaseHealth::default();
        for surprise_nats in [0.0, 0.69, 0.7, 1.4, 4.6, 4.61, 12.0, -1.0, f32::NAN] {
            health.count_row(surprise_nats);
        }
        assert_eq!((health.rows, health.anomalous), (9, 2));
        assert_eq!(health.surprise, [4, 1, 1, 0, 0, 0, 2, 1]);
    }

    #[test]
    fn the_longest_value_fits_its_words() {
        let longest = ReleaseHealth {
            version: u64::MAX,
            rows: u64::MAX,
            anomalous: u64::MAX,
            surprise: [u32::MAX; SURPRISE_BINS],
            cpu_ms: u64::MAX,
            packets: u64::MAX,
            rss_kib: u32::MAX,
            starts: u32::MAX,
            serial: u64::MAX,
            root_version: u64::MAX,
            channel: Channel::Late,
            is_held: true,
        };
        let device = DeviceHealth {
            target: core::iter::repeat_n('t', TARGET_BYTES).collect(),
            alerts_per_1000_days: u32::MAX,
            assignment: u64::MAX,
        };
        let mut bytes = [0; WORDS * WORD_BYTES];
        assert_eq!(longest.write(&device, &mut bytes), Ok(WORDS));
        assert!(longest.write(&device, &mut [0; WORDS * WORD_BYTES - 1]).is_err());
        assert_eq!(ReleaseHealth::read(&bytes), Ok((longest, device)));
    }
}
