//! Scored flows of one host in one role → evidence (a CUSUM over −ln p), and the details that an alert reports.

use crate::context::local::Followed;
use crate::features::FeatureVector;
use crate::lanes::exp2;
use crate::units::{Address, Nanos, Timestamp};
use crate::verdict::alert::{PEERS, Peer, REASONS, Reason};
use crate::verdict::kinds::KINDS;
use crate::verdict::scaling::{OUTSIDE, QuantizedInput, RowScaler};
use heapless::Vec;
use wide::f32x4;

/// Half-life of evidence: anomalous flows hours apart do not add up.
pub const HALF_LIFE: Nanos = Nanos::from_secs(1800);
/// A flow with at least this surprise is anomalous: p below 1 %.
pub const ODD_NATS: f32 = 4.6;
/// Evidence is capped at this multiple of the limit, so that an episode ends soon after its cause does.
pub const EVIDENCE_CAP: f32 = 2.0;

/// One flow adds at most this share of the limit, so a single flow never raises an alert.
pub const STEP_SHARE: f32 = 0.5;

/// One scored flow.
#[derive(Clone, Copy, Debug)]
pub struct Scored<'a> {
    /// Time of its record.
    pub at: Timestamp,
    /// Initiator.
    pub source: Address,
    /// Responder.
    pub destination: Address,
    /// Responder's port.
    pub service_port: u16,
    /// The hosts whose evidence it counts for.
    pub followed: Followed,
    /// Features in plain units.
    pub row: &'a FeatureVector,
    /// Quantized features.
    pub input: &'a QuantizedInput,
    /// Output of the network.
    pub reconstruction: &'a QuantizedInput,
    /// Weighted reconstruction error.
    pub score: u32,
}

/// One scored flow from the view of one of its hosts.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The flow.
    pub flow: &'a Scored<'a>,
    /// −ln p after the local correction, nats.
    pub surprise_nats: f32,
    /// The other host.
    pub peer: Address,
    /// Index of the attack class that the flow resembles.
    pub kind: Option<usize>,
    /// Computes each feature's part of the score.
    pub scaler: &'a RowScaler,
}

/// The evidence of one host in one role, since it last left zero.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Accumulated nats, 0 or more (E. S. Page 1954, "Continuous Inspection Schemes").
    pub nats: f32,
    /// The same without the cap: ranks hosts over the limit.
    pub strength_nats: f32,
    /// First flow of the rise.
    pub since: Timestamp,
    /// Newest flow.
    pub last: Timestamp,
    /// Flows of the rise.
    pub flows: u32,
    /// Anomalous flows among them.
    pub odd_flows: u32,
    /// Flows that raised it.
    raising_flows: u32,
    top_nats: f32,
    top_reasons: Vec<Reason, REASONS>,
    peers: Vec<Peer, PEERS>,
    ports: Vec<(u16, u32), PEERS>,
    kinds: [u16; KINDS],
}

impl Evidence {
    /// No evidence; the host's newest flow was at `last`.
    pub fn new(last: Timestamp) -> Self {
        Self { last, ..Self::default() }
    }

    /// Adds one flow: evidence ← max(0, decayed evidence + surprise − drift), capped at [`EVIDENCE_CAP`] · limit. The
    /// flow adds at most [`STEP_SHARE`] · limit.
    ///
    /// At 0 the details of the rise are dropped, unless `keep` is set because an episode still needs them.
    pub fn step(&mut self, step: &Step<'_>, drift_nats: f32, limit_nats: f32, keep: bool) {
        let (gain, most) = (step.surprise_nats - drift_nats, STEP_SHARE * limit_nats);
        let (gain, left) = (if gain < most { gain } else { most }, self.left(step.flow.at));
        let nats = self.nats * left + gain;
        if nats <= 0.0 && !keep {
            // Most hosts have nothing to drop.
            if self.flows > 0 {
                *self = Self::default();
            }
            self.last = step.flow.at;
            return;
        }
        if self.flows == 0 {
            self.since = step.flow.at;
        }
        self.nats = nats.clamp(0.0, EVIDENCE_CAP * limit_nats);
        self.strength_nats = (self.strength_nats * left + gain).max(self.nats);
        self.last = step.flow.at;
        self.flows = self.flows.saturating_add(1);
        self.odd_flows = self.odd_flows.saturating_add(u32::from(step.surprise_nats >= ODD_NATS));
        if step.surprise_nats > drift_nats {
            self.record(step);
        }
    }

    /// Share of the evidence that is left at `now`.
    #[inline]
    fn left(&self, now: Timestamp) -> f32 {
        if self.nats == 0.0 {
            return 0.0;
        }
        let half_lives = (now.since(self.last).as_secs_f64() / HALF_LIFE.as_secs_f64()) as f32;
        let [left, ..] = exp2(f32x4::splat(-half_lives)).to_array();
        left
    }

    /// Evidence at `now`, decayed since the newest flow.
    pub fn decayed(&self, now: Timestamp) -> f32 {
        self.nats * self.left(now)
    }

    /// True if there is nothing to remember.
    #[inline]
    pub fn is_none(&self) -> bool {
        self.flows == 0
    }

    /// The peer of at least half of the flows that raised the evidence.
    pub fn main_peer(&self) -> Option<Address> {
        let busiest = self.peers.iter().max_by_key(|peer| (peer.flows, core::cmp::Reverse(peer.address)))?;
        (busiest.flows.saturating_mul(2) >= self.raising_flows).then_some(busiest.address)
    }

    /// Records the details of a flow that raised the evidence, for the alert.
    fn record(&mut self, step: &Step<'_>) {
        self.raising_flows = self.raising_flows.saturating_add(1);
        count_peer(&mut self.peers, step.peer);
        count_port(&mut self.ports, step.flow.service_port);
        if let Some(votes) = step.kind.and_then(|kind| self.kinds.get_mut(kind)) {
            *votes = votes.saturating_add(1);
        }
        if step.surprise_nats > self.top_nats {
            self.top_nats = step.surprise_nats;
            self.top_reasons = largest_reasons(step);
        }
    }

    /// Peers of the flows that raised the evidence, busiest first.
    pub fn peers(&self) -> Vec<Peer, PEERS> {
        let mut peers = self.peers.clone();
        peers.sort_unstable_by(|a, b| b.flows.cmp(&a.flows).then(a.address.cmp(&b.address)));
        peers
    }

    /// Most frequent responder port of those flows, 0 if none.
    pub fn service_port(&self) -> u16 {
        self.ports.iter().max_by_key(|(port, flows)| (*flows, core::cmp::Reverse(*port))).map_or(0, |(port, _)| *port)
    }

    /// Most anomalous features of the most surprising flow. The caller fills in the normal ranges.
    pub fn reasons(&self) -> &Vec<Reason, REASONS> {
        &self.top_reasons
    }

    /// Attack class that at least half of those flows resembled.
    pub fn kind(&self) -> Option<usize> {
        let (kind, votes) = self.kinds.iter().enumerate().max_by_key(|(index, votes)| (**votes, usize::MAX - index))?;
        (*votes > 0 && u32::from(*votes) * 2 >= self.raising_flows.min(u32::from(u16::MAX))).then_some(kind)
    }
}

/// The features with the largest parts of the score. Those outside their benign range come first, because a person can
/// see why they are anomalous.
fn largest_reasons(step: &Step<'_>) -> Vec<Reason, REASONS> {
    let parts = step.scaler.parts(step.flow.row, step.flow.input, step.flow.reconstruction);
    let total: u64 = parts.iter().map(|part| u64::from(part & !OUTSIDE)).sum();
    // Largest first, ties by index; a part of 0 is no reason.
    let mut largest = [(0, 0_u8); REASONS];
    for (feature, part) in parts.into_iter().enumerate() {
        // Fast path: most parts are too small.
        if part <= largest[REASONS - 1].0 {
            continue;
        }
        let place = largest.iter().position(|(other, _)| part > *other).unwrap_or(REASONS - 1);
        largest[place..].rotate_right(1);
        largest[place] = (part, feature as u8);
    }
    let reason = |(part, feature): (u32, u8)| Reason {
        feature,
        value: step.flow.row[usize::from(feature)],
        normal_low: 0.0,
        normal_high: 0.0,
        share_permille: (u64::from(part & !OUTSIDE) * 1000 / total.max(1)) as u16,
    };
    largest.into_iter().map(reason).filter(|reason| reason.share_permille > 0).collect()
}

/// Space-Saving (Metwally, Agrawal & El Abbadi 2005): a new peer takes over the rarest counter with its count, so that
/// heavy peers are never missed. A reported count is then an upper bound.
pub(super) fn count_peer(peers: &mut Vec<Peer, PEERS>, address: Address) {
    if let Some(peer) = peers.iter_mut().find(|peer| peer.address == address) {
        peer.flows = peer.flows.saturating_add(1);
    } else if peers.push(Peer { address, flows: 1 }).is_err()
        && let Some(rarest) = peers.iter_mut().min_by_key(|peer| peer.flows)
    {
        *rarest = Peer { address, flows: rarest.flows.saturating_add(1) };
    }
}

fn count_port(ports: &mut Vec<(u16, u32), PEERS>, port: u16) {
    if let Some(counted) = ports.iter_mut().find(|counted| counted.0 == port) {
        counted.1 = counted.1.saturating_add(1);
    } else if ports.push((port, 1)).is_err()
        && let Some(rarest) = ports.iter_mut().min_by_key(|counted| counted.1)
    {
        *rarest = (port, rarest.1.saturating_add(1));
    }
}
