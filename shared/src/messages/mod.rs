//! Agent ↔ trainer: the messages between them over MQTT.

pub mod broker_url;
mod codec;
mod counters;
mod hosts;
mod alert_extension;
mod refusal_kind;
mod release_health;
pub mod sealed;
pub mod topics;
pub mod access;

pub use codec::{ACKNOWLEDGEMENT_BYTES, MessageError};
pub use refusal_kind::RefusalKind;
pub use release_health::{ANOMALOUS_NATS, DeviceHealth, ReleaseHealth, SURPRISE_BINS, TARGET_BYTES};

use crate::features::{FEATURES, FeatureVector, SchemaId};
use crate::release::manifest::Name;
use crate::units::Timestamp;
pub use crate::verdict::addresses::{AddressForm, Host, KeyId};
pub use crate::verdict::alert::{ALERT_ROWS, Alert, AlertState, PEERS, Peer, REASONS, Reason, Role};
use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

/// First byte of a payload without extension; readers reject unknown values.
pub const MESSAGE_VERSION: u8 = 1;
/// First byte of a payload with an extension after the [`MESSAGE_VERSION`] form. After an alert with rows: schema id,
/// number of rows, and their values as little-endian `f32`. After samples with hosts: the [`RowHosts`] of every row as
/// little-endian `u32`. After health with [`DetectorCounters`], [`ReleaseHealth`] or [`DeviceHealth`]: these. Messages without
/// these keep the first form, which older programs can read.
pub const EXTENDED_VERSION: u8 = 2;
/// First byte of an alert with pseudonyms. The identifier of their key follows, 0 for hidden ones, as little-endian `u32`,
/// then the rows as after [`EXTENDED_VERSION`], if there are any. Older programs reject it: they would show pseudonyms as
/// addresses.
pub const PSEUDONYM_VERSION: u8 = 3;
/// Largest payload, bytes.
pub const MESSAGE_BYTES: usize = 60 * 1024;
/// Limit on rows per sample batch.
pub const SAMPLE_ROWS: usize = 32;

/// An agent's name: 1 to 32 of `a–z A–Z 0–9 - _ .` with a letter or digit first, because it is a topic level.
pub type AgentName = Name;

/// One sampled feature row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleRow {
    /// Time of the flow record, capture time.
    pub at: Timestamp,
    /// [`FEATURES`] values in schema order.
    pub features: Vec<f32, FEATURES>,
    /// Score under the release in use; `None` without a release.
    pub score: Option<u32>,
    /// One of its hosts was in an alert episode or halfway to one; excluded from training unless an operator labels it
    /// benign.
    pub in_episode: bool,
    /// The hosts whose evidence it counted for.
    #[serde(skip)]
    pub hosts: RowHosts,
}

/// The hosts of a row, as numbers valid within one run of one agent; 0 if the host is not followed or the agent does
/// not report it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowHosts {
    /// The initiator, as a source.
    pub source: u32,
    /// The responder, as a target.
    pub target: u32,
}

impl SampleRow {
    /// Copies a row. Compiled in this crate, because code optimised for size copies byte by byte.
    #[inline(never)]
    pub fn new(at: Timestamp, features: &FeatureVector, score: Option<u32>, in_episode: bool, hosts: RowHosts) -> Self {
        Self { at, features: Vec::from_array(*features), score, in_episode, hosts }
    }
}

/// A batch of sampled rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// Schema of the rows.
    pub schema: SchemaId,
    /// Number of flow records that the rows were sampled from; their weight.
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
    /// Packets rejected, for any reason.
    pub refused: u64,
    /// Packets dropped by the kernel.
    pub kernel_drops: u64,
    /// Flow records exported.
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
    /// Alerts dropped by a full outbox.
    pub outbox_dropped_alerts: u64,
    /// Other messages dropped by a full outbox.
    pub outbox_dropped_telemetry: u64,
    /// Messages waiting in the outbox.
    pub outbox_waiting: u32,
    /// Packets rejected by reason, in the order of [`crate::packet::Refusal::ALL`]; empty when reading files.
    pub refused_by_reason: Vec<u64, { crate::packet::Refusal::COUNT }>,
    /// Octets on the wire of the packets read from live interfaces.
    pub seen_octets: u64,
    /// Octets counted by those interfaces in the same time.
    pub moved_octets: u64,
    /// The agent sees much less than the interfaces count, or the kernel drops packets.
    pub coverage_degraded: bool,
    /// Share of flows processed under load shedding, per mille; 1,000 without shedding.
    pub sampled_permille: u16,
    /// The wall clock is set. Until then timestamps are lower bounds.
    pub clock_set: bool,
    /// Counters that were added later.
    #[serde(skip)]
    pub detector: DetectorCounters,
    /// The release in use and the campaign. Added later, too.
    #[serde(skip)]
    pub release: ReleaseHealth,
    /// The gateway, and what is in force on it. Added later still.
    #[serde(skip)]
    pub device: DeviceHealth,
}

/// How often the detector had to choose what to keep or to report, damaged blocks, and rejected acknowledgements, since the
/// agent's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DetectorCounters {
    /// Flows that should have opened an alert episode while too many stronger ones were open.
    pub episodes_held_back: u64,
    /// Alert episodes closed early to make room for a stronger one.
    pub episodes_replaced: u64,
    /// Alert episodes of targets that an alert about their source covers.
    pub episodes_folded: u64,
    /// Flows of new hosts that a full host table turned away.
    pub hosts_turned_away: u64,
    /// New sources in intervals with far more of them than normal.
    pub flooding_sources: u64,
    /// Idle TCP connections whose initiator was forgotten early.
    pub initiators_forgotten: u64,
    /// Blocks of the capture rings with inconsistent contents, whose remaining packets were skipped.
    pub damaged_blocks: u64,
    /// Acknowledgements that were rejected: invalid, or without the trainer's seal.
    pub rejected_acknowledgements: u64,
}

/// Status of an agent, retained. The last will is the same with `online` false.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Connected.
    pub online: bool,
    /// Group whose releases it installs.
    pub group: Name,
    /// Version of the agent.
    pub agent_version: String<24>,
    /// `tract` or `int8`.
    pub engine: String<8>,
    /// Version of the release in use, 0 if none.
    pub release: u64,
    /// True while that release is on trial.
    pub on_trial: bool,
    /// Feature schema.
    pub schema: SchemaId,
}

/// A step of an update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateStep {
    /// Downloading the artifact.
    Downloading,
    /// Signature, version, schema, digest and golden vectors verified; written to the spare slot.
    Verified,
    /// In use, on trial.
    Trial,
    /// Trial passed.
    Confirmed,
    /// Rejected, with the reason.
    Refused(String<160>),
    /// Trial failed, with the reason.
    RolledBack(String<160>),
}

/// Report on an update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Version of the release, 0 if the manifest was unreadable.
    pub release: u64,
    /// The step.
    pub step: UpdateStep,
}

/// Content of a message.
#[expect(clippy::large_enum_variant, reason = "no Box without an allocator; messages are created one at a time")]
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

/// An agent's message. Encoded as [`MESSAGE_VERSION`], then postcard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Run of the agent, greater than all earlier ones. Message numbers restart with each run.
    pub run: u64,
    /// 1, 2, 3 … over the acknowledged messages (alerts, samples, updates) of a run; 0 for others.
    pub number: u64,
    /// Time of creation, wall clock, seconds since the epoch; 0 if the clock is not set.
    pub sent_s: u64,
    /// Content.
    pub body: Body,
}

/// The trainer's confirmation, on `…/ack`, that messages are durably stored. An agent keeps them in its outbox until
/// then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Run of the agent.
    pub run: u64,
    /// All numbers up to this one are stored.
    pub up_to: u64,
    /// Further stored numbers.
    pub also: Vec<u64, 64>,
}
