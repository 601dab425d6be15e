//! Packets and bytes of each identity and address → how long the broker does not read from a connection.
//!
//! A client above its rate is delayed, not refused: its own queue grows, and nothing is lost. A bucket outlives its
//! connections, so a client gains nothing when it connects again.

use super::BrokerLimits;
use super::places::network;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What may be sent at once, as a time at the average rate: more than a full outbox after an outage.
const BURST_S: f64 = 80.0;
/// Connections that an identity may begin at once, and time for a further one.
const CONNECTS: f64 = 20.0;
const CONNECT_EVERY_S: f64 = 3.0;
/// Buckets of either kind. Above it, those that are full and unused are dropped.
const BUCKETS: usize = 40_000;
/// Longest delay of a single packet.
const LONGEST: Duration = Duration::from_secs(30);

/// Average rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    pub(super) packets_per_s: f64,
    pub(super) bytes_per_s: f64,
}

/// What an identity or an address may still send; below 0 it must wait.
#[derive(Debug)]
struct Bucket {
    packets: f64,
    bytes: f64,
    connects: f64,
    at: Instant,
}

impl Bucket {
    fn new(rate: Rate, now: Instant) -> Self {
        let Rate { packets_per_s, bytes_per_s } = rate;
        Self { packets: packets_per_s * BURST_S, bytes: bytes_per_s * BURST_S, connects: CONNECTS, at: now }
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        let full = Self::new(rate, now);
        self.packets = (self.packets + rate.packets_per_s * seconds).min(full.packets);
        self.bytes = (self.bytes + rate.bytes_per_s * seconds).min(full.bytes);
        self.connects = (self.connects + seconds / CONNECT_EVERY_S).min(full.connects);
    }

    fn take(&mut self, rate: Rate, bytes: usize, now: Instant) -> Duration {
        self.refill(rate, now);
        self.packets -= 1.0;
        self.bytes -= bytes as f64;
        let wait_s = (-self.packets / rate.packets_per_s).max(-self.bytes / rate.bytes_per_s).max(0.0);
        Duration::try_from_secs_f64(wait_s).unwrap_or(LONGEST).min(LONGEST)
    }
}

/// Buckets by identity or address.
struct Buckets<K> {
    rate: Rate,
    all: Mutex<HashMap<K, Arc<Mutex<Bucket>>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Eq + Hash> Buckets<K> {
    fn new(rate: Rate) -> Self {
        Self { rate, all: Mutex::default() }
    }

    fn get(&self, key: K, now: Instant) -> Arc<Mutex<Bucket>> {
        let mut all = locked(&self.all);
        if all.len() >= BUCKETS {
            all.retain(|_, bucket| {
                let is_used = Arc::strong_count(bucket) > 1;
                let mut bucket = locked(bucket);
                bucket.refill(self.rate, now);
                is_used || bucket.connects < CONNECTS || bucket.packets < self.rate.packets_per_s * BURST_S
            });
            // Many keys that have just been used: forget those without a connection.
            if all.len() >= BUCKETS {
                all.retain(|_, bucket| Arc::strong_count(bucket) > 1);
            }
        }
        let bucket = all.entry(key).or_insert_with(|| Arc::new(Mutex::new(Bucket::new(self.rate, now))));
        Arc::clone(bucket)
    }
}

/// Rates of all identities and addresses.
pub(super) struct Rates {
    identities: Buckets<String>,
    addresses: Buckets<IpAddr>,
}

/// The buckets of one connection.
pub(super) struct Share(Vec<(Rate, Arc<Mutex<Bucket>>)>);

impl Rates {
    pub(super) fn new(limits: &BrokerLimits) -> Self {
        let rate = |packets: u32, kib: u32| Rate {
            packets_per_s: f64::from(packets.max(1)),
            bytes_per_s: f64::from(kib.max(1)) * 1024.0,
        };
        Self {
            identities: Buckets::new(rate(limits.agent_packets, limits.agent_kib)),
            addresses: Buckets::new(rate(limits.address_packets, limits.address_kib)),
        }
    }

    /// The buckets of a connection that begins now. Without a proven identity only its address counts, and the loopback is
    /// unlimited.
    ///
    /// # Errors
    /// When the identity begins too many connections.
    pub(super) fn connect(&self, identity: Option<&str>, address: IpAddr, now: Instant) -> Result<Share, TooMany> {
        let mut share = Vec::new();
        if let Some(identity) = identity {
            let bucket = self.identities.get(identity.to_owned(), now);
            let mut counted = locked(&bucket);
            counted.refill(self.identities.rate, now);
            if counted.connects < 1.0 {
                return Err(TooMany);
            }
            counted.connects -= 1.0;
            drop(counted);
            share.push((self.identities.rate, bucket));
        }
        let address = network(address);
        if !address.is_loopback() {
            share.push((self.addresses.rate, self.addresses.get(address, now)));
        }
        Ok(Share(share))
    }
}

/// An identity begins too many connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl Share {
    /// True if nothing limits the connection.
    pub(super) fn is_unlimited(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts a packet; how long to wait before the next one is read.
    pub(super) fn take(&self, bytes: usize, now: Instant) -> Duration {
        let wait = self.0.iter().map(|(rate, bucket)| locked(bucket).take(*rate, bytes, now));
        wait.max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_common::clock;

    const FAR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
    const NEAR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn rates() -> Rates {
        Rates::new(&BrokerLimits {
            agent_packets: 10,
            agent_kib: 1,
            address_packets: 15,
            address_kib: 100,
            ..BrokerLimits::default()
        })
    }

    #[test]
    fn a_client_above_its_rate_waits_and_others_do_not() {
        let (rates, now) = (rates(), clock::monotonic());
        let loud = rates.connect(Some("loud"), NEAR, now).unwrap();
        let waits: Vec<Duration> = (0..802).map(|_| loud.take(1, now)).collect();
        assert!(waits[..800].iter().all(Duration::is_zero), "a full outbox at once");
        assert_eq!(waits[801], Duration::from_millis(200));
        assert_eq!(rates.connect(Some("quiet"), NEAR, now).unwrap().take(1, now), Duration::ZERO);
        // A new connection does not help.
        drop(loud);
        let again = rates.connect(Some("loud"), NEAR, now).unwrap();
        assert_eq!(again.take(1, now), Duration::from_millis(300));
        assert_eq!(again.take(1, now + Duration::from_secs(1)), Duration::ZERO);
    }

    #[test]
    fn bytes_count_as_well_and_a_delay_is_limited() {
        let (rates, now) = (rates(), clock::monotonic());
        let share = rates.connect(Some("large"), NEAR, now).unwrap();
        assert_eq!(share.take(80 * 1024, now), Duration::ZERO);
        assert_eq!(share.take(512, now), Duration::from_millis(500));
        assert_eq!(share.take(1024 * 1024, now), LONGEST);
    }

    #[test]
    fn the_clients_of_one_address_share_its_rate() {
        let (rates, now) = (rates(), clock::monotonic());
        let shares = ["a", "b"].map(|name| rates.connect(Some(name), FAR, now).unwrap());
        let waits: Vec<Duration> = (0..1_202).map(|number| shares[number % 2].take(1, now)).collect();
        assert!(waits[..1_200].iter().all(Duration::is_zero) && !waits[1_201].is_zero());
        assert!(rates.connect(None, NEAR, now).unwrap().is_unlimited(), "without proof on the loopback");
        assert!(!rates.connect(None, FAR, now).unwrap().is_unlimited());
    }

    #[test]
    fn an_identity_that_connects_again_and_again_is_refused() {
        let (rates, now) = (rates(), clock::monotonic());
        let accepted = (0..30).filter(|_| rates.connect(Some("a"), NEAR, now).is_ok()).count();
        assert_eq!(accepted, 20);
        assert!(rates.connect(Some("b"), NEAR, now).is_ok());
        assert!(rates.connect(Some("a"), NEAR, now + Duration::from_secs(4)).is_ok());
    }

    #[test]
    fn the_number_of_buckets_is_limited_and_those_in_use_remain() {
        let (rates, now) = (rates(), clock::monotonic());
        let held = rates.connect(Some("held"), NEAR, now).unwrap();
        for number in 0..BUCKETS + 10 {
            drop(rates.connect(Some(&number.to_string()), NEAR, now).unwrap());
        }
        let all = locked(&rates.identities.all);
        assert!(all.len() <= BUCKETS && all.contains_key("held"));
        drop(held);
    }
}
