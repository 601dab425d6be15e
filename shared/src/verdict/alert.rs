//! What an alert says.

use crate::features::FeatureVector;
use crate::units::{Address, Timestamp};
use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

/// Features that an alert explains.
pub const REASONS: usize = 5;
/// Rows that an alert carries.
pub const ALERT_ROWS: usize = 3;
/// Peers that an alert names.
pub const PEERS: usize = 4;

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
    /// Flows with it that raised the evidence; an upper bound when more peers took part than are counted.
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
    /// Busiest peers of the flows that raised the evidence.
    pub peers: Vec<Peer, PEERS>,
    /// Port that most of them were aimed at, 0 when there is none.
    pub service_port: u16,
    /// What is off, largest share first.
    pub reasons: Vec<Reason, REASONS>,
    /// Attack kind that it resembles.
    pub resembles: Option<String<32>>,
    /// Release that said so.
    pub release: u64,
    /// Rows that raised the evidence most, plain units, in the order in which they came. They say no address. Messages
    /// have them behind everything else, so serde does not see them.
    #[serde(skip)]
    pub rows: Vec<FeatureVector, ALERT_ROWS>,
}

#[cfg(feature = "alloc")]
impl Alert {
    /// On the heap, to be passed on without copies. Compiled here: what is made for size copies octet by octet.
    #[inline(never)]
    pub fn boxed(self) -> alloc::boxed::Box<Self> {
        alloc::boxed::Box::new(self)
    }
}
