//! Evidence over its limit → the fields of an alert.

use crate::features::FeatureVector;
use crate::packet::Concealment;
use crate::units::{Address, Timestamp};
use crate::verdict::addresses::{AddressForm, Host};
use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

pub use crate::verdict::addresses::NO_HOST;

/// Limit on explained features per alert.
pub const REASONS: usize = 5;
/// Limit on feature rows per alert.
pub const ALERT_ROWS: usize = 3;
/// Limit on named peers per alert.
pub const PEERS: usize = 4;

/// Role of a host in the flows that raised its evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// It started them.
    Source,
    /// They were aimed at it.
    Target,
}

/// State of an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlertState {
    /// First message of the episode.
    Opened,
    /// The episode continues with new flows.
    Updated,
    /// Last message of the episode.
    Closed,
}

/// One anomalous feature, in plain units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// Index in the feature schema.
    pub feature: u8,
    /// Value in the episode's most surprising flow.
    pub value: f32,
    /// Lower end of the normal range: 1 % quantile of benign rows.
    pub normal_low: f32,
    /// Upper end of the normal range: 99 % quantile of benign rows.
    pub normal_high: f32,
    /// Share of the flow's score, per mille.
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

/// One message about an episode of evidence over the limit: sent when the episode opens, at a bounded rate while it
/// lasts, and when it closes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Episode number, unique for this agent: start second in the high 32 bits, a counter in the low ones.
    pub episode: u64,
    /// Opened, updated or closed.
    pub state: AlertState,
    /// The host that the evidence concerns.
    pub host: Address,
    /// Its role.
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
    /// Anomalous flows among them: tail probability below 1 %.
    pub odd_flows: u32,
    /// Busiest peers of the flows that raised the evidence.
    pub peers: Vec<Peer, PEERS>,
    /// Most frequent responder port of those flows, 0 if none.
    pub service_port: u16,
    /// Anomalous features, largest share of the score first.
    pub reasons: Vec<Reason, REASONS>,
    /// Name of the attack class that it resembles.
    pub resembles: Option<String<32>>,
    /// Version of the release that raised it.
    pub release: u64,
    /// What host and peers are: addresses or pseudonyms. Messages append it, so serde skips it.
    #[serde(skip)]
    pub addresses: AddressForm,
    /// Rows that raised the evidence most, in plain units and order of arrival; without addresses. Messages append them
    /// after the postcard body, so serde skips them.
    #[serde(skip)]
    pub rows: Vec<FeatureVector, ALERT_ROWS>,
}

/// A condition of the whole site that is reported as an alert without a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteAlert {
    /// Hosts over the evidence limit got no episode, because stronger ones occupy all of them.
    TooManyToReport,
    /// Hosts send their first flow at a rate far above the site's normal one: forged source addresses, as a rule.
    NewSources,
}

impl SiteAlert {
    const ALL: [Self; 2] = [Self::TooManyToReport, Self::NewSources];

    /// The attack class of its alerts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooManyToReport => "too-many-to-report",
            Self::NewSources => "flood-of-new-sources",
        }
    }

    /// The condition that an alert reports; `None` for an alert of a host.
    pub fn of(alert: &Alert) -> Option<Self> {
        let name = alert.resembles.as_deref().filter(|_| alert.host == NO_HOST)?;
        Self::ALL.into_iter().find(|condition| condition.name() == name)
    }
}

impl Alert {
    /// One of its addresses, in the form that it has.
    pub const fn named(&self, address: Address) -> Host {
        Host { address, form: self.addresses }
    }
}

#[cfg(feature = "alloc")]
impl Alert {
    /// Moves the alert to the heap. Compiled in this crate, because code optimised for size copies byte by byte.
    #[inline(never)]
    pub fn boxed(self) -> alloc::boxed::Box<Self> {
        alloc::boxed::Box::new(self)
    }
}

impl Concealment {
    /// The kind that an alert reports; `None` for an alert that rests on evidence.
    pub fn of(alert: &Alert) -> Option<Self> {
        let name = alert.resembles.as_deref().filter(|_| alert.limit_nats == 0.0)?;
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
