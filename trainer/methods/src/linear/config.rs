//! Settings of linear methods.

use serde::{Deserialize, Serialize};

use crate::{ClassWeights, MethodError, input::check_setting};

/// Multinomial logistic regression with an L2 penalty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogisticConfig {
    /// Inverse of the penalty, as in scikit-learn: the loss is ½‖w‖² + `c` × Σ row losses, without a penalty on
    /// intercepts.
    pub(crate) c: f64,
    /// Maximum number of optimiser steps.
    pub(crate) iterations: usize,
    /// Converged when no gradient component of the mean loss is larger.
    pub(crate) tolerance: f64,
    /// Weight of each row, by class.
    pub(crate) class_weights: ClassWeights,
}

impl Default for LogisticConfig {
    fn default() -> Self {
        Self { c: 1.0, iterations: 200, tolerance: 1e-4, class_weights: ClassWeights::Uniform }
    }
}

impl LogisticConfig {
    pub(crate) fn check(&self) -> Result<(), MethodError> {
        check_setting("c", self.c, self.c.is_finite() && self.c > 0.0, "above 0")?;
        check_setting("iterations", self.iterations, self.iterations >= 1, "at least 1")?;
        check_setting("tolerance", self.tolerance, self.tolerance > 0.0, "above 0")
    }
}

/// The space in which a support vector machine separates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum SvmKernel {
    /// The columns themselves.
    #[default]
    Linear,
    /// exp(−`gamma` ‖a − b‖²) through random Fourier features (Rahimi and Recht 2007).
    Rbf {
        /// Inverse squared width. Default: 1 / number of columns.
        gamma: Option<f64>,
        /// Number of random features, 2 to 16,384.
        features: usize,
    },
}

/// Support vector machine: squared hinge loss, L2 penalty, one class against the rest, probabilities by Platt's method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SvmConfig {
    /// Cost of a misclassified row.
    pub(crate) c: f64,
    /// Linear, or by a kernel.
    pub(crate) kernel: SvmKernel,
    /// Maximum number of optimiser steps.
    pub(crate) iterations: usize,
    /// Converged when no gradient component of the mean loss is larger.
    pub(crate) tolerance: f64,
    /// Cross-validation folds for the probabilities, 2 to 20.
    pub(crate) folds: usize,
    /// Weight of each row, by class.
    pub(crate) class_weights: ClassWeights,
}

impl Default for SvmConfig {
    fn default() -> Self {
        Self {
            c: 1.0,
            kernel: SvmKernel::Linear,
            iterations: 500,
            tolerance: 1e-4,
            folds: 3,
            class_weights: ClassWeights::Uniform,
        }
    }
}

impl SvmConfig {
    pub(crate) fn check(&self) -> Result<(), MethodError> {
        check_setting("c", self.c, self.c.is_finite() && self.c > 0.0, "above 0")?;
        check_setting("iterations", self.iterations, self.iterations >= 1, "at least 1")?;
        check_setting("tolerance", self.tolerance, self.tolerance > 0.0, "above 0")?;
        check_setting("folds", self.folds, (2..=20).contains(&self.folds), "2 to 20")?;
        if let SvmKernel::Rbf { gamma, features } = self.kernel {
            let width = gamma.unwrap_or(1.0);
            check_setting("gamma", width, width.is_finite() && width > 0.0, "above 0")?;
            check_setting("features", features, (2..=16_384).contains(&features), "2 to 16384")?;
        }
        Ok(())
    }
}
