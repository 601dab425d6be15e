//! Training values of one feature → a scale for its values.
//!
//! Sums run in `f64`; logarithms come from `libm`, which gives the same bits on every processor.

use super::Scaling;
use super::normal::deviate;
use crate::stats::quantile;
use serde::{Deserialize, Serialize};

/// Maximum number of knots of a quantile transform.
const KNOTS: usize = 1000;
/// Shares are clamped to this distance from 0 and 1 before they become normal deviates, which limits those to ±5.2.
const TAIL: f64 = 1e-7;

/// A fitted scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Scale {
    /// (x − centre) · factor, with `log` after sign(x) ln(1 + |x|).
    Linear { log: bool, centre: f64, factor: f64 },
    /// Training quantiles at equal steps, ascending; `normal` turns the share into a normal deviate.
    Quantile { knots: Vec<f32>, normal: bool },
}

impl Scale {
    /// Fits to at least one value, without NaN; can reorder the values.
    pub(super) fn fit(scaling: Scaling, values: &mut [f32]) -> Self {
        let linear = |log, centre, spread: f64| {
            let factor = if spread > 0.0 && spread.is_finite() { 1.0 / spread } else { 1.0 };
            Self::Linear { log, centre, factor }
        };
        match scaling {
            Scaling::None => linear(false, 0.0, 1.0),
            Scaling::Standard => {
                let (mean, deviation) = moments(values, f64::from);
                linear(false, mean, deviation)
            }
            Scaling::LogStandard => {
                let (mean, deviation) = moments(values, |value| signed_log(f64::from(value)));
                linear(true, mean, deviation)
            }
            Scaling::MinMax => {
                let (low, high) = values.iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
                linear(false, f64::from(low), f64::from(high) - f64::from(low))
            }
            Scaling::Robust => {
                values.sort_unstable_by(f32::total_cmp);
                let at = |share| quantile(values, share);
                linear(false, at(0.5), at(0.75) - at(0.25))
            }
            Scaling::QuantileUniform | Scaling::QuantileNormal => {
                values.sort_unstable_by(f32::total_cmp);
                let count = KNOTS.min(values.len()).max(2);
                let knot = |index| quantile(values, index as f64 / (count - 1) as f64) as f32;
                Self::Quantile { knots: (0..count).map(knot).collect(), normal: scaling == Scaling::QuantileNormal }
            }
        }
    }

    /// Scales a value; the result of a finite value is finite.
    pub(super) fn apply(&self, value: f32) -> f32 {
        match self {
            Self::Linear { log, centre, factor } => {
                let value = if *log { signed_log(f64::from(value)) } else { f64::from(value) };
                ((value - centre) * factor).clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
            }
            Self::Quantile { knots, normal } => {
                let share = share(knots, value);
                if *normal { deviate(share.clamp(TAIL, 1.0 - TAIL)) as f32 } else { share as f32 }
            }
        }
    }
}

fn signed_log(value: f64) -> f64 {
    libm::copysign(libm::log1p(value.abs()), value)
}

fn moments(values: &[f32], of: impl Fn(f32) -> f64) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().map(|value| of(*value)).sum::<f64>() / count;
    let variance = values.iter().map(|value| (of(*value) - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

/// Position of a value among ascending knots, 0 to 1; the middle of the run if knots repeat, as in scikit-learn.
fn share(knots: &[f32], value: f32) -> f64 {
    let last = (knots.len() - 1) as f64;
    let below = knots.partition_point(|knot| *knot < value);
    let up_to = knots.partition_point(|knot| *knot <= value);
    if below < up_to {
        return (below + up_to - 1) as f64 / 2.0 / last;
    }
    if below == 0 {
        return 0.0;
    }
    if below == knots.len() {
        return 1.0;
    }
    let (low, high) = (f64::from(knots[below - 1]), f64::from(knots[below]));
    ((below - 1) as f64 + (f64::from(value) - low) / (high - low)) / last
}
