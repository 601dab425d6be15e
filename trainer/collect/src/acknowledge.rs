//! Numbers of stored messages → acknowledgements, at most once per interval.

use super::CollectError;
use super::counts::Counts;
use super::link::{LinkError, Outlet};
use super::link_state::LinkState;
use super::seals::Seals;
use lapwing_shared::messages::ACKNOWLEDGEMENT_BYTES;
use lapwing_shared::messages::topics::{Kind, agent_topic};
use lapwing_shared::messages::{Acknowledgement, AgentName};
use lapwing_store::{Received, Store, StoredNumbers};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Numbers beyond `up_to` in one acknowledgement, at most.
const MAX_ALSO: usize = 64;
/// Runs whose numbers one query reads.
const RUNS_PER_QUERY: usize = 1_000;

/// Numbers to acknowledge through one link, by agent and run. Without a connection they wait: at most those of the messages
/// that this link has delivered.
pub(super) struct Acknowledger {
    interval: Duration,
    last_flush: Option<Instant>,
    pending: BTreeMap<(AgentName, u64), Vec<u64>>,
    seals: Arc<Seals>,
}

impl Acknowledger {
    pub(super) fn new(interval: Duration, seals: Arc<Seals>) -> Self {
        Self { interval, last_flush: None, pending: BTreeMap::new(), seals }
    }

    /// Adds the messages of a successful commit, duplicates included.
    pub(super) fn add<'a>(&mut self, batch: impl Iterator<Item = &'a Received>) {
        for received in batch.filter(|received| received.is_acknowledged()) {
            let numbers = self.pending.entry((received.agent.clone(), received.run)).or_default();
            numbers.push(received.number);
        }
    }

    /// True if there are numbers to acknowledge.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Sends acknowledgements if the interval is over. If the queue to the broker is full or
    /// the store busy, the rest stays pending.
    pub(super) fn flush(
        &mut self,
        store: &Store,
        outlet: &mut dyn Outlet,
        (counts, state): (&Counts, &LinkState),
        now: Instant,
    ) -> Result<(), CollectError> {
        if self.last_flush.is_some_and(|at| now.duration_since(at) < self.interval) {
            return Ok(());
        }
        self.last_flush = Some(now);
        let runs: Vec<(AgentName, u64)> = self.pending.keys().cloned().collect();
        for part in runs.chunks(RUNS_PER_QUERY) {
            let progress = match store.progress_of(part) {
                Err(error) if error.is_temporary() => return Ok(()),
                progress => progress?,
            };
            for (run, progress) in part.iter().zip(progress) {
                // An agent beyond the store's limit has no progress and gets no acknowledgement.
                let Some(progress) = progress else {
                    self.pending.remove(run);
                    continue;
                };
                match self.acknowledge(run, &progress, outlet, (counts, state)) {
                    Ok(()) => drop(self.pending.remove(run)),
                    Err(LinkError::Full) => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Sends the acknowledgements of one run.
    fn acknowledge(
        &mut self,
        key: &(AgentName, u64),
        progress: &StoredNumbers,
        outlet: &mut dyn Outlet,
        (counts, state): (&Counts, &LinkState),
    ) -> Result<(), LinkError> {
        let Some(numbers) = self.pending.get_mut(key) else { return Ok(()) };
        // A message that the store rejected gets none.
        numbers.retain(|number| progress.contains(*number));
        let (agent, run) = key;
        let topic = agent_topic(agent, Kind::Ack);
        for payload in payloads(*run, progress.up_to(), numbers) {
            for payload in self.seals.seal(agent, &topic, payload) {
                outlet.publish(&topic, payload, false)?;
                counts.acknowledgements.add(1);
                state.acknowledgements.add(1);
            }
        }
        Ok(())
    }
}

/// Encoded acknowledgements that cover every number: by `up_to`, or individually for numbers after a gap.
fn payloads(run: u64, up_to: u64, numbers: &[u64]) -> Vec<Vec<u8>> {
    let beyond: Vec<u64> = numbers.iter().copied().filter(|number| *number > up_to).collect();
    let mut parts: Vec<&[u64]> = beyond.chunks(MAX_ALSO).collect();
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
    fn every_number_after_a_gap_is_listed_once() {
        let numbers: Vec<u64> = (5..205).collect();
        let encoded = payloads(3, 10, &numbers);
        let decoded: Vec<_> = encoded.iter().map(|payload| Acknowledgement::decode(payload).unwrap()).collect();
        assert_eq!(decoded.len(), 4);
        assert!(decoded.iter().all(|part| (part.run, part.up_to) == (3, 10)));
        assert!(numbers.iter().all(|number| decoded.iter().any(|part| part.covers(3, *number))));
        assert_eq!(decoded.iter().map(|part| part.also.len()).sum::<usize>(), 194);
    }

    #[test]
    fn contiguous_numbers_need_one_acknowledgement_without_a_list() {
        let encoded = payloads(3, 10, &[9, 10]);
        let decoded: Vec<_> = encoded.iter().map(|payload| Acknowledgement::decode(payload).unwrap()).collect();
        assert_eq!(decoded, [Acknowledgement { run: 3, up_to: 10, also: heapless::Vec::new() }]);
    }
}
