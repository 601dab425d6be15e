//! Habits ↔ bytes, so that a restart does not begin the first day again.
//!
//! [`MAGIC`], release (u64), rest of the first day in seconds (u32), number of services (u16), for each service its host (16
//! bytes), port, role and lateness (u32), windows (u8), mean surprise in [`STEPS_PER_NAT`]ths of a nat (u8), most flows (u8);
//! then the first 8 bytes of the SHA-256 of all before. Numbers are little-endian.

use super::{Habit, Habits, LEARNING, Service};
use crate::units::{Address, Nanos, Timestamp};
use alloc::vec::Vec;
use core::fmt;
use sha2::{Digest, Sha256};

const MAGIC: &[u8; 8] = b"lwhabit1";
const HEADER_BYTES: usize = 8 + 8 + 4 + 2;
const SERVICE_BYTES: usize = 16 + 4 + 3;
const DIGEST_BYTES: usize = 8;
/// Most services that are saved: those that were seen last, of those with at least two windows.
pub const SAVED_SERVICES: usize = 256;
/// Largest size, bytes.
pub const SAVED_BYTES: usize = HEADER_BYTES + SAVED_SERVICES * SERVICE_BYTES + DIGEST_BYTES;
/// Windows from which a service is worth saving.
const FEWEST_SAVED: u16 = 2;
const STEPS_PER_NAT: f32 = 20.0;
const LATE: u32 = 1 << 17;

/// Saved habits are damaged, or of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavedError;

impl fmt::Display for SavedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not the habits that an agent of this version saves")
    }
}

impl core::error::Error for SavedError {}

impl Habits {
    /// The habits as bytes, at most [`SAVED_BYTES`].
    pub fn save(&self) -> Vec<u8> {
        let slots = core::iter::successors(self.services.oldest(), |slot| self.services.newer(*slot));
        let worth = slots.filter(|slot| self.services.value(*slot).windows >= FEWEST_SAVED);
        let count = worth.clone().count();
        let saved = worth.skip(count.saturating_sub(SAVED_SERVICES));
        let mut bytes = Vec::with_capacity(SAVED_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.release.to_le_bytes());
        bytes.extend_from_slice(&(self.counters().learning_left_s as u32).to_le_bytes());
        bytes.extend_from_slice(&(count.min(SAVED_SERVICES) as u16).to_le_bytes());
        for slot in saved {
            let (service, habit) = (self.services.key(slot), self.services.value(slot));
            let late = if habit.is_late { LATE } else { 0 };
            bytes.extend_from_slice(&service.host.0);
            bytes.extend_from_slice(&(service.port_and_role | late).to_le_bytes());
            // Casts of floats saturate.
            let windows = habit.windows.min(u16::from(u8::MAX)) as u8;
            bytes.extend_from_slice(&[windows, (habit.mean_nats * STEPS_PER_NAT) as u8, habit.most_flows as u8]);
        }
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest[..DIGEST_BYTES]);
        bytes
    }

    /// Takes up what an earlier run has saved; call it before the first flow.
    ///
    /// # Errors
    /// When the bytes are damaged; nothing changes then.
    pub fn load(&mut self, bytes: &[u8]) -> Result<(), SavedError> {
        let (content, digest) = bytes.split_last_chunk::<DIGEST_BYTES>().ok_or(SavedError)?;
        let (header, services) = content.split_at_checked(HEADER_BYTES).ok_or(SavedError)?;
        let (records, rest) = services.as_chunks::<SERVICE_BYTES>();
        let is_whole = header.starts_with(MAGIC) && rest.is_empty() && records.len() <= SAVED_SERVICES;
        if !is_whole || Sha256::digest(content)[..DIGEST_BYTES] != digest[..] {
            return Err(SavedError);
        }
        let release = header[8..16].try_into().map_err(|_| SavedError)?;
        let left_s = header[16..20].try_into().map_err(|_| SavedError)?;
        self.release = u64::from_le_bytes(release);
        self.learning_left = Nanos::from_secs(u64::from(u32::from_le_bytes(left_s))).min(LEARNING);
        records.iter().for_each(|record| self.load_service(record));
        Ok(())
    }

    fn load_service(&mut self, record: &[u8; SERVICE_BYTES]) {
        let (Some((host, rest)), false) = (record.split_first_chunk::<16>(), self.services.is_full()) else { return };
        let &[a, b, c, d, windows, mean, flows] = rest else { return };
        let port_and_role = u32::from_le_bytes([a, b, c, d]);
        let service = Service { host: Address(*host), port_and_role: port_and_role & !LATE };
        let Some((slot, _)) = self.services.find_or_insert(&service) else { return };
        *self.services.value_mut(slot) = Habit {
            mean_nats: f32::from(mean) / STEPS_PER_NAT,
            most_flows: f32::from(flows),
            windows: u16::from(windows),
            is_late: port_and_role & LATE != 0,
            ..Habit::default()
        };
        self.habits += u32::from(self.services.value(slot).usual_nats() > 0.0);
    }

    /// At the first flow of a run, loaded services count as seen just now, so that new ones do not displace them.
    pub(super) fn touch_loaded(&mut self, at: Timestamp) {
        let mut next = self.services.oldest();
        while let Some(slot) = next {
            self.services.value_mut(slot).last = at;
            next = self.services.newer(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::alert::Role;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(1_600_000_000_000_000_000 + seconds * 1_000_000_000)
    }

    fn learned(services: u16) -> Habits {
        let mut habits = Habits::new(1024, 1);
        habits.follow(7);
        for hour in 0..12 {
            for port in 0..services {
                habits.usual_nats(&Address::from_v4([192, 0, 2, 1]), Role::Target, port, at(hour * 3600), 8.0);
            }
        }
        habits
    }

    #[test]
    fn habits_and_the_first_day_go_on_after_a_restart() {
        let mut before = learned(3);
        let bytes = before.save();
        let mut after = Habits::new(1024, 2);
        after.load(&bytes).unwrap();
        assert_eq!(after.counters(), before.counters());
        assert_eq!(after.counters().learning_left_s, 13 * 3600);
        after.follow(7);
        let ask = |habits: &mut Habits, role, hours: u64| {
            habits.usual_nats(&Address::from_v4([192, 0, 2, 1]), role, 2, at(hours * 3600), 8.0)
        };
        let expected = ask(&mut before, Role::Target, 12);
        assert!((ask(&mut after, Role::Target, 500) - expected).abs() < 0.05, "{expected}");
        assert_eq!(ask(&mut after, Role::Source, 500), 0.0);
        assert_eq!(after.counters().learning_left_s, 13 * 3600, "time that the agent was off does not count");
    }

    #[test]
    fn after_a_restart_with_another_release_half_is_forgotten() {
        let mut after = Habits::new(1024, 2);
        after.load(&learned(3).save()).unwrap();
        after.follow(8);
        assert_eq!(after.counters().habits, 0);
    }

    #[test]
    fn the_services_seen_last_are_saved_within_the_limit() {
        let bytes = learned(900).save();
        assert_eq!(bytes.len(), SAVED_BYTES);
        let mut after = Habits::new(64, 2);
        after.load(&bytes).unwrap();
        assert_eq!(after.counters().services, 64, "a smaller table takes what fits");
        assert_eq!(Habits::new(8, 1).save().len(), HEADER_BYTES + DIGEST_BYTES);
    }

    #[test]
    fn damaged_bytes_change_nothing() {
        let bytes = learned(3).save();
        let mut habits = Habits::new(8, 1);
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            assert_eq!(habits.load(&changed), Err(SavedError), "byte {index}");
            assert_eq!(habits.load(&bytes[..index]), Err(SavedError));
        }
        assert_eq!(habits.counters().services, 0);
    }
}
