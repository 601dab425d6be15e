//! Rows → a picture's worth of places: t-SNE (van der Maaten and Hinton 2008; Barnes-Hut form, van der Maaten 2014) by
//! bhtsne, and the plane of the first two principal components.
//!
//! bhtsne draws its start and its neighbour search at random; here the start is the principal plane and neighbours are
//! exact, so that a seed (which rows are drawn) decides the picture.

use bhtsne::{Neighbor, tSNE};
use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

use crate::{
    MethodError, PcaConfig, Progress, Step,
    distance::nearest,
    input::{check_rows, check_setting, generator, sample},
};

/// Settings of t-SNE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TsneConfig {
    /// Most rows that are placed; a sample is drawn when there are more.
    pub limit: usize,
    /// About how many neighbours matter to each row, 2..=100.
    pub perplexity: f32,
    /// Steps.
    pub iterations: usize,
    /// Roughness of the Barnes-Hut approximation, 0.1..=1; lower is slower and closer.
    pub theta: f32,
}

impl Default for TsneConfig {
    fn default() -> Self {
        Self { limit: 2_000, perplexity: 30.0, iterations: 750, theta: 0.5 }
    }
}

/// Places of some rows in two dimensions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Projection {
    /// Numbers of the placed rows, ascending.
    pub rows: Vec<usize>,
    /// Placed rows × 2.
    pub places: Matrix,
    /// Rows there were.
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

    /// Places rows × columns, which should be of like scale; the perplexity is lowered for few rows.
    ///
    /// # Errors
    /// A setting outside its range; fewer than ten rows; values that are constant or not finite.
    pub fn project(&self, rows: &Matrix, seed: u64, progress: Progress<'_>) -> Result<Projection, MethodError> {
        self.check()?;
        check_rows("t-SNE", rows, 10)?;
        let chosen = sample(rows.rows(), self.limit, &mut generator(seed, 0));
        let points = rows.select_rows(&chosen);
        let start = small(&principal_plane(&points)?);
        let perplexity = self.perplexity.min((points.rows() - 1) as f32 / 3.0);
        let wanted = ((3.0 * perplexity) as usize).min(points.rows() - 1);
        let neighbours = neighbours(&points, wanted);
        // One thread: bhtsne's sums over several come in no fixed order.
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let alone = alone.map_err(|error| MethodError::Numeric { what: "t-SNE", why: error.to_string() })?;
        let found = alone.install(|| {
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
        let lost = || MethodError::Numeric { what: "t-SNE", why: "places grew beyond all bounds".into() };
        if found.iter().any(|value| !value.is_finite()) {
            return Err(lost());
        }
        let places = Matrix::from_values(2, found).ok_or_else(lost)?;
        Ok(Projection { rows: chosen, places, of: rows.rows() })
    }
}

/// Places of all rows on the plane of the first two principal components (centred, not scaled), rows × 2.
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

/// Other points near each, nearest first.
fn neighbours(points: &Matrix, wanted: usize) -> Vec<Vec<Neighbor<f32>>> {
    let found = nearest(points, points, wanted + 1);
    let others = |(row, near): (usize, Vec<crate::distance::Near>)| {
        let others = near.into_iter().filter(|near| near.row != row).take(wanted);
        others.map(|near| Neighbor { index: near.row, distance: near.distance }).collect()
    };
    found.into_iter().enumerate().map(others).collect()
}

/// Places on the first two components, with a deviation of 10⁻⁴ along the first, as t-SNE likes to start.
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
    fn balls_stay_apart_and_the_picture_repeats_on_any_threads() {
        let (rows, labels) = balls(400);
        let config = TsneConfig { limit: 240, iterations: 300, ..TsneConfig::default() };
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| config.project(&rows, 2, &silent)).unwrap()
        };
        let found = with(1);
        assert_eq!((found.places.rows(), found.rows.len(), found.of), (240, 240, 400));
        let kept: Vec<u32> = found.rows.iter().map(|row| labels[*row]).collect();
        let purity = neighbour_purity(&found.places, &kept, 5, 1000, 1).unwrap();
        assert!(purity.value > 0.98, "{purity:?}");
        assert_eq!(found, with(2));
    }

    #[test]
    fn repeated_rows_and_few_rows_do_no_harm() {
        let (mut rows, _) = balls(40);
        for row in 10..40 {
            rows.row_mut(row).fill(0.5);
        }
        let found = TsneConfig { iterations: 100, ..TsneConfig::default() }.project(&rows, 1, &silent).unwrap();
        assert!(found.places.values().iter().all(|value| value.is_finite()));
        let few = TsneConfig::default().project(&rows.select_rows(&[0, 1, 2]), 1, &silent);
        assert_eq!(few, Err(MethodError::TooFewRows { what: "t-SNE", rows: 3, needed: 10 }));
        let flat = TsneConfig::default().project(&Matrix::zeros(20, 3), 1, &silent);
        assert_eq!(flat, Err(MethodError::AllConstant { what: "pca" }));
    }

    #[test]
    fn the_plane_of_a_flat_cloud_is_the_cloud() {
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
