//! A decoded message → the parts that the store and its queues need.

use lapwing_shared::features::SchemaId;
use lapwing_shared::messages::{AgentName, Alert, Body, Health, Message, ReleaseHealth, Status, Update, UpdateStep};
use lapwing_shared::units::Timestamp;

/// A decoded message and its encoded bytes.
#[derive(Clone, Debug)]
pub struct Received {
    /// Sender, from the topic.
    pub agent: AgentName,
    /// Run number of the agent.
    pub run: u64,
    /// Message number within the run, 0 for message types without acknowledgement.
    pub number: u64,
    /// The parts of the body that the store needs.
    pub content: Content,
    /// Encoded message, stored unchanged.
    pub payload: Vec<u8>,
}

/// The parts of a message body that the store needs; small, because queues hold many of them.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names of the variants document them")]
pub enum Content {
    Alert(Box<Alert>),
    Samples(SampleBatch),
    Health(HealthReport),
    Status(Box<StatusReport>),
    Update(Box<Update>),
}

/// What lists of agents need of a health message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// Its coverage is degraded.
    pub degraded: bool,
    /// Version of the release in use, 0 for none; `None` from an agent that does not report it here.
    pub version: Option<u64>,
}

/// What lists of agents need of a status.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct StatusReport {
    pub online: bool,
    pub group: String,
    /// 0 for none.
    pub release: u64,
    pub on_trial: bool,
}

impl From<&Health> for HealthReport {
    fn from(health: &Health) -> Self {
        let is_reported = health.release != ReleaseHealth::default();
        Self { degraded: health.coverage_degraded, version: is_reported.then_some(health.release.version) }
    }
}

impl From<&Status> for StatusReport {
    fn from(status: &Status) -> Self {
        let Status { online, release, on_trial, .. } = *status;
        Self { online, group: status.group.to_string(), release, on_trial }
    }
}

/// Header of a sample batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct SampleBatch {
    /// Schema of its rows.
    pub(crate) schema: SchemaId,
    pub rows: u32,
    /// Times of the first and last row of a host in an episode; `None` without such rows.
    pub(crate) suspects: Option<(Timestamp, Timestamp)>,
}

impl Received {
    /// Extracts what the store needs from a decoded message.
    pub fn new(agent: AgentName, message: Message, payload: Vec<u8>) -> Self {
        let Message { run, number, body, .. } = message;
        let content = match body {
            Body::Alert(alert) => Content::Alert(Box::new(alert)),
            Body::Samples(samples) => {
                let suspects = || samples.rows.iter().filter(|row| row.in_episode).map(|row| row.at);
                let suspects = suspects().min().zip(suspects().max());
                Content::Samples(SampleBatch { schema: samples.schema, rows: samples.rows.len() as u32, suspects })
            }
            Body::Health(health) => Content::Health((&health).into()),
            Body::Status(status) => Content::Status(Box::new((&status).into())),
            Body::Update(update) => Content::Update(Box::new(update)),
        };
        Self { agent, run, number, content, payload }
    }

    /// True for message types that are numbered, stored one by one and acknowledged.
    pub fn is_acknowledged(&self) -> bool {
        !matches!(self.content, Content::Health(_) | Content::Status(_))
    }
}

/// A time as stored: times beyond signed 64-bit numbers become the largest one.
pub(crate) fn stored_ns(at: Timestamp) -> i64 {
    at.as_nanos().min(i64::MAX.cast_unsigned()).cast_signed()
}

/// Name of a step of an update, and why it failed.
pub(crate) fn step_names(step: &UpdateStep) -> (&'static str, Option<&str>) {
    match step {
        UpdateStep::Downloading => ("downloading", None),
        UpdateStep::Verified => ("verified", None),
        UpdateStep::Trial => ("trial", None),
        UpdateStep::Confirmed => ("confirmed", None),
        UpdateStep::Refused(why) => ("refused", Some(why.as_str())),
        UpdateStep::RolledBack(why) => ("rolled-back", Some(why.as_str())),
    }
}
