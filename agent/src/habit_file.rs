//! Habits ↔ a file of the state folder: they and the first day go on after a restart.

use crate::disk::Disk;
use crate::scoring::HabitKeeper;
use lapwing_shared::units::{Nanos, Timestamp};
use lapwing_shared::verdict::habits::{Habits, SAVED_BYTES};

/// Name of the file, in the folder that outlasts a reboot.
pub(crate) const FILE: &str = "habits";
/// Interval between two writes, of capture time: four times 6 kB a day.
const INTERVAL: Nanos = Nanos::from_secs(6 * 3600);

/// The file.
pub(crate) struct HabitFile<D> {
    disk: D,
    written: Option<Timestamp>,
}

impl<D: Disk> HabitFile<D> {
    /// The file in this folder.
    pub(crate) fn new(disk: D) -> Self {
        Self { disk, written: None }
    }
}

impl<D: Disk + Send> HabitKeeper for HabitFile<D> {
    /// A file that is missing or cannot be used is the same as a first start.
    fn load(&mut self, habits: &mut Habits) {
        let loaded = match self.disk.read(FILE, SAVED_BYTES) {
            Ok(Some(bytes)) => habits.load(&bytes).map_err(|error| error.to_string()),
            Ok(None) => return,
            Err(error) => Err(error.to_string()),
        };
        match loaded {
            Ok(()) => tracing::info!(services = habits.counters().services, "habits of the last run loaded"),
            Err(error) => tracing::warn!(file = FILE, error, "not used; what is usual here is learned again"),
        }
    }

    fn write_if_due(&mut self, habits: &Habits, now: Timestamp) {
        let written = *self.written.get_or_insert(now);
        if now < written || now.since(written) >= INTERVAL {
            self.written = Some(now);
            self.write(habits);
        }
    }

    /// The run goes on without it, so a failure is a warning; the disk counts it.
    fn write(&mut self, habits: &Habits) {
        if habits.counters().services == 0 {
            return;
        }
        if let Err(error) = self.disk.replace(FILE, &habits.save()) {
            tracing::warn!(file = FILE, %error, "habits not written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::power::{Cut, PowerDisk};
    use lapwing_shared::units::Address;
    use lapwing_shared::verdict::alert::Role;

    fn at(hours: u64) -> Timestamp {
        Timestamp::from_secs(1_600_000_000 + hours * 3600)
    }

    /// Habits of this number of services.
    fn learned(services: u16) -> Habits {
        let mut habits = Habits::new(64, 1);
        for hour in 0..4 {
            for port in 0..services {
                habits.learn(&Address::from_v4([192, 0, 2, 1]), Role::Source, port, at(hour), 8.0);
            }
        }
        habits
    }

    fn loaded(disk: PowerDisk) -> u32 {
        let mut habits = Habits::new(64, 2);
        HabitFile::new(disk).load(&mut habits);
        habits.counters().habits
    }

    #[test]
    fn a_power_cut_at_any_operation_leaves_the_habits_before_or_after_it() {
        let mut file = HabitFile::new(PowerDisk::default());
        file.write(&learned(2));
        let start = file.disk;
        for cut in [Cut::NothingPending, Cut::TornFiles] {
            for left in 0.. {
                let mut file = HabitFile::new(PowerDisk { left: Some(left), ..start.clone() });
                file.write(&learned(5));
                let is_whole = file.disk.left != Some(0);
                let habits = loaded(file.disk.after(cut));
                assert!(habits == 5 || !is_whole && habits == 2, "{cut:?} after {left}: {habits}");
                if is_whole {
                    assert!(left >= 4, "a replacement takes more operations than that");
                    break;
                }
            }
        }
    }

    #[test]
    fn habits_are_written_four_times_a_day_and_damaged_ones_are_not_loaded() {
        let mut file = HabitFile::new(PowerDisk::default());
        let (habits, mut writes, mut done) = (learned(2), 0, 0);
        for minutes in 0..=24 * 60 {
            file.write_if_due(&habits, Timestamp::from_secs(1_600_000_000 + minutes * 60));
            writes += usize::from(file.disk.done > done);
            done = file.disk.done;
        }
        assert_eq!(writes, 4);
        assert_eq!(loaded(file.disk.clone()), 2);
        file.disk.damage(FILE, |bytes| bytes.truncate(30));
        assert_eq!(loaded(file.disk.clone()), 0);
        file.disk.damage(FILE, |bytes| bytes.resize(SAVED_BYTES + 1, 0));
        assert_eq!(loaded(file.disk), 0);
    }
}
