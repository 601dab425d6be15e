//! Optimizer settings → learning curves over steps and seconds, from the same initial weights, rows and batches.

use crate::error::NeuralError;
use crate::fit::{CurvePoint, FitConfig, fit_validated};
use crate::shape::NetworkShape;
use crate::weighted_rows::Rows;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// One training's learning curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedCurve {
    /// Name of the settings.
    pub name: String,
    /// One point per epoch.
    pub points: Vec<CurvePoint>,
    /// Error message of a training that diverged.
    pub(crate) failure: Option<String>,
}

impl NamedCurve {
    /// First step and second at which the validation loss is at most `loss`; `None` if it never is.
    pub fn reached(&self, loss: f64) -> Option<(usize, f64)> {
        self.points.iter().find(|point| point.validation_loss <= loss).map(|point| (point.step, point.seconds))
    }

    /// Lowest validation loss; infinite without points.
    pub fn best(&self) -> f64 {
        self.points.iter().map(|point| point.validation_loss).fold(f64::INFINITY, f64::min)
    }
}

/// Trains once with each of the settings. A diverging training ends only its own curve.
///
/// # Errors
/// [`NeuralError`] for invalid rows, shapes or settings.
pub fn compare_fits(
    shape: &NetworkShape,
    rows: Rows<'_>,
    validation: Rows<'_>,
    settings: &[(String, FitConfig)],
    seed: u64,
    clock: &dyn Fn() -> f64,
) -> Result<Vec<NamedCurve>, NeuralError> {
    let mut curves = Vec::with_capacity(settings.len());
    for (name, config) in settings {
        let mut points = Vec::new();
        let mut rng = Rng::with_seed(seed);
        let mut progress = |point: &CurvePoint| points.push(*point);
        let failure = match fit_validated(shape, rows, validation, config, &mut rng, &mut progress, clock) {
            Ok(_) => None,
            Err(error @ NeuralError::Diverged { .. }) => Some(error.to_string()),
            Err(error) => return Err(error),
        };
        curves.push(NamedCurve { name: name.clone(), points, failure });
    }
    Ok(curves)
}
