//! What training minimises: value and gradient of a loss over one batch, in plain numbers.
//!
//! Outputs are row-major, rows × outputs. Means are over rows, and over outputs where a row has several. The gradient
//! goes back through the layers by the tensor library; computing it here keeps every loss a few lines and lets K-FAC
//! draw gradients from the network's own predictive distribution (Martens & Grosse 2015, section 5).

use crate::network::{sigmoid, softmax};
use crate::normal;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// Distance between an output and the value it should have.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Mean squared error.
    Squared,
    /// Pseudo-Huber: squared below `delta` units, linear above; d²·(√(1 + (e/d)²) − 1).
    Huber {
        /// Where it turns, units of the output.
        delta: f32,
    },
}

/// What the outputs of one batch should be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum BatchTarget {
    /// These values, by this distance; with one weight an output or none.
    Values { values: Vec<f32>, loss: Loss, output_weights: Vec<f32> },
    /// One logit a row: 1 for true (logistic loss).
    Flags(Vec<bool>),
    /// One logit a class; the class of each row (cross-entropy of softmax).
    Classes(Vec<u32>),
}

/// A batch's target, and how much each row counts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Goal {
    pub(crate) target: BatchTarget,
    /// One weight a row, or none: all 1. Means are divided by the number of rows, not by the sum of weights, so that a
    /// row counts the same in every batch.
    pub(crate) row_weights: Vec<f32>,
}

/// Loss of one batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judged {
    /// Mean loss.
    pub(crate) value: f64,
    /// Its derivative by each output.
    pub(crate) gradient: Vec<f32>,
}

impl Goal {
    /// Loss and gradient.
    pub(crate) fn judge(&self, outputs: &[f32], rows: usize) -> Judged {
        let width = outputs.len() / rows.max(1);
        let mut judged = match &self.target {
            BatchTarget::Values { values, loss, output_weights } => {
                judge_values(outputs, values, *loss, output_weights)
            }
            BatchTarget::Flags(flags) => judge_flags(outputs, flags),
            BatchTarget::Classes(classes) => judge_classes(outputs, classes, width),
        };
        if !self.row_weights.is_empty() {
            // Losses come back as one value a row; a weighted mean needs them apart.
            judged.value = 0.0;
            let alone = self.row_losses(outputs, width);
            for (row, weight) in self.row_weights.iter().enumerate() {
                judged.value += f64::from(*weight) * alone[row] / rows as f64;
                judged.gradient[row * width..][..width].iter_mut().for_each(|value| *value *= weight);
            }
        }
        judged
    }

    /// A gradient drawn as if the targets came from the network's own predictions; its second moment is the Fisher
    /// information of the outputs. Distances are taken as Gaussian with the loss's curvature at the present error.
    pub(crate) fn sample(&self, outputs: &[f32], rows: usize, rng: &mut Rng) -> Vec<f32> {
        let width = outputs.len() / rows.max(1);
        let mut gradient = match &self.target {
            BatchTarget::Values { values, loss, output_weights } => {
                sample_values(outputs, values, *loss, output_weights, rows, rng)
            }
            BatchTarget::Flags(_) => {
                let drawn: Vec<bool> = outputs.iter().map(|logit| rng.f32() < sigmoid(*logit)).collect();
                judge_flags(outputs, &drawn).gradient
            }
            BatchTarget::Classes(_) => {
                let drawn: Vec<u32> = outputs.chunks_exact(width.max(1)).map(|row| draw_class(row, rng)).collect();
                judge_classes(outputs, &drawn, width).gradient
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
                judge_values(outputs, &values[index * width..][..width], *loss, output_weights).value
            }
            BatchTarget::Flags(flags) => judge_flags(outputs, &flags[index..=index]).value,
            BatchTarget::Classes(classes) => judge_classes(outputs, &classes[index..=index], width).value,
        };
        outputs.chunks_exact(width.max(1)).enumerate().map(row).collect()
    }
}

fn judge_values(outputs: &[f32], values: &[f32], loss: Loss, weights: &[f32]) -> Judged {
    let share = (1.0 / outputs.len().max(1) as f64) as f32;
    match loss {
        Loss::Squared => {
            judge_each(outputs, values, weights, |difference| (difference * difference, 2.0 * (share * difference)))
        }
        Loss::Huber { delta } => judge_each(outputs, values, weights, |difference| {
            let scaled = difference / delta;
            let bent = scaled * scaled + 1.0;
            let half = (share * (delta * delta)) * (bent.powf(-0.5) / 2.0) * scaled;
            ((bent.sqrt() - 1.0) * (delta * delta), 2.0 * half * (1.0 / delta))
        }),
    }
}

/// `each` gives loss and slope of one difference. One loop for each loss: it is run for every output of every step.
#[inline(always)]
fn judge_each(outputs: &[f32], values: &[f32], weights: &[f32], each: impl Fn(f32) -> (f32, f32)) -> Judged {
    let mut sum = 0.0;
    let mut gradient = vec![0.0; outputs.len()];
    let width = if weights.is_empty() { outputs.len().max(1) } else { weights.len() };
    let rows = outputs.chunks(width).zip(values.chunks(width)).zip(gradient.chunks_mut(width));
    for ((outputs, values), slopes) in rows {
        let mut add = |((output, value), gradient): ((&f32, &f32), &mut f32), weight: f32| {
            let (loss, slope) = each(output - value);
            sum += f64::from(weight * loss);
            *gradient = weight * slope;
        };
        let places = outputs.iter().zip(values).zip(slopes);
        if weights.is_empty() {
            places.for_each(|place| add(place, 1.0));
        } else {
            places.zip(weights).for_each(|(place, weight)| add(place, *weight));
        }
    }
    Judged { value: sum / outputs.len().max(1) as f64, gradient }
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

fn judge_flags(logits: &[f32], flags: &[bool]) -> Judged {
    let share = 1.0 / logits.len().max(1) as f64;
    let mut sum = 0.0;
    let gradient = logits.iter().zip(flags).map(|(logit, flag)| {
        // ln(1 + e^−|x|) + max(0, ∓x), which does not overflow.
        let wrong = if *flag { -logit } else { *logit };
        sum += f64::from(wrong.max(0.0)) + f64::from((-wrong.abs()).exp()).ln_1p();
        (sigmoid(*logit) - f32::from(*flag)) * share as f32
    });
    let gradient = gradient.collect();
    Judged { value: sum * share, gradient }
}

fn judge_classes(logits: &[f32], classes: &[u32], width: usize) -> Judged {
    let share = 1.0 / classes.len().max(1) as f64;
    let mut sum = 0.0;
    let mut gradient = logits.to_vec();
    for (row, class) in gradient.chunks_exact_mut(width.max(1)).zip(classes) {
        softmax(row);
        sum -= f64::from(row[*class as usize].max(f32::MIN_POSITIVE)).ln();
        row[*class as usize] -= 1.0;
        row.iter_mut().for_each(|value| *value *= share as f32);
    }
    Judged { value: sum * share, gradient }
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

    fn goals(rng: &mut Rng) -> Vec<(Goal, Vec<f32>)> {
        let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| normal(rng)).collect() };
        let values = |values, loss, weights| BatchTarget::Values { values, loss, output_weights: weights };
        let targets = vec![
            values(draw(12), Loss::Squared, Vec::new()),
            values(draw(12), Loss::Huber { delta: 0.7 }, vec![0.5, 2.0, 1.0]),
            BatchTarget::Flags((0..4).map(|row| row % 3 == 0).collect()),
            BatchTarget::Classes(vec![2, 0, 1, 1]),
        ];
        let mut goals = Vec::new();
        for target in targets {
            let outputs = draw(if matches!(target, BatchTarget::Flags(_)) { 4 } else { 12 });
            goals.push((Goal { target: target.clone(), row_weights: Vec::new() }, outputs.clone()));
            goals.push((Goal { target, row_weights: vec![0.2, 3.0, 1.0, 0.0] }, outputs));
        }
        goals
    }

    #[test]
    fn gradients_are_the_slopes_of_the_values() {
        for (goal, outputs) in goals(&mut Rng::with_seed(4)) {
            let gradient = goal.judge(&outputs, 4).gradient;
            for index in 0..outputs.len() {
                let moved = |by: f32| {
                    let mut outputs = outputs.clone();
                    outputs[index] += by;
                    goal.judge(&outputs, 4).value
                };
                let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                assert!((slope - f64::from(gradient[index])).abs() < 2e-4, "{goal:?} {index}: {slope} {gradient:?}");
            }
        }
    }

    #[test]
    fn drawn_gradients_have_the_second_derivative_as_variance() {
        let mut rng = Rng::with_seed(9);
        for (goal, outputs) in goals(&mut rng) {
            const DRAWS: usize = 40_000;
            let mut squares = vec![0.0; outputs.len()];
            for _ in 0..DRAWS {
                let drawn = goal.sample(&outputs, 4, &mut rng);
                // The mean over four rows divides its own second derivative by 4, and the square of a slope by 16.
                squares.iter_mut().zip(&drawn).for_each(|(sum, value)| *sum += f64::from(value * value) * 4.0);
            }
            for index in 0..outputs.len() {
                let slope = |by: f32| {
                    let mut outputs = outputs.clone();
                    outputs[index] += by;
                    f64::from(goal.judge(&outputs, 4).gradient[index])
                };
                let curvature = (slope(1e-2) - slope(-1e-2)) / 2e-2;
                let found = squares[index] / DRAWS as f64;
                assert!((found - curvature).abs() < 0.05 * curvature + 2e-3, "{goal:?} {index}: {found} {curvature}");
            }
        }
    }

    #[test]
    fn confident_and_wrong_logits_cost_much_and_stay_finite() {
        let judged = judge_flags(&[1e4, -1e4], &[false, true]);
        assert_eq!(judged.value, 1e4);
        let judged = judge_classes(&[-1e4, 1e4], &[0], 2);
        assert!(judged.value.is_finite() && judged.value > 80.0);
    }
}
