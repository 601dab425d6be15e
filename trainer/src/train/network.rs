//! The autoencoder in f32: plain weights, as training leaves them and as they are saved.
//!
//! Inputs and outputs are scaled units (int8 quanta / 32). A layer is `y = max(0, W·x + b)`, or without `max` where it
//! is linear; W is output × input, one output after the other.

use fastrand::Rng;
use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::network::{LATENT, LAYERS, WIDTH};
use lapwing_shared::verdict::scaling::INPUT_QUANTA_PER_UNIT;
use serde::{Deserialize, Serialize};

/// One fully connected layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FloatLayer {
    /// Output × input weights.
    pub weights: Vec<f32>,
    /// One bias an output.
    pub biases: Vec<f32>,
    /// True with ReLU.
    pub relu: bool,
}

impl FloatLayer {
    /// Output width.
    pub fn outputs(&self) -> usize {
        self.biases.len()
    }

    /// Input width.
    pub fn inputs(&self) -> usize {
        self.weights.len() / self.biases.len().max(1)
    }

    /// The layer's output for one input, ReLU applied.
    pub fn forward(&self, input: &[f32]) -> Vec<f32> {
        let rows = self.weights.chunks_exact(self.inputs().max(1)).zip(&self.biases);
        let sums =
            rows.map(|(row, bias)| row.iter().zip(input).map(|(weight, value)| weight * value).sum::<f32>() + bias);
        if self.relu { sums.map(|sum| sum.max(0.0)).collect() } else { sums.collect() }
    }
}

/// A chain of layers from [`FEATURES`] to [`FEATURES`] values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FloatNetwork {
    /// First to last.
    pub layers: Vec<FloatLayer>,
    /// Index of the layer whose output is the latent one.
    pub latent_layer: usize,
}

impl FloatNetwork {
    /// Weights drawn for ReLU layers (He et al. 2015, "Delving Deep into Rectifiers": uniform of variance 2 / inputs;
    /// 1 / inputs for linear layers), biases 0. The latent layer is the narrowest one, and linear unless asked.
    pub fn random(hidden: &[usize], latent_relu: bool, rng: &mut Rng) -> Self {
        let widths: Vec<usize> = [FEATURES].into_iter().chain(hidden.iter().copied()).chain([FEATURES]).collect();
        let latent_layer = (0..hidden.len()).min_by_key(|layer| hidden[*layer]).unwrap_or(0);
        let layers = widths.windows(2).enumerate().map(|(index, pair)| {
            let relu = index < hidden.len() && (latent_relu || index != latent_layer);
            let variance = if relu { 2.0 } else { 1.0 } / pair[0] as f32;
            let limit = (3.0 * variance).sqrt();
            let weights = (0..pair[0] * pair[1]).map(|_| (rng.f32() * 2.0 - 1.0) * limit).collect();
            FloatLayer { weights, biases: vec![0.0; pair[1]], relu }
        });
        Self { layers: layers.collect(), latent_layer }
    }

    /// True when the widths form a chain that an engine takes, and every number is finite.
    pub fn is_valid(&self) -> bool {
        let mut width = FEATURES;
        let chained = self.layers.iter().all(|layer| {
            let fits = layer.weights.len() == width * layer.outputs() && (1..=WIDTH).contains(&layer.outputs());
            width = layer.outputs();
            fits && layer.weights.iter().chain(&layer.biases).all(|value| value.is_finite())
        });
        let latent = self.layers.get(self.latent_layer).is_some_and(|layer| layer.outputs() <= LATENT);
        let linear_end = self.layers.last().is_some_and(|layer| !layer.relu);
        chained && latent && linear_end && width == FEATURES && self.layers.len() <= LAYERS
    }

    /// Every layer's output for one quantized row, first to last.
    pub fn activations(&self, input: &[i8; FEATURES]) -> Vec<Vec<f32>> {
        let mut outputs: Vec<Vec<f32>> = Vec::with_capacity(self.layers.len());
        let scaled: Vec<f32> = input.iter().map(|quantum| f32::from(*quantum) / INPUT_QUANTA_PER_UNIT).collect();
        for layer in &self.layers {
            let output = layer.forward(outputs.last().unwrap_or(&scaled));
            outputs.push(output);
        }
        outputs
    }

    /// Reconstruction of one quantized row in input quanta, not rounded.
    pub fn reconstruct(&self, input: &[i8; FEATURES]) -> [f32; FEATURES] {
        let outputs = self.activations(input);
        let mut quanta = [0.0; FEATURES];
        for (quantum, value) in quanta.iter_mut().zip(outputs.last().into_iter().flatten()) {
            *quantum = value * INPUT_QUANTA_PER_UNIT;
        }
        quanta
    }
}
