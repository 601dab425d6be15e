//! Records with their features, in a list of fixed capacity.

use crate::features::FeatureVector;
use crate::flow::record::FlowRecord;
use alloc::vec::Vec;

/// One record on its way to a verdict.
#[derive(Clone, Copy)]
pub struct Row {
    /// The record.
    pub record: FlowRecord,
    /// Its features.
    pub features: FeatureVector,
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

    /// Adds a row; false where there is no room. Compiled here, because half a kilobyte is copied quickly only by what
    /// is made for speed.
    #[inline(never)]
    pub fn push(&mut self, record: &FlowRecord, features: &FeatureVector) -> bool {
        let room = !self.is_full();
        if room {
            match self.rows.get_mut(self.len) {
                Some(row) => {
                    row.record = *record;
                    row.features = *features;
                }
                None => self.rows.push(Row { record: *record, features: *features }),
            }
            self.len += 1;
        }
        room
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
    use crate::features::FEATURES;
    use crate::flow::testing::record;
    use crate::units::Timestamp;

    #[test]
    fn no_row_is_taken_beyond_the_capacity() {
        let mut rows = Rows::with_capacity(2);
        let record = record(Timestamp::EPOCH);
        let pushed: Vec<bool> = (0..3).map(|number| rows.push(&record, &[number as f32; FEATURES])).collect();
        assert_eq!(pushed, [true, true, false]);
        assert_eq!(rows.as_slice().iter().map(|row| row.features[0]).collect::<Vec<_>>(), [0.0, 1.0]);
        rows.clear();
        assert!(rows.is_empty() && rows.push(&record, &[7.0; FEATURES]) && rows.capacity() == 2);
        assert!(!Rows::default().push(&record, &[0.0; FEATURES]));
    }
}
