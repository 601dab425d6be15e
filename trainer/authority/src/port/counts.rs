//! Counters of the enrolment port.

use super::answer::Outcome;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the start.
#[derive(Debug, Default)]
pub struct PortCounts {
    pub(super) connections: AtomicU64,
    pub(super) broken: AtomicU64,
    pub(super) limited: AtomicU64,
    enrolled: AtomicU64,
    waiting: AtomicU64,
    refused: AtomicU64,
    other_name: AtomicU64,
    unproven: AtomicU64,
    unavailable: AtomicU64,
    pub(super) renewed: AtomicU64,
    pub(super) renewals_failed: AtomicU64,
}

/// A counter with its name and description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortCount {
    /// Name in metrics.
    pub name: &'static str,
    /// What it counts.
    pub text: &'static str,
    /// Its value.
    pub value: u64,
}

impl PortCounts {
    /// All counters.
    pub fn named(&self) -> [PortCount; 11] {
        let of = |name, text, counter: &AtomicU64| PortCount { name, text, value: counter.load(Ordering::Relaxed) };
        [
            of("enrolment_connections", "connections to the enrolment port", &self.connections),
            of("enrolment_broken", "enrolment connections without TLS or a whole request, or too slow", &self.broken),
            of("enrolment_issued", "certificates issued to agents", &self.enrolled),
            of("enrolment_waiting", "enrolment requests of agents that an operator must accept", &self.waiting),
            of("enrolment_refused", "enrolment requests with a valid proof that were refused", &self.refused),
            of(
                "enrolment_other_name",
                "enrolment requests of agents that ask again with the name of their token or identity",
                &self.other_name,
            ),
            of("enrolment_unproven", "enrolment requests without a valid proof, and malformed ones", &self.unproven),
            of(
                "enrolment_limited",
                "enrolment connections and requests of addresses with too many at once, or too many failed ones",
                &self.limited,
            ),
            of("enrolment_unavailable", "enrolment requests that failed because of the store", &self.unavailable),
            of("enrolment_renewed", "certificates for running agents, over MQTT", &self.renewed),
            of(
                "enrolment_renewals_failed",
                "passes over requests of running agents that failed because of the store or the authority's key",
                &self.renewals_failed,
            ),
        ]
    }

    pub(super) fn of(&self, outcome: Outcome) -> &AtomicU64 {
        match outcome {
            Outcome::Enrolled => &self.enrolled,
            Outcome::Waiting => &self.waiting,
            Outcome::Refused => &self.refused,
            Outcome::OtherName => &self.other_name,
            Outcome::Unproven => &self.unproven,
            Outcome::Unavailable => &self.unavailable,
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
