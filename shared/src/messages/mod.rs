//! What agent and trainer say to each other over MQTT.

pub mod broker_url;
mod codec;
mod hosts;
mod rows;
pub mod topics;

pub use codec::{ACKNOWLEDGEMENT_BYTES, MessageError};

use crate::features::{FEATURES, FeatureVector, SchemaId};
use crate::release::manifest::Name;
use crate::units::Timestamp;
pub use crate::verdict::alert::{ALERT_ROWS, Alert, AlertState, PEERS, Peer, REASONS, Reason, Role};
use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

/// First byte of every payload but those of [`EXTENDED_VERSION`]; a reader refuses any other value.
pub const MESSAGE_VERSION: u8 = 1;
/// First byte of an alert that carries rows, and of samples that tell their hosts apart: the message as in
/// [`MESSAGE_VERSION`], and behind it what that form has no place for. Behind an alert: the schema's id, the number of
/// rows, and their values as little-endian `f32`. Behind samples: the [`RowHosts`] of every row, as little-endian `u32`.
/// A message without these keeps the older form, which older programs read.
pub const EXTENDED_VERSION: u8 = 2;
/// Largest payload, bytes.
pub const MESSAGE_BYTES: usize = 60 * 1024;
/// Rows of one sample batch.
pub const SAMPLE_ROWS: usize = 32;

/// An agent's name: 1 to 32 of `a–z A–Z 0–9 - _ .`, since it is a topic level.
pub type AgentName = Name;

/// One feature row of the reservoir.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleRow {
    /// When the flow's record was made, capture time.
    pub at: Timestamp,
    /// The row, [`FEATURES`] values in schema order.
    pub features: Vec<f32, FEATURES>,
    /// Score under the release in use; nothing without one.
    pub score: Option<u32>,
    /// One of its hosts was in an alert episode, or half-way to one: kept out of training unless an operator says
    /// benign.
    pub in_episode: bool,
    /// Whose evidence it counts for.
    #[serde(skip)]
    pub hosts: RowHosts,
}

/// The hosts that a row is evidence of, as numbers that mean nothing outside one run of one agent; 0 where the end is no
/// host that evidence is kept of, or the agent does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowHosts {
    /// The initiator, as a source.
    pub source: u32,
    /// The responder, as a target.
    pub target: u32,
}

impl SampleRow {
    /// A copy of a row. Compiled here: what is made for size copies octet by octet.
    #[inline(never)]
    pub fn new(at: Timestamp, features: &FeatureVector, score: Option<u32>, in_episode: bool, hosts: RowHosts) -> Self {
        Self { at, features: Vec::from_array(*features), score, in_episode, hosts }
    }
}

/// A batch of the reservoir.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// Schema of the rows.
    pub schema: SchemaId,
    /// Flow records that the reservoir chose from, to weigh its rows.
    pub flows_seen: u32,
    /// The rows.
    pub rows: Vec<SampleRow, SAMPLE_ROWS>,
}

/// Counters since the agent's start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Newest packet's time.
    pub at: Timestamp,
    /// Seconds since start.
    pub uptime_s: u64,
    /// Packets read.
    pub packets: u64,
    /// Octets of the network layer in metered packets.
    pub octets: u64,
    /// Packets refused, all reasons.
    pub refused: u64,
    /// Packets that the kernel dropped before we saw them.
    pub kernel_drops: u64,
    /// Flow records made.
    pub flows: u64,
    /// Flows evicted from a full table.
    pub flow_evictions: u64,
    /// Hosts evicted from a full table.
    pub host_evictions: u64,
    /// Rows scored.
    pub scored: u64,
    /// Rows not scored, because the scoring queue was full.
    pub unscored: u64,
    /// Alert episodes opened.
    pub alerts: u64,
    /// Messages that the full outbox dropped: alerts.
    pub outbox_dropped_alerts: u64,
    /// Messages that the full outbox dropped: the rest.
    pub outbox_dropped_telemetry: u64,
    /// Messages waiting in the outbox.
    pub outbox_waiting: u32,
    /// Packets refused, by reason, in the order of [`crate::packet::Refusal::ALL`]; empty from a file.
    pub refused_by_reason: Vec<u64, { crate::packet::Refusal::COUNT }>,
    /// Octets on the wire of the packets that a live source read.
    pub seen_octets: u64,
    /// Octets that passed its interfaces meanwhile, by their own counters.
    pub moved_octets: u64,
    /// Far less is seen than passes the interfaces, or the kernel drops packets.
    pub coverage_degraded: bool,
    /// Share of flows that is looked at under load, per mille; 1,000 when all are.
    pub sampled_permille: u16,
    /// The wall clock has been set since the agent's start; without it times are floors.
    pub clock_set: bool,
}

/// What the agent is and does, retained; the last will is the same with `online` false.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Connected.
    pub online: bool,
    /// Group whose releases it takes.
    pub group: Name,
    /// Version of the agent.
    pub agent_version: String<24>,
    /// `tract` or `int8`.
    pub engine: String<8>,
    /// Release in use, 0 without one.
    pub release: u64,
    /// True while that release is on trial.
    pub on_trial: bool,
    /// Feature schema.
    pub schema: SchemaId,
}

/// A step of an update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateStep {
    /// Fetching the artifact.
    Downloading,
    /// Signature, version, schema, digest and golden vectors hold; written to the spare slot.
    Verified,
    /// In use, on probation.
    Trial,
    /// Kept.
    Confirmed,
    /// Not taken; the text says why.
    Refused(String<160>),
    /// Taken back on trial; the text says why.
    RolledBack(String<160>),
}

/// Report on an update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Version that it is about, 0 where the manifest could not be read.
    pub release: u64,
    /// The step.
    pub step: UpdateStep,
}

/// What an agent sends.
#[expect(clippy::large_enum_variant, reason = "without an allocator there is no box; messages are made one at a time")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Body {
    /// On `…/alert`.
    Alert(Alert),
    /// On `…/sample`.
    Samples(Samples),
    /// On `…/health`.
    Health(Health),
    /// On `…/status`.
    Status(Status),
    /// On `…/update`.
    Update(Update),
}

/// An agent's message: postcard, [`MESSAGE_VERSION`] first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Number of this agent's run, greater than every earlier run's; numbers restart with it.
    pub run: u64,
    /// 1, 2, 3 … over the acknowledged kinds (alerts, samples, updates) of a run; 0 for the rest.
    pub number: u64,
    /// When it was made, wall clock, seconds since the epoch; 0 where the clock is not set.
    pub sent_s: u64,
    /// What it says.
    pub body: Body,
}

/// The trainer's word that messages are on its disk, on `…/ack`; an agent keeps them in its outbox until then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Run that it is about.
    pub run: u64,
    /// Every number up to this one is stored.
    pub up_to: u64,
    /// Stored ones beyond it.
    pub also: Vec<u64, 64>,
}
