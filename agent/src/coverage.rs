//! What was seen against what passed the interfaces → whether an operator should be told that traffic goes unseen.
//!
//! Hardware flow offload takes flows out of the kernel's sight; a ring that is too small loses packets. Once in a window
//! octets seen are held against the interfaces' own counters, and packets dropped against packets that came. Only three
//! poor windows in a row degrade the coverage, and only three good ones mend it; a window with little traffic says
//! nothing.

/// Length of a window, milliseconds.
pub const WINDOW_MS: u64 = 60_000;
/// Windows in a row that change the opinion.
const WINDOWS: u8 = 3;
/// A window with less than this says nothing about offload, octets.
const LEAST_OCTETS: u64 = 1_000_000;
/// A window with fewer packets says nothing about drops.
const LEAST_PACKETS: u64 = 1_000;
/// Seen below this share, per cent: poor.
const POOR_PERCENT: u64 = 50;
/// Seen from this share on, per cent: good.
const GOOD_PERCENT: u64 = 80;
/// Dropped above this share, per mille: poor; below half of it: good.
const DROPPED_PERMILLE: u64 = 10;

/// Running totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Octets seen.
    pub seen_octets: u64,
    /// Octets that passed the interfaces; not to be compared where a filter leaves packets out.
    pub moved_octets: Option<u64>,
    /// Packets read.
    pub packets: u64,
    /// Packets that the kernel dropped.
    pub dropped: u64,
}

/// What is wrong with the coverage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degraded {
    /// The interfaces move more than is seen; the number is the share seen, per cent.
    Unseen(u64),
    /// The kernel drops packets; the number is the share, per mille.
    Dropped(u64),
}

impl std::fmt::Display for Degraded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unseen(percent) => {
                write!(f, "only {percent} % of what passes the interfaces is seen: switch flow offload off")
            }
            Self::Dropped(permille) => {
                let percent = *permille as f64 / 10.0;
                write!(f, "the kernel drops {percent} % of the packets: give more memory or a share of flows")
            }
        }
    }
}

/// The opinion, and what it rests on.
#[derive(Debug, Default)]
pub struct Coverage {
    before: Option<(u64, Totals)>,
    poor: u8,
    good: u8,
    degraded: Option<Degraded>,
}

impl Coverage {
    /// The opinion now.
    pub fn degraded(&self) -> Option<Degraded> {
        self.degraded
    }

    /// Takes running totals; call at least once a window. True when the opinion has changed.
    pub fn note(&mut self, now_ms: u64, totals: Totals) -> bool {
        let Some((began_ms, before)) = self.before else {
            self.before = Some((now_ms, totals));
            return false;
        };
        if now_ms.saturating_sub(began_ms) < WINDOW_MS {
            return false;
        }
        self.before = Some((now_ms, totals));
        match self.judge(before, totals) {
            Some(Err(reason)) => {
                (self.poor, self.good) = (self.poor.saturating_add(1), 0);
                let change = self.poor >= WINDOWS && self.degraded.is_none();
                if self.poor >= WINDOWS {
                    self.degraded = Some(reason);
                }
                change
            }
            Some(Ok(())) => {
                (self.poor, self.good) = (0, self.good.saturating_add(1));
                let change = self.good >= WINDOWS && self.degraded.is_some();
                if change {
                    self.degraded = None;
                }
                change
            }
            None => false,
        }
    }

    /// Whether a window was good; nothing where it says too little or lies between good and poor.
    fn judge(&self, before: Totals, now: Totals) -> Option<Result<(), Degraded>> {
        let dropped = now.dropped.saturating_sub(before.dropped);
        let came = now.packets.saturating_sub(before.packets) + dropped;
        let permille = dropped * 1000 / came.max(1);
        if came >= LEAST_PACKETS && permille > DROPPED_PERMILLE {
            return Some(Err(Degraded::Dropped(permille)));
        }
        let seen = now.seen_octets.saturating_sub(before.seen_octets);
        let moved = now.moved_octets?.saturating_sub(before.moved_octets?);
        if moved < LEAST_OCTETS {
            return None;
        }
        match seen.saturating_mul(100) / moved {
            percent if percent < POOR_PERCENT => Some(Err(Degraded::Unseen(percent))),
            percent if percent >= GOOD_PERCENT && permille <= DROPPED_PERMILLE / 2 => Some(Ok(())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes one window after the other, each with these octets seen and moved, packets and drops.
    fn changes(windows: &[(u64, u64, u64, u64)]) -> Vec<Option<Degraded>> {
        let mut coverage = Coverage::default();
        let mut totals = Totals { moved_octets: Some(0), ..Totals::default() };
        coverage.note(0, totals);
        let mut opinions = Vec::new();
        for (index, (seen, moved, packets, dropped)) in windows.iter().enumerate() {
            totals.seen_octets += seen;
            totals.moved_octets = totals.moved_octets.map(|octets| octets + moved);
            totals.packets += packets;
            totals.dropped += dropped;
            let before = coverage.degraded().is_some();
            let changed = coverage.note((index as u64 + 1) * WINDOW_MS, totals);
            assert_eq!(changed, before != coverage.degraded().is_some());
            opinions.push(coverage.degraded());
        }
        opinions
    }

    const GOOD: (u64, u64, u64, u64) = (9_000_000, 10_000_000, 10_000, 0);
    const OFFLOADED: (u64, u64, u64, u64) = (100_000, 10_000_000, 100, 0);
    const BETWEEN: (u64, u64, u64, u64) = (6_000_000, 10_000_000, 10_000, 0);
    const QUIET: (u64, u64, u64, u64) = (0, 999_999, 10, 0);
    const DROPPING: (u64, u64, u64, u64) = (9_000_000, 10_000_000, 9_000, 1_000);

    #[test]
    fn three_poor_windows_degrade_and_three_good_ones_mend() {
        let opinions = changes(&[OFFLOADED, OFFLOADED, OFFLOADED, GOOD, GOOD, BETWEEN, GOOD]);
        let expected = [false, false, true, true, true, true, false];
        assert_eq!(opinions.iter().map(Option::is_some).collect::<Vec<_>>(), expected);
        assert_eq!(opinions[2], Some(Degraded::Unseen(1)));
    }

    #[test]
    fn one_good_window_between_poor_ones_keeps_the_peace_and_a_quiet_one_says_nothing() {
        assert!(changes(&[OFFLOADED, OFFLOADED, GOOD, OFFLOADED, OFFLOADED]).iter().all(Option::is_none));
        assert!(changes(&[OFFLOADED, OFFLOADED, QUIET, OFFLOADED]).last().unwrap().is_some());
    }

    #[test]
    fn drops_degrade_too() {
        assert_eq!(changes(&[DROPPING; 3]).pop().unwrap(), Some(Degraded::Dropped(100)));
    }
}
