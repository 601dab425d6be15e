//! DBSCAN of benign rows (Ester, Kriegel, Sander, Xu 1996, "A density-based algorithm for discovering clusters") by
//! petal-clustering, in standardised columns; the score is the distance to the nearest core row divided by the radius.
//!
//! Without a given radius: the k-distance curve (distance to the k-th nearest row, sorted) has a knee where it is
//! furthest from the straight line between its ends (Satopää, Albrecht, Irwin, Raghavan 2011, "Finding a kneedle in a
//! haystack"). Of several radii around the knee that leave at most half of the rows as noise, the one with the highest
//! silhouette × share of clustered rows is used. Sampling bounds the cost: clustering uses `limit` rows, the silhouette
//! 2,000.

use lapwing_tables::Matrix;
use ndarray::ArrayView2;
use petal_clustering::Fit;
use petal_neighbors::distance::Euclidean;
use serde::{Deserialize, Serialize};

use super::{DbscanConfig, standardise};
use crate::{
    FitProgress, MethodError, Step,
    distance::nearest,
    input::{check_rows, check_width, generator, sample},
    metrics::silhouette,
    standard::Standard,
};

const WHAT: &str = "dbscan";
/// Candidate radii, as multiples of the knee.
const TRIED: [f32; 7] = [0.4, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2];
/// Rows sampled for a silhouette.
const SILHOUETTE_ROWS: usize = 2_000;

/// Result of clustering with one radius.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RadiusTried {
    /// Radius, in standard deviations of the columns.
    pub(crate) radius: f32,
    pub(crate) clusters: usize,
    /// Share of rows that are in no cluster.
    pub(crate) noise: f64,
    /// Mean silhouette of the clustered rows; `None` with fewer than two clusters.
    pub(crate) silhouette: Option<f64>,
}

/// Fitted clusters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dbscan {
    standard: Standard,
    /// Core rows: those with enough neighbours.
    cores: Matrix,
    radius: f32,
    /// Distances of the clustered rows to their k-th nearest row, descending.
    k_distances: Vec<f32>,
    tried: Vec<RadiusTried>,
    /// Rows that were clustered.
    rows: Vec<usize>,
    /// Cluster of each of these rows; `None` for noise.
    clusters: Vec<Option<u32>>,
    /// Number of rows before subsampling.
    of: usize,
}

impl DbscanConfig {
    /// Clusters benign rows, or a sample of at most `limit`.
    ///
    /// # Errors
    /// An invalid setting; at most `neighbours` rows; rows that are constant or not finite; a radius within which no
    /// row has enough neighbours.
    pub fn fit(&self, benign: &Matrix, seed: u64, progress: FitProgress<'_>) -> Result<Dbscan, MethodError> {
        self.check()?;
        check_rows(WHAT, benign, self.neighbours + 1)?;
        let standard = standardise(WHAT, benign, true)?;
        let rows = sample(benign.rows(), self.limit.max(self.neighbours + 1), &mut generator(seed, 0));
        let points = standard.apply(&benign.select_rows(&rows));
        let near = nearest(&points, &points, self.neighbours);
        let own: Vec<f32> = near.iter().map(|near| near.last().map_or(0.0, |near| near.distance)).collect();
        let mut k_distances = own.clone();
        k_distances.sort_unstable_by(|a, b| b.total_cmp(a));
        let radii = match self.radius {
            Some(radius) => vec![radius],
            None => TRIED.map(|times| times * knee(&k_distances)).to_vec(),
        };
        let mut best: Option<(RadiusTried, Vec<Option<u32>>)> = None;
        let mut tried = Vec::with_capacity(radii.len());
        for (done, radius) in radii.iter().enumerate() {
            progress(Step { what: "radii", done, total: radii.len() });
            let clusters = self.clusters(&points, *radius)?;
            let found = evaluate(&points, &clusters, *radius, seed)?;
            tried.push(found);
            if best.as_ref().is_none_or(|(best, _)| merit(&found) > merit(best)) {
                best = Some((found, clusters));
            }
        }
        let untried = || MethodError::Numeric { what: WHAT, why: "no radius was tried".into() };
        let (found, clusters) = best.ok_or_else(untried)?;
        let cores: Vec<usize> = (0..points.rows()).filter(|row| own[*row] <= found.radius).collect();
        if cores.is_empty() {
            let why =
                format!("no row has {} neighbours within {}: give a larger radius", self.neighbours, found.radius);
            return Err(MethodError::Numeric { what: WHAT, why });
        }
        let (cores, of) = (points.select_rows(&cores), benign.rows());
        Ok(Dbscan { standard, cores, radius: found.radius, k_distances, tried, rows, clusters, of })
    }

    /// The cluster of each point, numbered in order of first row.
    fn clusters(&self, points: &Matrix, radius: f32) -> Result<Vec<Option<u32>>, MethodError> {
        let shaped = ArrayView2::from_shape((points.rows(), points.columns()), points.values());
        let shaped = shaped.map_err(|error| MethodError::Numeric { what: WHAT, why: error.to_string() })?;
        let mut method = petal_clustering::Dbscan::new(radius, self.neighbours, Euclidean::default());
        let (found, _) = method.fit(&shaped, None);
        let mut found: Vec<Vec<usize>> = found.into_values().collect();
        found.sort_unstable_by_key(|rows| rows.iter().copied().min());
        let mut clusters = vec![None; points.rows()];
        for (cluster, rows) in found.iter().enumerate() {
            rows.iter().for_each(|row| clusters[*row] = Some(cluster as u32));
        }
        Ok(clusters)
    }
}

/// The value of descending `distances` at which their curve is furthest below the line between its ends; above 0.
fn knee(distances: &[f32]) -> f32 {
    let (first, last) = (distances[0], distances[distances.len() - 1]);
    let steps = (distances.len() - 1).max(1) as f32;
    let below = |at: usize| first + (last - first) * at as f32 / steps - distances[at];
    let furthest = (0..distances.len()).max_by(|a, b| below(*a).total_cmp(&below(*b)).then(b.cmp(a))).unwrap_or(0);
    // Repeated rows have distances of 0, which is no usable radius.
    let least = distances.iter().copied().filter(|distance| *distance > 0.0).fold(f32::INFINITY, f32::min);
    if distances[furthest] > 0.0 {
        distances[furthest]
    } else if least.is_finite() {
        least
    } else {
        1e-3
    }
}

/// Counts clusters and noise, and computes the silhouette of the clustered rows.
fn evaluate(points: &Matrix, clusters: &[Option<u32>], radius: f32, seed: u64) -> Result<RadiusTried, MethodError> {
    let kept: Vec<usize> = (0..clusters.len()).filter(|row| clusters[*row].is_some()).collect();
    let names: Vec<u32> = clusters.iter().flatten().copied().collect();
    let count = names.iter().max().map_or(0, |last| *last as usize + 1);
    let silhouette = match silhouette_of(points, &kept, &names, seed) {
        // The sample can contain a single cluster.
        Err(MethodError::OneClass { .. }) => None,
        other => other?,
    };
    let noise = 1.0 - kept.len() as f64 / clusters.len() as f64;
    Ok(RadiusTried { radius, clusters: count, noise, silhouette })
}

fn silhouette_of(points: &Matrix, kept: &[usize], names: &[u32], seed: u64) -> Result<Option<f64>, MethodError> {
    if kept.len() < 2 || names.iter().all(|name| *name == names[0]) {
        return Ok(None);
    }
    Ok(Some(silhouette(&points.select_rows(kept), names, SILHOUETTE_ROWS, seed)?.value))
}

/// Orders radii: first those with little noise and at least two clusters, by silhouette with noise rows counting 0;
/// then the others, by least noise.
fn merit(tried: &RadiusTried) -> (bool, f64) {
    match tried.silhouette.filter(|_| tried.noise <= 0.5) {
        Some(silhouette) => (true, silhouette * (1.0 - tried.noise)),
        None => (false, -tried.noise),
    }
}

impl Dbscan {
    /// Number of columns that rows must have.
    pub fn columns(&self) -> usize {
        self.standard.columns()
    }

    /// Radius, in standard deviations of the columns.
    pub fn radius(&self) -> f32 {
        self.radius
    }

    /// The k-distance curve: distances to the k-th nearest row, descending.
    pub fn k_distances(&self) -> &[f32] {
        &self.k_distances
    }

    /// Result of each radius that was tried.
    #[cfg(test)]
    pub(crate) fn tried(&self) -> &[RadiusTried] {
        &self.tried
    }

    /// Row number and cluster of each clustered row; `None` is noise.
    pub fn clusters(&self) -> impl Iterator<Item = (usize, Option<u32>)> + '_ {
        self.rows.iter().copied().zip(self.clusters.iter().copied())
    }

    /// Number of clustered rows, and of rows before subsampling.
    pub fn kept(&self) -> (usize, usize) {
        (self.rows.len(), self.of)
    }

    /// Distance of each row to the nearest core row divided by the radius; above 1 is noise.
    ///
    /// # Errors
    /// Rows with another number of columns, or a value that is not finite.
    pub(crate) fn scores(&self, rows: &Matrix) -> Result<Vec<f32>, MethodError> {
        check_width(rows, self.columns())?;
        let found = nearest(&self.cores, &self.standard.apply(rows), 1);
        Ok(found.iter().map(|near| near.first().map_or(0.0, |near| near.distance) / self.radius).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::silent;

    /// Two dense groups and three outliers.
    fn groups() -> Matrix {
        let mut random = generator(1, 0);
        let mut values = Vec::new();
        for row in 0..400 {
            let centre = if row % 2 == 0 { 0.0 } else { 10.0 };
            values.extend([centre + random.f32(), centre + random.f32()]);
        }
        values.extend([5.0, 0.0, 0.0, 9.0, 30.0, -20.0]);
        Matrix::from_values(2, values).unwrap()
    }

    #[test]
    fn dense_groups_are_clusters_and_outliers_are_noise() {
        let rows = groups();
        let fitted = DbscanConfig::default().fit(&rows, 1, &silent).unwrap();
        let clusters: Vec<Option<u32>> = fitted.clusters().map(|(_, cluster)| cluster).collect();
        assert!((0..400).all(|row| clusters[row] == Some(row as u32 % 2)), "{:?}", fitted.tried());
        assert_eq!(clusters[400..], [None; 3]);
        let scores = fitted.scores(&rows).unwrap();
        assert!(scores[..400].iter().all(|score| *score <= 1.0) && scores[400..].iter().all(|score| *score > 1.0));
        assert_eq!((fitted.kept(), fitted.tried().len()), ((403, 403), 7));
        assert!(fitted.k_distances().windows(2).all(|pair| pair[0] >= pair[1]));
    }

    #[test]
    fn the_knee_is_where_the_curve_bends() {
        let mut curve: Vec<f32> = (0..10).map(|at| 100.0 - 9.0 * at as f32).collect();
        curve.extend((0..90).map(|at| 10.0 - 0.05 * at as f32));
        assert_eq!(knee(&curve), 10.0);
        assert_eq!(knee(&[0.0; 5]), 1e-3);
        assert_eq!(knee(&[3.0, 0.0, 0.0, 0.0]), 3.0);
    }

    #[test]
    fn a_too_small_radius_is_reported_with_advice() {
        let config = DbscanConfig { radius: Some(1e-6), ..DbscanConfig::default() };
        let error = config.fit(&groups(), 1, &silent).unwrap_err();
        assert!(error.to_string().contains("give a larger radius"), "{error}");
        let few = DbscanConfig::default().fit(&Matrix::zeros(3, 1), 1, &silent).unwrap_err();
        assert_eq!(few, MethodError::TooFewRows { what: WHAT, rows: 3, needed: 11 });
    }

    #[test]
    fn the_clusters_are_the_same_on_one_and_two_threads() {
        let config = DbscanConfig { limit: 200, ..DbscanConfig::default() };
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| config.fit(&groups(), 3, &silent)).unwrap()
        };
        let fitted = with(1);
        assert_eq!(fitted.kept(), (200, 403));
        assert_eq!(fitted, with(2));
    }
}
