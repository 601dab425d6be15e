//! Release files of every group → retained messages at every broker: of each release first every chunk of every artifact,
//! then the signed manifest, then the rollout that names it.
//!
//! So an agent that sees a manifest can always fetch its artifacts. The chunks of each group's previous release stay for
//! agents that are still fetching it; older ones are cleared, unless another group's release has the same artifact. A broker
//! that cannot take them now gets them later and delays no other: nothing here waits. Only messages that have changed are
//! published, so that another wave of a campaign is one message.
//!
//! With rollouts, each release that agents may need has a topic of its own. The topic of the group's release has the one that
//! the whole group runs: agents that do not read rollouts are the last wave.

use super::keeper::{Facts, Keeper, Step};
use super::newer_roots::is_newer;
use lapwing_collect::{Count, Counts, Expected, LinkError, Releases};
use lapwing_pipeline::release::{ReadError, read};
use lapwing_shared::messages::topics::{
    Kind, agent_topic, chunk_topic, manifest_topic, release_topic, rollout_topic, root_topic,
};
use lapwing_shared::release::file::ReleaseFile;
use lapwing_shared::release::manifest::{Artifact, CHUNK_BYTES, Manifest, Name};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// Old topics that wait to be cleared at one broker, at most: 32 releases of the largest size. Older ones stay there.
const CLEARS: usize = 4_096;

/// A retained message of a current release, a group's rollout, the root documents for a group, or an agent's assignment.
struct Part {
    /// The group, `GROUP/rollout`, `GROUP/root` or `agent/NAME/assignment`.
    group: String,
    expected: Expected,
    payload: Vec<u8>,
}

/// Parts of the current releases, rollouts and root documents of all groups, by [`Part::group`].
type Parts = BTreeMap<String, Vec<Arc<Part>>>;

/// The releases that agents of a group with rollouts may need.
pub(crate) struct Wanted<'a> {
    /// File of the release that the whole group runs.
    pub(crate) base: &'a [u8],
    /// File of the release of the current campaign.
    pub(crate) next: Option<&'a [u8]>,
    /// The release before `base`: what brokers have of it stays.
    pub(crate) before: Option<Manifest>,
}

/// Publishes the releases of all groups at every broker.
pub(crate) struct Publisher {
    sites: Vec<Site>,
    /// The current releases, each at most 4 MiB and a manifest; a group without one is missing.
    parts: Parts,
    /// The releases of each group whose chunks the brokers keep; the first one is the current one.
    kept: BTreeMap<String, Vec<Manifest>>,
}

impl Publisher {
    pub(crate) fn new(brokers: Vec<Releases>) -> Self {
        let sites = brokers.into_iter().map(Site::new).collect();
        Self { sites, parts: Parts::new(), kept: BTreeMap::new() }
    }

    /// Replaces the current release of the group that the file is for, which [`Self::pass`] publishes, and clears the
    /// chunks of the one before the previous.
    ///
    /// # Errors
    /// When it is not a release file.
    pub(crate) fn replace(&mut self, bytes: &[u8], now: Instant) -> Result<Manifest, ReadError> {
        let (file, manifest) = read(bytes)?;
        let group = manifest.group.to_string();
        let mut parts = chunks(&group, &file, &manifest);
        parts.push(part(&group, &release_topic(&manifest.group), file.signed));
        self.set_parts(group.clone(), parts, now);
        let mut kept = self.kept.remove(&group).unwrap_or_default();
        kept.insert(0, manifest.clone());
        let old = kept.split_off(kept.len().min(2));
        self.kept.insert(group, kept);
        old.iter().for_each(|old| self.clear(old));
        Ok(manifest)
    }

    /// Replaces the releases of a group with rollouts; [`Self::pass`] publishes what its brokers do not have. Call
    /// [`Self::set_rollout`] afterwards, so that agents find what the rollout names.
    ///
    /// # Errors
    /// When a file is not a release file.
    pub(crate) fn set_releases(&mut self, wanted: &Wanted<'_>, now: Instant) -> Result<(), ReadError> {
        let (base, manifest) = read(wanted.base)?;
        let group = manifest.group.to_string();
        let (mut parts, mut kept) = (chunks(&group, &base, &manifest), vec![manifest.clone()]);
        parts.push(part(&group, &manifest_topic(&manifest.group, manifest.version), base.signed));
        if let Some(next) = wanted.next {
            let (next, manifest) = read(next)?;
            parts.extend(chunks(&group, &next, &manifest));
            parts.push(part(&group, &manifest_topic(&manifest.group, manifest.version), next.signed));
            kept.push(manifest);
        }
        parts.push(part(&group, &release_topic(&manifest.group), base.signed));
        kept.extend(wanted.before.clone());
        self.set_parts(group.clone(), parts, now);
        self.kept.insert(group, kept);
        Ok(())
    }

    /// Replaces the signed rollout of a group.
    pub(crate) fn set_rollout(&mut self, group: &Name, rollout: &[u8], now: Instant) {
        self.set_message(format!("{group}/rollout"), &rollout_topic(group), rollout, now);
    }

    /// Replaces the signed assignment of an agent.
    pub(crate) fn set_assignment(&mut self, agent: &Name, assignment: &[u8], now: Instant) {
        let topic = agent_topic(agent, Kind::Assignment);
        self.set_message(format!("agent/{agent}/assignment"), &topic, assignment, now);
    }

    /// Replaces the chain of root documents for a group.
    pub(crate) fn set_root(&mut self, group: &Name, chain: &[u8], now: Instant) {
        self.set_message(format!("{group}/root"), &root_topic(group), chain, now);
    }

    /// Replaces a single message. No group has a name with a slash, as `key` has.
    fn set_message(&mut self, key: String, topic: &str, payload: &[u8], now: Instant) {
        let parts = vec![part(&key, topic, payload)];
        self.set_parts(key, parts, now);
    }

    /// Replaces the messages of a group, its rollout, or its root documents. Those that are the same as before are not sent
    /// again.
    fn set_parts(&mut self, group: String, parts: Vec<Arc<Part>>, now: Instant) {
        let before = self.parts.remove(&group).unwrap_or_default();
        let before: HashMap<&str, &Expected> =
            before.iter().map(|part| (part.expected.topic.as_str(), &part.expected)).collect();
        let is_new = |part: &&Arc<Part>| before.get(part.expected.topic.as_str()) != Some(&&part.expected);
        let new: Vec<_> = parts.iter().filter(is_new).collect();
        let wanted: HashMap<&str, &Expected> =
            parts.iter().map(|part| (part.expected.topic.as_str(), &part.expected)).collect();
        let is_wanted = |part: &Part| wanted.get(part.expected.topic.as_str()) == Some(&&part.expected);
        for site in &mut self.sites {
            site.unsent.retain(|part| part.group != group || is_wanted(part));
            site.unsent.extend(new.iter().map(|part| Arc::clone(part)));
            site.old.retain(|topic| !wanted.contains_key(topic.as_str()));
            site.keeper.replaced(now);
        }
        self.parts.insert(group, parts);
    }

    /// Sets the previous release of a group that has a current one, after a start.
    pub(crate) fn set_previous(&mut self, previous: Manifest) {
        if let Some(kept) = self.kept.get_mut(previous.group.as_str()) {
            kept.truncate(1);
            kept.push(previous);
        }
    }

    /// Clears the chunks of an old release, except those of artifacts that a release which a group keeps has, too.
    pub(crate) fn clear(&mut self, old: &Manifest) {
        let kept = self.kept.values().flatten().flat_map(|release| &release.artifacts);
        let shared: BTreeSet<_> = kept.map(|artifact| artifact.sha256).collect();
        for artifact in old.artifacts.iter().filter(|artifact| !shared.contains(&artifact.sha256)) {
            for number in 0..artifact.chunks() {
                let topic = chunk_topic(&artifact.sha256, number);
                self.sites.iter_mut().for_each(|site| site.clear(topic.as_str()));
            }
        }
    }

    /// As [`Self::clear`], with the topic of its own that a release has in a group with rollouts. A release that the group
    /// keeps stays.
    pub(crate) fn clear_version(&mut self, old: &Manifest) {
        let kept = self.kept.get(old.group.as_str());
        if kept.is_some_and(|kept| kept.iter().any(|kept| kept.version == old.version)) {
            return;
        }
        let topic = manifest_topic(&old.group, old.version);
        self.sites.iter_mut().for_each(|site| site.clear(topic.as_str()));
        self.clear(old);
    }

    /// Forgets every release: another process publishes now. What the brokers have stays.
    pub(crate) fn forget(&mut self) {
        self.parts.clear();
        self.kept.clear();
        for site in &mut self.sites {
            site.unsent.clear();
            site.old.clear();
        }
    }

    /// Root documents that brokers have, newer than the published ones, and the brokers. They stay there until newer ones are
    /// published.
    pub(crate) fn newer_roots(&mut self) -> Vec<(String, Vec<u8>)> {
        let newer = |site: &mut Site| Some((site.broker.state.broker().to_owned(), site.newer_root.take()?));
        self.sites.iter_mut().filter_map(newer).collect()
    }

    /// Checks and publishes at every broker what is due; call about twice a second.
    pub(crate) fn pass(&mut self, counts: &Counts, now: Instant) {
        for site in &mut self.sites {
            site.pass(&self.parts, &counts.releases_missing, now);
        }
    }
}

fn part(group: &str, topic: &str, payload: &[u8]) -> Arc<Part> {
    Arc::new(Part { group: group.into(), expected: Expected::new(topic, payload), payload: payload.to_vec() })
}

/// The chunks of a release.
fn chunks(group: &str, file: &ReleaseFile<'_>, manifest: &Manifest) -> Vec<Arc<Part>> {
    let of_artifact = |(artifact, bytes): (&Artifact, &&[u8])| {
        let chunks = (0..).zip(bytes.chunks(CHUNK_BYTES as usize));
        chunks.map(|(number, chunk)| part(group, &chunk_topic(&artifact.sha256, number), chunk)).collect::<Vec<_>>()
    };
    manifest.artifacts.iter().zip(&file.artifacts).flat_map(of_artifact).collect()
}

/// The parts of every group.
fn every(parts: &Parts) -> impl Iterator<Item = &Arc<Part>> {
    parts.values().flatten()
}

/// One broker.
struct Site {
    broker: Releases,
    keeper: Keeper,
    /// Parts to send, in order.
    unsent: VecDeque<Arc<Part>>,
    /// Topics to clear.
    old: VecDeque<String>,
    /// Newer root documents that the broker has.
    newer_root: Option<Vec<u8>>,
    /// A failure of the link was logged.
    has_failed: bool,
}

impl Site {
    fn new(broker: Releases) -> Self {
        let keeper = Keeper::new(broker.state.is_external());
        Self { broker, keeper, unsent: VecDeque::new(), old: VecDeque::new(), newer_root: None, has_failed: false }
    }

    fn clear(&mut self, topic: &str) {
        if self.old.len() >= CLEARS {
            self.old.pop_front();
        }
        self.old.push_back(topic.to_owned());
    }

    fn pass(&mut self, parts: &Parts, lost: &Count, now: Instant) {
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
            self.send();
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

    fn act(&mut self, step: Step, parts: &Parts, missing: usize) {
        let state = Arc::clone(&self.broker.state);
        let broker = state.broker();
        match step {
            Step::Wait => {}
            Step::SendAll => self.unsent = every(parts).cloned().collect(),
            Step::Check => self.check(parts),
            Step::Complete => self.lacks(0),
            Step::Refill => {
                state.refills.add(1);
                self.lacks(missing);
                let of = every(parts).count();
                tracing::info!(broker, missing, of, "the broker lacks parts of the current releases; publishing them");
                self.resend(parts);
            }
            Step::Lost => {
                state.releases_missing.add(1);
                self.lacks(missing);
                tracing::warn!(
                    broker,
                    missing,
                    "the broker does not keep the current releases as published; check its access list and its limit of \
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

    fn check(&mut self, parts: &Parts) {
        self.unsent.clear();
        let checked = self.broker.outlet.check(every(parts).map(|part| part.expected.clone()).collect());
        // The check then finds everything missing, and is repeated.
        if let Err(error) = checked {
            tracing::warn!(broker = self.broker.state.broker(), %error, "cannot request the releases from the broker");
        }
    }

    fn resend(&mut self, parts: &Parts) {
        let missing: HashSet<String> = self.broker.outlet.missing().into_iter().collect();
        let missing: Vec<_> = every(parts).filter(|part| missing.contains(&part.expected.topic)).cloned().collect();
        self.unsent = missing.into_iter().filter(|part| !self.has_newer(part)).collect();
    }

    /// True if the broker has newer root documents than this part, which must stay.
    fn has_newer(&mut self, part: &Part) -> bool {
        let other = self.broker.outlet.other_root(&part.expected.topic);
        let newer = other.filter(|chain| is_newer(&part.payload, chain));
        let has_newer = newer.is_some();
        self.newer_root = newer.or(self.newer_root.take());
        has_newer
    }

    /// Sends as much as the link takes now; first the releases, then what clears old topics.
    fn send(&mut self) {
        let mut send = || -> Result<(), LinkError> {
            while let Some(part) = self.unsent.front() {
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
#[path = "rollout_publish_tests.rs"]
mod rollout_tests;
#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
