//! Octets seen, interface counters and dropped packets → whether the coverage is degraded.
//!
//! Hardware flow offload hides flows from the kernel; a ring that is too small loses packets. Once per window the octets
//! seen are compared with the interfaces' own counters, and packets dropped with packets received. Three poor windows in
//! a row degrade the coverage, three good ones restore it; windows with little traffic are ignored. An interface that does
//! not exist degrades the coverage at once, until it appears.

/// Length of a window, milliseconds.
pub(crate) const WINDOW_MS: u64 = 60_000;
/// Windows in a row that change the state.
const WINDOWS: u8 = 3;
/// Windows with less traffic say nothing about offload, octets.
const MIN_OCTETS: u64 = 1_000_000;
/// Windows with fewer packets say nothing about drops.
const MIN_PACKETS: u64 = 1_000;
/// A window with a smaller share seen is poor, per cent.
const POOR_PERCENT: u64 = 50;
/// A window with at least this share seen is good, per cent.
const GOOD_PERCENT: u64 = 80;
/// A window with a larger share dropped is poor, per mille; with at most half of it, good.
const DROPPED_PERMILLE: u64 = 10;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) seen_octets: u64,
    /// Octets by the interfaces' own counters; `None` if a filter excludes packets, since they cannot be compared then.
    pub(crate) moved_octets: Option<u64>,
    pub(crate) packets: u64,
    /// Packets that the kernel dropped.
    pub(crate) dropped: u64,
}

/// What is wrong with the coverage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Degraded {
    /// These configured interfaces do not exist.
    Absent(Vec<String>),
    /// Only this share of the interfaces' traffic is seen, per cent.
    Unseen(u64),
    /// The kernel drops this share of the packets, per mille.
    Dropped(u64),
}

impl std::fmt::Display for Degraded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent(names) => {
                write!(f, "no such interface now: {}; nothing is captured there until it exists", names.join(", "))
            }
            Self::Unseen(percent) => {
                write!(f, "the agent sees only {percent} % of the interfaces' traffic: disable flow offload")
            }
            Self::Dropped(permille) => {
                let percent = *permille as f64 / 10.0;
                write!(f, "the kernel drops {percent} % of the packets: raise capture.ring or resources.memory")
            }
        }
    }
}

/// The state, and the windows that it depends on.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    before: Option<(u64, Totals)>,
    poor: u8,
    good: u8,
    degraded: Option<Degraded>,
    absent_interfaces: Vec<String>,
}

impl Coverage {
    /// The reason, if the coverage is degraded.
    pub(crate) fn degraded(&self) -> Option<Degraded> {
        if self.absent_interfaces.is_empty() {
            self.degraded.clone()
        } else {
            Some(Degraded::Absent(self.absent_interfaces.clone()))
        }
    }

    /// Takes the configured interfaces that do not exist. Returns true if they are others than before.
    pub(crate) fn note_absent<'a>(&mut self, names: impl Iterator<Item = &'a str> + Clone) -> bool {
        if self.absent_interfaces.iter().map(String::as_str).eq(names.clone()) {
            return false;
        }
        self.absent_interfaces = names.map(str::to_owned).collect();
        true
    }

    /// Takes running totals; call at least once per window. Returns true if the state has changed.
    pub(crate) fn note(&mut self, now_ms: u64, totals: Totals) -> bool {
        let Some((began_ms, before)) = self.before else {
            self.before = Some((now_ms, totals));
            return false;
        };
        if now_ms.saturating_sub(began_ms) < WINDOW_MS {
            return false;
        }
        self.before = Some((now_ms, totals));
        match Self::rate(before, totals) {
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

    /// Rates a window; `None` if it has too little traffic or is neither good nor poor.
    fn rate(before: Totals, now: Totals) -> Option<Result<(), Degraded>> {
        let dropped = now.dropped.saturating_sub(before.dropped);
        let received = now.packets.saturating_sub(before.packets) + dropped;
        let permille = dropped * 1000 / received.max(1);
        if received >= MIN_PACKETS && permille > DROPPED_PERMILLE {
            return Some(Err(Degraded::Dropped(permille)));
        }
        let seen = now.seen_octets.saturating_sub(before.seen_octets);
        let moved = now.moved_octets?.saturating_sub(before.moved_octets?);
        if moved < MIN_OCTETS {
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

    /// The state after each window; windows are octets seen, octets moved, packets, drops.
    fn changes(windows: &[(u64, u64, u64, u64)]) -> Vec<Option<Degraded>> {
        let mut coverage = Coverage::default();
        let mut totals = Totals { moved_octets: Some(0), ..Totals::default() };
        coverage.note(0, totals);
        let mut states = Vec::new();
        for (index, (seen, moved, packets, dropped)) in windows.iter().enumerate() {
            totals.seen_octets += seen;
            totals.moved_octets = totals.moved_octets.map(|octets| octets + moved);
            totals.packets += packets;
            totals.dropped += dropped;
            let before = coverage.degraded().is_some();
            let changed = coverage.note((index as u64 + 1) * WINDOW_MS, totals);
            assert_eq!(changed, before != coverage.degraded().is_some());
            states.push(coverage.degraded());
        }
        states
    }

    const GOOD: (u64, u64, u64, u64) = (9_000_000, 10_000_000, 10_000, 0);
    const OFFLOADED: (u64, u64, u64, u64) = (100_000, 10_000_000, 100, 0);
    const BETWEEN: (u64, u64, u64, u64) = (6_000_000, 10_000_000, 10_000, 0);
    const IDLE: (u64, u64, u64, u64) = (0, 999_999, 10, 0);
    const DROPPING: (u64, u64, u64, u64) = (9_000_000, 10_000_000, 9_000, 1_000);

    #[test]
    fn three_poor_windows_degrade_and_three_good_ones_restore() {
        let states = changes(&[OFFLOADED, OFFLOADED, OFFLOADED, GOOD, GOOD, BETWEEN, GOOD]);
        let expected = [false, false, true, true, true, true, false];
        assert_eq!(states.iter().map(Option::is_some).collect::<Vec<_>>(), expected);
        assert_eq!(states[2], Some(Degraded::Unseen(1)));
    }

    #[test]
    fn a_good_window_resets_the_poor_count_and_an_idle_window_is_ignored() {
        assert!(changes(&[OFFLOADED, OFFLOADED, GOOD, OFFLOADED, OFFLOADED]).iter().all(Option::is_none));
        assert!(changes(&[OFFLOADED, OFFLOADED, IDLE, OFFLOADED]).last().unwrap().is_some());
    }

    #[test]
    fn an_absent_interface_degrades_the_coverage_until_it_exists() {
        let mut coverage = Coverage::default();
        assert!(!coverage.note_absent([].into_iter()));
        assert!(coverage.note_absent(["lan9"].into_iter()) && !coverage.note_absent(["lan9"].into_iter()));
        assert_eq!(coverage.degraded(), Some(Degraded::Absent(vec!["lan9".into()])));
        assert!(coverage.degraded().unwrap().to_string().contains("no such interface now: lan9"));
        assert!(coverage.note_absent([].into_iter()) && coverage.degraded().is_none());
    }

    #[test]
    fn drops_degrade_the_coverage() {
        assert_eq!(changes(&[DROPPING; 3]).pop().unwrap(), Some(Degraded::Dropped(100)));
    }
}
