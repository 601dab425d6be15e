//! Points → nearest neighbours and sums of Euclidean distances, by blocks of dot products.
//!
//! The expanded form ‖a − b‖² = ‖a‖² + ‖b‖² − 2·a·b selects candidates at the speed of a matrix product; their
//! distances are then recomputed from differences, since the expanded form suffers from cancellation for close points.
//! For the same reason points are first centred on the mean of the reference. Ties go to the lower row number. Results
//! do not depend on the number of threads: blocks of queries are independent.

use lapwing_tables::Matrix;
use ndarray::{Array2, ArrayView2, linalg::general_mat_mul};
use rayon::prelude::*;

/// Queries per block: large enough for an efficient product, small enough for its result to stay in cache.
const BLOCK: usize = 128;
/// Extra candidates, so that rounding in the expanded form loses no neighbour.
const SPARE: usize = 8;

/// A reference row near a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Near {
    /// Row number in the reference.
    pub(crate) row: usize,
    /// Euclidean distance.
    pub(crate) distance: f32,
}

/// Centred copies of reference and queries, and the squared lengths of the reference.
struct Centred {
    reference: Matrix,
    queries: Matrix,
    lengths: Vec<f32>,
}

impl Centred {
    fn new(reference: &Matrix, queries: &Matrix) -> Self {
        let mut mean = vec![0.0f64; reference.columns()];
        for row in reference.iter() {
            for (sum, value) in mean.iter_mut().zip(row) {
                *sum += f64::from(*value);
            }
        }
        let mean: Vec<f32> = mean.iter().map(|sum| (sum / reference.rows().max(1) as f64) as f32).collect();
        let centre = |rows: &Matrix| {
            let mut rows = rows.clone();
            for row in 0..rows.rows() {
                for (value, mean) in rows.row_mut(row).iter_mut().zip(&mean) {
                    *value -= mean;
                }
            }
            rows
        };
        let reference = centre(reference);
        let lengths = reference.iter().map(|row| row.iter().map(|value| value * value).sum()).collect();
        Self { reference, queries: centre(queries), lengths }
    }

    /// ‖b‖² − 2·a·b for queries `from..to` × every reference row. ‖a‖² is omitted: it does not change the order.
    fn partial(&self, from: usize, to: usize) -> Array2<f32> {
        let columns = self.reference.columns();
        let block = &self.queries.values()[from * columns..to * columns];
        let shaped = ArrayView2::from_shape((to - from, columns), block);
        let whole = ArrayView2::from_shape((self.reference.rows(), columns), self.reference.values());
        let (Ok(block), Ok(whole)) = (shaped, whole) else { return Array2::zeros((0, 0)) };
        // Writing into this array keeps the product row-major for all shapes.
        let mut found = Array2::zeros((to - from, self.reference.rows()));
        general_mat_mul(1.0, &block, &whole.t(), 0.0, &mut found);
        for mut row in found.rows_mut() {
            for (value, length) in row.iter_mut().zip(&self.lengths) {
                *value = length - 2.0 * *value;
            }
        }
        found
    }
}

/// Euclidean distance of two points, summed in `f64`.
pub(crate) fn distance(left: &[f32], right: &[f32]) -> f32 {
    let sum: f64 = left.iter().zip(right).map(|(l, r)| f64::from(l - r) * f64::from(l - r)).sum();
    libm::sqrt(sum) as f32
}

/// The `count` rows of `reference` nearest to each row of `queries`, nearest first; all when `reference` has fewer.
pub(crate) fn nearest(reference: &Matrix, queries: &Matrix, count: usize) -> Vec<Vec<Near>> {
    let count = count.min(reference.rows());
    if count == 0 || queries.rows() == 0 {
        return vec![Vec::new(); queries.rows()];
    }
    let centred = Centred::new(reference, queries);
    let blocks: Vec<Vec<Vec<Near>>> = (0..queries.rows().div_ceil(BLOCK))
        .into_par_iter()
        .map(|block| {
            let (from, to) = (block * BLOCK, ((block + 1) * BLOCK).min(queries.rows()));
            let found = centred.partial(from, to);
            let one = |(at, row): (usize, ndarray::ArrayView1<'_, f32>)| {
                closest(row.as_slice().unwrap_or_default(), reference, queries.row(from + at), count)
            };
            found.rows().into_iter().enumerate().map(one).collect()
        })
        .collect();
    blocks.into_iter().flatten().collect()
}

/// The nearest rows of one query: candidates by the expanded form, then sorted by exact distance.
fn closest(expanded: &[f32], reference: &Matrix, query: &[f32], count: usize) -> Vec<Near> {
    let keep = (count + SPARE).min(expanded.len());
    // A bounded sorted list: most rows exceed its last entry and cost one comparison.
    let mut best: Vec<(f32, usize)> = Vec::with_capacity(keep + 1);
    for (row, value) in expanded.iter().enumerate() {
        if best.len() == keep && best.last().is_some_and(|last| *value >= last.0) {
            continue;
        }
        let place = best.partition_point(|other| other.0 <= *value);
        best.insert(place, (*value, row));
        best.truncate(keep);
    }
    let exact = |(_, row): (f32, usize)| Near { row, distance: distance(query, reference.row(row)) };
    let mut near: Vec<Near> = best.into_iter().map(exact).collect();
    near.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then(a.row.cmp(&b.row)));
    near.truncate(count);
    near
}

/// For each point, its summed distances to the points of each group; groups are numbered below `groups`.
pub(crate) fn sums_by_group(points: &Matrix, group: &[usize], groups: usize) -> Vec<Vec<f64>> {
    let one = |row: usize| {
        let mut sums = vec![0.0; groups];
        for (other, group) in points.iter().zip(group) {
            sums[*group] += f64::from(distance(points.row(row), other));
        }
        sums
    };
    (0..points.rows()).into_par_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::generator;

    #[test]
    fn neighbours_match_a_brute_force_search() {
        let mut random = generator(3, 0);
        let mut draw = |rows: usize, offset: f32| {
            let values = (0..rows * 5).map(|_| offset + random.f32()).collect();
            Matrix::from_values(5, values).unwrap()
        };
        // Far from the origin, where the expanded form alone would be wrong.
        let (reference, queries) = (draw(700, 1000.0), draw(300, 1000.0));
        let found = nearest(&reference, &queries, 4);
        for (row, near) in found.iter().enumerate() {
            let mut all: Vec<(f32, usize)> =
                reference.iter().enumerate().map(|(at, other)| (distance(queries.row(row), other), at)).collect();
            all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let expected: Vec<usize> = all[..4].iter().map(|pair| pair.1).collect();
            assert_eq!(near.iter().map(|near| near.row).collect::<Vec<_>>(), expected, "query {row}");
        }
    }

    #[test]
    fn a_small_reference_gives_fewer_neighbours() {
        let points = Matrix::from_values(1, vec![0.0, 3.0]).unwrap();
        let found = nearest(&points, &points, 9);
        assert_eq!(found[0], [Near { row: 0, distance: 0.0 }, Near { row: 1, distance: 3.0 }]);
        assert!(nearest(&Matrix::zeros(0, 1), &points, 1)[0].is_empty());
    }
}
