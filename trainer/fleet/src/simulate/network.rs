//! Events in virtual time: messages on their way, and what homes do.

use super::home::Report;
use super::random::Random;
use lapwing_shared::rollout::message::Rollout;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Length of a step of the simulation, seconds.
pub(super) const TICK_S: u64 = 600;

/// Something that happens to an agent.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A rollout arrives at it.
    Rollout(Arc<Rollout>),
    /// Its report arrives at the trainer.
    Report(Report),
    /// It has something to do.
    Wake,
    /// It goes offline or comes online.
    Toggle,
    /// Its power is cut for a moment.
    PowerCut,
}

/// Events by time.
#[derive(Debug, Default)]
pub(super) struct Queue(BTreeMap<u64, Vec<(usize, Event)>>);

impl Queue {
    /// Adds an event at a time, rounded up to the next step after `now_s`.
    pub(super) fn add(&mut self, now_s: u64, at_s: u64, agent: usize, event: Event) {
        let tick = at_s.max(now_s + 1).div_ceil(TICK_S);
        self.0.entry(tick).or_default().push((agent, event));
    }

    /// The events that are due.
    pub(super) fn due(&mut self, now_s: u64) -> Vec<(usize, Event)> {
        let later = self.0.split_off(&(now_s / TICK_S + 1));
        std::mem::replace(&mut self.0, later).into_values().flatten().collect()
    }

    /// Sends a rollout to an online agent. Lost ones arrive at a later connection; some arrive twice, the second time after
    /// newer ones.
    pub(super) fn send(&mut self, now_s: u64, agent: usize, rollout: &Arc<Rollout>, loss: f64, random: &mut Random) {
        let event = || Event::Rollout(Arc::clone(rollout));
        let delay_s = if random.chance(loss) { random.exponential(21_600.0) } else { random.exponential(60.0) };
        self.add(now_s, now_s + delay_s as u64, agent, event());
        if random.chance(loss) {
            self.add(now_s, now_s + random.exponential(43_200.0) as u64, agent, event());
        }
    }

    /// Sends a report to the trainer; the agent repeats it until it is acknowledged.
    pub(super) fn report(&mut self, now_s: u64, agent: usize, report: Report, loss: f64, random: &mut Random) {
        let delay_s = if random.chance(loss) { random.exponential(3_600.0) } else { random.exponential(60.0) };
        self.add(now_s, now_s + delay_s as u64, agent, Event::Report(report));
        if random.chance(loss) {
            self.add(now_s, now_s + random.exponential(3_600.0) as u64, agent, Event::Report(report));
        }
    }
}
