//! Records with their features, in a list of fixed capacity.

use crate::context::local::Followed;
use crate::features::{FEATURES, FeatureVector};
use crate::flow::record::FlowRecord;
use alloc::vec::Vec;

/// One record on its way to a verdict.
#[derive(Clone, Copy)]
pub struct Row {
    /// The record.
    pub record: FlowRecord,
    /// Its features.
    pub features: FeatureVector,
    /// The ends that it counts for.
    pub followed: Followed,
}

impl Row {
    /// Room for a row.
    const BLANK: Self = Self {
        record: FlowRecord::BLANK,
        features: [0.0; FEATURES],
        followed: Followed { source: false, destination: false },
    };
}

/// At most so many rows; takes its memory when made, and none by default.
#[derive(Default)]
pub struct Rows {
    /// As many as were ever held; what lies behind `len` is old, and written over where it lies.
    rows: Vec<Row>,
    len: usize,
    /// Not the vector's capacity, which may be more than was asked for.
    capacity: usize,
}

impl Rows {
    /// Room for so many.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { rows: Vec::with_capacity(capacity), len: 0, capacity }
    }

    /// Room for one more row, where there is any; it counts once it is [`Rows::filled`].
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

    /// What stands in [`Rows::room`] is a row from now on.
    #[inline]
    pub fn filled(&mut self) {
        self.len = self.rows.len().min(self.len + 1);
    }

    /// The rows, oldest first.
    pub fn as_slice(&self) -> &[Row] {
        self.rows.get(..self.len).unwrap_or_default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// True when there is no more room.
    pub fn is_full(&self) -> bool {
        self.len >= self.capacity
    }

    /// How many there is room for in all.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets all rows, keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_is_taken_beyond_the_capacity() {
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
