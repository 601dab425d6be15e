//! Decision values and truth → probabilities: a sigmoid fitted by Newton's method (Platt 1999, in the numerically safe
//! form of Lin, Lin, Weng 2007, "A note on Platt's probabilistic outputs for support vector machines").

use serde::{Deserialize, Serialize};

/// p = 1 / (1 + exp(slope × value + shift)).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sigmoid {
    slope: f64,
    shift: f64,
}

/// First and second derivatives of the loss by slope and shift.
struct Derivatives {
    slope: f64,
    shift: f64,
    slope_slope: f64,
    slope_shift: f64,
    shift_shift: f64,
}

impl Sigmoid {
    /// Probability of the positive class.
    pub(super) fn of(self, value: f64) -> f64 {
        let odds = self.slope * value + self.shift;
        if odds >= 0.0 { libm::exp(-odds) / (1.0 + libm::exp(-odds)) } else { 1.0 / (1.0 + libm::exp(odds)) }
    }

    /// Fits slope and shift to decision values from models that were not trained on their rows.
    pub(super) fn fit(values: &[f64], positive: &[bool]) -> Self {
        let positives = positive.iter().filter(|is| **is).count() as f64;
        let negatives = positive.len() as f64 - positives;
        // Targets slightly inside 0 and 1, as if each class had one more row.
        let (high, low) = ((positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0));
        let targets: Vec<f64> = positive.iter().map(|is| if *is { high } else { low }).collect();
        let mut here = Self { slope: 0.0, shift: libm::log((negatives + 1.0) / (positives + 1.0)) };
        let mut loss = here.loss(values, &targets);
        for _ in 0..100 {
            let by = here.derivatives(values, &targets);
            if by.slope.abs() < 1e-5 && by.shift.abs() < 1e-5 {
                break;
            }
            let determinant = by.slope_slope * by.shift_shift - by.slope_shift * by.slope_shift;
            let slope = -(by.shift_shift * by.slope - by.slope_shift * by.shift) / determinant;
            let shift = -(by.slope_slope * by.shift - by.slope_shift * by.slope) / determinant;
            let descent = by.slope * slope + by.shift * shift;
            let mut step = 1.0;
            let found = std::iter::from_fn(|| {
                let there = Self { slope: here.slope + step * slope, shift: here.shift + step * shift };
                let pair = (there, there.loss(values, &targets), step);
                step /= 2.0;
                (step > 1e-10).then_some(pair)
            })
            .find(|(_, there, step)| *there < loss + 1e-4 * step * descent);
            let Some((there, lower, _)) = found else { break };
            (here, loss) = (there, lower);
        }
        here
    }

    fn loss(self, values: &[f64], targets: &[f64]) -> f64 {
        let one = |(value, target): (&f64, &f64)| {
            let odds = self.slope * value + self.shift;
            let part = if odds >= 0.0 { target * odds } else { (target - 1.0) * odds };
            part + libm::log1p(libm::exp(-odds.abs()))
        };
        values.iter().zip(targets).map(one).sum()
    }

    /// Derivatives of the loss, with a small ridge on the second ones.
    fn derivatives(self, values: &[f64], targets: &[f64]) -> Derivatives {
        let mut sums = Derivatives { slope: 0.0, shift: 0.0, slope_slope: 1e-12, slope_shift: 0.0, shift_shift: 1e-12 };
        for (value, target) in values.iter().zip(targets) {
            let p = self.of(*value);
            let (error, spread) = (target - p, p * (1.0 - p));
            sums.slope += value * error;
            sums.shift += error;
            sums.slope_slope += value * value * spread;
            sums.slope_shift += value * spread;
            sums.shift_shift += spread;
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::generator;

    #[test]
    fn the_sigmoid_behind_the_labels_is_recovered() {
        let mut random = generator(1, 0);
        let truth = Sigmoid { slope: -1.5, shift: 0.5 };
        let values: Vec<f64> = (0..40_000).map(|_| random.f64() * 8.0 - 4.0).collect();
        let positive: Vec<bool> = values.iter().map(|value| random.f64() < truth.of(*value)).collect();
        let found = Sigmoid::fit(&values, &positive);
        assert!((found.slope - truth.slope).abs() < 0.06 && (found.shift - truth.shift).abs() < 0.06, "{found:?}");
    }

    #[test]
    fn separable_classes_and_one_class_give_finite_probabilities() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        let positive: Vec<bool> = (0..100).map(|at| at >= 50).collect();
        let found = Sigmoid::fit(&values, &positive);
        assert!(found.of(0.0) < 0.1 && found.of(99.0) > 0.9 && found.of(1e9).is_finite());
        assert!(Sigmoid::fit(&values, &[true; 100]).of(3.0) > 0.9);
    }
}
