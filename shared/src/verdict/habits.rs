//! Service of a host → how surprising its flows usually are at this site, which is subtracted before they count as evidence.
//!
//! A release knows the homes that it was trained on. In another home some devices do every hour what no device did there, and
//! would raise an alert every time. What a host does again and again, on the same service, is its habit.
//!
//! A habit excuses flows like itself: neither flows that are far more surprising, nor many more of them in a [`WINDOW`].
//! Its influence is bounded, so that an attack does not teach itself: one flow in each window counts, whatever a host sends;
//! at least [`FEWEST`] windows are needed; services that appear after the first day ([`LEARNING`]) convince slowly; and never
//! more than [`USUAL_LIMIT_NATS`] are subtracted, so that the most surprising flows raise evidence in any case.
//! A full table learns no new services and counts them: whoever fills it gets the alerts of a site without habits.

mod saved;

use crate::flow::lru::{Hash, Key, LruTable};
use crate::units::{Address, Nanos, Timestamp};
use crate::verdict::alert::Role;
pub use saved::{SAVED_BYTES, SAVED_SERVICES, SavedError};

/// One flow of a service counts in each window of this length.
pub const WINDOW: Nanos = Nanos::from_secs(900);
/// Time after the first flow in which a new service is more likely a habit of the site than an attack.
pub const LEARNING: Nanos = Nanos::from_secs(86_400);
/// A service that was silent for this long makes room for a new one if the table is full.
pub const IDLE: Nanos = Nanos::from_secs(86_400);
/// Most that is subtracted, nats.
pub const USUAL_LIMIT_NATS: f32 = 6.0;
/// Fewest windows from which a habit counts: for a service of the first day, and for a later one.
pub const FEWEST: [u16; 2] = [2, 6];
/// Windows after which half of a habit counts, likewise.
const HALF: [f32; 2] = [2.0, 16.0];
/// Mean surprise of ordinary flows of a calibrated release, which nothing is subtracted for: that of Exp(1).
const ORDINARY_NATS: f32 = 1.0;
/// Flows up to this far above the mean are part of the habit.
const NEAR_NATS: f32 = 2.0;
/// Flows from here on are not.
const FAR_NATS: f32 = 6.0;
/// A flow of at least this surprise counts towards the number that is usual.
const SURPRISING_NATS: f32 = 2.0;
/// A habit excuses this multiple of the most surprising flows that a window had.
const MORE_FLOWS: f32 = 4.0;
/// The mean forgets with this number of windows.
const MEMORY: u16 = 16;
/// Ports from here on are one service: clients choose them.
const FIRST_CLIENT_PORT: u16 = 10_000;

/// A service of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Service {
    host: Address,
    /// The responder's port, and the host's role above it.
    port_and_role: u32,
}

impl Service {
    fn new(host: Address, role: Role, port: u16) -> Self {
        let port = u32::from(port.min(FIRST_CLIENT_PORT));
        Self { host, port_and_role: port | u32::from(role == Role::Target) << 16 }
    }
}

impl Key<3> for Service {
    fn words(&self) -> [u64; 3] {
        let [high, low] = self.host.words();
        [high, low, u64::from(self.port_and_role)]
    }
}

/// How surprising the flows of a service are, and how many are.
#[derive(Clone, Copy, Debug, Default)]
struct Habit {
    /// Of the first flow of each window.
    mean_nats: f32,
    /// Most surprising flows in a window, slowly forgotten.
    most_flows: f32,
    windows: u16,
    /// Surprising flows in the newest window.
    flows: u16,
    /// First seen after the first day.
    is_late: bool,
    /// Beginning of the newest window.
    window: Timestamp,
    last: Timestamp,
}

impl Habit {
    /// What is subtracted from a flow's surprise: nothing from flows far above the habit, or more of them than usual.
    fn excused_nats(&self, surprise_nats: f32) -> f32 {
        if f32::from(self.flows) > self.flows_limit() {
            return 0.0;
        }
        let above = surprise_nats - self.mean_nats;
        self.usual_nats() * ((FAR_NATS - above) / (FAR_NATS - NEAR_NATS)).clamp(0.0, 1.0)
    }

    /// Surprising flows in a window that can be a habit.
    fn flows_limit(&self) -> f32 {
        MORE_FLOWS * self.most_flows.max(1.0)
    }

    fn usual_nats(&self) -> f32 {
        let late = usize::from(self.is_late);
        if self.windows < FEWEST[late] {
            return 0.0;
        }
        let windows = f32::from(self.windows);
        let share = windows / (windows + HALF[late]);
        (share * (self.mean_nats - ORDINARY_NATS)).clamp(0.0, USUAL_LIMIT_NATS)
    }

    /// Begins a window if it is time; true if so.
    fn begin_window(&mut self, at: Timestamp) -> bool {
        self.last = at;
        // A clock that was set back begins a window, so that learning goes on.
        if self.windows > 0 && at >= self.window && at.since(self.window) < WINDOW {
            return false;
        }
        let faded = self.most_flows * (1.0 - 1.0 / f32::from(MEMORY));
        // A burst teaches no more than what it was allowed.
        self.most_flows = f32::from(self.flows).min(self.flows_limit()).max(faded);
        (self.window, self.flows) = (at, 0);
        true
    }

    fn learn(&mut self, is_first: bool, surprise_nats: f32) {
        self.flows = self.flows.saturating_add(u16::from(surprise_nats >= SURPRISING_NATS));
        if is_first {
            self.windows = self.windows.saturating_add(1);
            self.mean_nats += (surprise_nats - self.mean_nats) / f32::from(self.windows.min(MEMORY));
        }
    }
}

/// Counts of services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HabitCounters {
    /// Services in the table.
    pub services: u32,
    /// Services with a habit: something is subtracted from the surprise of their flows.
    pub habits: u32,
    /// Flows of services that a full table did not learn.
    pub turned_away: u64,
    /// Time until the end of the first day, as of the newest flow; seconds.
    pub learning_left_s: u64,
}

/// Habits of a bounded number of services.
pub struct Habits {
    services: LruTable<Service, Habit, 3>,
    /// Release that the means are of.
    release: u64,
    /// Rest of the first day when this run began.
    learning_left: Nanos,
    started: Timestamp,
    newest: Timestamp,
    habits: u32,
    turned_away: u64,
}

impl Habits {
    /// For `capacity` services. Allocates all its memory here (about 80 bytes for each).
    pub fn new(capacity: usize, hash_seed: u64) -> Self {
        Self {
            services: LruTable::new(capacity, hash_seed),
            release: 0,
            learning_left: LEARNING,
            started: Timestamp::EPOCH,
            newest: Timestamp::EPOCH,
            habits: 0,
            turned_away: 0,
        }
    }

    /// Counts since creation.
    pub fn counters(&self) -> HabitCounters {
        HabitCounters {
            services: u32::try_from(self.services.len()).unwrap_or(u32::MAX),
            habits: self.habits,
            turned_away: self.turned_away,
            learning_left_s: self.started.plus(self.learning_left).as_secs().saturating_sub(self.newest.as_secs()),
        }
    }

    /// Learns from a flow, as the tracker does for each one.
    pub fn learn(&mut self, host: &Address, role: Role, port: u16, at: Timestamp, surprise_nats: f32) {
        let _ = self.usual_nats(host, role, port, at, surprise_nats);
    }

    /// How much of a flow's surprise is usual for this service, nats; then learns from the flow.
    pub(crate) fn usual_nats(
        &mut self,
        host: &Address,
        role: Role,
        port: u16,
        at: Timestamp,
        surprise_nats: f32,
    ) -> f32 {
        // A clock that was set, or set back, does not end the first day.
        if self.newest == Timestamp::EPOCH {
            self.touch_loaded(at);
            self.started = at;
        }
        self.started = self.started.min(at);
        self.newest = at;
        let service = Service::new(*host, role, port);
        let slot = match self.services.find_or_hash(&service) {
            Ok(slot) => slot,
            Err(hash) => match self.admit(&service, hash, at) {
                Some(slot) => {
                    self.services.value_mut(slot).is_late = at > self.started.plus(self.learning_left);
                    slot
                }
                None => return 0.0,
            },
        };
        self.services.touch(slot);
        let habit = self.services.value_mut(slot);
        let is_first = habit.begin_window(at);
        let (excused_nats, before) = (habit.excused_nats(surprise_nats), habit.usual_nats() > 0.0);
        habit.learn(is_first, surprise_nats);
        let after = habit.usual_nats() > 0.0;
        self.habits = self.habits.saturating_add(u32::from(after)).saturating_sub(u32::from(before));
        excused_nats
    }

    /// A place for a service; `None` if all are taken by services that were seen within [`IDLE`].
    #[inline(never)]
    fn admit(&mut self, service: &Service, hash: Hash, at: Timestamp) -> Option<u32> {
        if self.services.is_full()
            && let Some(oldest) = self.services.oldest()
        {
            let habit = self.services.value(oldest);
            if at.since(habit.last) < IDLE {
                self.turned_away += 1;
                return None;
            }
            self.habits = self.habits.saturating_sub(u32::from(habit.usual_nats() > 0.0));
            self.services.remove(oldest);
        }
        self.services.insert(service, hash)
    }

    /// Release whose surprises come next. After a change, every mean counts as one window, so that the next ones replace it
    /// soon.
    #[inline]
    pub(crate) fn follow(&mut self, release: u64) {
        if self.release != release {
            self.release_changed(release);
        }
    }

    #[inline(never)]
    fn release_changed(&mut self, release: u64) {
        self.release = release;
        let mut next = self.services.oldest();
        while let Some(slot) = next {
            let habit = self.services.value_mut(slot);
            habit.windows = habit.windows.min(1);
            next = self.services.newer(slot);
        }
        self.habits = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const MINUTE_S: u64 = 60;
    const DAY_S: u64 = 86_400;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(1_600_000_000_000_000_000 + seconds * 1_000_000_000)
    }

    fn host(number: u8) -> Address {
        Address::from_v4([192, 0, 2, number])
    }

    /// What is usual at 443 of a host, asked by a flow of 9 nats.
    fn ask(habits: &mut Habits, seconds: u64) -> f32 {
        habits.usual_nats(&host(1), Role::Source, 443, at(seconds), 9.0)
    }

    /// Services, habits, and flows turned away.
    fn counts(habits: &Habits) -> (u32, u32, u64) {
        let counters = habits.counters();
        (counters.services, counters.habits, counters.turned_away)
    }

    #[test]
    fn what_a_host_does_every_hour_becomes_its_habit() {
        let mut habits = Habits::new(16, 1);
        let usual: Vec<f32> = (0..6).map(|hour| ask(&mut habits, hour * 3600)).collect();
        assert_eq!(usual[..2], [0.0, 0.0]);
        assert_eq!(usual[2], 4.0, "half of what is above ordinary after two windows");
        assert!(usual[5] > usual[2] && usual[5] < USUAL_LIMIT_NATS, "{usual:?}");
        assert_eq!(counts(&habits), (1, 1, 0));
        for (number, role, port) in [(2, Role::Source, 443), (1, Role::Target, 443), (1, Role::Source, 80)] {
            assert_eq!(habits.usual_nats(&host(number), role, port, at(6 * 3600), 9.0), 0.0, "another service");
        }
    }

    #[test]
    fn a_burst_teaches_once_in_a_window_and_ordinary_flows_are_no_habit() {
        let mut habits = Habits::new(16, 1);
        assert!((0..100_000).all(|flow| ask(&mut habits, flow * 14 * MINUTE_S / 100_000) == 0.0));
        for hour in 0..100 {
            assert_eq!(habits.usual_nats(&host(2), Role::Source, 443, at(hour * 3600), 0.9), 0.0);
        }
    }

    #[test]
    fn flows_far_above_the_habit_are_not_excused() {
        let mut habits = Habits::new(16, 1);
        for hour in 0..100 {
            habits.usual_nats(&host(1), Role::Source, 443, at(hour * 3600), 5.0);
        }
        let mut excused = |nats: f32| habits.usual_nats(&host(1), Role::Source, 443, at(100 * 3600), nats);
        let usual = excused(5.0);
        assert!(usual > 3.5, "{usual}");
        assert!((excused(7.0) - usual).abs() < 0.01, "up to 2 nats above the mean");
        assert!((excused(9.0) - usual / 2.0).abs() < 0.1, "half at 4");
        assert_eq!(excused(11.1), 0.0, "nothing from 6 on");
    }

    #[test]
    fn many_more_flows_than_usual_are_not_excused_and_raise_the_limit_slowly() {
        let mut habits = Habits::new(16, 1);
        for hour in 0..100 {
            ask(&mut habits, hour * 3600);
        }
        let mut excused = |hour: u64| (0..1000).filter(|_| ask(&mut habits, hour * 3600) > 0.0).count();
        assert_eq!(excused(100), 5, "the first flow, and four times the usual one");
        assert_eq!(excused(101), 17);
    }

    #[test]
    fn no_more_than_the_limit_is_subtracted_however_long_it_lasts() {
        let mut habits = Habits::new(16, 1);
        let most = (0..10_000).map(|hour| habits.usual_nats(&host(1), Role::Source, 443, at(hour * 3600), 12.0));
        assert_eq!(most.fold(0.0, f32::max), USUAL_LIMIT_NATS);
    }

    #[test]
    fn a_service_that_appears_after_the_first_day_convinces_slowly() {
        let mut habits = Habits::new(16, 1);
        habits.usual_nats(&host(9), Role::Source, 53, at(0), 0.0);
        assert_eq!(habits.counters().learning_left_s, DAY_S);
        let usual: Vec<f32> = (0..17).map(|hour| ask(&mut habits, DAY_S + 1 + hour * 3600)).collect();
        assert_eq!(usual[..6], [0.0; 6]);
        assert!((2.0..2.5).contains(&usual[6]), "{usual:?}");
        assert_eq!(usual[16], 4.0, "half after sixteen windows");
    }

    #[test]
    fn a_habit_fades_when_its_flows_become_ordinary() {
        let mut habits = Habits::new(16, 1);
        (0..50).for_each(|hour| {
            let _ = ask(&mut habits, hour * 3600);
        });
        for hour in 50..150 {
            habits.usual_nats(&host(1), Role::Source, 443, at(hour * 3600), 0.5);
        }
        assert_eq!(habits.counters().habits, 0);
        assert_eq!(ask(&mut habits, 150 * 3600), 0.0);
    }

    #[test]
    fn a_full_table_learns_nothing_new_until_a_service_is_idle() {
        let mut habits = Habits::new(4, 1);
        for hour in 0..3 {
            for number in 0..4 {
                habits.usual_nats(&host(number), Role::Source, 443, at(hour * 3600), 9.0);
            }
        }
        for port in 1..1000 {
            assert_eq!(habits.usual_nats(&host(77), Role::Target, port, at(3 * 3600), 12.0), 0.0);
        }
        assert_eq!(counts(&habits), (4, 4, 999));
        assert!(ask(&mut habits, 4 * 3600) > 0.0, "what was learned stays");
        habits.usual_nats(&host(77), Role::Target, 1, at(3 * 3600 + 2 * DAY_S), 12.0);
        assert_eq!(counts(&habits), (4, 3, 999));
    }

    #[test]
    fn after_a_change_of_release_the_next_window_replaces_half() {
        let mut habits = Habits::new(16, 1);
        (0..50).for_each(|hour| {
            let _ = ask(&mut habits, hour * 3600);
        });
        habits.follow(2);
        assert_eq!(habits.counters().habits, 0);
        assert_eq!(habits.usual_nats(&host(1), Role::Source, 443, at(50 * 3600), 1.0), 0.0);
        assert_eq!(habits.usual_nats(&host(1), Role::Source, 443, at(51 * 3600), 1.0), 2.0, "mean 5 of two windows");
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_end_learning() {
        let mut habits = Habits::new(16, 1);
        (10..13).for_each(|hour| {
            let _ = ask(&mut habits, hour * 3600);
        });
        (0..3).for_each(|hour| {
            let _ = ask(&mut habits, hour * 3600);
        });
        assert!(ask(&mut habits, 4 * 3600) > 4.0);
    }
}
