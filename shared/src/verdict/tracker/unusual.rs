//! Habits in the tracker: what is usual for a service of a host is no evidence.

use super::EvidenceTracker;
use crate::units::Address;
use crate::verdict::alert::Role;
use crate::verdict::evidence::Step;
use crate::verdict::habits::Habits;

impl EvidenceTracker {
    /// Subtracts what is usual for a service of a host, learned here. Default: nothing.
    pub fn with_habits(self, habits: Habits) -> Self {
        Self { habits: Some(habits), ..self }
    }

    /// What is usual at this site, if it is learned.
    pub fn habits(&self) -> Option<&Habits> {
        self.habits.as_ref()
    }

    /// The same, to load what an earlier run learned.
    pub fn habits_mut(&mut self) -> Option<&mut Habits> {
        self.habits.as_mut()
    }

    /// The flow with that part of its surprise that is not usual for this service of the host.
    #[inline]
    pub(super) fn unusual<'a>(&mut self, host: &Address, role: Role, step: Step<'a>) -> Step<'a> {
        let Some(habits) = &mut self.habits else { return step };
        let flow = step.flow;
        let usual_nats = habits.usual_nats(host, role, flow.service_port, flow.at, step.surprise_nats);
        Step { surprise_nats: (step.surprise_nats - usual_nats).max(0.0), ..step }
    }
}
