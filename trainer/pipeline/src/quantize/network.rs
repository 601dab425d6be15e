//! A quantized network → its `int8` artifact (layout: [`lapwing_shared::verdict::network`]).

use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::network::{Int8Network, MAGIC, NetworkError};

/// One fully connected layer: `y = clamp(round_half_even((weights·x + bias) · m / 2ⁿ))`.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedLayer {
    /// Weights, output × input, row-major.
    pub weights: Vec<i8>,
    /// One bias per output, in quanta of the sum.
    pub biases: Vec<i32>,
    /// True with ReLU.
    pub relu: bool,
    /// m, 1 to 32767.
    pub multiplier: u16,
    /// n, 0 to 16.
    pub shift: u8,
    /// One output quantum is 2 to the power of this.
    pub output_exponent: i32,
}

/// A chain of layers from [`FEATURES`] inputs to [`FEATURES`] outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedNetwork {
    /// Layers, first to last.
    pub layers: Vec<QuantizedLayer>,
    /// Index of the latent layer.
    pub latent_layer: usize,
    /// One input quantum is 2 to the power of this.
    pub input_exponent: i32,
}

impl QuantizedNetwork {
    /// Width of the latent layer.
    pub fn latent_width(&self) -> usize {
        self.layers.get(self.latent_layer).map_or(0, |layer| layer.biases.len())
    }

    /// The `int8` artifact.
    ///
    /// # Errors
    /// A width, multiplier or bias that is out of range for the engine.
    pub fn to_int8(&self) -> Result<Vec<u8>, NetworkError> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(u8::try_from(self.layers.len()).unwrap_or(u8::MAX));
        bytes.push(u8::try_from(self.latent_layer).unwrap_or(u8::MAX));
        bytes.extend((FEATURES as u16).to_le_bytes());
        for layer in &self.layers {
            bytes.extend(u16::try_from(layer.biases.len()).unwrap_or(u16::MAX).to_le_bytes());
            bytes.extend([u8::from(layer.relu), layer.shift]);
            bytes.extend(layer.multiplier.to_le_bytes());
            bytes.extend(layer.biases.iter().flat_map(|bias| bias.to_le_bytes()));
            bytes.extend(layer.weights.iter().map(|weight| weight.cast_unsigned()));
        }
        Int8Network::parse(bytes.as_slice())?;
        Ok(bytes)
    }
}
