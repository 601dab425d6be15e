//! Accepted sockets → places for connections: in total, for each address, and for connections without CONNECT.
//!
//! When too many connections have not sent CONNECT, the oldest of them is closed: real clients send it at once.

use super::BrokerLimits;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Connections without CONNECT, as a share of all.
const WAITING_SHARE: usize = 8;

/// Places in use.
#[derive(Default)]
pub(super) struct Places {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    total: usize,
    addresses: HashMap<IpAddr, usize>,
    /// Connections without CONNECT, oldest first.
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    number: u64,
    since: Instant,
    evict: Arc<Notify>,
}

/// The place of one connection, free again when dropped.
pub(super) struct Place {
    places: Arc<Places>,
    address: IpAddr,
    number: u64,
    evict: Arc<Notify>,
}

impl Places {
    /// A place for a new connection; `None` without a free one, in total or for its address.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr, limits: &BrokerLimits, now: Instant) -> Option<Place> {
        let address = network(address);
        let mut state = self.state();
        let used = state.addresses.get(&address).copied().unwrap_or(0);
        // On the loopback all clients have one address.
        let is_crowded = used >= limits.address_connections && !address.is_loopback();
        if state.total >= limits.connections || is_crowded {
            return None;
        }
        state.total += 1;
        *state.addresses.entry(address).or_default() += 1;
        let (number, evict) = (state.next, Arc::new(Notify::new()));
        state.next += 1;
        state.waiting.push_back(Waiting { number, since: now, evict: Arc::clone(&evict) });
        if state.waiting.len() > (limits.connections / WAITING_SHARE).max(1)
            && let Some(oldest) = state.waiting.pop_front()
        {
            oldest.evict.notify_one();
        }
        drop(state);
        Some(Place { places: Arc::clone(self), address, number, evict })
    }

    /// Evicts the connections that have been without CONNECT for longer than a time.
    pub(super) fn evict_older(&self, now: Instant, than: Duration) {
        let mut state = self.state();
        while let Some(oldest) = state.waiting.pop_front_if(|oldest| now.saturating_duration_since(oldest.since) > than)
        {
            oldest.evict.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address, or the /64 network of an IPv6 address, which one host may use as a whole.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let [a, b, c, d, ..] = v6.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        other => other,
    }
}

impl Place {
    /// The client's address, or its network.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns when the connection must make room for another one.
    pub(super) async fn evicted(&self) {
        self.evict.notified().await;
    }

    /// The client has sent CONNECT.
    pub(super) fn connected(&mut self) {
        self.places.state().waiting.retain(|waiting| waiting.number != self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.places.state();
        state.waiting.retain(|waiting| waiting.number != self.number);
        state.total -= 1;
        if let Some(used) = state.addresses.get_mut(&self.address) {
            *used -= 1;
            if *used == 0 {
                state.addresses.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_common::clock;

    fn limits(connections: usize, address_connections: usize) -> BrokerLimits {
        BrokerLimits { connections, address_connections, ..BrokerLimits::default() }
    }

    #[test]
    fn one_address_cannot_use_the_places_of_others() {
        let places = Arc::new(Places::default());
        let limits = limits(100, 2);
        let take = |address: &str| places.take(address.parse().unwrap(), &limits, clock::monotonic());
        let held = [take("192.0.2.1"), take("192.0.2.1"), take("2001:db8::1"), take("2001:db8::2")];
        assert!(held.iter().all(Option::is_some));
        assert!(take("192.0.2.1").is_none() && take("::ffff:192.0.2.1").is_none() && take("2001:db8::3").is_none());
        assert!(take("192.0.2.2").is_some());
        let local: Vec<_> = (0..50).filter_map(|_| take("127.0.0.1")).collect();
        assert_eq!(local.len(), 50);
        drop(held);
        assert!(take("192.0.2.1").is_some());
    }

    #[test]
    fn the_oldest_connection_without_connect_makes_room() {
        let places = Arc::new(Places::default());
        let limits = limits(16, 100);
        let now = clock::monotonic();
        let mut first = places.take([192, 0, 2, 1].into(), &limits, now).unwrap();
        first.connected();
        let others: Vec<_> = (0..3).map(|_| places.take([192, 0, 2, 1].into(), &limits, now).unwrap()).collect();
        let is_evicted = |place: &Place| {
            let mut evicted = std::pin::pin!(place.evicted());
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            std::future::Future::poll(evicted.as_mut(), &mut context).is_ready()
        };
        assert_eq!(others.iter().map(is_evicted).collect::<Vec<_>>(), [true, false, false]);
        assert!(!is_evicted(&first));
        let late = now + Duration::from_secs(3);
        let newest = places.take([192, 0, 2, 1].into(), &limits, late).unwrap();
        places.evict_older(late, Duration::from_secs(2));
        assert_eq!([&others[1], &others[2], &newest, &first].map(is_evicted), [true, true, false, false]);
        drop((first, others, newest));
        let all: Vec<_> = (0..20).filter_map(|_| places.take([192, 0, 2, 1].into(), &limits, now)).collect();
        assert_eq!(all.len(), 16);
    }
}
