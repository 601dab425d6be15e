//! Rows that an alert carries: of every host on its way to an alert, those that raised its evidence most.

use crate::features::FeatureVector;
use crate::units::{Address, Timestamp};
use crate::verdict::alert::{ALERT_ROWS, Role};
use alloc::vec::Vec;
use core::cmp::Ordering;

/// Rises of evidence whose rows are kept: twice as many as episodes can be open. The longest unnoted goes.
pub const WATCHED: usize = 128;

/// Which rise of which host's evidence: a host that falls to nothing and rises again starts with other rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rise {
    pub(crate) host: Address,
    pub(crate) role: Role,
    pub(crate) since: Timestamp,
}

struct Kept {
    rise: Rise,
    noted: Timestamp,
    /// Number of the next row.
    next: u32,
    /// In no order: a row that goes leaves its place to the one that comes.
    rows: heapless::Vec<KeptRow, ALERT_ROWS>,
}

struct KeptRow {
    nats: f32,
    /// Rises from row to row.
    number: u32,
    features: FeatureVector,
}

impl KeptRow {
    /// Which of two goes first: the less surprising one, of equals the earlier.
    fn order(&self, other: &Self) -> Ordering {
        self.nats.total_cmp(&other.nats).then(self.number.cmp(&other.number))
    }
}

/// Where a rise's rows were kept last; another rise may lie there by now. The default finds nothing, or what it asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place(u8);

const _: () = assert!(WATCHED <= 1 << u8::BITS, "every place has a number");

/// See the module's text; all its memory is taken at the start (about 80 KiB).
pub(crate) struct Witnesses {
    kept: Vec<Kept>,
    rows: usize,
}

impl Witnesses {
    /// Keeps at most so many rows of a rise.
    pub(crate) fn new(rows: usize) -> Self {
        let watched = if rows == 0 { 0 } else { WATCHED };
        Self { kept: Vec::with_capacity(watched), rows: rows.min(ALERT_ROWS) }
    }

    /// Keeps a row, where it is no less surprising than one of those that are kept: of equals the later ones stay, since
    /// context gathers while an attack lasts. `place` is what the last call for this host and role said.
    pub(crate) fn note(&mut self, place: &mut Place, rise: Rise, at: Timestamp, nats: f32, row: &FeatureVector) {
        if self.rows == 0 {
            return;
        }
        let index = self.find(*place, rise).unwrap_or_else(|| self.begin(rise));
        *place = Place(index as u8);
        let Some(kept) = self.kept.get_mut(index) else { return };
        kept.noted = at;
        let number = kept.next;
        if kept.rows.len() < self.rows {
            // There is room.
            let _ = kept.rows.push(KeptRow { nats, number, features: *row });
        } else if let Some(least) = kept.rows.iter_mut().min_by(|a, b| a.order(b))
            && nats >= least.nats
        {
            (least.nats, least.number) = (nats, number);
            least.features.copy_from_slice(row);
        }
        kept.next = number.saturating_add(1);
    }

    /// Where a rise's rows are: most often where they were.
    fn find(&self, place: Place, rise: Rise) -> Option<usize> {
        let index = usize::from(place.0);
        if self.kept.get(index).is_some_and(|kept| kept.rise == rise) {
            return Some(index);
        }
        self.kept.iter().position(|kept| kept.rise == rise)
    }

    /// A place for a rise that has none.
    fn begin(&mut self, rise: Rise) -> usize {
        let fresh = Kept { rise, noted: Timestamp::EPOCH, next: 0, rows: heapless::Vec::new() };
        if self.kept.len() < WATCHED {
            self.kept.push(fresh);
            return self.kept.len() - 1;
        }
        let oldest = self.kept.iter().enumerate().min_by_key(|(_, kept)| kept.noted).map_or(0, |(place, _)| place);
        if let Some(kept) = self.kept.get_mut(oldest) {
            *kept = fresh;
        }
        oldest
    }

    /// The rows of a rise, in the order in which they came.
    pub(crate) fn rows(&self, place: Place, rise: Rise) -> heapless::Vec<FeatureVector, ALERT_ROWS> {
        let Some(kept) = self.find(place, rise).and_then(|index| self.kept.get(index)) else {
            return heapless::Vec::new();
        };
        let mut ordered: heapless::Vec<&KeptRow, ALERT_ROWS> = kept.rows.iter().collect();
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

    fn first_values(witnesses: &Witnesses, of: Rise) -> std::vec::Vec<f32> {
        witnesses.rows(Place::default(), of).iter().map(|row| row[0]).collect()
    }

    #[test]
    fn the_most_surprising_rows_stay_and_of_equals_the_later() {
        let mut witnesses = Witnesses::new(3);
        for (value, nats) in [(1, 5.0), (2, 12.0), (3, 2.0), (4, 12.0), (5, 1.0), (6, 12.0), (7, 12.0)] {
            witnesses.note(
                &mut Place::default(),
                rise(1, 9),
                Timestamp::from_secs(value),
                nats,
                &[value as f32; FEATURES],
            );
        }
        assert_eq!(first_values(&witnesses, rise(1, 9)), [4.0, 6.0, 7.0]);
        assert!(witnesses.rows(Place::default(), rise(1, 10)).is_empty(), "another rise of the same host");
        let other = Rise { role: Role::Target, ..rise(1, 9) };
        assert!(witnesses.rows(Place::default(), other).is_empty(), "another role of it");
    }

    #[test]
    fn rises_are_bounded_and_the_longest_unnoted_goes() {
        let mut witnesses = Witnesses::new(1);
        let mut places = [Place::default(); 200];
        for host in 0..200 {
            // The first host goes on and on.
            for of in [host, 0] {
                witnesses.note(
                    &mut places[usize::from(of)],
                    rise(of, 9),
                    Timestamp::from_secs(u64::from(host)),
                    5.0,
                    &[f32::from(of); FEATURES],
                );
            }
        }
        assert_eq!(witnesses.kept.len(), WATCHED);
        assert_eq!(first_values(&witnesses, rise(0, 9)), [0.0]);
        assert_eq!(first_values(&witnesses, rise(199, 9)), [199.0]);
        // Its place is another's now.
        assert!(witnesses.rows(places[1], rise(1, 9)).is_empty());
        assert_eq!(witnesses.rows(places[199], rise(199, 9)), witnesses.rows(Place::default(), rise(199, 9)));
    }

    #[test]
    fn who_wants_no_rows_gets_none_and_pays_no_memory() {
        let mut witnesses = Witnesses::new(0);
        witnesses.note(&mut Place::default(), rise(1, 9), Timestamp::from_secs(9), 5.0, &[1.0; FEATURES]);
        assert!(witnesses.rows(Place::default(), rise(1, 9)).is_empty() && witnesses.kept.capacity() == 0);
    }
}
