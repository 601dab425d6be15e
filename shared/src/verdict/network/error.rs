//! Why an artifact of form `int8` was refused.

use super::{BIAS_LIMIT, LATENT, LAYERS, MULTIPLIER_LIMIT, SHIFT_LIMIT, WIDTH};
use crate::features::FEATURES;
use core::fmt;

/// What is wrong with an artifact's bytes. Layers and outputs count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages name the fields")]
pub enum NetworkError {
    /// It does not begin as an `int8` network.
    Magic { found: [u8; 4] },
    /// It ends early.
    Truncated { expected: usize, found: usize },
    /// It goes on after its last layer.
    Trailing { expected: usize, found: usize },
    /// Number of layers.
    LayerCount { found: u8 },
    /// Width of the input.
    InputWidth { found: u16 },
    /// Width of a layer's output.
    LayerWidth { layer: usize, found: u16 },
    /// A flag other than 0 and 1.
    ReluFlag { layer: usize, found: u8 },
    /// n of a layer's multiplier.
    Shift { layer: usize, found: u8 },
    /// m of a layer's multiplier.
    Multiplier { layer: usize, found: u16 },
    /// A bias out of range.
    Bias { layer: usize, output: usize, found: i32 },
    /// The latent layer is not among the layers.
    LatentLayer { found: usize, layers: usize },
    /// Width of the latent layer.
    LatentWidth { found: usize },
    /// Width of the last layer.
    OutputWidth { found: usize },
    /// The last layer has a ReLU: it could not reconstruct a negative value.
    OutputRelu,
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Magic { found } => write!(f, "not an int8 network: begins with {found:02x?}, expected \"LWN1\""),
            Self::Truncated { expected, found } => {
                write!(f, "int8 network of {found} bytes is cut off: at least {expected} expected")
            }
            Self::Trailing { expected, found } => {
                write!(f, "int8 network has {found} bytes, its layers end at {expected}")
            }
            Self::LayerCount { found } => write!(f, "int8 network of {found} layers, expected 1 to {LAYERS}"),
            Self::InputWidth { found } => write!(f, "int8 network reads {found} values, expected {FEATURES}"),
            Self::LayerWidth { layer, found } => write!(f, "layer {layer} is {found} wide, expected 1 to {WIDTH}"),
            Self::ReluFlag { layer, found } => write!(f, "layer {layer} has the flag {found}, expected 0 or 1"),
            Self::Shift { layer, found } => write!(f, "layer {layer} shifts by {found}, expected 0 to {SHIFT_LIMIT}"),
            Self::Multiplier { layer, found } => {
                write!(f, "layer {layer} has the multiplier {found}, expected 1 to {MULTIPLIER_LIMIT}")
            }
            Self::Bias { layer, output, found } => {
                write!(f, "bias {output} of layer {layer} is {found}, expected ±{BIAS_LIMIT} at most")
            }
            Self::LatentLayer { found, layers } => {
                write!(f, "the latent layer has the index {found}, but there are {layers} layers")
            }
            Self::LatentWidth { found } => write!(f, "the latent layer is {found} wide, expected 1 to {LATENT}"),
            Self::OutputWidth { found } => write!(f, "the last layer gives {found} values, expected {FEATURES}"),
            Self::OutputRelu => write!(f, "the last layer has a ReLU, expected none"),
        }
    }
}

impl core::error::Error for NetworkError {}
