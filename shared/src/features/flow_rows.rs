//! Flow records with their features → a list of fixed capacity.

use crate::context::local::Followed;
use crate::features::{FEATURES, FeatureVector};
use crate::flow::record::FlowRecord;
use alloc::vec::Vec;

/// One record with its features.
#[derive(Clone, Copy)]
pub struct Row {
    /// The record.
    pub record: FlowRecord,
    /// Its features.
    pub features: FeatureVector,
    /// The hosts whose evidence it counts for.
    pub followed: Followed,
}

impl Row {
    /// Placeholder.
    const BLANK: Self = Self {
        record: FlowRecord::BLANK,
        features: [0.0; FEATURES],
        followed: Followed { source: false, destination: false },
    };
}

/// A list of rows with fixed capacity, allocated when created. The default has capacity 0.
#[derive(Default)]
pub struct Rows {
    /// Never shrinks; rows from `len` on are stale and get overwritten in place.
    rows: Vec<Row>,
    len: usize,
    /// The requested capacity; the vector's may be larger.
    capacity: usize,
}

impl Rows {
    /// An empty list.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { rows: Vec::with_capacity(capacity), len: 0, capacity }
    }

    /// The next row, to be filled in place, or `None` if the list is full. It counts after [`Rows::filled`].
    #[inline]
    pub fn room(&mut self) -> Option<&mut Row> {
        if self.is_full() {
            return None;
        }
        if self.len == self.rows.len() {
            self.rows.push(Row::BLANK);
        }
        self.rows.get_mut(self.len)
    }

    /// Appends the row that [`Rows::room`] returned.
    #[inline]
    pub fn filled(&mut self) {
        self.len = self.rows.len().min(self.len + 1);
    }

    /// The rows, oldest first.
    pub fn as_slice(&self) -> &[Row] {
        self.rows.get(..self.len).unwrap_or_default()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// True if no row can be added.
    pub fn is_full(&self) -> bool {
        self.len >= self.capacity
    }

    /// Largest number of rows.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Removes all rows, keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_beyond_the_capacity_are_rejected() {
        let mut rows = Rows::with_capacity(2);
        let push = |rows: &mut Rows, value: f32| {
            let Some(row) = rows.room() else { return false };
            row.features[0] = value;
            rows.filled();
            true
        };
        assert_eq!([1.0, 2.0, 3.0].map(|value| push(&mut rows, value)), [true, true, false]);
        assert_eq!(rows.as_slice().iter().map(|row| row.features[0]).collect::<Vec<_>>(), [1.0, 2.0]);
        rows.clear();
        assert!(rows.is_empty() && push(&mut rows, 7.0) && rows.capacity() == 2);
        assert_eq!(rows.as_slice().len(), 1);
        assert!(Rows::default().room().is_none());
    }
}
