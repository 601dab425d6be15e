//! Outputs, targets of a batch → loss and its gradient with respect to the outputs.
//!
//! Outputs are row-major, rows × outputs. The loss is the mean over rows, and over a row's outputs if their targets are
//! values. Computing the gradient here keeps every loss short and lets K-FAC draw gradients from the network's own
//! predictive distribution (Martens & Grosse 2015, section 5).

use crate::network::{sigmoid, softmax};
use crate::normal;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// Loss of one output whose target is a value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Mean squared error.
    Squared,
    /// Pseudo-Huber: quadratic for errors below `delta`, linear above; d²·(√(1 + (e/d)²) − 1).
    Huber {
        /// Error at which the loss turns from quadratic to linear, units of the output.
        delta: f32,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum BatchTarget {
    /// Rows × outputs values. Output weights: one per output, or empty for all 1.
    Values { values: Vec<f32>, loss: Loss, output_weights: Vec<f32> },
    /// One logit per row (logistic loss).
    Flags(Vec<bool>),
    /// The class of each row; one logit per class (cross-entropy of the softmax).
    Classes(Vec<u32>),
}

/// Targets and row weights of a batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Objective {
    pub(crate) target: BatchTarget,
    /// One weight per row, or empty for all 1. Means divide by the number of rows, not by the sum of weights, so that a
    /// row has the same weight in every batch.
    pub(crate) row_weights: Vec<f32>,
}

/// Mean loss of a batch and its gradient with respect to the outputs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LossGradient {
    pub(crate) loss: f64,
    pub(crate) gradient: Vec<f32>,
}

impl Objective {
    pub(crate) fn loss(&self, outputs: &[f32], rows: usize) -> LossGradient {
        let width = outputs.len() / rows.max(1);
        let mut result = match &self.target {
            BatchTarget::Values { values, loss, output_weights } => values_loss(outputs, values, *loss, output_weights),
            BatchTarget::Flags(flags) => flags_loss(outputs, flags),
            BatchTarget::Classes(classes) => classes_loss(outputs, classes, width),
        };
        if !self.row_weights.is_empty() {
            // The mean above does not contain the row weights.
            result.loss = 0.0;
            let losses = self.row_losses(outputs, width);
            for (row, weight) in self.row_weights.iter().enumerate() {
                result.loss += f64::from(*weight) * losses[row] / rows as f64;
                result.gradient[row * width..][..width].iter_mut().for_each(|value| *value *= weight);
            }
        }
        result
    }

    /// Gradient for targets drawn from the network's own predictions; its second moment is the Fisher information of
    /// the outputs. For targets that are values, the draw is Gaussian with the loss's curvature at the current error.
    pub(crate) fn sampled_gradient(&self, outputs: &[f32], rows: usize, rng: &mut Rng) -> Vec<f32> {
        let width = outputs.len() / rows.max(1);
        let mut gradient = match &self.target {
            BatchTarget::Values { values, loss, output_weights } => {
                sample_values(outputs, values, *loss, output_weights, rows, rng)
            }
            BatchTarget::Flags(_) => {
                let drawn: Vec<bool> = outputs.iter().map(|logit| rng.f32() < sigmoid(*logit)).collect();
                flags_loss(outputs, &drawn).gradient
            }
            BatchTarget::Classes(_) => {
                let drawn: Vec<u32> = outputs.chunks_exact(width.max(1)).map(|row| draw_class(row, rng)).collect();
                classes_loss(outputs, &drawn, width).gradient
            }
        };
        for (row, weight) in self.row_weights.iter().enumerate() {
            gradient[row * width..][..width].iter_mut().for_each(|value| *value *= weight.max(0.0).sqrt());
        }
        gradient
    }

    fn row_losses(&self, outputs: &[f32], width: usize) -> Vec<f64> {
        let row = |(index, outputs): (usize, &[f32])| match &self.target {
            BatchTarget::Values { values, loss, output_weights } => {
                values_loss(outputs, &values[index * width..][..width], *loss, output_weights).loss
            }
            BatchTarget::Flags(flags) => flags_loss(outputs, &flags[index..=index]).loss,
            BatchTarget::Classes(classes) => classes_loss(outputs, &classes[index..=index], width).loss,
        };
        outputs.chunks_exact(width.max(1)).enumerate().map(row).collect()
    }
}

fn values_loss(outputs: &[f32], values: &[f32], loss: Loss, weights: &[f32]) -> LossGradient {
    let share = (1.0 / outputs.len().max(1) as f64) as f32;
    match loss {
        Loss::Squared => {
            each_loss(outputs, values, weights, |difference| (difference * difference, 2.0 * (share * difference)))
        }
        Loss::Huber { delta } => each_loss(outputs, values, weights, |difference| {
            let scaled = difference / delta;
            let squared = scaled * scaled + 1.0;
            let half = (share * (delta * delta)) * (squared.powf(-0.5) / 2.0) * scaled;
            ((squared.sqrt() - 1.0) * (delta * delta), 2.0 * half * (1.0 / delta))
        }),
    }
}

/// `each` returns the loss and its derivative for one difference. Inlined into one loop per loss, because it runs for
/// every output of every step.
#[inline(always)]
fn each_loss(outputs: &[f32], values: &[f32], weights: &[f32], each: impl Fn(f32) -> (f32, f32)) -> LossGradient {
    let mut sum = 0.0;
    let mut gradient = vec![0.0; outputs.len()];
    let width = if weights.is_empty() { outputs.len().max(1) } else { weights.len() };
    let rows = outputs.chunks(width).zip(values.chunks(width)).zip(gradient.chunks_mut(width));
    for ((outputs, values), gradient) in rows {
        let mut add = |((output, value), gradient): ((&f32, &f32), &mut f32), weight: f32| {
            let (loss, derivative) = each(output - value);
            sum += f64::from(weight * loss);
            *gradient = weight * derivative;
        };
        let items = outputs.iter().zip(values).zip(gradient);
        if weights.is_empty() {
            items.for_each(|item| add(item, 1.0));
        } else {
            items.zip(weights).for_each(|(item, weight)| add(item, *weight));
        }
    }
    LossGradient { loss: sum / outputs.len().max(1) as f64, gradient }
}

/// Gaussian gradients whose variance is the second derivative of the loss.
fn sample_values(outputs: &[f32], values: &[f32], loss: Loss, weights: &[f32], rows: usize, rng: &mut Rng) -> Vec<f32> {
    let width = outputs.len() / rows.max(1);
    let scale = (2.0 / width.max(1) as f32).sqrt() / rows as f32;
    let draw = |(index, (output, value)): (usize, (&f32, &f32))| {
        let curvature = match loss {
            Loss::Squared => 1.0,
            Loss::Huber { delta } => (((output - value) / delta).powi(2) + 1.0).powf(-1.5) / 2.0,
        };
        let weight = if weights.is_empty() { 1.0 } else { weights[index % weights.len()] };
        scale * (curvature * weight).sqrt() * normal(rng)
    };
    outputs.iter().zip(values).enumerate().map(draw).collect()
}

fn flags_loss(logits: &[f32], flags: &[bool]) -> LossGradient {
    let share = 1.0 / logits.len().max(1) as f64;
    let mut sum = 0.0;
    let gradient = logits.iter().zip(flags).map(|(logit, flag)| {
        // ln(1 + eᵐ) as max(0, m) + ln(1 + e^−|m|), which does not overflow.
        let margin = if *flag { -logit } else { *logit };
        sum += f64::from(margin.max(0.0)) + f64::from((-margin.abs()).exp()).ln_1p();
        (sigmoid(*logit) - f32::from(*flag)) * share as f32
    });
    let gradient = gradient.collect();
    LossGradient { loss: sum * share, gradient }
}

fn classes_loss(logits: &[f32], classes: &[u32], width: usize) -> LossGradient {
    let share = 1.0 / classes.len().max(1) as f64;
    let mut sum = 0.0;
    let mut gradient = logits.to_vec();
    for (row, class) in gradient.chunks_exact_mut(width.max(1)).zip(classes) {
        softmax(row);
        sum -= f64::from(row[*class as usize].max(f32::MIN_POSITIVE)).ln();
        row[*class as usize] -= 1.0;
        row.iter_mut().for_each(|value| *value *= share as f32);
    }
    LossGradient { loss: sum * share, gradient }
}

fn draw_class(logits: &[f32], rng: &mut Rng) -> u32 {
    let mut shares = logits.to_vec();
    softmax(&mut shares);
    let mut left = rng.f32();
    for (class, share) in shares.iter().enumerate() {
        left -= share;
        if left < 0.0 {
            return class as u32;
        }
    }
    shares.len().saturating_sub(1) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objectives(rng: &mut Rng) -> Vec<(Objective, Vec<f32>)> {
        let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| normal(rng)).collect() };
        let values = |values, loss, weights| BatchTarget::Values { values, loss, output_weights: weights };
        let targets = vec![
            values(draw(12), Loss::Squared, Vec::new()),
            values(draw(12), Loss::Huber { delta: 0.7 }, vec![0.5, 2.0, 1.0]),
            BatchTarget::Flags((0..4).map(|row| row % 3 == 0).collect()),
            BatchTarget::Classes(vec![2, 0, 1, 1]),
        ];
        let mut objectives = Vec::new();
        for target in targets {
            let outputs = draw(if matches!(target, BatchTarget::Flags(_)) { 4 } else { 12 });
            objectives.push((Objective { target: target.clone(), row_weights: Vec::new() }, outputs.clone()));
            objectives.push((Objective { target, row_weights: vec![0.2, 3.0, 1.0, 0.0] }, outputs));
        }
        objectives
    }

    #[test]
    fn gradients_match_finite_differences_of_the_loss() {
        for (objective, outputs) in objectives(&mut Rng::with_seed(4)) {
            let gradient = objective.loss(&outputs, 4).gradient;
            for index in 0..outputs.len() {
                let moved = |by: f32| {
                    let mut outputs = outputs.clone();
                    outputs[index] += by;
                    objective.loss(&outputs, 4).loss
                };
                let expected = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                let error = (expected - f64::from(gradient[index])).abs();
                assert!(error < 2e-4, "{objective:?} {index}: {expected} {gradient:?}");
            }
        }
    }

    #[test]
    fn the_variance_of_sampled_gradients_is_the_second_derivative() {
        let mut rng = Rng::with_seed(9);
        for (objective, outputs) in objectives(&mut rng) {
            const DRAWS: usize = 40_000;
            let mut squares = vec![0.0; outputs.len()];
            for _ in 0..DRAWS {
                let drawn = objective.sampled_gradient(&outputs, 4, &mut rng);
                // The mean over four rows divides the second derivative by 4 and the squared gradient by 16.
                squares.iter_mut().zip(&drawn).for_each(|(sum, value)| *sum += f64::from(value * value) * 4.0);
            }
            for index in 0..outputs.len() {
                let gradient = |by: f32| {
                    let mut outputs = outputs.clone();
                    outputs[index] += by;
                    f64::from(objective.loss(&outputs, 4).gradient[index])
                };
                let expected = (gradient(1e-2) - gradient(-1e-2)) / 2e-2;
                let variance = squares[index] / DRAWS as f64;
                let error = (variance - expected).abs();
                assert!(error < 0.05 * expected + 2e-3, "{objective:?} {index}: {variance} {expected}");
            }
        }
    }

    #[test]
    fn the_loss_of_confident_wrong_logits_is_large_but_finite() {
        assert_eq!(flags_loss(&[1e4, -1e4], &[false, true]).loss, 1e4);
        let loss = classes_loss(&[-1e4, 1e4], &[0], 2).loss;
        assert!(loss.is_finite() && loss > 80.0);
    }
}
