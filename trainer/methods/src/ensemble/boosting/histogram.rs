//! Derivatives of rows → sums by column and rank → the split with the largest gain.
//!
//! The gain of a split is l²/(L + λ) + r²/(R + λ) − t²/(T + λ) over sums of first (l, r, t) and second (L, R, T)
//! derivatives of the left side, the right side and both (Chen and Guestrin 2016). One thread sums a column, in row
//! order, so the sums do not depend on the number of threads.

use rayon::prelude::*;

use crate::{BoostingConfig, tree::Columns};

/// Number of additions from which several threads are worthwhile.
const PARALLEL_WORK: usize = 1 << 17;

/// First and second derivative of one row's loss by its score.
pub(super) type Derivatives = [f32; 2];

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) first: f64,
    pub(super) second: f64,
    pub(super) rows: u32,
}

impl Sums {
    pub(super) fn of(derivatives: &[Derivatives], rows: &[u32]) -> Self {
        let mut sums = Self::default();
        rows.iter().for_each(|row| sums.take(derivatives[*row as usize]));
        sums
    }

    #[inline]
    fn take(&mut self, [first, second]: Derivatives) {
        self.first += f64::from(first);
        self.second += f64::from(second);
        self.rows = self.rows.wrapping_add(1);
    }

    #[inline]
    fn add(&mut self, other: Self) {
        self.first += other.first;
        self.second += other.second;
        self.rows = self.rows.wrapping_add(other.rows);
    }

    #[inline]
    pub(super) fn without(self, other: Self) -> Self {
        let rows = self.rows.wrapping_sub(other.rows);
        Self { first: self.first - other.first, second: self.second - other.second, rows }
    }

    #[inline]
    fn merit(self, l2: f64) -> f64 {
        self.first * self.first / (self.second + l2).max(f64::MIN_POSITIVE)
    }
}

/// A split of a node's rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) column: usize,
    /// Last rank that goes left.
    pub(super) left: u16,
    /// The next rank that occurs.
    pub(super) right: u16,
    pub(super) gain: f64,
    /// Sums of the rows that go left.
    pub(super) sums: Sums,
}

/// Sums by column and rank, column after column.
pub(super) type Histogram = Vec<Sums>;

/// Layout of the histograms of a fit.
pub(super) struct Histograms<'a> {
    columns: &'a Columns,
    /// Start of each column in a histogram, and the end of the last.
    offsets: Vec<usize>,
}

impl<'a> Histograms<'a> {
    pub(super) fn new(columns: &'a Columns) -> Self {
        let mut offsets = vec![0];
        for column in 0..columns.count() {
            offsets.push(offsets[column] + columns.column(column).count());
        }
        Self { columns, offsets }
    }

    /// Sums over the given rows for the candidate columns (ascending); the entries of other columns are not changed.
    pub(super) fn fill(
        &self,
        histogram: &mut Histogram,
        derivatives: &[Derivatives],
        rows: &[u32],
        candidates: &[usize],
    ) {
        histogram.resize(self.offsets.last().copied().unwrap_or(0), Sums::default());
        let derivatives: Vec<Derivatives> = rows.iter().map(|row| derivatives[*row as usize]).collect();
        let one = |(column, sums): (usize, &mut [Sums])| {
            let ranks = &self.columns.column(column).ranks;
            sums.fill(Sums::default());
            for (row, derivatives) in rows.iter().zip(&derivatives) {
                sums[usize::from(ranks[*row as usize])].take(*derivatives);
            }
        };
        let mut parts = Vec::with_capacity(candidates.len());
        let mut rest = histogram.as_mut_slice();
        for column in 0..self.columns.count() {
            let ranks = self.offsets[column + 1] - self.offsets[column];
            let (part, behind) = std::mem::take(&mut rest).split_at_mut(ranks);
            rest = behind;
            if candidates.binary_search(&column).is_ok() {
                parts.push((column, part));
            }
        }
        if rows.len() * candidates.len() < PARALLEL_WORK {
            parts.into_iter().for_each(one);
        } else {
            parts.into_par_iter().for_each(one);
        }
    }

    /// Subtracts the sums of a subset of a histogram's rows.
    pub(super) fn subtract(&self, from: &mut Histogram, less: &Histogram, candidates: &[usize]) {
        for column in candidates {
            let ranks = self.offsets[*column]..self.offsets[*column + 1];
            for (sums, less) in from[ranks.clone()].iter_mut().zip(&less[ranks]) {
                *sums = sums.without(*less);
            }
        }
    }

    /// The cut with the largest positive gain; among equal ones the first by column and rank.
    pub(super) fn best(
        &self,
        histogram: &Histogram,
        all: Sums,
        config: &BoostingConfig,
        candidates: &[usize],
    ) -> Option<Cut> {
        let cuts = candidates.iter().filter_map(|column| {
            let ranks = self.offsets[*column]..self.offsets[*column + 1];
            best_of(*column, &histogram[ranks], all, config)
        });
        cuts.fold(
            None,
            |best: Option<Cut>, cut| if best.is_none_or(|best| cut.gain > best.gain) { Some(cut) } else { best },
        )
    }
}

/// The best cut of one column.
fn best_of(column: usize, histogram: &[Sums], all: Sums, config: &BoostingConfig) -> Option<Cut> {
    let (l2, least_weight) = (f64::from(config.l2), f64::from(config.min_leaf_weight));
    let least_rows = config.min_leaf_rows.max(1);
    let (mut left, mut before, mut best): (Sums, u16, Option<Cut>) = (Sums::default(), 0, None);
    let mut most = all.merit(l2);
    for (rank, sums) in histogram.iter().enumerate() {
        if sums.rows == 0 {
            continue;
        }
        if left.rows as usize >= least_rows && left.second >= least_weight {
            let right = all.without(left);
            if (right.rows as usize) < least_rows || right.second < least_weight {
                break;
            }
            let merit = left.merit(l2) + right.merit(l2);
            if merit > most {
                most = merit;
                best = Some(Cut { column, left: before, right: rank as u16, gain: merit - all.merit(l2), sums: left });
            }
        }
        left.add(*sums);
        before = rank as u16;
    }
    best
}
