//! Evidence of one host in one role: a CUSUM over −ln p, and what an alert will want to tell of its rise.

use crate::context::local::Followed;
use crate::features::FeatureVector;
use crate::lanes::exp2;
use crate::units::{Address, Nanos, Timestamp};
use crate::verdict::alert::{PEERS, Peer, REASONS, Reason};
use crate::verdict::kinds::KINDS;
use crate::verdict::scaling::{OUTSIDE, QuantizedInput, RowScaler};
use heapless::Vec;
use wide::f32x4;

/// Evidence halves in so long a silence: odd flows hours apart do not add up.
pub const HALF_LIFE: Nanos = Nanos::from_secs(1800);
/// A flow is called odd from this surprise on: p under 1 %.
pub const ODD_NATS: f32 = 4.6;
/// Evidence is held at this multiple of the limit, so that an episode ends soon after its cause does.
pub const EVIDENCE_CAP: f32 = 2.0;

/// One flow adds at most this share of the limit: one odd flow is never an alert, however odd.
pub const STEP_SHARE: f32 = 0.5;

/// One scored flow.
#[derive(Clone, Copy, Debug)]
pub struct Scored<'a> {
    /// When its record was made.
    pub at: Timestamp,
    /// Initiator.
    pub source: Address,
    /// Responder.
    pub destination: Address,
    /// Responder's port.
    pub service_port: u16,
    /// The ends that it counts for.
    pub followed: Followed,
    /// Plain features.
    pub row: &'a FeatureVector,
    /// Quantized features.
    pub input: &'a QuantizedInput,
    /// What the network made of them.
    pub reconstruction: &'a QuantizedInput,
    /// Weighted reconstruction error.
    pub score: u32,
}

/// One scored flow as a host's evidence sees it.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The flow.
    pub flow: &'a Scored<'a>,
    /// −ln p after the local correction, nats.
    pub surprise_nats: f32,
    /// The other end.
    pub peer: Address,
    /// Attack kind that the flow resembles.
    pub kind: Option<usize>,
    /// What tells how far each feature is off.
    pub scaler: &'a RowScaler,
}

/// The evidence of one host in one role, since it last left zero.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Accumulated nats, 0 or more (E. S. Page 1954, "Continuous Inspection Schemes").
    pub nats: f32,
    /// First flow of the rise.
    pub since: Timestamp,
    /// Newest flow.
    pub last: Timestamp,
    /// Flows of the rise.
    pub flows: u32,
    /// Of these, odd ones.
    pub odd_flows: u32,
    /// Flows that raised it.
    raising_flows: u32,
    worst_nats: f32,
    worst: Vec<Reason, REASONS>,
    peers: Vec<Peer, PEERS>,
    ports: Vec<(u16, u32), PEERS>,
    kinds: [u16; KINDS],
}

impl Evidence {
    /// None yet; the host's newest flow was at `last`.
    pub fn new(last: Timestamp) -> Self {
        Self { last, ..Self::default() }
    }

    /// Adds one flow: evidence ← max(0, faded evidence + surprise − drift), at most [`EVIDENCE_CAP`] · limit, of which
    /// the flow gives at most [`STEP_SHARE`] · limit.
    ///
    /// At 0 the rise is forgotten, unless `keep` is set because an episode has yet to tell of it.
    pub fn step(&mut self, step: &Step<'_>, drift_nats: f32, limit_nats: f32, keep: bool) {
        let (gain, most) = (step.surprise_nats - drift_nats, STEP_SHARE * limit_nats);
        let nats = self.faded(step.flow.at) + if gain < most { gain } else { most };
        if nats <= 0.0 && !keep {
            // Of most hosts there is nothing to forget.
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
        self.last = step.flow.at;
        self.flows = self.flows.saturating_add(1);
        self.odd_flows = self.odd_flows.saturating_add(u32::from(step.surprise_nats >= ODD_NATS));
        if step.surprise_nats > drift_nats {
            self.note(step);
        }
    }

    /// Evidence at `now`, after the silence since the newest flow.
    pub fn faded(&self, now: Timestamp) -> f32 {
        if self.nats == 0.0 {
            return 0.0;
        }
        let half_lives = (now.since(self.last).as_secs_f64() / HALF_LIFE.as_secs_f64()) as f32;
        let [left, ..] = exp2(f32x4::splat(-half_lives)).to_array();
        self.nats * left
    }

    /// Keeps what an alert will tell of a flow that raised the evidence.
    fn note(&mut self, step: &Step<'_>) {
        self.raising_flows = self.raising_flows.saturating_add(1);
        count_peer(&mut self.peers, step.peer);
        count_port(&mut self.ports, step.flow.service_port);
        if let Some(votes) = step.kind.and_then(|kind| self.kinds.get_mut(kind)) {
            *votes = votes.saturating_add(1);
        }
        if step.surprise_nats > self.worst_nats {
            self.worst_nats = step.surprise_nats;
            self.worst = largest_reasons(step);
        }
    }

    /// Busiest peers of the flows that raised it, busiest first.
    pub fn peers(&self) -> Vec<Peer, PEERS> {
        let mut peers = self.peers.clone();
        peers.sort_unstable_by(|a, b| b.flows.cmp(&a.flows).then(a.address.cmp(&b.address)));
        peers
    }

    /// Port that most of these were aimed at, 0 without one.
    pub fn service_port(&self) -> u16 {
        self.ports.iter().max_by_key(|(port, flows)| (*flows, core::cmp::Reverse(*port))).map_or(0, |(port, _)| *port)
    }

    /// What was off in the most surprising flow; normal ranges are to be filled in.
    pub fn reasons(&self) -> &Vec<Reason, REASONS> {
        &self.worst
    }

    /// Kind that most of these resembled, when that is at least half of them.
    pub fn kind(&self) -> Option<usize> {
        let (kind, votes) = self.kinds.iter().enumerate().max_by_key(|(index, votes)| (**votes, usize::MAX - index))?;
        (*votes > 0 && u32::from(*votes) * 2 >= self.raising_flows.min(u32::from(u16::MAX))).then_some(kind)
    }
}

/// The largest parts of the score; features that stand outside their benign range go first, since a person can see
/// that they are off.
fn largest_reasons(step: &Step<'_>) -> Vec<Reason, REASONS> {
    let parts = step.scaler.parts(step.flow.row, step.flow.input, step.flow.reconstruction);
    let total: u64 = parts.iter().map(|part| u64::from(part & !OUTSIDE)).sum();
    // Largest first, of equals the earlier feature; a part of 0 gives no reason.
    let mut largest = [(0, 0_u8); REASONS];
    for (feature, part) in parts.into_iter().enumerate() {
        // Most are smaller than all that are kept.
        if part <= largest[REASONS - 1].0 {
            continue;
        }
        let place = largest.iter().position(|(kept, _)| part > *kept).unwrap_or(REASONS - 1);
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

/// Space-Saving (Metwally, Agrawal & El Abbadi 2005): the rarest counter is given to a newcomer, its count kept, so
/// that heavy peers are never missed. What is told of a peer is an upper bound then.
fn count_peer(peers: &mut Vec<Peer, PEERS>, address: Address) {
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
