//! Load shedding: of all flows a share is looked at, chosen by a keyed hash of the flow's key, so that a flow stays whole
//! or goes whole and nobody outside can choose which.
//!
//! The share halves in a second in which the kernel dropped packets or the CPU's share was used up, and doubles after
//! half a minute without either. Shares are nested: a smaller one looks at a part of what a larger one does.
//! What is shed is counted and told with the share; it is never silent.

use lapwing_shared::flow::key::FlowKey;
use lapwing_shared::flow::lru::{Key, KeyedHash};
use lapwing_shared::packet::{LinkType, decode};
use lapwing_shared::units::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Steps from all flows to the smallest share, each a halving: one flow in 64.
const MOST_HALVINGS: u32 = 6;
/// So long without trouble before the share doubles, milliseconds.
const CALM_MS: u64 = 30_000;
/// Between two looks, milliseconds.
const LOOK_MS: u64 = 1_000;

/// The packet thread's side.
pub struct Shed {
    halvings: Arc<AtomicU32>,
    shed: Arc<AtomicUsize>,
    hash: KeyedHash<5>,
}

impl Shed {
    /// Looks at every flow until its [`Controller`] says otherwise.
    pub fn new(seed: u64) -> (Self, Controller) {
        let (halvings, shed) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicUsize::new(0)));
        let controller = Controller {
            halvings: Arc::clone(&halvings),
            shed: Arc::clone(&shed),
            troubled_ms: 0,
            looked_ms: 0,
            dropped: 0,
            cpu_ms: 0,
        };
        (Self { halvings, shed, hash: KeyedHash::new(seed) }, controller)
    }

    /// Whether the frame's flow is in the share. What cannot be decoded is kept, to be counted by its reason.
    #[inline]
    pub fn keeps(&self, link: LinkType, frame: &[u8], wire_octets: u32) -> bool {
        let halvings = self.halvings.load(Ordering::Relaxed);
        halvings == 0 || self.is_in_share(halvings, link, frame, wire_octets)
    }

    #[inline(never)]
    fn is_in_share(&self, halvings: u32, link: LinkType, frame: &[u8], wire_octets: u32) -> bool {
        let Ok(packet) = decode(link, Timestamp::EPOCH, frame, wire_octets) else { return true };
        let (key, _) = FlowKey::of(&packet);
        let kept = self.hash.hash(&key.words()) >> (32 - halvings) == 0;
        self.shed.fetch_add(usize::from(!kept), Ordering::Relaxed);
        kept
    }
}

/// The side that decides.
pub struct Controller {
    halvings: Arc<AtomicU32>,
    shed: Arc<AtomicUsize>,
    troubled_ms: u64,
    looked_ms: u64,
    dropped: u64,
    cpu_ms: u64,
}

impl Controller {
    /// Takes the time, the packets dropped so far and the CPU time used so far; `cpu_percent` of one core may be used, 0
    /// for any share. Gives the new share, per mille, where it has changed.
    pub fn look(&mut self, now_ms: u64, dropped: u64, cpu_ms: u64, cpu_percent: u64) -> Option<u16> {
        let span_ms = now_ms.saturating_sub(self.looked_ms);
        if span_ms < LOOK_MS {
            return None;
        }
        let used_percent = cpu_ms.saturating_sub(self.cpu_ms) * 100 / span_ms;
        let trouble = dropped > self.dropped || (cpu_percent > 0 && used_percent > cpu_percent);
        (self.looked_ms, self.dropped, self.cpu_ms) = (now_ms, dropped, cpu_ms);
        let halvings = self.halvings.load(Ordering::Relaxed);
        let wanted = if trouble {
            self.troubled_ms = now_ms;
            (halvings + 1).min(MOST_HALVINGS)
        } else if halvings > 0 && now_ms.saturating_sub(self.troubled_ms) >= CALM_MS {
            self.troubled_ms = now_ms;
            halvings - 1
        } else {
            halvings
        };
        self.halvings.store(wanted, Ordering::Relaxed);
        (wanted != halvings).then(|| self.permille())
    }

    /// The share now, per mille.
    pub fn permille(&self) -> u16 {
        (1000 >> self.halvings.load(Ordering::Relaxed)) as u16
    }

    /// Packets that were not looked at.
    pub fn shed(&self) -> u64 {
        self.shed.load(Ordering::Relaxed) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn udp(flow: u16, reverse: bool) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]);
        let (from, to) = ((1, flow), (2, 53));
        let ends = if reverse { [to, from] } else { [from, to] };
        frame.extend(ends.iter().flat_map(|(host, _)| [10, 0, 0, *host]));
        frame.extend(ends.iter().flat_map(|(_, port)| port.to_be_bytes()));
        frame.extend([0, 8, 0, 0]);
        frame
    }

    #[test]
    fn whole_flows_stay_or_go_and_shares_are_nested() {
        let (shed, mut controller) = Shed::new(3);
        let keeps = |flow, reverse| shed.keeps(LinkType::Ethernet, &udp(flow, reverse), 60);
        let mut before = vec![true; 4000];
        for second in 1..=6_u64 {
            assert_eq!(controller.look(second * 1000, second, 0, 0), Some(1000 >> second));
            let kept: Vec<bool> = (0..4000).map(|flow| keeps(flow, false)).collect();
            assert!((0..4000).all(|flow| keeps(flow, true) == kept[usize::from(flow)]), "both directions");
            assert!(kept.iter().zip(&before).all(|(now, before)| *before || !now), "nested");
            let count = kept.iter().filter(|kept| **kept).count();
            let expected = 4000 >> second;
            assert!(count.abs_diff(expected) < expected / 2 + 10, "{count} of {expected}");
            before = kept;
        }
        assert_eq!(controller.look(7000, 7, 0, 0), None, "one in 64 is the least");
        assert!(controller.shed() > 0);
    }

    #[test]
    fn the_share_comes_back_after_half_a_minute_of_calm() {
        let (_shed, mut controller) = Shed::new(3);
        assert_eq!(controller.look(1_000, 0, 400, 50), None);
        assert_eq!(controller.look(2_000, 0, 1_300, 50), Some(500));
        assert_eq!(controller.look(31_000, 0, 1_400, 50), None);
        assert_eq!(controller.look(32_000, 0, 1_500, 50), Some(1000));
        assert_eq!(controller.look(99_000, 0, 1_600, 50), None);
    }
}
