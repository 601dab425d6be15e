//! An `f32` network and int8 rows → activations and reconstructions, within a gateway's limits.
//!
//! Inputs and outputs are scaled units (int8 quanta / 32), [`FEATURES`] of them.

pub use lapwing_neural::{FloatLayer, FloatNetwork};
use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::network::{LATENT, LAYERS, WIDTH};
use lapwing_shared::verdict::scaling::INPUT_QUANTA_PER_UNIT;

/// A network that a gateway can run.
pub trait GatewayNetwork {
    /// True if the engines accept the layer widths and every number is finite.
    fn fits_gateway(&self) -> bool;

    /// Every layer's output for one quantized row, first to last.
    fn activations_of(&self, input: &[i8; FEATURES]) -> Vec<Vec<f32>>;

    /// Reconstruction of one quantized row in input quanta, not rounded.
    fn reconstruct(&self, input: &[i8; FEATURES]) -> [f32; FEATURES];
}

impl GatewayNetwork for FloatNetwork {
    fn fits_gateway(&self) -> bool {
        let plain = |layer: &FloatLayer| layer.add.is_none() && (1..=WIDTH).contains(&layer.outputs());
        let latent = self.layers.get(self.latent_layer).is_some_and(|layer| layer.outputs() <= LATENT);
        let linear_end = self.layers.last().is_some_and(|layer| !layer.relu && layer.outputs() == FEATURES);
        let few = self.layers.len() <= LAYERS && self.layers.iter().all(plain);
        few && latent && linear_end && self.is_valid(FEATURES)
    }

    fn activations_of(&self, input: &[i8; FEATURES]) -> Vec<Vec<f32>> {
        self.activations(&input.map(|quantum| f32::from(quantum) / INPUT_QUANTA_PER_UNIT))
    }

    fn reconstruct(&self, input: &[i8; FEATURES]) -> [f32; FEATURES] {
        let outputs = self.activations_of(input);
        let mut quanta = [0.0; FEATURES];
        for (quantum, value) in quanta.iter_mut().zip(outputs.last().into_iter().flatten()) {
            *quantum = value * INPUT_QUANTA_PER_UNIT;
        }
        quanta
    }
}
