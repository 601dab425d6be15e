//! Scored flows → evidence of every host and role → alert episodes.

use crate::flow::lru::{LruTable, Slot};
use crate::units::{Address, Nanos, Timestamp};
use crate::verdict::alert::{ALERT_ROWS, Alert, AlertState, Role};
use crate::verdict::calibration::Calibration;
use crate::verdict::evidence::{Evidence, Step};
use crate::verdict::kinds::{KindFinder, KindProfile};
use crate::verdict::scaling::{RowScaler, Scaling};
use crate::verdict::witness::{Place, Rise, Witnesses};
use heapless::Vec;

pub use crate::verdict::evidence::Scored;

/// Episodes that can be open at once; a further one waits until one closes, and is counted.
pub const OPEN_EPISODES: usize = 64;
/// An open episode is told again after so long, when it has grown.
pub const UPDATE_INTERVAL: Nanos = Nanos::from_secs(60);
/// An episode ends after so long without a flow.
pub const EPISODE_TIMEOUT: Nanos = Nanos::from_secs(300);
/// An episode ends when its evidence falls under this share of the limit; hosts above it lend their rows no trust.
pub const CLOSE_SHARE: f32 = 0.5;

/// How much one row moves the local correction.
const CORRECTION_RATE: f32 = 1.0 / 2048.0;
/// Surprise beyond this does not move the correction further.
const CORRECTION_CLIP_NATS: f32 = 3.0;
/// E[min(X, 3)] for X ~ Exp(1), which −ln p follows on the calibration set: 1 − e⁻³.
const CORRECTION_TARGET_NATS: f32 = 0.950_212_9;
/// Bounds of the local correction, nats.
pub const CORRECTION_RANGE_NATS: (f32, f32) = (-0.5, 1.5);

/// What the verdict on a flow depends on besides the flow: parts of a release, and the operator's knob as a limit.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// Scaling of the features.
    pub scaling: &'a Scaling,
    /// The same, laid out for many rows.
    pub scaler: &'a RowScaler,
    /// Benign score distribution.
    pub calibration: &'a Calibration,
    /// Attack kinds.
    pub kinds: &'a [KindProfile],
    /// The same, laid out for many rows.
    pub finder: &'a KindFinder,
    /// Nats taken off for every flow.
    pub drift_nats: f32,
    /// Evidence threshold, nats.
    pub limit_nats: f32,
    /// Release version.
    pub release: u64,
}

/// What the judge thought of one flow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// −ln p after the local correction, nats.
    pub surprise_nats: f32,
    /// One of the hosts is in an episode or on the way to one: the row is no teacher.
    pub suspect: bool,
}

/// How often a limit was hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JudgeCounters {
    /// Episodes opened.
    pub episodes: u64,
    /// Hosts evicted from the full table.
    pub evictions: u64,
    /// Flows at which an episode could not open, because [`OPEN_EPISODES`] were.
    pub episodes_held_back: u64,
}

#[derive(Clone, Copy, Debug)]
struct Episode {
    number: u64,
    told: Timestamp,
    told_flows: u32,
    peak_nats: f32,
}

#[derive(Clone, Debug, Default)]
struct Side {
    evidence: Evidence,
    episode: Option<Episode>,
    rows_at: Place,
}

#[derive(Clone, Debug, Default)]
struct Sides {
    source: Side,
    target: Side,
}

impl Sides {
    fn of(&mut self, role: Role) -> &mut Side {
        match role {
            Role::Source => &mut self.source,
            Role::Target => &mut self.target,
        }
    }
}

/// Evidence of a bounded number of hosts, and the open episodes.
pub struct Judge {
    hosts: LruTable<Address, Sides, 2>,
    open: Vec<(Slot, Role), OPEN_EPISODES>,
    /// No open episode has been silent for long enough before this.
    silent_from: Timestamp,
    witnesses: Witnesses,
    correction_nats: f32,
    clock: Timestamp,
    started_s: u32,
    next_episode: u32,
    counters: JudgeCounters,
}

impl Judge {
    /// A judge for `capacity` hosts; all its memory is taken here (about 700 bytes a host).
    pub fn new(capacity: usize, hash_seed: u64) -> Self {
        Self {
            hosts: LruTable::new(capacity, hash_seed),
            open: Vec::new(),
            silent_from: Timestamp::MAX,
            witnesses: Witnesses::new(ALERT_ROWS),
            correction_nats: 0.0,
            clock: Timestamp::EPOCH,
            started_s: 0,
            next_episode: 0,
            counters: JudgeCounters::default(),
        }
    }

    /// Puts at most so many rows into an alert, [`ALERT_ROWS`] where nothing else is said.
    pub fn with_rows(self, rows: usize) -> Self {
        Self { witnesses: Witnesses::new(rows), ..self }
    }

    /// Counters since the start.
    pub fn counters(&self) -> JudgeCounters {
        self.counters
    }

    /// What is taken off every surprise here, nats: how much more surprising this site's ordinary flows are than the
    /// calibration set's.
    pub fn correction_nats(&self) -> f32 {
        self.correction_nats
    }

    /// Time of the newest flow or [`Judge::advance`].
    pub fn clock(&self) -> Timestamp {
        self.clock
    }

    /// Forgets what was learned under another release: the correction. Evidence stays.
    pub fn release_changed(&mut self) {
        self.correction_nats = 0.0;
    }

    /// Judges one flow; alerts go to `tell`.
    #[inline(never)]
    pub fn judge(&mut self, flow: &Scored<'_>, policy: &Policy<'_>, tell: &mut dyn FnMut(Alert)) -> Verdict {
        // Most flows come in time order, and no episode ends before them.
        if self.clock <= flow.at && flow.at < self.silent_from && self.started_s != 0 {
            self.clock = flow.at;
        } else {
            self.advance(flow.at, policy, tell);
        }
        let raw = policy.calibration.surprise_nats(flow.score);
        let surprise_nats = (raw - self.correction_nats).max(0.0);
        // Most flows are ordinary, and nobody will ask what they resemble.
        let rising = surprise_nats > policy.drift_nats;
        let kind = if rising { policy.finder.resembling(policy.scaler, flow.input) } else { None };
        let step = Step { flow, surprise_nats, peer: flow.destination, kind, scaler: policy.scaler };
        let mut suspect = false;
        if flow.followed.source {
            suspect |= self.step(&flow.source, Role::Source, &step, policy, tell);
        }
        if flow.followed.destination {
            let step = Step { peer: flow.source, ..step };
            suspect |= self.step(&flow.destination, Role::Target, &step, policy, tell);
        }
        if !suspect {
            let error = (raw - self.correction_nats).clamp(0.0, CORRECTION_CLIP_NATS) - CORRECTION_TARGET_NATS;
            let (low, high) = CORRECTION_RANGE_NATS;
            self.correction_nats = (self.correction_nats + CORRECTION_RATE * error).clamp(low, high);
        }
        Verdict { surprise_nats, suspect }
    }

    /// Moves time on: ends episodes that have been silent for [`EPISODE_TIMEOUT`].
    #[inline(never)]
    pub fn advance(&mut self, now: Timestamp, policy: &Policy<'_>, tell: &mut dyn FnMut(Alert)) {
        if self.started_s == 0 {
            self.started_s = now.as_secs().clamp(1, u64::from(u32::MAX)) as u32;
        }
        if now < self.clock {
            // A clock that was set back: flows from here on are older than those that are waited for.
            self.silent_from = self.silent_from.min(now.plus(EPISODE_TIMEOUT));
        }
        self.clock = now;
        if now >= self.silent_from {
            self.close_silent(now, policy, tell);
        }
    }

    fn close_silent(&mut self, now: Timestamp, policy: &Policy<'_>, tell: &mut dyn FnMut(Alert)) {
        self.silent_from = Timestamp::MAX;
        let mut index = 0;
        while let Some(&(slot, role)) = self.open.get(index) {
            let silent_from = self.hosts.value_mut(slot).of(role).evidence.last.plus(EPISODE_TIMEOUT);
            if now >= silent_from {
                self.close(slot, role, policy, tell);
            } else {
                self.silent_from = self.silent_from.min(silent_from);
                index += 1;
            }
        }
    }

    /// Ends every open episode.
    pub fn flush(&mut self, policy: &Policy<'_>, tell: &mut dyn FnMut(Alert)) {
        while let Some(&(slot, role)) = self.open.first() {
            self.close(slot, role, policy, tell);
        }
    }

    fn step(
        &mut self,
        host: &Address,
        role: Role,
        step: &Step<'_>,
        policy: &Policy<'_>,
        tell: &mut dyn FnMut(Alert),
    ) -> bool {
        let slot = self.slot_of(host, policy, tell);
        self.hosts.touch(slot);
        let side = self.hosts.value_mut(slot).of(role);
        side.evidence.step(step, policy.drift_nats, policy.limit_nats, side.episode.is_some());
        let nats = side.evidence.nats;
        if step.surprise_nats > policy.drift_nats && nats >= CLOSE_SHARE * policy.limit_nats {
            let rise = Rise { host: *host, role, since: side.evidence.since };
            self.witnesses.note(&mut side.rows_at, rise, step.flow.at, step.surprise_nats, step.flow.row);
        }
        match side.episode {
            Some(_) if nats < CLOSE_SHARE * policy.limit_nats => {
                self.close(slot, role, policy, tell);
                false
            }
            Some(_) => {
                self.update(slot, role, policy, tell);
                true
            }
            None if nats > policy.limit_nats => {
                self.open(slot, role, policy, tell);
                true
            }
            None => nats >= CLOSE_SHARE * policy.limit_nats,
        }
    }

    fn open(&mut self, slot: Slot, role: Role, policy: &Policy<'_>, tell: &mut dyn FnMut(Alert)) {
        if self.open.push((slot, role)).is_err() {
            self.counters.episodes_held_back += 1;
            return;
        }
        self.silent_from = self.silent_from.min(self.clock.plus(EPISODE_TIMEOUT));
        self.counters.episodes += 1;
        self.next_episode = self.next_episode.wrapping_add(1);
        let number = u64::from(self.started_s) << 32 | u64::from(self.next_episode);
        let side = self.hosts.value_mut(slot).of(role);
        let (told, told_flows) = (self.clock, side.evidence.flows);
        side.episode = Some(Episode { number, told, told_flows, peak_nats: side.evidence.nats });
        self.tell(slot, role, AlertState::Opened, policy, tell);
    }

    fn update(&mut self, slot: Slot, role: Role, policy: &Policy<'_>, tell: &mut dyn FnMut(Alert)) {
        let now = self.clock;
        let Side { evidence, episode, .. } = self.hosts.value_mut(slot).of(role);
        let Some(episode) = episode else { return };
        episode.peak_nats = episode.peak_nats.max(evidence.nats);
        if evidence.flows > episode.told_flows && now.since(episode.told) >= UPDATE_INTERVAL {
            (episode.told, episode.told_flows) = (now, evidence.flows);
            self.tell(slot, role, AlertState::Updated, policy, tell);
        }
    }

    fn close(&mut self, slot: Slot, role: Role, policy: &Policy<'_>, tell: &mut dyn FnMut(Alert)) {
        self.open.retain(|open| *open != (slot, role));
        self.tell(slot, role, AlertState::Closed, policy, tell);
        // Evidence starts afresh: what was told is not told again by an episode that opens at the next odd flow.
        let side = self.hosts.value_mut(slot).of(role);
        *side = Side { evidence: Evidence::new(side.evidence.last), episode: None, rows_at: side.rows_at };
    }

    fn tell(&mut self, slot: Slot, role: Role, state: AlertState, policy: &Policy<'_>, tell: &mut dyn FnMut(Alert)) {
        let (host, at) = (*self.hosts.key(slot), self.clock);
        let Side { evidence, episode: Some(episode), rows_at } = self.hosts.value_mut(slot).of(role) else { return };
        let mut reasons = evidence.reasons().clone();
        for reason in &mut reasons {
            if let Some(scaling) = policy.scaling.features.get(usize::from(reason.feature)) {
                (reason.normal_low, reason.normal_high) = (scaling.benign_low, scaling.benign_high);
            }
        }
        let rows = self.witnesses.rows(*rows_at, Rise { host, role, since: evidence.since });
        let resembles = evidence.kind().and_then(|kind| policy.kinds.get(kind)).map(|kind| kind.name.clone());
        tell(Alert {
            episode: episode.number,
            state,
            host,
            role,
            since: evidence.since,
            at,
            evidence_nats: evidence.nats,
            peak_nats: episode.peak_nats,
            limit_nats: policy.limit_nats,
            flows: evidence.flows,
            odd_flows: evidence.odd_flows,
            peers: evidence.peers(),
            service_port: evidence.service_port(),
            reasons,
            resembles,
            release: policy.release,
            rows,
        });
    }

    fn slot_of(&mut self, host: &Address, policy: &Policy<'_>, tell: &mut dyn FnMut(Alert)) -> Slot {
        loop {
            if let Some((slot, _)) = self.hosts.find_or_insert(host) {
                return slot;
            }
            let Some(oldest) = self.hosts.oldest() else { continue };
            for role in [Role::Source, Role::Target] {
                if self.hosts.value_mut(oldest).of(role).episode.is_some() {
                    self.close(oldest, role, policy, tell);
                }
            }
            self.hosts.remove(oldest);
            self.counters.evictions += 1;
        }
    }
}
