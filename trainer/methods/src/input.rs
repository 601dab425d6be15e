//! Rows, labels and settings → checked input for every method; progress and random sampling.
//!
//! Shapes: a [`Matrix`] is rows × columns; labels are class numbers `0..classes`, one per row.

use lapwing_tables::Matrix;

use crate::MethodError;

/// State of a fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The current activity, for people.
    pub what: &'static str,
    /// Units done.
    pub done: usize,
    /// Units in total.
    pub total: usize,
}

/// Progress callback of a fit; called from several threads, in any order.
pub type FitProgress<'a> = &'a (dyn Fn(Step) + Sync);

/// Ignores progress: `config.fit(&rows, labels, seed, &silent)`.
pub fn silent(_: Step) {}

/// Class numbers, one per row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labels<'a> {
    values: &'a [u32],
    classes: usize,
}

impl<'a> Labels<'a> {
    /// Class numbers below `classes`; classes without rows are allowed and get probability 0.
    ///
    /// # Errors
    /// A label at or above `classes`.
    pub fn new(values: &'a [u32], classes: usize) -> Result<Self, MethodError> {
        match values.iter().position(|label| *label as usize >= classes) {
            Some(row) => Err(MethodError::UnknownLabel { row, label: values[row], classes }),
            None => Ok(Self { values, classes }),
        }
    }

    /// The class of each row.
    pub fn values(&self) -> &'a [u32] {
        self.values
    }

    /// Number of classes, including classes without rows.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Number of rows of each class.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes];
        for label in self.values {
            counts[*label as usize] += 1;
        }
        counts
    }
}

/// Rejects fewer than `needed` rows, rows without columns, and values that are not finite.
pub(crate) fn check_rows(what: &'static str, rows: &Matrix, needed: usize) -> Result<(), MethodError> {
    if rows.columns() == 0 {
        return Err(if rows.rows() == 0 {
            MethodError::NoRows { what, needed }
        } else {
            MethodError::NoColumns { what }
        });
    }
    if rows.rows() == 0 {
        return Err(MethodError::NoRows { what, needed });
    }
    if rows.rows() < needed {
        return Err(MethodError::TooFewRows { what, rows: rows.rows(), needed });
    }
    check_finite(rows)
}

/// Rejects values that are not finite.
pub(crate) fn check_finite(rows: &Matrix) -> Result<(), MethodError> {
    match rows.values().iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => Err(MethodError::NotFinite {
            row: at / rows.columns(),
            column: at % rows.columns(),
            value: rows.values()[at],
        }),
    }
}

/// Rejects rows that a fitted method cannot be applied to; accepts an empty matrix.
pub(crate) fn check_width(rows: &Matrix, expected: usize) -> Result<(), MethodError> {
    if rows.rows() > 0 && rows.columns() != expected {
        return Err(MethodError::WidthDiffers { expected, given: rows.columns() });
    }
    check_finite(rows)
}

/// Rejects rows and labels that no classifier can learn from.
pub(crate) fn check_labelled(what: &'static str, rows: &Matrix, labels: Labels<'_>) -> Result<(), MethodError> {
    check_rows(what, rows, 2)?;
    if labels.values.len() != rows.rows() {
        return Err(MethodError::LengthDiffers { what: "labels", given: labels.values.len(), expected: rows.rows() });
    }
    let first = labels.values[0];
    if labels.values.iter().all(|label| *label == first) {
        return Err(MethodError::OneClass { what, rows: rows.rows(), class: first });
    }
    let columns = rows.columns();
    if rows.values().iter().enumerate().all(|(at, value)| *value == rows.values()[at % columns]) {
        return Err(MethodError::AllConstant { what });
    }
    Ok(())
}

/// Rejects a list of unexpected length.
pub(crate) fn check_length(what: &'static str, given: usize, expected: usize) -> Result<(), MethodError> {
    if given == expected { Ok(()) } else { Err(MethodError::LengthDiffers { what, given, expected }) }
}

/// Rejects a setting unless it is `valid`.
pub(crate) fn check_setting(
    setting: &'static str,
    value: impl std::fmt::Display,
    valid: bool,
    expected: &'static str,
) -> Result<(), MethodError> {
    if valid { Ok(()) } else { Err(MethodError::Setting { setting, value: value.to_string(), expected }) }
}

/// Random generator of one part of a fit, so that parts give the same result in any order or in parallel.
pub(crate) fn generator(seed: u64, part: u64) -> fastrand::Rng {
    // SplitMix64's finaliser (Steele, Lea, Flood 2014) decorrelates neighbouring seeds and parts.
    let mut mixed = seed.wrapping_add(part.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    fastrand::Rng::with_seed(mixed ^ (mixed >> 31))
}

/// Draws `count` of `0..total` without replacement, in ascending order; all of them when `count` is at least `total`.
pub(crate) fn sample(total: usize, count: usize, random: &mut fastrand::Rng) -> Vec<usize> {
    if count >= total {
        return (0..total).collect();
    }
    // Floyd's method (Bentley 1987): `count` draws, whatever `total` is.
    let mut chosen = std::collections::BTreeSet::new();
    for last in total - count..total {
        let drawn = random.usize(..=last);
        chosen.insert(if chosen.contains(&drawn) { last } else { drawn });
    }
    chosen.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_out_of_range_is_reported_with_its_row() {
        let wrong = Labels::new(&[0, 1, 2], 2).unwrap_err();
        assert_eq!(wrong, MethodError::UnknownLabel { row: 2, label: 2, classes: 2 });
        assert_eq!(Labels::new(&[0, 1, 1], 3).unwrap().counts(), [1, 2, 0]);
    }

    #[test]
    fn bad_rows_are_rejected_with_their_place() {
        let mut rows = Matrix::from_values(2, vec![0.0, 1.0, 2.0, 3.0]).unwrap();
        rows.row_mut(1)[0] = f32::NAN;
        let Err(MethodError::NotFinite { row: 1, column: 0, .. }) = check_rows("test", &rows, 1) else {
            panic!("not rejected");
        };
        assert_eq!(check_rows("test", &Matrix::zeros(0, 3), 5), Err(MethodError::NoRows { what: "test", needed: 5 }));
        assert_eq!(check_rows("test", &Matrix::zeros(3, 0), 1), Err(MethodError::NoColumns { what: "test" }));
        let same = Matrix::from_values(1, vec![4.0; 3]).unwrap();
        let labels = Labels::new(&[0, 1, 0], 2).unwrap();
        assert_eq!(check_labelled("test", &same, labels), Err(MethodError::AllConstant { what: "test" }));
    }

    #[test]
    fn a_sample_is_distinct_and_reproducible() {
        let first = sample(1000, 100, &mut generator(5, 0));
        assert_eq!(first.len(), 100);
        assert!(first.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(first, sample(1000, 100, &mut generator(5, 0)));
        assert_ne!(first, sample(1000, 100, &mut generator(5, 1)));
    }
}
