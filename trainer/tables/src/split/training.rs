//! Rows that may be fitted on. Only splits make them; they can become fewer, never others.

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

    /// How many.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Those rows that `keep` says yes to.
    pub fn keep(&self, keep: impl Fn(usize) -> bool) -> Self {
        Self { rows: self.rows.iter().copied().filter(|row| keep(*row)).collect() }
    }

    /// Benign rows only.
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

    /// Undersampling: of either class (benign, attack) at most `ratio` times as many rows as the smaller class
    /// has. With `ratio` 1 both classes get equally many rows; attack kinds keep their shares among them.
    pub fn undersample(&self, table: &Table, ratio: f64, seed: u64) -> Self {
        let benign = self.benign(table);
        let attack = self.keep(|row| table.kind()[row] != 0);
        let limit = (benign.len().min(attack.len()) as f64 * ratio.max(1.0)) as usize;
        let mut rows = benign.sample(limit, seed).rows;
        rows.extend(attack.sample(limit, seed.wrapping_add(1)).rows);
        rows.sort_unstable();
        Self { rows }
    }

    /// At most `limit` rows of each kind, drawn by seed.
    pub fn cap_kinds(&self, table: &Table, limit: usize, seed: u64) -> Self {
        let kinds = table.kinds().len() as u16;
        let of =
            |kind| self.keep(|row| table.kind()[row] == kind).sample(limit, seed.wrapping_add(u64::from(kind))).rows;
        let mut rows: Vec<usize> = (0..kinds).flat_map(of).collect();
        rows.sort_unstable();
        Self { rows }
    }
}
