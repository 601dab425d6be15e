//! The kernel's packet times, which follow the wall clock through every jump → times that go on evenly.
//!
//! A gateway without a battery starts in 1970 and is set right minutes later; a bad time server may move it by decades.
//! Neither is an event in the traffic, so neither may end flows or age evidence. Steady time begins at the wall clock
//! (or at a floor, where the wall clock is plainly not set) and leaves out every step of a second or more. A step is a
//! change of the difference between wall clock and monotonic clock, so a quiet hour is none. Smaller changes, as
//! clock discipline makes them, are followed.

use lapwing_shared::units::{Nanos, Timestamp};

/// From this change on, the wall clock was set and not merely disciplined, nanoseconds.
pub const STEP_NANOS: u64 = 1_000_000_000;
/// How far a packet may lie behind the newest one or ahead of the last look and still be on the present time line.
const TOLERANCE: Nanos = Nanos(STEP_NANOS);

/// Both clocks at one moment, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Since 1970, as the wall clock says.
    pub wall: u64,
    /// Since some moment; never goes back.
    pub monotonic: u64,
}

/// See the module's text.
#[derive(Clone, Debug)]
pub struct Steady {
    /// Steady time less wall time, nanoseconds.
    shift: i64,
    /// The shift before the last step.
    before: i64,
    /// Wall clock less monotonic clock at the last look, nanoseconds.
    difference: i64,
    now: Timestamp,
    newest: Timestamp,
    steps: u64,
}

fn moved(time: u64, shift: i64) -> Timestamp {
    Timestamp::from_nanos(time.saturating_add_signed(shift))
}

fn difference(reading: Reading) -> i64 {
    i64::try_from(i128::from(reading.wall) - i128::from(reading.monotonic)).unwrap_or(i64::MAX)
}

impl Steady {
    /// Begins at the wall clock, or at `floor` where the wall clock is before it.
    pub fn new(reading: Reading, floor: Timestamp) -> Self {
        let shift = i64::try_from(floor.as_nanos().saturating_sub(reading.wall)).unwrap_or(0);
        let now = moved(reading.wall, shift);
        let difference = difference(reading);
        Self { shift, before: shift, difference, now, newest: Timestamp::EPOCH, steps: 0 }
    }

    /// Looks at the clocks; call before the packets that came until now are read. Gives the step, where there was one,
    /// in nanoseconds.
    pub fn look(&mut self, reading: Reading) -> Option<i64> {
        let difference = difference(reading);
        let step = difference.saturating_sub(self.difference);
        self.difference = difference;
        let stepped = step.unsigned_abs() >= STEP_NANOS;
        if stepped {
            self.before = self.shift;
            self.shift = self.shift.saturating_sub(step);
            self.steps += 1;
        }
        self.now = moved(reading.wall, self.shift).max(self.now);
        stepped.then_some(step)
    }

    /// Steady time of a packet.
    #[inline]
    pub fn of(&mut self, wall: Timestamp) -> Timestamp {
        let present = moved(wall.as_nanos(), self.shift);
        let steady = if self.is_plausible(present) { present } else { self.settle(wall) };
        self.newest = self.newest.max(steady);
        steady
    }

    #[inline]
    fn is_plausible(&self, time: Timestamp) -> bool {
        time.plus(TOLERANCE) >= self.newest && time <= self.now.plus(TOLERANCE)
    }

    /// A packet from before the last step, or one whose time makes no sense at all.
    #[cold]
    fn settle(&self, wall: Timestamp) -> Timestamp {
        let earlier = moved(wall.as_nanos(), self.before);
        if self.is_plausible(earlier) {
            return earlier;
        }
        moved(wall.as_nanos(), self.shift).clamp(self.newest.min(self.now), self.now)
    }

    /// Steady time at the last look.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Nanoseconds to add to a steady time to have the wall clock's as it runs now.
    pub fn to_wall(&self) -> i64 {
        self.shift.saturating_neg()
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
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
    fn without_steps_packets_keep_their_times_to_the_nanosecond() {
        let mut steady = Steady::new(at(TODAY, 5 * SECOND), Timestamp::EPOCH);
        for (after, packet) in [(1, 17), (3600, 3599 * SECOND), (3601, 3600 * SECOND + 1)] {
            assert_eq!(steady.look(at(TODAY + after * SECOND, (5 + after) * SECOND)), None);
            assert_eq!(steady.of(Timestamp::from_nanos(TODAY + packet)).as_nanos(), TODAY + packet);
        }
        assert_eq!((steady.to_wall(), steady.steps()), (0, 0));
    }

    #[test]
    fn a_jump_of_fifty_years_either_way_is_not_seen_by_packets_before_or_after_it() {
        for (jump, back) in [(50 * YEAR, false), (50 * YEAR, true)] {
            let jumped = |wall: u64| if back { wall - jump } else { wall + jump };
            let mut steady = Steady::new(at(TODAY, 0), Timestamp::EPOCH);
            steady.look(at(TODAY + 10 * SECOND, 10 * SECOND));
            steady.of(Timestamp::from_nanos(TODAY + 9 * SECOND));
            let step = steady.look(at(jumped(TODAY + 12 * SECOND), 12 * SECOND)).unwrap();
            assert_eq!(step.unsigned_abs(), jump);
            // One block holds packets of both sides of the jump.
            let before = steady.of(Timestamp::from_nanos(TODAY + 10 * SECOND + 7));
            let after = steady.of(Timestamp::from_nanos(jumped(TODAY + 11 * SECOND)));
            assert_eq!((before.as_nanos(), after.as_nanos()), (TODAY + 10 * SECOND + 7, TODAY + 11 * SECOND));
            assert_eq!(steady.now().as_nanos(), TODAY + 12 * SECOND);
            assert_eq!(after.as_nanos().saturating_add_signed(steady.to_wall()), jumped(TODAY + 11 * SECOND));
        }
    }

    #[test]
    fn a_clock_that_is_not_set_begins_at_the_floor_and_is_mended_later() {
        let floor = Timestamp::from_nanos(55 * YEAR);
        let mut steady = Steady::new(at(20 * SECOND, 20 * SECOND), floor);
        steady.look(at(30 * SECOND, 30 * SECOND));
        let packet = steady.of(Timestamp::from_secs(25));
        assert_eq!(packet, floor.plus(Nanos::from_secs(5)));
        // The time server answers: what was packet time 25 s is five seconds before now.
        steady.look(at(TODAY, 30 * SECOND));
        assert_eq!(packet.as_nanos().saturating_add_signed(steady.to_wall()), TODAY - 5 * SECOND);
        assert!(steady.of(Timestamp::from_nanos(TODAY)) >= packet);
    }

    #[test]
    fn small_corrections_are_followed_and_nonsense_is_held_to_the_present() {
        let mut steady = Steady::new(at(TODAY, 0), Timestamp::EPOCH);
        assert_eq!(steady.look(at(TODAY + SECOND + SECOND / 2, SECOND)), None);
        assert_eq!(steady.to_wall(), 0);
        for nonsense in [0, 1, u64::MAX, TODAY + 9 * YEAR, TODAY - YEAR] {
            let time = steady.of(Timestamp::from_nanos(nonsense));
            assert!(time <= steady.now(), "{nonsense}: {time}");
        }
    }

    #[test]
    fn a_quiet_hour_is_no_step() {
        let mut steady = Steady::new(at(TODAY, 0), Timestamp::EPOCH);
        steady.of(Timestamp::from_nanos(TODAY));
        assert_eq!(steady.look(at(TODAY + 3600 * SECOND, 3600 * SECOND)), None);
        assert_eq!(steady.of(Timestamp::from_nanos(TODAY + 1800 * SECOND)).as_nanos(), TODAY + 1800 * SECOND);
    }
}
