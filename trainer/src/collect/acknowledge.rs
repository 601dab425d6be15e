//! Stored numbers → acknowledgements, at most once in an interval for each agent.

use super::counts::Counts;
use super::link::{LinkError, Outlet};
use crate::clock;
use crate::store::{Received, Store};
use lapwing_shared::messages::ACKNOWLEDGEMENT_BYTES;
use lapwing_shared::messages::topics::{Kind, agent_topic};
use lapwing_shared::messages::{Acknowledgement, AgentName};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Numbers in one acknowledgement beyond `up_to`.
const ALSO: usize = 64;

/// Numbers that wait to be acknowledged.
pub(super) struct Acknowledger {
    interval: Duration,
    flushed: Option<Instant>,
    waiting: BTreeMap<(AgentName, u64), Vec<u64>>,
}

impl Acknowledger {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, flushed: None, waiting: BTreeMap::new() }
    }

    /// Notes the messages of a commit that has succeeded, stored now or before.
    pub(super) fn note(&mut self, batch: &[Received]) {
        for received in batch.iter().filter(|received| received.is_acknowledged()) {
            let numbers = self.waiting.entry((received.agent.clone(), received.run)).or_default();
            numbers.push(received.number);
        }
    }

    /// True when something waits.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Sends what waits, when the interval is over; what the full queue to the broker refuses goes on waiting.
    pub(super) fn flush(&mut self, store: &Store, outlet: &mut dyn Outlet, counts: &Counts) -> Result<(), LinkError> {
        let now = clock::monotonic();
        if self.flushed.is_some_and(|at| now.duration_since(at) < self.interval) {
            return Ok(());
        }
        self.flushed = Some(now);
        while let Some(entry) = self.waiting.first_entry() {
            let (agent, run) = entry.key();
            // An agent beyond the store's limit has no progress and hears nothing.
            if let Some(progress) = store.progress(agent, *run) {
                let topic = agent_topic(agent, Kind::Ack);
                for payload in payloads(*run, progress.up_to(), entry.get()) {
                    match outlet.publish(&topic, payload, false) {
                        Ok(()) => counts.acknowledgements.add(1),
                        Err(LinkError::Full) => return Ok(()),
                        Err(error) => return Err(error),
                    }
                }
            }
            entry.remove();
        }
        Ok(())
    }
}

/// Encoded acknowledgements that name every number: by `up_to` where that covers it, one by one where a gap is below.
fn payloads(run: u64, up_to: u64, numbers: &[u64]) -> Vec<Vec<u8>> {
    let beyond: Vec<u64> = numbers.iter().copied().filter(|number| *number > up_to).collect();
    let mut parts: Vec<&[u64]> = beyond.chunks(ALSO).collect();
    if parts.is_empty() {
        parts.push(&[]);
    }
    let encode = |part: &[u64]| {
        let acknowledgement = Acknowledgement { run, up_to, also: part.iter().copied().collect() };
        let mut out = [0; ACKNOWLEDGEMENT_BYTES];
        acknowledgement.encode(&mut out).map(<[u8]>::to_vec).ok()
    };
    parts.into_iter().filter_map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_beyond_a_gap_is_named_once() {
        let numbers: Vec<u64> = (5..205).collect();
        let told = payloads(3, 10, &numbers);
        let read: Vec<_> = told.iter().map(|payload| Acknowledgement::decode(payload).unwrap()).collect();
        assert_eq!(read.len(), 4);
        assert!(read.iter().all(|part| (part.run, part.up_to) == (3, 10)));
        assert!(numbers.iter().all(|number| read.iter().any(|part| part.covers(3, *number))));
        assert_eq!(read.iter().map(|part| part.also.len()).sum::<usize>(), 194);
    }

    #[test]
    fn contiguous_numbers_need_one_acknowledgement_without_a_list() {
        let told = payloads(3, 10, &[9, 10]);
        let read: Vec<_> = told.iter().map(|payload| Acknowledgement::decode(payload).unwrap()).collect();
        assert_eq!(read, [Acknowledgement { run: 3, up_to: 10, also: heapless::Vec::new() }]);
    }
}
