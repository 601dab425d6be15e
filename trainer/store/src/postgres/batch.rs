//! A batch of messages and what the database has of their agents → what to store of it. Without SQL.

use super::progress::Runs;
use super::tally::{Sizes, Tally};
use crate::committed::{Committed, LISTED_REJECTIONS, Rejection};
use crate::counter::Counter;
use crate::received::{Content, HealthReport, Received, SampleBatch, StatusReport};
use lapwing_shared::features::SchemaId;
use lapwing_shared::messages::{Alert, Update};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What the database has of the batch's agents, which are locked.
pub(super) struct Known<'a> {
    /// Ids of the agents; a message of another one is refused.
    pub(super) agents: &'a HashMap<String, i64>,
    /// Ids of the feature schemas; a batch of another one is rejected.
    pub(super) schemas: &'a HashMap<SchemaId, i64>,
    /// Places in the batch of alerts that the database has already.
    pub(super) stored_alerts: &'a BTreeSet<usize>,
}

/// Messages of one agent in a batch: the newest state and counts.
#[derive(Default)]
pub(super) struct Activity<'a> {
    pub(super) run: u64,
    /// The newest status of a connected agent; without one, its last will.
    pub(super) status: Option<(&'a Received, &'a StatusReport)>,
    /// A last will followed that status.
    pub(super) is_gone: bool,
    pub(super) health: Option<(&'a Received, HealthReport)>,
    /// The newest update report.
    pub(super) update: Option<(&'a Received, &'a Update)>,
    /// Change of the number of open episodes.
    pub(super) open_episodes: i64,
    /// Stored messages.
    pub(super) more: Sizes,
}

/// What to store of a batch.
#[derive(Default)]
pub(super) struct Changes<'a> {
    pub(super) alerts: Vec<(i64, &'a Received, &'a Alert)>,
    /// With the id of the feature schema.
    pub(super) samples: Vec<(i64, &'a Received, &'a SampleBatch, i64)>,
    pub(super) updates: Vec<(i64, &'a Received, &'a Update)>,
    pub(super) runs: Runs,
    pub(super) activity: BTreeMap<i64, Activity<'a>>,
    /// Changes of the numbers of episodes, by day of their start and agent.
    pub(super) days: BTreeMap<(i64, i64), i64>,
    pub(super) tally: Tally,
    pub(super) result: Committed,
    /// Alerts of this batch, as they are compared with later ones.
    seen: HashSet<(i64, u64, u64, u64, &'a [u8])>,
}

impl<'a> Changes<'a> {
    /// Decides what to store of each message, in order of arrival.
    pub(super) fn of(batch: &'a [Received], known: &Known<'_>, runs: Runs) -> Self {
        let mut changes = Self { runs, ..Self::default() };
        for (place, received) in batch.iter().enumerate() {
            match known.agents.get(received.agent.as_str()) {
                Some(agent) => changes.message(*agent, place, received, known),
                None => changes.result.refused += 1,
            }
        }
        let Self { result, tally, activity, .. } = &mut changes;
        tally.add(Counter::DuplicateAlerts, result.duplicate_alerts);
        tally.add(Counter::Duplicates, result.duplicates);
        tally.add(Counter::AgentsRefused, result.refused);
        tally.add(Counter::SampleRowsStored, result.sample_rows);
        for activity in activity.values() {
            tally.add_sizes(&activity.more, 1);
        }
        changes
    }

    fn message(&mut self, agent: i64, place: usize, received: &'a Received, known: &Known<'_>) {
        self.activity.entry(agent).or_default().add(received);
        if !received.is_acknowledged() {
            self.result.stored += 1;
            return;
        }
        let numbers = &mut self.runs.entry((agent, received.run)).or_default().numbers;
        if numbers.is_too_far(received.number) {
            return self.reject(received, Counter::NumbersRejected, Rejection::NumberTooFar);
        }
        let is_new = numbers.insert(received.number);
        if !is_new && !self.is_conflicting(agent, place, received, known) {
            self.result.duplicates += 1;
            return;
        }
        match &received.content {
            Content::Samples(samples) if samples.rows == 0 => {
                return self.reject(received, Counter::BatchesRejected, Rejection::NoRows);
            }
            Content::Samples(samples) => match known.schemas.get(&samples.schema) {
                Some(schema) => self.samples(agent, received, samples, *schema),
                None => return self.reject(received, Counter::BatchesRejected, Rejection::UnknownSchema),
            },
            Content::Alert(alert) => {
                self.seen.insert(alert_key(agent, received, alert));
                self.alerts.push((agent, received, alert));
                self.activity.entry(agent).or_default().more.alerts += 1;
            }
            Content::Update(update) => self.update(agent, received, update),
            Content::Health(_) | Content::Status(_) => {}
        }
        self.result.stored += 1;
    }

    /// True for an alert whose number is stored or given up, but not with this content. The store keeps it: a forged
    /// message with the number of a later alert must not suppress that alert.
    fn is_conflicting(&mut self, agent: i64, place: usize, received: &'a Received, known: &Known<'_>) -> bool {
        let Content::Alert(alert) = &received.content else { return false };
        if known.stored_alerts.contains(&place) || self.seen.contains(&alert_key(agent, received, alert)) {
            self.result.duplicate_alerts += 1;
            return false;
        }
        self.tally.add(Counter::ConflictingAlerts, 1);
        true
    }

    fn samples(&mut self, agent: i64, received: &'a Received, samples: &'a SampleBatch, schema: i64) {
        let more = &mut self.activity.entry(agent).or_default().more;
        more.sample_bytes += i64::try_from(received.payload.len()).unwrap_or(i64::MAX);
        more.sample_rows += i64::from(samples.rows);
        more.sample_batches += 1;
        self.result.sample_rows += u64::from(samples.rows);
        self.samples.push((agent, received, samples, schema));
    }

    fn update(&mut self, agent: i64, received: &'a Received, update: &'a Update) {
        let activity = self.activity.entry(agent).or_default();
        activity.more.updates += 1;
        let place = |received: &Received| (received.run, received.number);
        if activity.update.is_none_or(|(newest, _)| place(newest) <= place(received)) {
            activity.update = Some((received, update));
        }
        self.updates.push((agent, received, update));
    }

    fn reject(&mut self, received: &Received, counter: Counter, why: Rejection) {
        self.result.rejected += 1;
        if self.result.rejections.len() < LISTED_REJECTIONS {
            self.result.rejections.push((received.agent.clone(), why));
        }
        self.tally.add(counter, 1);
    }
}

impl<'a> Activity<'a> {
    fn add(&mut self, received: &'a Received) {
        self.run = self.run.max(received.run);
        match &received.content {
            Content::Status(status) if !status.online && self.status.is_some() => self.is_gone = true,
            Content::Status(status) => (self.status, self.is_gone) = (Some((received, &**status)), false),
            Content::Health(health) => self.health = Some((received, *health)),
            _ => {}
        }
    }
}

/// What makes two alerts the same.
fn alert_key<'a>(agent: i64, received: &'a Received, alert: &Alert) -> (i64, u64, u64, u64, &'a [u8]) {
    (agent, alert.episode, received.run, received.number, &received.payload)
}

/// Runs that a batch uses.
pub(super) fn runs_of(batch: &[Received], agents: &HashMap<String, i64>) -> BTreeSet<(i64, u64)> {
    let acknowledged = batch.iter().filter(|received| received.is_acknowledged());
    acknowledged.filter_map(|received| Some((*agents.get(received.agent.as_str())?, received.run))).collect()
}

/// Places in the batch of alerts whose numbers are stored or given up, with their agents: they may be duplicates.
pub(super) fn possible_duplicates<'a>(
    batch: &'a [Received],
    agents: &HashMap<String, i64>,
    runs: &Runs,
) -> Vec<(usize, i64, &'a Received, &'a Alert)> {
    let alerts = batch.iter().enumerate().filter_map(|(place, received)| match &received.content {
        Content::Alert(alert) => Some((place, *agents.get(received.agent.as_str())?, received, &**alert)),
        _ => None,
    });
    let is_stored = |agent: i64, received: &Received| {
        runs.get(&(agent, received.run)).is_some_and(|run| run.numbers.contains(received.number))
    };
    alerts.filter(|(_, agent, received, _)| is_stored(*agent, received)).collect()
}
