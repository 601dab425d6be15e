//! What agent and trainer say to each other over MQTT.

mod codec;
pub mod topics;

pub use codec::{ACKNOWLEDGEMENT_BYTES, MessageError};

use crate::features::{FEATURES, SchemaId};
use crate::release::manifest::Name;
use crate::units::{Address, Timestamp};
use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

/// First byte of every payload; a reader refuses any other value.
pub const MESSAGE_VERSION: u8 = 1;
/// Largest payload, bytes.
pub const MESSAGE_BYTES: usize = 60 * 1024;
/// Rows of one sample batch.
pub const SAMPLE_ROWS: usize = 32;
/// Features that an alert explains.
pub const REASONS: usize = 5;
/// Peers that an alert names.
pub const PEERS: usize = 4;

/// An agent's name: 1 to 32 of `a–z A–Z 0–9 - _ .`, since it is a topic level.
pub type AgentName = Name;

/// Which part a host played in the flows that raised its evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// It started them.
    Source,
    /// They were aimed at it.
    Target,
}

/// Where an episode stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlertState {
    /// First message of the episode.
    Opened,
    /// It goes on; counts have grown.
    Updated,
    /// It ended; last message.
    Closed,
}

/// One feature that is off, in plain units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// Index in the feature schema.
    pub feature: u8,
    /// Seen value, of the episode's most surprising flow.
    pub value: f32,
    /// What is normal here: 1 % quantile of benign rows.
    pub normal_low: f32,
    /// What is normal here: 99 % quantile of benign rows.
    pub normal_high: f32,
    /// Share of the score, per mille.
    pub share_permille: u16,
}

/// A host on the other side of an episode's flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its address.
    pub address: Address,
    /// Flows with it in this episode, a lower bound when more peers took part than are counted.
    pub flows: u32,
}

/// An episode of evidence over the limit, told once when it opens, at a bounded rate while it lasts, once when it ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Episode number, unique for this agent: start second in the high 32 bits, a counter in the low ones.
    pub episode: u64,
    /// Opened, updated or closed.
    pub state: AlertState,
    /// The host that the evidence is about.
    pub host: Address,
    /// Its part.
    pub role: Role,
    /// First flow of the rise that crossed the limit.
    pub since: Timestamp,
    /// Time of this message, in capture time.
    pub at: Timestamp,
    /// Evidence now, nats.
    pub evidence_nats: f32,
    /// Highest evidence so far, nats.
    pub peak_nats: f32,
    /// The limit that was crossed, nats.
    pub limit_nats: f32,
    /// Flows of this host and role in the episode.
    pub flows: u32,
    /// Of these, those with a tail probability under 1 %.
    pub odd_flows: u32,
    /// Busiest peers, by flows.
    pub peers: Vec<Peer, PEERS>,
    /// Port that most odd flows were aimed at, 0 when there is none.
    pub service_port: u16,
    /// What is off, largest share first.
    pub reasons: Vec<Reason, REASONS>,
    /// Attack kind that it resembles.
    pub resembles: Option<Name>,
    /// Release that said so.
    pub release: u64,
}

/// One feature row of the reservoir.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleRow {
    /// When the flow's record was made, capture time.
    pub at: Timestamp,
    /// The row, [`FEATURES`] values in schema order.
    pub features: Vec<f32, FEATURES>,
    /// Score under the release in use; nothing without one.
    pub score: Option<u32>,
    /// One of its hosts was in an alert episode: kept out of training unless an operator says benign.
    pub in_episode: bool,
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
