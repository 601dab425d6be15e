//! True and predicted classes → confusion matrix, accuracy, precision, recall and F1.
//!
//! A metric whose denominator is zero is 0, as with scikit-learn's `zero_division=0`; so is the F1 of a class that is
//! never predicted correctly. The macro average is over classes with true or predicted rows.

use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

use crate::{MethodError, input::check_length};

/// Counts of true class × predicted class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    classes: usize,
    counts: Vec<u64>,
}

/// Metrics of one class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassFigures {
    /// Class number.
    pub class: u32,
    /// Share of the rows predicted as this class that are of the class.
    pub precision: f64,
    /// Share of its rows predicted as this class.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Number of rows of the class.
    pub rows: u64,
}

/// Precision, recall and F1 over classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Averages {
    pub(crate) precision: f64,
    pub(crate) recall: f64,
    pub f1: f64,
}

impl ConfusionMatrix {
    /// Counts pairs of true and predicted class.
    ///
    /// # Errors
    /// No rows, lists that differ in length, a class at or above `classes`.
    pub fn new(truth: &[u32], predicted: &[u32], classes: usize) -> Result<Self, MethodError> {
        check_length("predictions", predicted.len(), truth.len())?;
        if truth.is_empty() {
            return Err(MethodError::NoRows { what: "a confusion matrix", needed: 1 });
        }
        let mut counts = vec![0; classes * classes];
        for (row, (is, predicted_as)) in truth.iter().zip(predicted).enumerate() {
            let label = *is.max(predicted_as);
            if label as usize >= classes {
                return Err(MethodError::UnknownLabel { row, label, classes });
            }
            counts[*is as usize * classes + *predicted_as as usize] += 1;
        }
        Ok(Self { classes, counts })
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Rows of class `truth` predicted as `predicted`; 0 for unknown classes.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        if truth < self.classes && predicted < self.classes { self.counts[truth * self.classes + predicted] } else { 0 }
    }

    /// Number of rows.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Share of rows predicted correctly.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|class| self.count(class, class)).sum();
        share(right, self.total())
    }

    /// Metrics of each class.
    pub fn per_class(&self) -> Vec<ClassFigures> {
        (0..self.classes)
            .map(|class| {
                let right = self.count(class, class);
                let rows = (0..self.classes).map(|other| self.count(class, other)).sum();
                let predicted_as = self.predicted_as(class);
                let (precision, recall) = (share(right, predicted_as), share(right, rows));
                // 2·TP / (2·TP + FP + FN) is defined even where precision or recall is not.
                let f1 = share(2 * right, rows + predicted_as);
                ClassFigures { class: class as u32, precision, recall, f1, rows }
            })
            .collect()
    }

    fn predicted_as(&self, class: usize) -> u64 {
        (0..self.classes).map(|other| self.count(other, class)).sum()
    }

    /// Unweighted mean over classes with true or predicted rows.
    pub fn macro_average(&self) -> Averages {
        let (mut sum, mut classes) = (Averages::default(), 0.0);
        for figures in self.per_class() {
            if figures.rows + self.predicted_as(figures.class as usize) > 0 {
                sum.precision += figures.precision;
                sum.recall += figures.recall;
                sum.f1 += figures.f1;
                classes += 1.0;
            }
        }
        Averages { precision: sum.precision / classes, recall: sum.recall / classes, f1: sum.f1 / classes }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The most probable class of each row; the lowest class number among equals.
pub fn most_probable(probabilities: &Matrix) -> Vec<u32> {
    let best = |row: &[f32]| {
        let mut best = 0;
        for (class, value) in row.iter().enumerate() {
            if *value > row[best] {
                best = class;
            }
        }
        best as u32
    };
    probabilities.iter().map(best).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_match_a_small_table_by_hand() {
        // Class 0: 3 rows, 2 right; class 1: 2 rows, 1 right, one predicted as 2; class 2: 1 row, predicted as 0.
        let table = ConfusionMatrix::new(&[0, 0, 0, 1, 1, 2], &[0, 0, 1, 1, 2, 0], 3).unwrap();
        assert_eq!(table.accuracy(), 0.5);
        let figures = table.per_class();
        assert!((figures[0].precision - 2.0 / 3.0).abs() < 1e-12 && (figures[0].recall - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((figures[1].precision, figures[1].recall, figures[1].f1), (0.5, 0.5, 0.5));
        assert_eq!((figures[2].precision, figures[2].recall, figures[2].f1, figures[2].rows), (0.0, 0.0, 0.0, 1));
        assert!((table.macro_average().f1 - (2.0 / 3.0 + 0.5) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_class_without_rows_is_left_out_of_the_macro_average() {
        let table = ConfusionMatrix::new(&[0, 1], &[0, 1], 5).unwrap();
        assert_eq!(table.macro_average(), Averages { precision: 1.0, recall: 1.0, f1: 1.0 });
        assert_eq!(table.count(9, 0), 0);
    }

    #[test]
    fn the_first_of_equally_probable_classes_wins() {
        let rows = Matrix::from_values(3, vec![0.2, 0.4, 0.4, 0.5, 0.5, 0.0, 0.1, 0.2, 0.7]).unwrap();
        assert_eq!(most_probable(&rows), [1, 0, 2]);
    }

    #[test]
    fn an_unknown_class_is_reported_with_its_row() {
        let wrong = ConfusionMatrix::new(&[0, 0], &[0, 7], 2).unwrap_err();
        assert_eq!(wrong, MethodError::UnknownLabel { row: 1, label: 7, classes: 2 });
        assert!(ConfusionMatrix::new(&[], &[], 2).is_err());
    }
}
