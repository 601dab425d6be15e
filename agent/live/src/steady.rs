//! The kernel's packet times, which jump with the wall clock → times without jumps.
//!
//! A gateway without a battery-backed clock starts in 1970 and sets its clock minutes later; a bad time server may move
//! it by decades. Neither is an event in the traffic, so neither may end flows or age evidence. Steady time starts at
//! the wall clock, or at a floor if the wall clock is not set, and ignores every step of a second or more. A step is a
//! change of the difference between wall clock and monotonic clock, so an hour without packets is not a step. Steady
//! time follows smaller changes, such as those of clock discipline.

use lapwing_shared::units::{Nanos, Timestamp};

/// Smallest change that counts as a step (wall clock set, not disciplined), nanoseconds.
pub(crate) const STEP_NANOS: u64 = 1_000_000_000;
/// How far a packet's time may lie behind the newest packet or ahead of the last update without belonging to the time
/// before a step.
const TOLERANCE: Nanos = Nanos(STEP_NANOS);

/// Both clocks at one moment, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Wall clock, since 1970.
    pub wall: u64,
    /// Monotonic clock, since an arbitrary moment.
    pub monotonic: u64,
}

/// Converts wall clock times to steady times; see the module's documentation.
#[derive(Clone, Debug)]
pub struct Steady {
    /// Steady time minus wall time, nanoseconds.
    shift: i64,
    /// The shift before the last step.
    before: i64,
    /// Wall clock minus monotonic clock at the last update, nanoseconds.
    difference: i64,
    now: Timestamp,
    newest: Timestamp,
    steps: u64,
}

fn shifted(time: u64, shift: i64) -> Timestamp {
    Timestamp::from_nanos(time.saturating_add_signed(shift))
}

fn difference(reading: Reading) -> i64 {
    i64::try_from(i128::from(reading.wall) - i128::from(reading.monotonic)).unwrap_or(i64::MAX)
}

impl Steady {
    /// Starts at the wall clock, or at `floor` if that is later.
    pub fn new(reading: Reading, floor: Timestamp) -> Self {
        let shift = i64::try_from(floor.as_nanos().saturating_sub(reading.wall)).unwrap_or(0);
        let now = shifted(reading.wall, shift);
        let difference = difference(reading);
        Self { shift, before: shift, difference, now, newest: Timestamp::EPOCH, steps: 0 }
    }

    /// Updates from a clock reading; call it before reading the packets received until now. Returns a step of the wall
    /// clock, nanoseconds.
    pub fn update(&mut self, reading: Reading) -> Option<i64> {
        let difference = difference(reading);
        let step = difference.saturating_sub(self.difference);
        self.difference = difference;
        let stepped = step.unsigned_abs() >= STEP_NANOS;
        if stepped {
            self.before = self.shift;
            self.shift = self.shift.saturating_sub(step);
            self.steps += 1;
        }
        self.now = shifted(reading.wall, self.shift).max(self.now);
        stepped.then_some(step)
    }

    /// Steady time of a packet.
    #[inline]
    pub fn of(&mut self, wall: Timestamp) -> Timestamp {
        let present = shifted(wall.as_nanos(), self.shift);
        let steady = if self.is_plausible(present) { present } else { self.plausible(wall) };
        self.newest = self.newest.max(steady);
        steady
    }

    #[inline]
    fn is_plausible(&self, time: Timestamp) -> bool {
        time.plus(TOLERANCE) >= self.newest && time <= self.now.plus(TOLERANCE)
    }

    /// A plausible time for a packet from before the last step, or with an implausible time.
    #[cold]
    fn plausible(&self, wall: Timestamp) -> Timestamp {
        let earlier = shifted(wall.as_nanos(), self.before);
        if self.is_plausible(earlier) {
            return earlier;
        }
        shifted(wall.as_nanos(), self.shift).clamp(self.newest.min(self.now), self.now)
    }

    /// Steady time at the last update.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Nanoseconds to add to a steady time to get the current wall clock's time.
    pub fn to_wall(&self) -> i64 {
        self.shift.saturating_neg()
    }

    /// Number of steps so far.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const YEAR: u64 = 365 * 86_400 * SECOND;
    const TODAY: u64 = 56 * YEAR;

    fn at(wall: u64, monotonic: u64) -> Reading {
        Reading { wall, monotonic }
    }

    #[test]
    fn packet_times_are_unchanged_without_steps() {
        let mut steady = Steady::new(at(TODAY, 5 * SECOND), Timestamp::EPOCH);
        for (after, packet) in [(1, 17), (3600, 3599 * SECOND), (3601, 3600 * SECOND + 1)] {
            assert_eq!(steady.update(at(TODAY + after * SECOND, (5 + after) * SECOND)), None);
            assert_eq!(steady.of(Timestamp::from_nanos(TODAY + packet)).as_nanos(), TODAY + packet);
        }
        assert_eq!((steady.to_wall(), steady.steps()), (0, 0));
    }

    #[test]
    fn a_jump_of_fifty_years_changes_no_packet_time() {
        for (jump, back) in [(50 * YEAR, false), (50 * YEAR, true)] {
            let jumped = |wall: u64| if back { wall - jump } else { wall + jump };
            let mut steady = Steady::new(at(TODAY, 0), Timestamp::EPOCH);
            steady.update(at(TODAY + 10 * SECOND, 10 * SECOND));
            steady.of(Timestamp::from_nanos(TODAY + 9 * SECOND));
            let step = steady.update(at(jumped(TODAY + 12 * SECOND), 12 * SECOND)).unwrap();
            assert_eq!(step.unsigned_abs(), jump);
            // One block contains packets from before and after the jump.
            let before = steady.of(Timestamp::from_nanos(TODAY + 10 * SECOND + 7));
            let after = steady.of(Timestamp::from_nanos(jumped(TODAY + 11 * SECOND)));
            assert_eq!((before.as_nanos(), after.as_nanos()), (TODAY + 10 * SECOND + 7, TODAY + 11 * SECOND));
            assert_eq!(steady.now().as_nanos(), TODAY + 12 * SECOND);
            assert_eq!(after.as_nanos().saturating_add_signed(steady.to_wall()), jumped(TODAY + 11 * SECOND));
        }
    }

    #[test]
    fn an_unset_clock_starts_at_the_floor_and_is_corrected_later() {
        let floor = Timestamp::from_nanos(55 * YEAR);
        let mut steady = Steady::new(at(20 * SECOND, 20 * SECOND), floor);
        steady.update(at(30 * SECOND, 30 * SECOND));
        let packet = steady.of(Timestamp::from_secs(25));
        assert_eq!(packet, floor.plus(Nanos::from_secs(5)));
        // The time server answers: the packet's time of 25 s is five seconds before now.
        steady.update(at(TODAY, 30 * SECOND));
        assert_eq!(packet.as_nanos().saturating_add_signed(steady.to_wall()), TODAY - 5 * SECOND);
        assert!(steady.of(Timestamp::from_nanos(TODAY)) >= packet);
    }

    #[test]
    fn small_corrections_are_followed_and_implausible_times_are_clamped() {
        let mut steady = Steady::new(at(TODAY, 0), Timestamp::EPOCH);
        assert_eq!(steady.update(at(TODAY + SECOND + SECOND / 2, SECOND)), None);
        assert_eq!(steady.to_wall(), 0);
        for implausible in [0, 1, u64::MAX, TODAY + 9 * YEAR, TODAY - YEAR] {
            let time = steady.of(Timestamp::from_nanos(implausible));
            assert!(time <= steady.now(), "{implausible}: {time}");
        }
    }

    #[test]
    fn an_hour_without_packets_is_not_a_step() {
        let mut steady = Steady::new(at(TODAY, 0), Timestamp::EPOCH);
        steady.of(Timestamp::from_nanos(TODAY));
        assert_eq!(steady.update(at(TODAY + 3600 * SECOND, 3600 * SECOND)), None);
        assert_eq!(steady.of(Timestamp::from_nanos(TODAY + 1800 * SECOND)).as_nanos(), TODAY + 1800 * SECOND);
    }
}
