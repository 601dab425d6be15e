//! Release file → retained messages at every broker: first every chunk of every artifact, then the signed manifest.
//!
//! So an agent that sees a manifest can always fetch its artifacts. The chunks of the previous release stay for agents
//! that are still fetching it; older ones are cleared. A broker that cannot take them now gets them later and delays no
//! other: nothing here waits.

use super::keeper::{Facts, Keeper, Step};
use lapwing_collect::{Count, Counts, Expected, LinkError, Releases};
use lapwing_pipeline::release::{ReadError, read};
use lapwing_shared::messages::topics::{chunk_topic, release_topic};
use lapwing_shared::release::manifest::{CHUNK_BYTES, Manifest};
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// Old topics that wait to be cleared at one broker, at most: 32 releases of the largest size. Older ones stay there.
const CLEARS: usize = 4_096;

/// A retained message of the current release.
struct Part {
    expected: Expected,
    payload: Vec<u8>,
}

/// Publishes releases of one group at every broker.
pub(crate) struct Publisher {
    sites: Vec<Site>,
    /// The current release, at most 4 MiB and a manifest; empty without one.
    parts: Vec<Part>,
}

impl Publisher {
    pub(crate) fn new(brokers: Vec<Releases>) -> Self {
        Self { sites: brokers.into_iter().map(Site::new).collect(), parts: Vec::new() }
    }

    /// Replaces the current release, which [`Self::pass`] publishes.
    ///
    /// # Errors
    /// When it is not a release file.
    pub(crate) fn replace(&mut self, bytes: &[u8], now: Instant) -> Result<Manifest, ReadError> {
        let (file, manifest) = read(bytes)?;
        let part =
            |topic: &str, payload: &[u8]| Part { expected: Expected::new(topic, payload), payload: payload.to_vec() };
        self.parts.clear();
        for (artifact, bytes) in manifest.artifacts.iter().zip(&file.artifacts) {
            let chunks = (0..).zip(bytes.chunks(CHUNK_BYTES as usize));
            self.parts.extend(chunks.map(|(number, chunk)| part(&chunk_topic(&artifact.sha256, number), chunk)));
        }
        self.parts.push(part(&release_topic(&manifest.group), file.signed));
        let topics: HashSet<&str> = self.parts.iter().map(|part| part.expected.topic.as_str()).collect();
        for site in &mut self.sites {
            site.unsent = (0..self.parts.len()).collect();
            site.old.retain(|topic| !topics.contains(topic.as_str()));
            site.keeper.replaced(now);
        }
        Ok(manifest)
    }

    /// Clears the chunks of an old release, except those that the releases in `current` share.
    pub(crate) fn clear(&mut self, old: &Manifest, current: &[&Manifest]) {
        let shared: BTreeSet<_> =
            current.iter().flat_map(|release| &release.artifacts).map(|artifact| artifact.sha256).collect();
        for artifact in old.artifacts.iter().filter(|artifact| !shared.contains(&artifact.sha256)) {
            for number in 0..artifact.chunks() {
                let topic = chunk_topic(&artifact.sha256, number);
                self.sites.iter_mut().for_each(|site| site.clear(topic.as_str()));
            }
        }
    }

    /// Checks and publishes at every broker what is due; call about twice a second.
    pub(crate) fn pass(&mut self, counts: &Counts, now: Instant) {
        for site in &mut self.sites {
            site.pass(&self.parts, &counts.releases_missing, now);
        }
    }
}

/// One broker.
struct Site {
    broker: Releases,
    keeper: Keeper,
    /// Indices of parts to send, in order.
    unsent: VecDeque<usize>,
    /// Topics to clear.
    old: VecDeque<String>,
    /// A failure of the link was logged.
    has_failed: bool,
}

impl Site {
    fn new(broker: Releases) -> Self {
        let keeper = Keeper::new(broker.state.is_external());
        Self { broker, keeper, unsent: VecDeque::new(), old: VecDeque::new(), has_failed: false }
    }

    fn clear(&mut self, topic: &str) {
        if self.old.len() >= CLEARS {
            self.old.pop_front();
        }
        self.old.push_back(topic.to_owned());
    }

    fn pass(&mut self, parts: &[Part], lost: &Count, now: Instant) {
        if parts.is_empty() {
            return;
        }
        let facts = self.facts();
        let step = self.keeper.step(&facts, now);
        self.act(step, parts, facts.missing);
        if step == Step::Lost {
            lost.add(1);
        }
        if facts.is_connected {
            self.send(parts);
        }
    }

    fn facts(&self) -> Facts {
        let state = &self.broker.state;
        Facts {
            is_connected: state.is_connected(),
            connections: state.connections.get(),
            unsent: self.unsent.len(),
            unanswered: state.unanswered() as usize,
            missing: if self.keeper.is_checking() { self.broker.outlet.missing().len() } else { 0 },
        }
    }

    fn act(&mut self, step: Step, parts: &[Part], missing: usize) {
        let state = Arc::clone(&self.broker.state);
        let broker = state.broker();
        match step {
            Step::Wait => {}
            Step::SendAll => self.unsent = (0..parts.len()).collect(),
            Step::Check => self.check(parts),
            Step::Complete => self.lacks(0),
            Step::Refill => {
                state.refills.add(1);
                self.lacks(missing);
                let of = parts.len();
                tracing::info!(broker, missing, of, "the broker does not have the current release; publishing it");
                self.resend(parts);
            }
            Step::Lost => {
                state.releases_missing.add(1);
                self.lacks(missing);
                tracing::warn!(
                    broker,
                    missing,
                    "the broker does not keep the current release as published; check its access list and its limit of \
                     retained messages"
                );
            }
            Step::Resend => self.resend(parts),
        }
    }

    /// The result of a check, which ends.
    fn lacks(&mut self, missing: usize) {
        self.broker.state.set_missing(missing);
        self.broker.outlet.end_check();
    }

    fn check(&mut self, parts: &[Part]) {
        self.unsent.clear();
        let checked = self.broker.outlet.check(parts.iter().map(|part| part.expected.clone()).collect());
        // The check then finds everything missing, and is repeated.
        if let Err(error) = checked {
            tracing::warn!(broker = self.broker.state.broker(), %error, "cannot request the release from the broker");
        }
    }

    fn resend(&mut self, parts: &[Part]) {
        let missing: HashSet<String> = self.broker.outlet.missing().into_iter().collect();
        self.unsent = (0..parts.len()).filter(|index| missing.contains(&parts[*index].expected.topic)).collect();
    }

    /// Sends as much as the link takes now; first the release, then what clears old topics.
    fn send(&mut self, parts: &[Part]) {
        let mut send = || -> Result<(), LinkError> {
            while let Some(part) = self.unsent.front().and_then(|index| parts.get(*index)) {
                self.broker.outlet.publish(&part.expected.topic, part.payload.clone(), true)?;
                self.unsent.pop_front();
            }
            while let Some(topic) = self.old.front() {
                self.broker.outlet.publish(topic, Vec::new(), true)?;
                self.old.pop_front();
            }
            Ok(())
        };
        match send() {
            Ok(()) | Err(LinkError::Full) => {}
            // The collector reports it too, and the server ends.
            Err(error) if !self.has_failed => {
                self.has_failed = true;
                tracing::error!(broker = self.broker.state.broker(), %error, "cannot publish releases");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
