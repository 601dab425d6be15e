//! Notices of hosts whose packets hide their ports → alerts of their own, which depend on no release.
//!
//! Such an alert has no evidence: the packets themselves are the finding. Its attack class is the name of the
//! [`Concealment`], and `flows` counts packets.

use crate::context::irregular::Notice;
use crate::packet::Concealment;
use crate::units::{Address, Timestamp};
use crate::verdict::addresses::AddressForm;
use crate::verdict::alert::{Alert, AlertState, PEERS, Peer, Role};
use crate::verdict::tracker::EPISODE_TIMEOUT;
use heapless::Vec;

/// Limit on open episodes. Beyond it, notices are counted and dropped.
pub const OPEN_CONCEALMENTS: usize = 32;
/// Bit of the episode number that the numbers of other episodes do not have.
const NUMBERS_FROM: u32 = 1 << 31;

/// Counts of episodes and of limits hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConcealmentCounters {
    /// Episodes opened.
    pub episodes: u64,
    /// Notices dropped while [`OPEN_CONCEALMENTS`] episodes were open.
    pub held_back: u64,
}

struct Episode {
    number: u64,
    host: Address,
    role: Role,
    kind: Concealment,
    since: Timestamp,
    last: Timestamp,
    packets: u32,
    peers: Vec<Peer, PEERS>,
    port: u16,
}

/// The open episodes.
#[derive(Default)]
pub struct ConcealmentAlerts {
    open: Vec<Episode, OPEN_CONCEALMENTS>,
    started_s: u32,
    next: u32,
    counters: ConcealmentCounters,
}

impl ConcealmentAlerts {
    /// Counters since creation.
    pub fn counters(&self) -> ConcealmentCounters {
        self.counters
    }

    /// True if the host is in an open episode: its rows must not be trained on.
    #[inline]
    pub fn is_open_for(&self, host: &Address) -> bool {
        self.open.iter().any(|episode| episode.host == *host)
    }

    /// Opens or updates the episode of a notice; `release` is the version in use, 0 if none.
    pub fn note(&mut self, notice: &Notice, release: u64, emit: &mut dyn FnMut(Alert)) {
        let role = if notice.is_source { Role::Source } else { Role::Target };
        let same = |open: &Episode| open.host == notice.host && open.role == role && open.kind == notice.kind;
        if let Some(episode) = self.open.iter_mut().find(|open| same(open)) {
            episode.add(notice);
            emit(episode.alert(AlertState::Updated, notice.at, release));
            return;
        }
        if self.open.is_full() {
            self.counters.held_back += 1;
            return;
        }
        let mut episode = self.begin(notice, role);
        episode.add(notice);
        emit(episode.alert(AlertState::Opened, notice.at, release));
        // Cannot fail: the length was checked.
        let _ = self.open.push(episode);
    }

    fn begin(&mut self, notice: &Notice, role: Role) -> Episode {
        if self.started_s == 0 {
            self.started_s = notice.at.as_secs().clamp(1, u64::from(u32::MAX)) as u32;
        }
        self.counters.episodes += 1;
        self.next = self.next.wrapping_add(1);
        Episode {
            number: u64::from(self.started_s) << 32 | u64::from(self.next | NUMBERS_FROM),
            host: notice.host,
            role,
            kind: notice.kind,
            since: notice.since,
            last: notice.at,
            packets: 0,
            peers: Vec::new(),
            port: 0,
        }
    }

    /// Closes the episodes without a notice for [`EPISODE_TIMEOUT`].
    #[inline]
    pub fn advance(&mut self, now: Timestamp, release: u64, emit: &mut dyn FnMut(Alert)) {
        if !self.open.is_empty() {
            self.close(now, release, |episode| now >= episode.last.plus(EPISODE_TIMEOUT), emit);
        }
    }

    /// Closes every episode.
    pub fn flush(&mut self, release: u64, emit: &mut dyn FnMut(Alert)) {
        let now = self.open.iter().map(|episode| episode.last).max().unwrap_or_default();
        self.close(now, release, |_| true, emit);
    }

    fn close(&mut self, now: Timestamp, release: u64, is_over: impl Fn(&Episode) -> bool, emit: &mut dyn FnMut(Alert)) {
        self.open.retain(|episode| {
            let over = is_over(episode);
            if over {
                emit(episode.alert(AlertState::Closed, now, release));
            }
            !over
        });
    }
}

impl Episode {
    fn add(&mut self, notice: &Notice) {
        self.last = notice.at;
        self.packets = self.packets.saturating_add(notice.packets);
        self.port = notice.port;
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.address == notice.peer) {
            peer.flows = peer.flows.saturating_add(notice.packets);
        } else {
            if self.peers.is_full() {
                self.peers.remove(0);
            }
            // There is room now.
            let _ = self.peers.push(Peer { address: notice.peer, flows: notice.packets });
        }
    }

    fn alert(&self, state: AlertState, at: Timestamp, release: u64) -> Alert {
        Alert {
            episode: self.number,
            state,
            host: self.host,
            role: self.role,
            since: self.since,
            at,
            evidence_nats: 0.0,
            peak_nats: 0.0,
            limit_nats: 0.0,
            flows: self.packets,
            odd_flows: self.packets,
            peers: self.peers.clone(),
            service_port: self.port,
            reasons: Vec::new(),
            resembles: self.kind.name().try_into().ok(),
            release,
            addresses: AddressForm::Plain,
            rows: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn notice(host: u8, second: u64) -> Notice {
        Notice {
            host: Address::from_v4([10, 0, 0, host]),
            is_source: true,
            kind: Concealment::TinyFragments,
            packets: 4,
            peer: Address::from_v4([192, 0, 2, 7]),
            port: 22,
            since: Timestamp::from_secs(second - 1),
            at: Timestamp::from_secs(second),
        }
    }

    #[test]
    fn an_episode_opens_with_the_first_notice_and_closes_after_five_quiet_minutes() {
        let mut alerts = ConcealmentAlerts::default();
        let mut sent: Vec<Alert> = Vec::new();
        alerts.note(&notice(1, 1_000), 7, &mut |alert| sent.push(alert));
        alerts.note(&notice(1, 1_060), 7, &mut |alert| sent.push(alert));
        assert!(alerts.is_open_for(&notice(1, 1).host) && !alerts.is_open_for(&notice(2, 1).host));
        alerts.advance(Timestamp::from_secs(1_359), 7, &mut |alert| sent.push(alert));
        alerts.advance(Timestamp::from_secs(1_360), 7, &mut |alert| sent.push(alert));
        let states: Vec<_> = sent.iter().map(|alert| (alert.state, alert.flows, alert.at.as_secs())).collect();
        let expected =
            [(AlertState::Opened, 4, 1_000), (AlertState::Updated, 8, 1_060), (AlertState::Closed, 8, 1_360)];
        assert_eq!(states, expected);
        assert!(sent.iter().all(|alert| alert.episode == sent[0].episode && alert.release == 7));
        assert_eq!((Concealment::of(&sent[0]), sent[0].service_port), (Some(Concealment::TinyFragments), 22));
        assert!(!alerts.is_open_for(&notice(1, 1).host));
    }

    #[test]
    fn notices_beyond_the_limit_of_episodes_are_counted() {
        let mut alerts = ConcealmentAlerts::default();
        let mut opened = 0;
        for host in 0..40 {
            alerts.note(&notice(host, 1_000), 0, &mut |_| opened += 1);
        }
        assert_eq!(alerts.counters(), ConcealmentCounters { episodes: 32, held_back: 8 });
        assert_eq!(opened, 32);
        let mut closed = 0;
        alerts.flush(0, &mut |alert| closed += u32::from(alert.state == AlertState::Closed));
        assert_eq!(closed, 32);
    }
}
