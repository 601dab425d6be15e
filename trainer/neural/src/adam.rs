//! Adam (Kingma & Ba 2015, algorithm 1) with decoupled weight decay (Loshchilov & Hutter 2019) on plain weights.
//!
//! Operations stand in the order of burn's own Adam, so that both give the same bits: without a tensor per operation
//! and parameter it is several times faster on networks as small as a gateway's.

use crate::learner::{Gradients, Weights};
use serde::{Deserialize, Serialize};

/// Adam's constants.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct AdamConfig {
    /// Share of the first moment that stays, 0 to less than 1.
    pub beta_1: f32,
    /// Share of the second moment that stays, 0 to less than 1.
    pub beta_2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Share of each weight (no bias) that goes with each step, times the learning rate.
    pub decay: f32,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8, decay: 0.0 }
    }
}

/// Moments of every parameter.
pub(crate) struct Adam {
    config: AdamConfig,
    steps: i32,
    moments: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Adam {
    pub(crate) fn new(config: AdamConfig) -> Self {
        Self { config, steps: 0, moments: Vec::new() }
    }

    pub(crate) fn step(&mut self, weights: &mut Weights, gradients: &Gradients, rate: f64) {
        let AdamConfig { beta_1, beta_2, epsilon, decay } = self.config;
        self.steps = self.steps.saturating_add(1);
        if decay > 0.0 {
            let kept = 1.0 - rate as f32 * decay;
            weights.network.layers.iter_mut().flat_map(|layer| &mut layer.weights).for_each(|weight| *weight *= kept);
        }
        let root = (1.0 - beta_2.powi(self.steps)).sqrt();
        let (factor, offset, rate) = (root / (1.0 - beta_1.powi(self.steps)), epsilon * root, rate as f32);
        let groups = weights.with_gradients(gradients);
        if self.moments.is_empty() {
            self.moments = groups.iter().map(|(group, _)| (vec![0.0; group.len()], vec![0.0; group.len()])).collect();
        }
        for ((group, slopes), (first, second)) in groups.into_iter().zip(&mut self.moments) {
            for (((weight, slope), first), second) in group.iter_mut().zip(slopes).zip(first).zip(second) {
                *first = *first * beta_1 + slope * (1.0 - beta_1);
                *second = *second * beta_2 + (slope * slope) * (1.0 - beta_2);
                *weight -= (*first * factor) / (second.sqrt() + offset) * rate;
            }
        }
    }
}
