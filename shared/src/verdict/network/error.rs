//! Reasons for rejecting an artifact of form `int8`.

use super::{BIAS_LIMIT, LATENT, LAYERS, MULTIPLIER_LIMIT, SHIFT_LIMIT, WIDTH};
use crate::features::FEATURES;
use core::fmt;

/// Error in an artifact's bytes. Layers and outputs count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages name the fields")]
pub enum NetworkError {
    /// Wrong magic bytes.
    Magic { found: [u8; 4] },
    /// The artifact ends too early.
    Truncated { expected: usize, found: usize },
    /// Bytes follow the last layer.
    Trailing { expected: usize, found: usize },
    /// Number of layers.
    LayerCount { found: u8 },
    /// Width of the input.
    InputWidth { found: u16 },
    /// Width of a layer's output.
    LayerWidth { layer: usize, found: u16 },
    /// ReLU flag other than 0 and 1.
    ReluFlag { layer: usize, found: u8 },
    /// n of a layer's multiplier.
    Shift { layer: usize, found: u8 },
    /// m of a layer's multiplier.
    Multiplier { layer: usize, found: u16 },
    /// A bias out of range.
    Bias { layer: usize, output: usize, found: i32 },
    /// Index of the latent layer out of range.
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
                write!(f, "int8 network is truncated: {found} bytes, expected at least {expected}")
            }
            Self::Trailing { expected, found } => {
                write!(f, "int8 network has trailing bytes: {found} bytes, its layers end at {expected}")
            }
            Self::LayerCount { found } => write!(f, "int8 network has {found} layers, expected 1 to {LAYERS}"),
            Self::InputWidth { found } => write!(f, "int8 network has input width {found}, expected {FEATURES}"),
            Self::LayerWidth { layer, found } => write!(f, "layer {layer} has width {found}, expected 1 to {WIDTH}"),
            Self::ReluFlag { layer, found } => write!(f, "layer {layer} has ReLU flag {found}, expected 0 or 1"),
            Self::Shift { layer, found } => write!(f, "layer {layer} has shift {found}, expected 0 to {SHIFT_LIMIT}"),
            Self::Multiplier { layer, found } => {
                write!(f, "layer {layer} has multiplier {found}, expected 1 to {MULTIPLIER_LIMIT}")
            }
            Self::Bias { layer, output, found } => {
                write!(f, "bias {output} of layer {layer} is {found}, expected -{BIAS_LIMIT} to {BIAS_LIMIT}")
            }
            Self::LatentLayer { found, layers } => {
                write!(f, "latent layer has index {found}, but there are {layers} layers")
            }
            Self::LatentWidth { found } => write!(f, "latent layer has width {found}, expected 1 to {LATENT}"),
            Self::OutputWidth { found } => write!(f, "last layer has width {found}, expected {FEATURES}"),
            Self::OutputRelu => write!(f, "last layer has a ReLU, expected none"),
        }
    }
}

impl core::error::Error for NetworkError {}
