//! Rows → points in the plane: t-SNE (van der Maaten and Hinton 2008; Barnes-Hut form, van der Maaten 2014) by
//! bhtsne, and the plane of the first two principal components.
//!
//! bhtsne starts at random and searches neighbours at random; here the start is the principal plane and neighbours are
//! exact, so the seed (which rows are sampled) determines the result.

use bhtsne::{Neighbor, tSNE};
use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

use crate::{
    FitProgress, MethodError, PcaConfig, Step,
    distance::nearest,
    input::{check_rows, check_setting, generator, sample},
};

/// Settings of t-SNE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct TsneConfig {
    /// Maximum number of rows to project; more rows are subsampled.
    pub limit: usize,
    /// Effective number of neighbours of each row, 2 to 100.
    pub perplexity: f32,
    pub iterations: usize,
    /// Barnes-Hut approximation, 0.1 to 1; lower is slower and more exact.
    pub theta: f32,
}

impl Default for TsneConfig {
    fn default() -> Self {
        Self { limit: 2_000, perplexity: 30.0, iterations: 750, theta: 0.5 }
    }
}

/// Points of some rows in two dimensions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Projection {
    /// Numbers of the projected rows, ascending.
    pub rows: Vec<usize>,
    /// Projected rows × 2.
    pub places: Matrix,
    /// Number of rows before subsampling.
    pub of: usize,
}

impl TsneConfig {
    fn check(&self) -> Result<(), MethodError> {
        check_setting("limit", self.limit, (10..=20_000).contains(&self.limit), "10 to 20000")?;
        let perplexity = self.perplexity;
        check_setting("perplexity", perplexity, (2.0..=100.0).contains(&perplexity), "2 to 100")?;
        check_setting("iterations", self.iterations, (10..=10_000).contains(&self.iterations), "10 to 10000")?;
        check_setting("theta", self.theta, (0.1..=1.0).contains(&self.theta), "0.1 to 1")
    }

    /// Projects rows × columns, which should have a common scale; the perplexity is lowered for few rows.
    ///
    /// # Errors
    /// An invalid setting; fewer than ten rows; values that are constant or not finite.
    pub fn project(&self, rows: &Matrix, seed: u64, progress: FitProgress<'_>) -> Result<Projection, MethodError> {
        self.check()?;
        check_rows("t-SNE", rows, 10)?;
        let chosen = sample(rows.rows(), self.limit, &mut generator(seed, 0));
        let points = rows.select_rows(&chosen);
        let start = small(&principal_plane(&points)?);
        let perplexity = self.perplexity.min((points.rows() - 1) as f32 / 3.0);
        let count = ((3.0 * perplexity) as usize).min(points.rows() - 1);
        let neighbours = neighbours(&points, count);
        // One thread: bhtsne adds the sums of several in any order.
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let alone = alone.map_err(|error| MethodError::Numeric { what: "t-SNE", why: error.to_string() })?;
        let projected = alone.install(|| {
            let data: Vec<&[f32]> = points.iter().collect();
            let mut method: tSNE<'_, f32, &[f32]> = tSNE::new(&data);
            let early = 250.min(self.iterations / 3);
            method
                .perplexity(perplexity)
                .epochs(self.iterations)
                .stop_lying_epoch(early)
                .momentum_switch_epoch(early)
                .initial_embedding(start)
                .epoch_callback(|done, _| progress(Step { what: "iterations", done, total: self.iterations }));
            method.barnes_hut_with_neighbors(self.theta, &neighbours).embedding()
        });
        let diverged = || MethodError::Numeric { what: "t-SNE", why: "the points diverged".into() };
        if projected.iter().any(|value| !value.is_finite()) {
            return Err(diverged());
        }
        let places = Matrix::from_values(2, projected).ok_or_else(diverged)?;
        Ok(Projection { rows: chosen, places, of: rows.rows() })
    }
}

/// Projection of all rows on their first two principal components (centred, not scaled), rows × 2.
///
/// # Errors
/// Fewer than two rows; values that are constant or not finite; more than 4,096 columns.
pub fn principal_plane(rows: &Matrix) -> Result<Matrix, MethodError> {
    let all = PcaConfig { variance: 1.0, standardize: false }.fit(rows, &crate::silent)?;
    let places = all.places(rows)?;
    let mut plane = Matrix::zeros(rows.rows(), 2);
    for row in 0..rows.rows() {
        for (to, from) in plane.row_mut(row).iter_mut().zip(places.row(row)) {
            *to = *from;
        }
    }
    Ok(plane)
}

/// The `count` nearest other points of each point, nearest first.
fn neighbours(points: &Matrix, count: usize) -> Vec<Vec<Neighbor<f32>>> {
    let lists = nearest(points, points, count + 1);
    let others = |(row, near): (usize, Vec<crate::distance::Near>)| {
        let others = near.into_iter().filter(|near| near.row != row).take(count);
        others.map(|near| Neighbor { index: near.row, distance: near.distance }).collect()
    };
    lists.into_iter().enumerate().map(others).collect()
}

/// The plane scaled to a deviation of 10⁻⁴ along the first component, the usual start of t-SNE.
fn small(plane: &Matrix) -> Vec<f32> {
    let squares: f64 = plane.iter().map(|row| f64::from(row[0]) * f64::from(row[0])).sum();
    let factor = 1e-4 / libm::sqrt(squares / plane.rows().max(1) as f64).max(f64::MIN_POSITIVE);
    plane.values().iter().map(|value| (f64::from(*value) * factor) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{metrics::neighbour_purity, silent};

    /// Three balls in ten dimensions, and which row is of which.
    fn balls(rows: usize) -> (Matrix, Vec<u32>) {
        let mut random = generator(1, 0);
        let labels: Vec<u32> = (0..rows as u32).map(|row| row % 3).collect();
        let values = labels.iter().flat_map(|label| {
            (0..10).map(|column| random.f32() + if column == *label as usize { 4.0 } else { 0.0 }).collect::<Vec<_>>()
        });
        (Matrix::from_values(10, values.collect()).unwrap(), labels)
    }

    #[test]
    fn clusters_stay_apart_and_the_result_is_reproducible() {
        let (rows, labels) = balls(400);
        let config = TsneConfig { limit: 240, iterations: 300, ..TsneConfig::default() };
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| config.project(&rows, 2, &silent)).unwrap()
        };
        let projected = with(1);
        assert_eq!((projected.places.rows(), projected.rows.len(), projected.of), (240, 240, 400));
        let kept: Vec<u32> = projected.rows.iter().map(|row| labels[*row]).collect();
        let purity = neighbour_purity(&projected.places, &kept, 5, 1000, 1).unwrap();
        assert!(purity.value > 0.98, "{purity:?}");
        assert_eq!(projected, with(2));
    }

    #[test]
    fn repeated_rows_and_few_rows_are_handled() {
        let (mut rows, _) = balls(40);
        for row in 10..40 {
            rows.row_mut(row).fill(0.5);
        }
        let projected = TsneConfig { iterations: 100, ..TsneConfig::default() }.project(&rows, 1, &silent).unwrap();
        assert!(projected.places.values().iter().all(|value| value.is_finite()));
        let few = TsneConfig::default().project(&rows.select_rows(&[0, 1, 2]), 1, &silent);
        assert_eq!(few, Err(MethodError::TooFewRows { what: "t-SNE", rows: 3, needed: 10 }));
        let flat = TsneConfig::default().project(&Matrix::zeros(20, 3), 1, &silent);
        assert_eq!(flat, Err(MethodError::AllConstant { what: "pca" }));
    }

    #[test]
    fn the_plane_of_a_flat_cloud_keeps_distances() {
        let mut random = generator(3, 0);
        let flat: Vec<f32> = (0..300).flat_map(|_| [random.f32() * 4.0, random.f32(), 7.0]).collect();
        let rows = Matrix::from_values(3, flat).unwrap();
        let plane = principal_plane(&rows).unwrap();
        for (a, b) in [(0, 1), (5, 200), (17, 299)] {
            let far = crate::distance::distance(rows.row(a), rows.row(b));
            assert!((far - crate::distance::distance(plane.row(a), plane.row(b))).abs() < 1e-4);
        }
        assert_eq!(
            principal_plane(&Matrix::from_values(1, vec![1.0, 3.0]).unwrap()).unwrap().values(),
            [-1.0, 0.0, 1.0, 0.0]
        );
    }
}
