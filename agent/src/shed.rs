//! Load → the share of flows that is metered (load shedding).
//!
//! A keyed hash of the flow's key decides, so that a flow is metered completely or not at all and an attacker cannot
//! choose. The share halves after a second in which the kernel dropped packets or the agent exceeded its CPU limit, and
//! doubles after five seconds without either: short bursts, which anyone on the network can send, must not reduce it for
//! long. If the overload returns at once, the next doublings wait longer, up to half a minute. Shares are nested: a
//! smaller one is part of every larger one. The agent counts skipped packets and reports them with the share.

use lapwing_shared::flow::key::FlowKey;
use lapwing_shared::flow::lru::{Key, KeyedHash};
use lapwing_shared::packet::Packet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Halvings from all flows to the smallest share: one flow in 64.
const MAX_HALVINGS: u32 = 6;
/// Time without overload before the share doubles, milliseconds: at first, and at most.
const RECOVERY_MS: u64 = 5_000;
const LONGEST_RECOVERY_MS: u64 = 30_000;
/// Interval between two decisions, milliseconds.
const UPDATE_MS: u64 = 1_000;

/// Applies the share; runs on the packet thread.
pub struct Shed {
    halvings: Arc<AtomicU32>,
    shed: Arc<AtomicUsize>,
    hash: KeyedHash<5>,
}

impl Shed {
    /// Both sides; every flow is metered at first.
    pub fn new(seed: u64) -> (Self, Controller) {
        let (halvings, shed) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicUsize::new(0)));
        let controller = Controller {
            halvings: Arc::clone(&halvings),
            shed: Arc::clone(&shed),
            overloaded_ms: 0,
            doubled_ms: None,
            recovery_ms: RECOVERY_MS,
            updated_ms: 0,
            dropped: 0,
            cpu_ms: 0,
        };
        (Self { halvings, shed, hash: KeyedHash::new(seed) }, controller)
    }

    /// Whether only a share of the flows is metered now.
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        self.halvings.load(Ordering::Relaxed) > 0
    }

    /// Whether the packet's flow is in the share; counts the packet where it is not.
    pub fn keeps(&self, packet: &Packet) -> bool {
        let halvings = self.halvings.load(Ordering::Relaxed);
        let (key, _) = FlowKey::of(packet);
        let kept = halvings == 0 || self.hash.hash(&key.words()) >> (32 - halvings) == 0;
        self.shed.fetch_add(usize::from(!kept), Ordering::Relaxed);
        kept
    }
}

/// Decides on the share; runs on the scoring thread.
pub struct Controller {
    halvings: Arc<AtomicU32>,
    shed: Arc<AtomicUsize>,
    /// Time of the last overload or doubling.
    overloaded_ms: u64,
    doubled_ms: Option<u64>,
    /// Time without overload before the share doubles.
    recovery_ms: u64,
    updated_ms: u64,
    dropped: u64,
    cpu_ms: u64,
}

impl Controller {
    /// Takes the time and the totals of dropped packets and CPU time; `cpu_percent` is the limit, per cent of one core, 0 for
    /// none. Returns the share, per mille, if it has changed.
    pub fn update(&mut self, now_ms: u64, dropped: u64, cpu_ms: u64, cpu_percent: u64) -> Option<u16> {
        let span_ms = now_ms.saturating_sub(self.updated_ms);
        if span_ms < UPDATE_MS {
            return None;
        }
        let used_percent = cpu_ms.saturating_sub(self.cpu_ms) * 100 / span_ms;
        let overloaded = dropped > self.dropped || (cpu_percent > 0 && used_percent > cpu_percent);
        (self.updated_ms, self.dropped, self.cpu_ms) = (now_ms, dropped, cpu_ms);
        let halvings = self.halvings.load(Ordering::Relaxed);
        let new_halvings = if overloaded {
            self.overloaded_ms = now_ms;
            self.set_recovery(now_ms);
            (halvings + 1).min(MAX_HALVINGS)
        } else if halvings > 0 && now_ms.saturating_sub(self.overloaded_ms) >= self.recovery_ms {
            (self.overloaded_ms, self.doubled_ms) = (now_ms, Some(now_ms));
            halvings - 1
        } else {
            halvings
        };
        self.halvings.store(new_halvings, Ordering::Relaxed);
        (new_halvings != halvings).then(|| self.permille())
    }

    /// Chooses how long the next doubling waits: longer if the last one caused this overload.
    fn set_recovery(&mut self, now_ms: u64) {
        let returned = self.doubled_ms.take().map(|doubled_ms| now_ms.saturating_sub(doubled_ms) <= RECOVERY_MS);
        self.recovery_ms = match returned {
            Some(true) => (self.recovery_ms * 2).min(LONGEST_RECOVERY_MS),
            Some(false) => RECOVERY_MS,
            // A further second of the same overload.
            None => self.recovery_ms,
        };
    }

    /// The share now, per mille.
    pub(crate) fn permille(&self) -> u16 {
        (1000 >> self.halvings.load(Ordering::Relaxed)) as u16
    }

    /// Packets skipped.
    pub fn shed(&self) -> u64 {
        self.shed.load(Ordering::Relaxed) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::packet::{LinkType, decode};
    use lapwing_shared::units::Timestamp;

    fn udp(flow: u16, reverse: bool) -> Packet {
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]);
        let (from, to) = ((1, flow), (2, 53));
        let ends = if reverse { [to, from] } else { [from, to] };
        frame.extend(ends.iter().flat_map(|(host, _)| [10, 0, 0, *host]));
        frame.extend(ends.iter().flat_map(|(_, port)| port.to_be_bytes()));
        frame.extend([0, 8, 0, 0]);
        decode(LinkType::Ethernet, Timestamp::EPOCH, &frame, 60).unwrap()
    }

    #[test]
    fn flows_are_kept_or_skipped_whole_and_shares_are_nested() {
        let (shed, mut controller) = Shed::new(3);
        let keeps = |flow, reverse| shed.keeps(&udp(flow, reverse));
        let mut before = vec![true; 4000];
        for second in 1..=6_u64 {
            assert_eq!(controller.update(second * 1000, second, 0, 0), Some(1000 >> second));
            let kept: Vec<bool> = (0..4000).map(|flow| keeps(flow, false)).collect();
            assert!((0..4000).all(|flow| keeps(flow, true) == kept[usize::from(flow)]), "both directions");
            assert!(kept.iter().zip(&before).all(|(now, before)| *before || !now), "nested");
            let count = kept.iter().filter(|kept| **kept).count();
            let expected = 4000 >> second;
            assert!(count.abs_diff(expected) < expected / 2 + 10, "{count} of {expected}");
            before = kept;
        }
        assert_eq!(controller.update(7000, 7, 0, 0), None, "one in 64 is the smallest share");
        assert!(controller.shed() > 0);
    }

    #[test]
    fn the_share_doubles_after_five_seconds_without_overload() {
        let (_shed, mut controller) = Shed::new(3);
        assert_eq!(controller.update(1_000, 0, 400, 50), None);
        assert_eq!(controller.update(2_000, 0, 1_300, 50), Some(500));
        assert_eq!(controller.update(6_000, 0, 1_400, 50), None);
        assert_eq!(controller.update(7_000, 0, 1_500, 50), Some(1000));
        assert_eq!(controller.update(99_000, 0, 1_600, 50), None);
    }

    /// Milliseconds of an hour at each share, if every second for which `is_overload` is true has drops.
    fn shares(is_overload: impl Fn(u64, u16) -> bool) -> std::collections::BTreeMap<u16, u64> {
        let (_shed, mut controller) = Shed::new(3);
        let (mut dropped, mut shares) = (0, std::collections::BTreeMap::new());
        for second in 1..=3_600 {
            dropped += u64::from(is_overload(second, controller.permille()));
            controller.update(second * 1_000, dropped, 0, 0);
            *shares.entry(controller.permille()).or_default() += 1_000;
        }
        shares
    }

    #[test]
    fn a_short_burst_every_half_minute_does_not_keep_the_share_down() {
        let shares = shares(|second, _| second % 30 < 2);
        assert!(shares[&1000] > 1_800_000, "{shares:?}");
        assert!(shares.keys().all(|permille| *permille >= 250), "{shares:?}");
    }

    #[test]
    fn a_steady_overload_is_tried_again_every_half_minute() {
        // More than a quarter of the flows is too much.
        let shares = shares(|_, permille| permille > 250);
        assert!(shares[&250] > 3_400_000, "{shares:?}");
        assert!(!shares.contains_key(&62), "{shares:?}");
    }
}
