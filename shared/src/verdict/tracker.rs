//! Scored flows → evidence per host and role → alert episodes.

mod room;
mod unusual;

use crate::context::doorkeeper::Doorkeeper;
use crate::flow::lru::{LruTable, Slot};
use crate::units::{Address, Timestamp};
use crate::verdict::addresses::AddressForm;
use crate::verdict::alert::{ALERT_ROWS, Alert, AlertState, Role, SiteAlert};
use crate::verdict::alert_rows::{AlertRows, Rise};
use crate::verdict::calibration::Calibration;
use crate::verdict::episodes::{Episode, HostState, OpenEpisode, RoleState};
use crate::verdict::evidence::Step;
use crate::verdict::habits::Habits;
use crate::verdict::kinds::{KindFinder, KindProfile};
use crate::verdict::scaling::{RowScaler, Scaling};
use crate::verdict::site_alerts::{Seen, SiteEpisode, SourceRate};
use heapless::Vec;

pub use crate::verdict::episodes::{
    CLOSE_SHARE, EPISODE_TIMEOUT, OPEN_EPISODES, REPLACE_FACTOR, REPLACE_INTERVAL, TARGETS_PER_SOURCE, UPDATE_INTERVAL,
};
pub use crate::verdict::evidence::Scored;

/// Step size of the local correction per row.
const CORRECTION_RATE: f32 = 1.0 / 2048.0;
/// Surprise is clipped here before it moves the correction.
const CORRECTION_CLIP_NATS: f32 = 3.0;
/// E[min(X, 3)] for X ~ Exp(1), which −ln p follows on the calibration set: 1 − e⁻³.
const CORRECTION_TARGET_NATS: f32 = 0.950_212_9;
/// Bounds of the local correction, nats.
pub const CORRECTION_RANGE_NATS: (f32, f32) = (-0.5, 1.5);

/// What a verdict depends on besides the flow: parts of a release, and the evidence limit that the false-alert budget
/// selects.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// Scaling of the features.
    pub scaling: &'a Scaling,
    /// `scaling`, laid out for many rows.
    pub scaler: &'a RowScaler,
    /// Benign score distribution.
    pub calibration: &'a Calibration,
    /// Attack classes.
    pub kinds: &'a [KindProfile],
    /// `kinds`, laid out for many rows.
    pub finder: &'a KindFinder,
    /// Nats subtracted for every flow (the CUSUM's drift).
    pub drift_nats: f32,
    /// Evidence threshold, nats.
    pub limit_nats: f32,
    /// Release version.
    pub release: u64,
}

/// Result for one flow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// −ln p after the local correction, nats.
    pub surprise_nats: f32,
    /// One of the hosts is in an episode or close to one; the row is excluded from training.
    pub suspect: bool,
}

/// Counts of episodes and of limits hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackerCounters {
    /// Episodes of hosts opened.
    pub episodes: u64,
    /// Hosts with evidence evicted from a full table.
    pub evictions: u64,
    /// Flows that should have opened an episode while [`OPEN_EPISODES`] stronger ones were open.
    pub episodes_held_back: u64,
    /// Episodes closed early to make room for a stronger one.
    pub episodes_replaced: u64,
    /// Episodes of targets that are not reported, because an alert about their source covers them.
    pub episodes_folded: u64,
    /// Flows of new hosts that a full table turned away.
    pub hosts_turned_away: u64,
    /// New sources in intervals with far more of them than normal.
    pub flooding_sources: u64,
}

/// Evidence of a bounded number of hosts, and their open episodes. A host without evidence takes no room.
pub struct EvidenceTracker {
    hosts: LruTable<Address, HostState, 2>,
    doorkeeper: Doorkeeper,
    open: Vec<OpenEpisode, OPEN_EPISODES>,
    too_many: SiteEpisode,
    new_sources: SiteEpisode,
    source_rate: SourceRate,
    /// No open episode times out before this.
    silent_from: Timestamp,
    /// No episode is replaced before this.
    replace_from: Timestamp,
    alert_rows: AlertRows,
    habits: Option<Habits>,
    correction_nats: f32,
    clock: Timestamp,
    started_s: u32,
    next_episode: u32,
    counters: TrackerCounters,
}

impl EvidenceTracker {
    /// A tracker for `capacity` hosts. Allocates all its memory here (about 800 bytes per host).
    pub fn new(capacity: usize, hash_seed: u64) -> Self {
        Self {
            hosts: LruTable::new(capacity, hash_seed),
            doorkeeper: Doorkeeper::new(capacity),
            open: Vec::new(),
            too_many: SiteEpisode::new(SiteAlert::TooManyToReport),
            new_sources: SiteEpisode::new(SiteAlert::NewSources),
            source_rate: SourceRate::default(),
            silent_from: Timestamp::MAX,
            replace_from: Timestamp::EPOCH,
            alert_rows: AlertRows::new(ALERT_ROWS),
            habits: None,
            correction_nats: 0.0,
            clock: Timestamp::EPOCH,
            started_s: 0,
            next_episode: 0,
            counters: TrackerCounters::default(),
        }
    }

    /// Limits the rows in an alert. Default: [`ALERT_ROWS`].
    pub fn with_rows(self, rows: usize) -> Self {
        Self { alert_rows: AlertRows::new(rows), ..self }
    }

    /// Counters since creation.
    pub fn counters(&self) -> TrackerCounters {
        self.counters
    }

    /// Local correction, subtracted from every surprise, nats: how much more surprising ordinary flows are at this site
    /// than in the calibration set.
    pub fn correction_nats(&self) -> f32 {
        self.correction_nats
    }

    /// Time of the newest flow or [`EvidenceTracker::advance`].
    pub fn clock(&self) -> Timestamp {
        self.clock
    }

    /// Hosts of the open episodes.
    pub fn reported_hosts(&self) -> impl Iterator<Item = Address> + '_ {
        self.open.iter().map(|open| *self.hosts.key(open.slot))
    }

    /// Resets the local correction after a change of release; evidence stays.
    pub fn release_changed(&mut self) {
        self.correction_nats = 0.0;
    }

    /// Processes one flow; alerts go to `emit`.
    #[inline(never)]
    pub fn process(&mut self, flow: &Scored<'_>, policy: &Policy<'_>, emit: &mut dyn FnMut(Alert)) -> Verdict {
        // Most flows arrive in time order, with no episode to close first.
        if self.clock <= flow.at && flow.at < self.silent_from && self.started_s != 0 {
            self.clock = flow.at;
        } else {
            self.advance(flow.at, policy, emit);
        }
        let raw = policy.calibration.surprise_nats(flow.score);
        let surprise_nats = (raw - self.correction_nats).max(0.0);
        // Most flows are ordinary and need no attack class.
        let rising = surprise_nats > policy.drift_nats;
        let kind = if rising { policy.finder.resembling(policy.scaler, flow.input) } else { None };
        let step = Step { flow, surprise_nats, peer: flow.destination, kind, scaler: policy.scaler };
        if let Some(habits) = &mut self.habits {
            habits.follow(policy.release);
        }
        let mut suspect = false;
        if flow.followed.source {
            let step = self.unusual(&flow.source, Role::Source, step);
            suspect |= self.step(&flow.source, Role::Source, &step, policy, emit);
        }
        if flow.followed.destination {
            let step = self.unusual(&flow.destination, Role::Target, Step { peer: flow.source, ..step });
            suspect |= self.step(&flow.destination, Role::Target, &step, policy, emit);
        }
        if !suspect {
            let error = (raw - self.correction_nats).clamp(0.0, CORRECTION_CLIP_NATS) - CORRECTION_TARGET_NATS;
            let (low, high) = CORRECTION_RANGE_NATS;
            self.correction_nats = (self.correction_nats + CORRECTION_RATE * error).clamp(low, high);
        }
        Verdict { surprise_nats, suspect }
    }

    /// Advances the clock and closes episodes without a flow for [`EPISODE_TIMEOUT`].
    #[inline(never)]
    pub fn advance(&mut self, now: Timestamp, policy: &Policy<'_>, emit: &mut dyn FnMut(Alert)) {
        if self.started_s == 0 {
            self.started_s = now.as_secs().clamp(1, u64::from(u32::MAX)) as u32;
        }
        if now < self.clock {
            // The clock was set back: the recorded deadline would come too late.
            self.silent_from = self.silent_from.min(now.plus(EPISODE_TIMEOUT));
            self.replace_from = now;
        }
        self.clock = now;
        if now >= self.silent_from {
            self.close_silent(now, policy, emit);
        }
    }

    fn close_silent(&mut self, now: Timestamp, policy: &Policy<'_>, emit: &mut dyn FnMut(Alert)) {
        self.silent_from = Timestamp::MAX;
        let mut index = 0;
        while let Some(&OpenEpisode { slot, role, .. }) = self.open.get(index) {
            let silent_from = self.hosts.value_mut(slot).of(role).evidence.last.plus(EPISODE_TIMEOUT);
            if now >= silent_from {
                self.close(slot, role, policy, emit);
            } else {
                self.silent_from = self.silent_from.min(silent_from);
                index += 1;
            }
        }
        for site in [&mut self.too_many, &mut self.new_sources] {
            if now >= site.silent_from() {
                site.close(now, policy.release, emit);
            }
            self.silent_from = self.silent_from.min(site.silent_from());
        }
    }

    /// Takes the number of hosts that ever sent a first flow, as of `now`; a rate far above the normal one raises an alert.
    #[inline(never)]
    pub fn count_sources(&mut self, now: Timestamp, total: u64, policy: &Policy<'_>, emit: &mut dyn FnMut(Alert)) {
        let Some((since, count)) = self.source_rate.update(now, total) else { return };
        self.advance(now.max(self.clock), policy, emit);
        self.counters.flooding_sources += u64::from(count);
        let number = if self.new_sources.is_open() { 0 } else { self.next_number() };
        let seen = Seen { at: self.clock, since, count, host: None };
        self.new_sources.note(seen, number, policy.release, emit);
        self.silent_from = self.silent_from.min(self.new_sources.silent_from());
    }

    /// Closes every open episode.
    pub fn flush(&mut self, policy: &Policy<'_>, emit: &mut dyn FnMut(Alert)) {
        while let Some(&OpenEpisode { slot, role, .. }) = self.open.first() {
            self.close(slot, role, policy, emit);
        }
        self.too_many.close(self.clock, policy.release, emit);
        self.new_sources.close(self.clock, policy.release, emit);
    }

    fn step(
        &mut self,
        host: &Address,
        role: Role,
        step: &Step<'_>,
        policy: &Policy<'_>,
        emit: &mut dyn FnMut(Alert),
    ) -> bool {
        let slot = match self.hosts.find_or_hash(host) {
            Ok(slot) => slot,
            // Without a rise there is nothing to remember.
            Err(_) if step.surprise_nats <= policy.drift_nats => return false,
            Err(hash) => match self.admit(host, hash, step, policy, emit) {
                Some(slot) => slot,
                None => return false,
            },
        };
        self.hosts.touch(slot);
        let side = self.hosts.value_mut(slot).of(role);
        side.end_silent_fold(step.flow.at);
        side.evidence.step(step, policy.drift_nats, policy.limit_nats, side.episode.is_some());
        if side.evidence.is_none() {
            self.remove_if_idle(slot);
            return false;
        }
        let nats = side.evidence.nats;
        if step.surprise_nats > policy.drift_nats && nats >= CLOSE_SHARE * policy.limit_nats {
            let rise = Rise { host: *host, role, since: side.evidence.since };
            self.alert_rows.add(&mut side.rows_at, rise, step.flow.at, step.surprise_nats, step.flow.row);
        }
        match side.episode {
            Some(_) if nats < CLOSE_SHARE * policy.limit_nats => {
                self.close(slot, role, policy, emit);
                false
            }
            Some(_) => {
                self.update(slot, role, policy, emit);
                true
            }
            None if nats > policy.limit_nats => {
                self.open(slot, role, policy, emit);
                true
            }
            None => nats >= CLOSE_SHARE * policy.limit_nats,
        }
    }

    fn next_number(&mut self) -> u64 {
        self.next_episode = self.next_episode.wrapping_add(1);
        u64::from(self.started_s) << 32 | u64::from(self.next_episode)
    }

    fn open(&mut self, slot: Slot, role: Role, policy: &Policy<'_>, emit: &mut dyn FnMut(Alert)) {
        let evidence = &self.hosts.value_mut(slot).of(role).evidence;
        let (flows, peak_nats, since, peer) = (evidence.flows, evidence.nats, evidence.since, evidence.main_peer());
        let mut episode = Episode { number: 0, reported: self.clock, reported_flows: flows, peak_nats, folded: false };
        if role == Role::Target && peer.is_some_and(|peer| self.has_all_targets(&peer)) {
            self.counters.episodes_folded += 1;
            episode.folded = true;
            self.hosts.value_mut(slot).of(role).episode = Some(episode);
            return;
        }
        if self.open.is_full() && !self.replace_weakest(slot, role, policy, emit) {
            self.counters.episodes_held_back += 1;
            let number = if self.too_many.is_open() { 0 } else { self.next_number() };
            let seen = Seen { at: self.clock, since, count: 1, host: Some(*self.hosts.key(slot)) };
            self.too_many.note(seen, number, policy.release, emit);
            self.silent_from = self.silent_from.min(self.too_many.silent_from());
            return;
        }
        // Cannot fail: there is room.
        let _ = self.open.push(OpenEpisode { slot, role, peer });
        self.silent_from = self.silent_from.min(self.clock.plus(EPISODE_TIMEOUT));
        self.counters.episodes += 1;
        episode.number = self.next_number();
        self.hosts.value_mut(slot).of(role).episode = Some(episode);
        self.report(slot, role, AlertState::Opened, policy, emit);
    }

    fn update(&mut self, slot: Slot, role: Role, policy: &Policy<'_>, emit: &mut dyn FnMut(Alert)) {
        let now = self.clock;
        let RoleState { evidence, episode, .. } = self.hosts.value_mut(slot).of(role);
        let Some(episode) = episode else { return };
        episode.peak_nats = episode.peak_nats.max(evidence.nats);
        if evidence.flows == episode.reported_flows || now.since(episode.reported) < UPDATE_INTERVAL {
            return;
        }
        (episode.reported, episode.reported_flows) = (now, evidence.flows);
        if !episode.folded {
            self.report(slot, role, AlertState::Updated, policy, emit);
        } else if !evidence.main_peer().is_some_and(|peer| self.is_reported_source(&peer)) {
            self.hosts.value_mut(slot).of(role).episode = None;
            self.open(slot, role, policy, emit);
        }
    }

    /// Ends an episode, and removes the host if nothing is left to remember.
    fn close(&mut self, slot: Slot, role: Role, policy: &Policy<'_>, emit: &mut dyn FnMut(Alert)) {
        self.end_episode(slot, role, policy, emit);
        self.remove_if_idle(slot);
    }

    fn end_episode(&mut self, slot: Slot, role: Role, policy: &Policy<'_>, emit: &mut dyn FnMut(Alert)) {
        self.open.retain(|open| (open.slot, open.role) != (slot, role));
        self.report(slot, role, AlertState::Closed, policy, emit);
        self.hosts.value_mut(slot).of(role).end_episode();
    }

    fn report(&mut self, slot: Slot, role: Role, state: AlertState, policy: &Policy<'_>, emit: &mut dyn FnMut(Alert)) {
        let (host, at) = (*self.hosts.key(slot), self.clock);
        let RoleState { evidence, episode: Some(episode), rows_at } = self.hosts.value_mut(slot).of(role) else {
            return;
        };
        if episode.folded {
            return;
        }
        let mut reasons = evidence.reasons().clone();
        for reason in &mut reasons {
            if let Some(scaling) = policy.scaling.features.get(usize::from(reason.feature)) {
                (reason.normal_low, reason.normal_high) = (scaling.benign_low, scaling.benign_high);
            }
        }
        let rows = self.alert_rows.rows(*rows_at, Rise { host, role, since: evidence.since });
        let resembles = evidence.kind().and_then(|kind| policy.kinds.get(kind)).map(|kind| kind.name.clone());
        emit(Alert {
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
            addresses: AddressForm::Plain,
            rows,
        });
    }
}
