//! Conditions of the whole site → alerts that name no host.
//!
//! An alert of this kind has the unspecified address as host and no evidence. Its attack class is the condition's name,
//! `flows` counts what the condition is about, and its peers are the hosts that contributed most, where they are known.

use crate::units::{Address, Nanos, Timestamp};
use crate::verdict::addresses::AddressForm;
use crate::verdict::alert::{Alert, AlertState, NO_HOST, PEERS, Peer, Role, SiteAlert};
use crate::verdict::episodes::{EPISODE_TIMEOUT, UPDATE_INTERVAL};
use crate::verdict::evidence::count_peer;
use heapless::Vec;

struct Open {
    number: u64,
    since: Timestamp,
    last: Timestamp,
    reported: Timestamp,
    count: u32,
    reported_count: u32,
    peers: Vec<Peer, PEERS>,
}

/// The episode of one condition.
pub(super) struct SiteEpisode {
    condition: SiteAlert,
    open: Option<Open>,
}

impl SiteEpisode {
    pub(super) const fn new(condition: SiteAlert) -> Self {
        Self { condition, open: None }
    }

    /// True if an episode is open.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The condition applies: opens an episode with this `number`, or updates the open one.
    pub(super) fn note(&mut self, seen: Seen, number: u64, release: u64, emit: &mut dyn FnMut(Alert)) {
        let Seen { at, since, count, host } = seen;
        let is_new = self.open.is_none();
        let open = self.open.get_or_insert_with(|| Open {
            number,
            since,
            last: at,
            reported: at,
            count: 0,
            reported_count: 0,
            peers: Vec::new(),
        });
        open.last = at;
        open.count = open.count.saturating_add(count);
        if let Some(host) = host {
            count_peer(&mut open.peers, host);
        }
        let is_due = at.since(open.reported) >= UPDATE_INTERVAL && open.count > open.reported_count;
        if is_new || is_due {
            (open.reported, open.reported_count) = (at, open.count);
            let state = if is_new { AlertState::Opened } else { AlertState::Updated };
            self.report(state, at, release, emit);
        }
    }

    /// When it closes unless the condition applies again; [`Timestamp::MAX`] without an episode.
    pub(super) fn silent_from(&self) -> Timestamp {
        self.open.as_ref().map_or(Timestamp::MAX, |open| open.last.plus(EPISODE_TIMEOUT))
    }

    /// Closes the open episode, if any.
    pub(super) fn close(&mut self, now: Timestamp, release: u64, emit: &mut dyn FnMut(Alert)) {
        self.report(AlertState::Closed, now, release, emit);
        self.open = None;
    }

    fn report(&self, state: AlertState, at: Timestamp, release: u64, emit: &mut dyn FnMut(Alert)) {
        let Some(open) = &self.open else { return };
        let mut peers = open.peers.clone();
        peers.sort_unstable_by(|a, b| b.flows.cmp(&a.flows).then(a.address.cmp(&b.address)));
        emit(Alert {
            episode: open.number,
            state,
            host: NO_HOST,
            role: Role::Source,
            since: open.since,
            at,
            evidence_nats: 0.0,
            peak_nats: 0.0,
            limit_nats: 0.0,
            flows: open.count,
            odd_flows: open.count,
            peers,
            service_port: 0,
            reasons: Vec::new(),
            resembles: self.condition.name().try_into().ok(),
            release,
            addresses: AddressForm::Plain,
            rows: Vec::new(),
        });
    }
}

/// One observation of a condition.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub(super) at: Timestamp,
    /// Start of what was counted.
    pub(super) since: Timestamp,
    pub(super) count: u32,
    pub(super) host: Option<Address>,
}

/// Time over which new sources are counted.
const INTERVAL: Nanos = Nanos::from_secs(10);
/// After the start, every host is new for this long.
const WARM_UP: Nanos = Nanos::from_secs(60);
/// A rate up to this is normal everywhere, new sources per second.
const NEW_SOURCES_PER_S: f32 = 20.0;
/// A rate up to this multiple of the site's mean rate is normal there.
const TIMES_NORMAL: f32 = 8.0;
/// Weight of one interval in the mean rate: a time constant of about ten minutes.
const MEAN_WEIGHT: f32 = 1.0 / 64.0;

/// Total of new sources → intervals with far more of them than normal.
#[derive(Default)]
pub(super) struct SourceRate {
    started: Timestamp,
    since: Timestamp,
    total: u64,
    mean_per_s: f32,
}

impl SourceRate {
    /// Takes the total so far; returns the start of the interval and the new sources in it if they are too many.
    pub(super) fn update(&mut self, now: Timestamp, total: u64) -> Option<(Timestamp, u32)> {
        if self.since == Timestamp::EPOCH || now < self.since {
            *self = Self { started: now, since: now, total, mean_per_s: self.mean_per_s };
            return None;
        }
        let span = now.since(self.since);
        if span < INTERVAL {
            return None;
        }
        let (since, new) = (self.since, total.saturating_sub(self.total));
        (self.since, self.total) = (now, total);
        let normal_per_s = (TIMES_NORMAL * self.mean_per_s).max(NEW_SOURCES_PER_S);
        let rate_per_s = (new as f64 / span.as_secs_f64()) as f32;
        // A flood must not become normal quickly.
        self.mean_per_s += MEAN_WEIGHT * (rate_per_s.min(normal_per_s) - self.mean_per_s);
        let warm = now.since(self.started) > WARM_UP;
        (warm && rate_per_s > normal_per_s).then_some((since, u32::try_from(new).unwrap_or(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_of_new_sources_far_above_the_normal_one_is_noticed() {
        let mut rate = SourceRate::default();
        let mut total = 0;
        let mut interval = |number: u64, new: u64| {
            total += new;
            rate.update(Timestamp::from_secs(1_000 + number * 10), total)
        };
        assert!((0..6).all(|number| interval(number, 5_000).is_none()), "at the start, every host is new");
        assert!((7..20).all(|number| interval(number, 199).is_none()), "a normal rate");
        assert_eq!(interval(20, 40_000), Some((Timestamp::from_secs(1_190), 40_000)));
    }

    #[test]
    fn a_busy_site_has_a_higher_normal_rate() {
        let mut rate = SourceRate::default();
        let mut total = 0;
        let mut noticed = 0;
        for number in 0..1_000_u64 {
            total += 150;
            noticed += usize::from(rate.update(Timestamp::from_secs(1_000 + number * 10), total).is_some());
        }
        // 15 a second is below the floor; the mean allows 100 a second now.
        total += 1_000;
        assert_eq!((rate.update(Timestamp::from_secs(11_000), total), noticed), (None, 0));
        total += 1_500;
        assert!(rate.update(Timestamp::from_secs(11_010), total).is_some());
    }
}
