//! Flows that raise a host's evidence → the rows that its alert carries: those that raised it most.

use crate::features::FeatureVector;
use crate::units::{Address, Timestamp};
use crate::verdict::alert::{ALERT_ROWS, Role};
use alloc::vec::Vec;
use core::cmp::Ordering;

/// Rises of evidence whose rows are kept: twice the limit on open episodes. The least recently updated is evicted.
pub const TRACKED_RISES: usize = 128;

/// One rise of one host's evidence. Evidence that falls to 0 and rises again is a new rise with its own rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rise {
    pub(crate) host: Address,
    pub(crate) role: Role,
    pub(crate) since: Timestamp,
}

struct RiseRows {
    rise: Rise,
    updated: Timestamp,
    /// Number of the next row.
    next: u32,
    /// Unordered: a new row takes the place of the one it evicts.
    rows: heapless::Vec<KeptRow, ALERT_ROWS>,
}

struct KeptRow {
    nats: f32,
    /// Order of arrival.
    number: u32,
    features: FeatureVector,
}

impl KeptRow {
    /// Eviction order: the less surprising row first, ties by age.
    fn order(&self, other: &Self) -> Ordering {
        self.nats.total_cmp(&other.nats).then(self.number.cmp(&other.number))
    }
}

/// A hint: the index where a rise's rows were last. A stale or default hint costs a search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place(u8);

const _: () = assert!(TRACKED_RISES <= 1 << u8::BITS, "an index fits a Place");

/// Rows of at most [`TRACKED_RISES`] rises. Allocates all its memory when created (about 80 KiB).
pub(crate) struct AlertRows {
    rises: Vec<RiseRows>,
    rows: usize,
}

impl AlertRows {
    /// Keeps at most `rows` rows per rise.
    pub(crate) fn new(rows: usize) -> Self {
        let capacity = if rows == 0 { 0 } else { TRACKED_RISES };
        Self { rises: Vec::with_capacity(capacity), rows: rows.min(ALERT_ROWS) }
    }

    /// Adds a row if it is at least as surprising as one of those kept. Of equals the later row stays, because the host
    /// context fills up during an attack. `place` is the hint for this host and role; it is updated.
    pub(crate) fn add(&mut self, place: &mut Place, rise: Rise, at: Timestamp, nats: f32, row: &FeatureVector) {
        if self.rows == 0 {
            return;
        }
        let index = self.find(*place, rise).unwrap_or_else(|| self.begin(rise));
        *place = Place(index as u8);
        let Some(entry) = self.rises.get_mut(index) else { return };
        entry.updated = at;
        let number = entry.next;
        if entry.rows.len() < self.rows {
            // Cannot fail: the length was checked.
            let _ = entry.rows.push(KeptRow { nats, number, features: *row });
        } else if let Some(least) = entry.rows.iter_mut().min_by(|a, b| a.order(b))
            && nats >= least.nats
        {
            (least.nats, least.number) = (nats, number);
            least.features.copy_from_slice(row);
        }
        entry.next = number.saturating_add(1);
    }

    /// Index of a rise's rows, usually the hint.
    fn find(&self, place: Place, rise: Rise) -> Option<usize> {
        let index = usize::from(place.0);
        if self.rises.get(index).is_some_and(|entry| entry.rise == rise) {
            return Some(index);
        }
        self.rises.iter().position(|entry| entry.rise == rise)
    }

    /// Enters a new rise, evicting the least recently updated one when full.
    fn begin(&mut self, rise: Rise) -> usize {
        let fresh = RiseRows { rise, updated: Timestamp::EPOCH, next: 0, rows: heapless::Vec::new() };
        if self.rises.len() < TRACKED_RISES {
            self.rises.push(fresh);
            return self.rises.len() - 1;
        }
        let oldest = self.rises.iter().enumerate().min_by_key(|(_, entry)| entry.updated).map_or(0, |(place, _)| place);
        if let Some(entry) = self.rises.get_mut(oldest) {
            *entry = fresh;
        }
        oldest
    }

    /// The rows of a rise, in order of arrival.
    pub(crate) fn rows(&self, place: Place, rise: Rise) -> heapless::Vec<FeatureVector, ALERT_ROWS> {
        let Some(entry) = self.find(place, rise).and_then(|index| self.rises.get(index)) else {
            return heapless::Vec::new();
        };
        let mut ordered: heapless::Vec<&KeptRow, ALERT_ROWS> = entry.rows.iter().collect();
        ordered.sort_unstable_by_key(|row| row.number);
        ordered.into_iter().map(|row| row.features).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::FEATURES;

    fn rise(host: u8, since: u64) -> Rise {
        Rise { host: Address::from_v4([10, 0, 0, host]), role: Role::Source, since: Timestamp::from_secs(since) }
    }

    fn first_values(alert_rows: &AlertRows, of: Rise) -> std::vec::Vec<f32> {
        alert_rows.rows(Place::default(), of).iter().map(|row| row[0]).collect()
    }

    #[test]
    fn the_most_surprising_rows_stay_and_ties_keep_the_later_row() {
        let mut alert_rows = AlertRows::new(3);
        for (value, nats) in [(1, 5.0), (2, 12.0), (3, 2.0), (4, 12.0), (5, 1.0), (6, 12.0), (7, 12.0)] {
            alert_rows.add(
                &mut Place::default(),
                rise(1, 9),
                Timestamp::from_secs(value),
                nats,
                &[value as f32; FEATURES],
            );
        }
        assert_eq!(first_values(&alert_rows, rise(1, 9)), [4.0, 6.0, 7.0]);
        assert!(alert_rows.rows(Place::default(), rise(1, 10)).is_empty(), "another rise of the same host");
        let other = Rise { role: Role::Target, ..rise(1, 9) };
        assert!(alert_rows.rows(Place::default(), other).is_empty(), "another role of the same host");
    }

    #[test]
    fn a_full_table_evicts_the_least_recently_updated_rise() {
        let mut alert_rows = AlertRows::new(1);
        let mut places = [Place::default(); 200];
        for host in 0..200 {
            // Host 0 is updated in every round.
            for of in [host, 0] {
                alert_rows.add(
                    &mut places[usize::from(of)],
                    rise(of, 9),
                    Timestamp::from_secs(u64::from(host)),
                    5.0,
                    &[f32::from(of); FEATURES],
                );
            }
        }
        assert_eq!(alert_rows.rises.len(), TRACKED_RISES);
        assert_eq!(first_values(&alert_rows, rise(0, 9)), [0.0]);
        assert_eq!(first_values(&alert_rows, rise(199, 9)), [199.0]);
        // Evicted; its index now belongs to another rise.
        assert!(alert_rows.rows(places[1], rise(1, 9)).is_empty());
        assert_eq!(alert_rows.rows(places[199], rise(199, 9)), alert_rows.rows(Place::default(), rise(199, 9)));
    }

    #[test]
    fn zero_rows_per_alert_allocates_nothing() {
        let mut alert_rows = AlertRows::new(0);
        alert_rows.add(&mut Place::default(), rise(1, 9), Timestamp::from_secs(9), 5.0, &[1.0; FEATURES]);
        assert!(alert_rows.rows(Place::default(), rise(1, 9)).is_empty() && alert_rows.rises.capacity() == 0);
    }
}
