//! Principal components of benign rows (Pearson 1901, Hotelling 1933); the score is the squared distance from the plane
//! that explains a given share of the variance (the Q statistic of Jackson and Mudholkar 1979).

use lapwing_tables::Matrix;
use nalgebra::{DMatrix, SymmetricEigen};
use ndarray::{Array2, ArrayView2, linalg::general_mat_mul};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{PcaConfig, standardise};
use crate::{
    FitProgress, MethodError, Step,
    input::check_width,
    standard::{PART, Standard},
};

/// Maximum number of columns: eigenvectors of more take minutes and gigabytes.
const MAX_COLUMNS: usize = 4096;

/// Fitted components.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pca {
    standard: Standard,
    /// Components × columns by descending variance, each of length 1 with its largest entry positive.
    components: Vec<f32>,
    kept: usize,
    /// Share of variance of every component, descending, including those not kept.
    shares: Vec<f64>,
}

impl PcaConfig {
    /// Fits the plane to benign rows × columns (at most 4,096), deterministically.
    ///
    /// # Errors
    /// An invalid setting; no rows; rows that are constant or not finite; too many columns.
    pub fn fit(&self, benign: &Matrix, progress: FitProgress<'_>) -> Result<Pca, MethodError> {
        self.check()?;
        let (what, columns) = ("pca", benign.columns());
        let standard = standardise(what, benign, self.standardize)?;
        if columns > MAX_COLUMNS {
            return Err(MethodError::TooManyColumns { what, columns, limit: MAX_COLUMNS });
        }
        progress(Step { what: "covariance", done: 0, total: 2 });
        let covariance = covariance(&standard.apply(benign));
        progress(Step { what: "components", done: 1, total: 2 });
        let eigen = SymmetricEigen::try_new(DMatrix::from_row_slice(columns, columns, &covariance), 1e-12, 10_000)
            .ok_or_else(|| MethodError::Numeric {
                what,
                why: "the eigenvalue computation did not converge: drop columns".into(),
            })?;
        let mut order: Vec<usize> = (0..columns).collect();
        order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]).then(a.cmp(b)));
        let total: f64 = eigen.eigenvalues.iter().map(|value| value.max(0.0)).sum();
        let shares: Vec<f64> = order.iter().map(|at| eigen.eigenvalues[*at].max(0.0) / total).collect();
        let mut explained = 0.0;
        // The tolerance allows a share of 1 despite rounding.
        let enough = shares.iter().position(|share| {
            explained += share;
            explained >= self.variance - 1e-12
        });
        let kept = enough.map_or(columns, |last| last + 1);
        let component = |at: &usize| {
            let column = eigen.eigenvectors.column(*at);
            let largest =
                column.iter().copied().fold(0.0f64, |best, v| if v.abs() > best.abs() + 1e-9 { v } else { best });
            column.iter().map(|value| (value * largest.signum()) as f32).collect::<Vec<f32>>()
        };
        progress(Step { what: "components", done: 2, total: 2 });
        Ok(Pca { standard, components: order[..kept].iter().flat_map(component).collect(), kept, shares })
    }
}

/// Covariance of centred rows, columns × columns.
fn covariance(rows: &Matrix) -> Vec<f64> {
    let columns = rows.columns();
    let part = |part: usize| {
        let values = &rows.values()[part * PART * columns..((part + 1) * PART).min(rows.rows()) * columns];
        let values: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
        let mut products = Array2::zeros((columns, columns));
        if let Ok(values) = ArrayView2::from_shape((values.len() / columns, columns), &values) {
            general_mat_mul(1.0, &values.t(), &values, 0.0, &mut products);
        }
        products
    };
    let mut sum = Array2::<f64>::zeros((columns, columns));
    // At most 16 partial products in memory; they are added in order.
    let parts: Vec<usize> = (0..rows.rows().div_ceil(PART)).collect();
    for some in parts.chunks(16) {
        let products: Vec<Array2<f64>> = some.par_iter().map(|at| part(*at)).collect();
        products.iter().for_each(|product| sum += product);
    }
    sum /= rows.rows() as f64;
    sum.into_raw_vec_and_offset().0
}

impl Pca {
    /// Number of columns that rows must have.
    pub fn columns(&self) -> usize {
        self.standard.columns()
    }

    /// Number of kept components.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    /// Share of variance of every component, descending, kept or not.
    #[cfg(test)]
    pub(crate) fn shares(&self) -> &[f64] {
        &self.shares
    }

    /// Coordinates in the plane, rows × kept components.
    ///
    /// # Errors
    /// Rows with another number of columns, or a value that is not finite.
    pub fn places(&self, rows: &Matrix) -> Result<Matrix, MethodError> {
        check_width(rows, self.columns())?;
        let scaled = self.standard.apply(rows);
        let parts: Vec<Vec<f32>> =
            (0..rows.rows().div_ceil(PART)).into_par_iter().map(|part| self.part(&scaled, part).0).collect();
        Ok(Matrix::from_values(self.kept, parts.concat()).unwrap_or_default())
    }

    /// Squared distance of each row from the plane, in standard deviations if columns were standardised.
    ///
    /// # Errors
    /// Rows with another number of columns, or a value that is not finite.
    pub(crate) fn scores(&self, rows: &Matrix) -> Result<Vec<f32>, MethodError> {
        check_width(rows, self.columns())?;
        let scaled = self.standard.apply(rows);
        let parts: Vec<Vec<f32>> =
            (0..rows.rows().div_ceil(PART)).into_par_iter().map(|part| self.part(&scaled, part).1).collect();
        Ok(parts.concat())
    }

    /// Coordinates and squared distances of one part of scaled rows.
    fn part(&self, scaled: &Matrix, part: usize) -> (Vec<f32>, Vec<f32>) {
        let columns = self.columns();
        let values = &scaled.values()[part * PART * columns..((part + 1) * PART).min(scaled.rows()) * columns];
        let rows = values.len() / columns;
        let shaped = ArrayView2::from_shape((rows, columns), values);
        let components = ArrayView2::from_shape((self.kept, columns), &self.components);
        let (Ok(shaped), Ok(components)) = (shaped, components) else { return (Vec::new(), Vec::new()) };
        let mut places = Array2::zeros((rows, self.kept));
        general_mat_mul(1.0, &shaped, &components.t(), 0.0, &mut places);
        let mut left = shaped.to_owned();
        general_mat_mul(-1.0, &places, &components, 1.0, &mut left);
        let distances = left.rows().into_iter().map(|row| row.iter().map(|value| value * value).sum()).collect();
        (places.into_raw_vec_and_offset().0, distances)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{input::generator, silent};

    /// Rows on the line (t, 2t, −t), with a little noise.
    fn line(rows: usize, noise: f32) -> Matrix {
        let mut random = generator(1, 0);
        let row = |_| {
            let t = random.f32() * 2.0 - 1.0;
            [t, 2.0 * t, -t].map(|value| value + noise * (random.f32() - 0.5))
        };
        Matrix::from_values(3, (0..rows).flat_map(row).collect()).unwrap()
    }

    #[test]
    fn a_line_has_one_component_in_its_direction() {
        let config = PcaConfig { standardize: false, ..PcaConfig::default() };
        let fitted = config.fit(&line(5000, 0.0), &silent).unwrap();
        assert_eq!(fitted.kept(), 1);
        for (found, expected) in fitted.components.iter().zip([1.0, 2.0, -1.0].map(|v: f32| v / 6.0f32.sqrt())) {
            assert!((found - expected).abs() < 1e-5);
        }
        // (1, 0, 0): length 1, along the line 1/√6; from it √(5/6).
        let queries = Matrix::from_values(3, vec![1.0, 0.0, 0.0, 3.0, 6.0, -3.0]).unwrap();
        let scores = fitted.scores(&queries).unwrap();
        assert!((scores[0] - 5.0 / 6.0).abs() < 0.05 && scores[1] < 0.02, "{scores:?}");
        assert_eq!(fitted.places(&queries).unwrap().columns(), 1);
    }

    #[test]
    fn shares_sum_to_one_and_full_variance_leaves_no_distance() {
        let rows = line(400, 0.3);
        let fitted = PcaConfig { variance: 1.0, standardize: true }.fit(&rows, &silent).unwrap();
        assert!((fitted.shares().iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(fitted.shares().windows(2).all(|pair| pair[0] >= pair[1]));
        assert!(fitted.scores(&rows).unwrap().iter().all(|score| *score < 1e-8));
    }

    #[test]
    fn the_fit_is_the_same_on_one_and_two_threads() {
        let rows = line(20_000, 0.5);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| PcaConfig::default().fit(&rows, &silent)).unwrap()
        };
        assert_eq!(with(1), with(2));
    }

    #[test]
    fn too_many_and_constant_columns_are_rejected() {
        let mut wide = Matrix::zeros(2, 5000);
        wide.row_mut(0)[0] = 1.0;
        assert!(matches!(PcaConfig::default().fit(&wide, &silent), Err(MethodError::TooManyColumns { .. })));
        let constant = PcaConfig::default().fit(&Matrix::zeros(4, 2), &silent);
        assert_eq!(constant, Err(MethodError::AllConstant { what: "pca" }));
    }
}
