//! Habits that outlast a restart.

use super::{Listener, Scoring};
use lapwing_shared::units::Timestamp;
use lapwing_shared::verdict::habits::Habits;

/// Keeps habits over restarts.
pub(crate) trait HabitKeeper: Send {
    /// Loads those of the last run.
    fn load(&mut self, habits: &mut Habits);
    /// Writes them if it is time.
    fn write_if_due(&mut self, habits: &Habits, now: Timestamp);
    /// Writes them.
    fn write(&mut self, habits: &Habits);
}

impl<L: Listener> Scoring<L> {
    /// Loads habits, and has them written from time to time and at the end.
    pub(crate) fn keep_habits(&mut self, mut keeper: Box<dyn HabitKeeper>) {
        if let Some(habits) = self.tracker.habits_mut() {
            keeper.load(habits);
            self.habit_keeper = Some(keeper);
        }
    }

    /// Has the habits written: if it is time, or at the end.
    pub(super) fn write_habits(&mut self, now: Option<Timestamp>) {
        if let (Some(keeper), Some(habits)) = (&mut self.habit_keeper, self.tracker.habits()) {
            match now {
                Some(now) => keeper.write_if_due(habits, now),
                None => keeper.write(habits),
            }
        }
    }
}
