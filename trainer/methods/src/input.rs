//! Labels, progress, and the checks that every method makes on its rows before it starts.
//!
//! Shapes: a [`Matrix`] is rows × columns; labels are class numbers `0..classes`, one a row.

use lapwing_tables::Matrix;

use crate::MethodError;

/// How far a fit has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is being done, for people.
    pub what: &'static str,
    /// Units done.
    pub done: usize,
    /// Units altogether.
    pub total: usize,
}

/// Receives steps; may be called from several threads, in no fixed order.
pub type Progress<'a> = &'a (dyn Fn(Step) + Sync);

/// Progress that nobody watches: `config.fit(&rows, labels, seed, &silent)`.
pub fn silent(_: Step) {}

/// Class numbers, one a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labels<'a> {
    values: &'a [u32],
    classes: usize,
}

impl<'a> Labels<'a> {
    /// Class numbers below `classes`; a class may be without rows (its probability is then 0).
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

    /// Number of classes, with or without rows.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Rows of each class.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes];
        for label in self.values {
            counts[*label as usize] += 1;
        }
        counts
    }
}

/// Refuses rows that are missing, without columns, or hold a value that is not finite.
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

/// Refuses rows with a value that is not finite.
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

/// Refuses rows that a fitted method cannot be applied to. No rows at all are fine.
pub(crate) fn check_width(rows: &Matrix, expected: usize) -> Result<(), MethodError> {
    if rows.rows() > 0 && rows.columns() != expected {
        return Err(MethodError::WidthDiffers { expected, given: rows.columns() });
    }
    check_finite(rows)
}

/// Refuses rows and labels that no classifier can learn from.
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

/// Refuses a list that is not as long as it must be.
pub(crate) fn check_length(what: &'static str, given: usize, expected: usize) -> Result<(), MethodError> {
    if given == expected { Ok(()) } else { Err(MethodError::LengthDiffers { what, given, expected }) }
}

/// Refuses a setting that is not as it must be.
pub(crate) fn check_setting(
    setting: &'static str,
    value: impl std::fmt::Display,
    holds: bool,
    expected: &'static str,
) -> Result<(), MethodError> {
    if holds { Ok(()) } else { Err(MethodError::Setting { setting, value: value.to_string(), expected }) }
}

/// A generator for one part of a fit, so that parts may run in any order or at once with the same result.
pub(crate) fn generator(seed: u64, part: u64) -> fastrand::Rng {
    // SplitMix64's finaliser (Steele, Lea, Flood 2014) keeps neighbouring seeds and parts apart.
    let mut mixed = seed.wrapping_add(part.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    fastrand::Rng::with_seed(mixed ^ (mixed >> 31))
}

/// `wanted` of `0..total` without repeats, in ascending order; all of them when there are no more.
pub(crate) fn sample(total: usize, wanted: usize, random: &mut fastrand::Rng) -> Vec<usize> {
    if wanted >= total {
        return (0..total).collect();
    }
    // Floyd's method (Bentley 1987): as many draws as are wanted, however many there are.
    let mut chosen = std::collections::BTreeSet::new();
    for last in total - wanted..total {
        let drawn = random.usize(..=last);
        chosen.insert(if chosen.contains(&drawn) { last } else { drawn });
    }
    chosen.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_beyond_the_classes_is_named_with_its_row() {
        let wrong = Labels::new(&[0, 1, 2], 2).unwrap_err();
        assert_eq!(wrong, MethodError::UnknownLabel { row: 2, label: 2, classes: 2 });
        assert_eq!(Labels::new(&[0, 1, 1], 3).unwrap().counts(), [1, 2, 0]);
    }

    #[test]
    fn bad_rows_are_refused_with_the_place() {
        let mut rows = Matrix::from_values(2, vec![0.0, 1.0, 2.0, 3.0]).unwrap();
        rows.row_mut(1)[0] = f32::NAN;
        let Err(MethodError::NotFinite { row: 1, column: 0, .. }) = check_rows("test", &rows, 1) else {
            panic!("not found");
        };
        assert_eq!(check_rows("test", &Matrix::zeros(0, 3), 5), Err(MethodError::NoRows { what: "test", needed: 5 }));
        assert_eq!(check_rows("test", &Matrix::zeros(3, 0), 1), Err(MethodError::NoColumns { what: "test" }));
        let same = Matrix::from_values(1, vec![4.0; 3]).unwrap();
        let labels = Labels::new(&[0, 1, 0], 2).unwrap();
        assert_eq!(check_labelled("test", &same, labels), Err(MethodError::AllConstant { what: "test" }));
    }

    #[test]
    fn a_sample_has_no_repeats_and_repeats_for_its_seed() {
        let first = sample(1000, 100, &mut generator(5, 0));
        assert_eq!(first.len(), 100);
        assert!(first.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(first, sample(1000, 100, &mut generator(5, 0)));
        assert_ne!(first, sample(1000, 100, &mut generator(5, 1)));
    }
}
