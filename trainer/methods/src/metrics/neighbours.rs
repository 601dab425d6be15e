//! Points and classes → how well the classes separate: k-NN purity and silhouette (Rousseeuw 1987).
//!
//! Both take quadratic time, so both use a random sample of rows and report its size.

use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

use crate::{
    MethodError,
    distance::nearest,
    input::{check_length, check_rows, check_setting, generator, sample},
};

/// A metric computed on a sample of rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Sampled {
    pub value: f64,
    pub rows: usize,
    /// Number of rows before sampling.
    pub of: usize,
}

/// Points and classes of a sample of at most `limit` rows.
fn sampled(
    what: &'static str,
    points: &Matrix,
    classes: &[u32],
    limit: usize,
    seed: u64,
) -> Result<(Matrix, Vec<u32>), MethodError> {
    check_rows(what, points, 2)?;
    check_length("classes", classes.len(), points.rows())?;
    check_setting("limit", limit, limit >= 2, "at least 2 rows")?;
    let rows = sample(points.rows(), limit, &mut generator(seed, 0));
    Ok((points.select_rows(&rows), rows.iter().map(|row| classes[*row]).collect()))
}

/// Mean share of the `neighbours` nearest other points (Euclidean) that have a point's own class, 0..=1.
///
/// # Errors
/// Fewer rows than `neighbours` + 1, lists that differ in length, values that are not finite.
pub fn neighbour_purity(
    points: &Matrix,
    classes: &[u32],
    neighbours: usize,
    limit: usize,
    seed: u64,
) -> Result<Sampled, MethodError> {
    let what = "neighbour purity";
    check_setting("neighbours", neighbours, neighbours >= 1, "at least 1")?;
    let (kept, classes) = sampled(what, points, classes, limit, seed)?;
    if kept.rows() <= neighbours {
        return Err(MethodError::TooFewRows { what, rows: kept.rows(), needed: neighbours + 1 });
    }
    // One extra: a point is its own neighbour, though not always the first among equals.
    let neighbourhoods = nearest(&kept, &kept, neighbours + 1);
    let mut same = 0usize;
    for (row, near) in neighbourhoods.iter().enumerate() {
        let others = near.iter().filter(|other| other.row != row).take(neighbours);
        same += others.filter(|other| classes[other.row] == classes[row]).count();
    }
    let value = same as f64 / (kept.rows() * neighbours) as f64;
    Ok(Sampled { value, rows: kept.rows(), of: points.rows() })
}

/// Mean silhouette, −1..=1: (nearest other class − own class) / the larger, of mean Euclidean distances.
///
/// The only point of a class counts 0, as Rousseeuw proposes.
///
/// # Errors
/// Fewer than two classes among the sampled rows, lists that differ in length, values that are not finite.
pub fn silhouette(points: &Matrix, classes: &[u32], limit: usize, seed: u64) -> Result<Sampled, MethodError> {
    let what = "a silhouette";
    let (kept, classes) = sampled(what, points, classes, limit, seed)?;
    let mut names = classes.clone();
    names.sort_unstable();
    names.dedup();
    if names.len() < 2 {
        return Err(MethodError::OneClass { what, rows: kept.rows(), class: names[0] });
    }
    let places: Vec<usize> = classes.iter().map(|class| names.partition_point(|name| name < class)).collect();
    let mut counts = vec![0usize; names.len()];
    for place in &places {
        counts[*place] += 1;
    }
    let values = crate::distance::sums_by_group(&kept, &places, names.len());
    let sum: f64 = values.iter().zip(&places).map(|(sums, own)| silhouette_of(sums, *own, &counts)).sum();
    Ok(Sampled { value: sum / kept.rows() as f64, rows: kept.rows(), of: points.rows() })
}

/// One point's silhouette from its summed distances to each class.
fn silhouette_of(sums: &[f64], own: usize, counts: &[usize]) -> f64 {
    if counts[own] < 2 {
        return 0.0;
    }
    let within = sums[own] / (counts[own] - 1) as f64;
    let others = (0..sums.len()).filter(|class| *class != own);
    let between = others.map(|class| sums[class] / counts[class] as f64).fold(f64::INFINITY, f64::min);
    let larger = within.max(between);
    if larger > 0.0 { (between - within) / larger } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: &[f32]) -> Matrix {
        Matrix::from_values(1, values.to_vec()).unwrap()
    }

    #[test]
    fn purity_of_two_pairs_and_an_outlier_by_hand() {
        // The nearest points of 0, 1, 10 and 11 have the same class, that of the outlier at 12.5 has the other.
        let points = line(&[0.0, 1.0, 10.0, 11.0, 12.5]);
        let purity = neighbour_purity(&points, &[0, 0, 1, 1, 0], 1, 100, 1).unwrap();
        assert_eq!((purity.value, purity.rows, purity.of), (0.8, 5, 5));
    }

    #[test]
    fn equal_points_do_not_count_themselves() {
        let purity = neighbour_purity(&line(&[1.0; 6]), &[0, 1, 2, 3, 4, 5], 2, 100, 1).unwrap();
        assert_eq!(purity.value, 0.0);
    }

    #[test]
    fn a_silhouette_by_hand() {
        // Points 0 2 | 10: first: within 2, between 10 → 0.8; second: 2 and 8 → 0.75; third alone → 0.
        let found = silhouette(&line(&[0.0, 2.0, 10.0]), &[4, 4, 9], 100, 1).unwrap();
        assert!((found.value - (0.8 + 0.75) / 3.0).abs() < 1e-6, "{found:?}");
        assert!(matches!(silhouette(&line(&[0.0, 2.0]), &[1, 1], 9, 1), Err(MethodError::OneClass { class: 1, .. })));
    }

    #[test]
    fn a_sampled_metric_reports_the_sample_size() {
        let points = line(&(0..500).map(|at| (at % 2 * 100 + at / 2 % 5) as f32).collect::<Vec<_>>());
        let classes: Vec<u32> = (0..500).map(|at| at % 2).collect();
        let found = silhouette(&points, &classes, 50, 7).unwrap();
        assert_eq!((found.rows, found.of), (50, 500));
        assert!(found.value > 0.9);
        assert_eq!(found, silhouette(&points, &classes, 50, 7).unwrap());
    }
}
