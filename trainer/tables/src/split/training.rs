//! A split → its training rows, the only rows that may be fitted on. Only splits create them; they can be reduced,
//! never extended.

use crate::table::Table;

/// Training rows of a split, as row numbers of its table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrainingRows {
    rows: Vec<usize>,
}

impl TrainingRows {
    pub(super) fn new(rows: Vec<usize>) -> Self {
        Self { rows }
    }

    /// Row numbers, ascending.
    pub fn as_slice(&self) -> &[usize] {
        &self.rows
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows for which `keep` returns true.
    pub fn keep(&self, keep: impl Fn(usize) -> bool) -> Self {
        Self { rows: self.rows.iter().copied().filter(|row| keep(*row)).collect() }
    }

    /// Without the rows of attacks.
    pub fn benign(&self, table: &Table) -> Self {
        self.keep(|row| table.kind()[row] == 0)
    }

    /// At most `limit` rows, drawn by seed.
    pub fn sample(&self, limit: usize, seed: u64) -> Self {
        let mut rows = self.rows.clone();
        fastrand::Rng::with_seed(seed).shuffle(&mut rows);
        rows.truncate(limit);
        rows.sort_unstable();
        Self { rows }
    }

    /// Undersamples the larger of the classes benign and attack to at most `ratio` times the rows of the smaller one.
    /// With
    /// `ratio` 1 both have the same size; attack kinds keep their shares.
    pub fn undersample(&self, table: &Table, ratio: f64, seed: u64) -> Self {
        let benign = self.benign(table);
        let attack = self.keep(|row| table.kind()[row] != 0);
        let limit = (benign.len().min(attack.len()) as f64 * ratio.max(1.0)) as usize;
        let mut rows = benign.sample(limit, seed).rows;
        rows.extend(attack.sample(limit, seed.wrapping_add(1)).rows);
        rows.sort_unstable();
        Self { rows }
    }
}
