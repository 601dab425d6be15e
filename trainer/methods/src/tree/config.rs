//! Settings of trees, alone and in ensembles.

use serde::{Deserialize, Serialize};

use crate::{Labels, MethodError, input::check_setting};

/// Number of columns that each split considers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnShare {
    /// All of them.
    #[default]
    All,
    /// The square root of their number, rounded down; the usual choice in forests.
    SquareRoot,
    /// A share of them, above 0 and at most 1; at least one column.
    Share(f64),
}

impl ColumnShare {
    /// Number of columns out of `columns`, at least 1.
    pub(crate) fn of(self, columns: usize) -> usize {
        let count = match self {
            Self::All => columns,
            Self::SquareRoot => libm::sqrt(columns as f64) as usize,
            Self::Share(share) => (share * columns as f64) as usize,
        };
        count.clamp(1, columns.max(1))
    }

    pub(crate) fn check(self) -> Result<(), MethodError> {
        match self {
            Self::Share(share) => check_setting("columns", share, share > 0.0 && share <= 1.0, "above 0 and at most 1"),
            _ => Ok(()),
        }
    }
}

/// Weight of a row, by class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassWeights {
    /// Every row has weight 1.
    #[default]
    Uniform,
    /// Every class has the same total weight: rows / (classes with rows × rows of the class) for each row.
    Balanced,
    /// Square roots of the balanced weights.
    HalfBalanced,
    /// One weight per class, above 0.
    Given(Vec<f64>),
}

impl ClassWeights {
    /// One weight per class.
    pub(crate) fn of(&self, labels: Labels<'_>) -> Result<Vec<f64>, MethodError> {
        match self {
            Self::Uniform => Ok(vec![1.0; labels.classes()]),
            Self::HalfBalanced => {
                let weights = Self::Balanced.of(labels)?;
                Ok(weights.into_iter().map(libm::sqrt).collect())
            }
            Self::Balanced => {
                let counts = labels.counts();
                let present = counts.iter().filter(|count| **count > 0).count() as f64;
                let rows = labels.values().len() as f64;
                let weight = |count: &usize| if *count == 0 { 1.0 } else { rows / (present * *count as f64) };
                Ok(counts.iter().map(weight).collect())
            }
            Self::Given(weights) => {
                let holds = weights.len() == labels.classes() && weights.iter().all(|w| w.is_finite() && *w > 0.0);
                check_setting("class_weights", format!("{weights:?}"), holds, "one number above 0 for each class")?;
                Ok(weights.clone())
            }
        }
    }
}

/// Settings of one tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TreeConfig {
    /// Maximum number of splits from root to leaf. Default: unlimited.
    pub max_depth: Option<usize>,
    /// Minimum number of rows to split a node.
    pub min_split_rows: usize,
    /// Minimum number of rows in a leaf.
    pub min_leaf_rows: usize,
    /// Columns that each split considers.
    pub columns: ColumnShare,
    /// Maximum number of distinct values per column, 2 to 65,535. Columns with fewer are split exactly; others are
    /// binned by quantiles of the training rows.
    pub bins: usize,
    /// Weight of each row, by class.
    pub class_weights: ClassWeights,
    /// One random cut per column instead of the best one: extremely randomised trees (Geurts, Ernst, Wehenkel 2006).
    pub random_cuts: bool,
}

impl Default for TreeConfig {
    fn default() -> Self {
        Self {
            max_depth: None,
            min_split_rows: 2,
            min_leaf_rows: 1,
            columns: ColumnShare::All,
            bins: 65_535,
            class_weights: ClassWeights::Uniform,
            random_cuts: false,
        }
    }
}

impl TreeConfig {
    pub(crate) fn check(&self) -> Result<(), MethodError> {
        check_setting("max_depth", self.max_depth.unwrap_or(1), self.max_depth != Some(0), "at least 1")?;
        check_setting("min_split_rows", self.min_split_rows, self.min_split_rows >= 2, "at least 2")?;
        check_setting("min_leaf_rows", self.min_leaf_rows, self.min_leaf_rows >= 1, "at least 1")?;
        check_setting("bins", self.bins, (2..=65_535).contains(&self.bins), "2 to 65535")?;
        self.columns.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_columns_are_at_least_one() {
        assert_eq!(ColumnShare::SquareRoot.of(122), 11);
        assert_eq!(ColumnShare::Share(0.01).of(10), 1);
        assert_eq!(ColumnShare::All.of(7), 7);
    }

    #[test]
    fn balanced_weights_give_classes_equal_total_weight() {
        let labels = Labels::new(&[0, 0, 0, 2], 3).unwrap();
        assert_eq!(ClassWeights::Balanced.of(labels).unwrap(), [4.0 / 6.0, 1.0, 2.0]);
        assert_eq!(ClassWeights::HalfBalanced.of(labels).unwrap(), [libm::sqrt(4.0 / 6.0), 1.0, libm::sqrt(2.0)]);
        assert!(ClassWeights::Given(vec![1.0, 0.0, 1.0]).of(labels).is_err());
        assert!(ClassWeights::Given(vec![1.0]).of(labels).is_err());
    }

    #[test]
    fn settings_out_of_range_are_rejected() {
        for wrong in [
            TreeConfig { max_depth: Some(0), ..TreeConfig::default() },
            TreeConfig { min_split_rows: 1, ..TreeConfig::default() },
            TreeConfig { min_leaf_rows: 0, ..TreeConfig::default() },
            TreeConfig { bins: 1, ..TreeConfig::default() },
            TreeConfig { columns: ColumnShare::Share(0.0), ..TreeConfig::default() },
            TreeConfig { columns: ColumnShare::Share(f64::NAN), ..TreeConfig::default() },
        ] {
            assert!(matches!(wrong.check(), Err(MethodError::Setting { .. })), "{wrong:?}");
        }
    }
}
