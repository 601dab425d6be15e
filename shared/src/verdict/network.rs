//! The `int8` engine: one quantized row → reconstruction and latent layer, without `unsafe` or a panic, and without
//! allocation once an artifact was read.
//!
//! It runs the one network encoding that releases carry: a chain of fully connected layers, each of them the ONNX
//! operator QLinearConv with a 1×1 kernel, int8 activations, int8 weights (zero point 0), int32 bias and one scale a
//! tensor. With `x` the layer's input less its zero point, a layer is
//!
//! ```text
//! acc = Σ weight·x + bias                      exact, 32 bits
//! y   = round_half_even(acc · m / 2ⁿ)          exact before rounding, see below
//! y   = clamp(y, −128, 127)                    linear layer, zero point 0
//! y   = clamp(y, 0, 255), written as y − 128   layer with ReLU, zero point −128
//! ```
//!
//! **Why the result is the same everywhere.** n ≤ 16, so every product |acc·m| that does not saturate is below
//! 2⁸⁺¹⁶ = 2²⁴ and `acc·m/2ⁿ` is an exact `f32`; what saturates stays saturated however it is rounded. onnxruntime
//! multiplies in `f32`, tract in 64-bit fixed point, this engine in `f32`; all three then round the same exact value
//! half to even, so they cannot disagree, on any processor.
//!
//! **Artifact** (little endian):
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `LWN1` |
//! | 1 | layers, 1 to [`LAYERS`] |
//! | 1 | index of the layer whose output is the latent one |
//! | 2 | input width, [`FEATURES`] |
//! | 2, 1, 1, 2 | layer: output width (1 to [`WIDTH`]), ReLU flag, n (0 to 16), m (1 to 32767) |
//! | 4 · out | layer: biases, int32, within ±[`BIAS_LIMIT`] |
//! | out · in | layer: weights, int8, one output after the other |
//!
//! The last layer has no ReLU and gives [`FEATURES`] values with zero point 0, as the input has.

mod error;

pub use error::NetworkError;

pub use super::LATENT;

use crate::features::FEATURES;
use alloc::vec::Vec;
use wide::{i16x8, i32x4};

/// First bytes of an artifact of form `int8`.
pub const MAGIC: [u8; 4] = *b"LWN1";
/// Most layers.
pub const LAYERS: usize = 8;
/// Widest layer.
pub const WIDTH: usize = 256;
/// Largest n of a layer's multiplier m / 2ⁿ.
pub const SHIFT_LIMIT: u8 = 16;
/// Largest m of a layer's multiplier m / 2ⁿ.
pub const MULTIPLIER_LIMIT: u16 = 32_767;
/// Largest magnitude of a bias; with it a sum of [`WIDTH`] products cannot leave 32 bits.
pub const BIAS_LIMIT: i32 = 1 << 24;
/// Zero point of the output of a layer with ReLU.
pub const RELU_ZERO_POINT: i8 = -128;

const HEADER_BYTES: usize = 8;
const LAYER_HEADER_BYTES: usize = 6;
/// Outputs whose sums are made side by side, in two vectors of four.
const LANES: usize = 8;

/// What an engine answers for one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inference {
    /// Reconstructed input, in input quanta.
    pub reconstruction: [i8; FEATURES],
    /// Latent layer as the ONNX output `latent` has it (zero point included); 0 from `latent_width` on.
    pub latent: [i8; LATENT],
    /// Values of `latent` in use.
    pub latent_width: u8,
}

impl Default for Inference {
    fn default() -> Self {
        Self { reconstruction: [0; FEATURES], latent: [0; LATENT], latent_width: 0 }
    }
}

/// Working memory of [`Int8Network::run`]: reused from row to row, its content does not matter.
#[derive(Clone, Debug)]
pub struct Scratch {
    /// Input of a layer less its zero point, −128 to 255.
    activations: [i16; WIDTH],
    sums: [i32; WIDTH],
}

impl Default for Scratch {
    fn default() -> Self {
        Self { activations: [0; WIDTH], sums: [0; WIDTH] }
    }
}

/// One layer's place in the artifact and its arithmetic.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LayerShape {
    /// Input width.
    pub inputs: usize,
    /// Output width.
    pub outputs: usize,
    /// True with ReLU: output zero point [`RELU_ZERO_POINT`]; false: 0.
    pub relu: bool,
    /// m / 2ⁿ, exact.
    pub multiplier: f32,
    /// Place of its first weights in [`Arranged::weights`].
    weights_from: usize,
    /// Place of its first biases in [`Arranged::biases`].
    biases_from: usize,
    /// Offset of the biases in the artifact, bytes; the weights follow them.
    offset: usize,
}

impl LayerShape {
    fn weights_at(&self) -> usize {
        self.offset + 4 * self.outputs
    }

    fn end(&self) -> usize {
        self.weights_at() + self.outputs * self.inputs
    }

    /// Pairs of inputs; the last one may be half empty.
    fn pairs(&self) -> usize {
        self.inputs.div_ceil(2)
    }
}

/// A network of the artifact form `int8`, checked once and then total. `B` holds the artifact's bytes: borrowed
/// (`&[u8]`) or owned (`Vec<u8>`, `Box<[u8]>`).
#[derive(Clone, Debug)]
pub struct Int8Network<B> {
    bytes: B,
    layers: [LayerShape; LAYERS],
    layer_count: usize,
    latent_layer: usize,
    arranged: Arranged,
}

/// Weights and biases of all layers as the multiplication wants them: pairs of inputs by eight outputs.
///
/// One vector holds the weights of two neighbouring inputs for four outputs, so that one multiply-and-add instruction
/// (`pmaddwd` on x86-64, two on aarch64) makes eight products; what is missing to a full group is 0.
#[derive(Clone, Debug, Default)]
struct Arranged {
    weights: Vec<i16x8>,
    biases: Vec<i32x4>,
}

impl<B: AsRef<[u8]>> Int8Network<B> {
    /// Reads and checks an artifact.
    ///
    /// # Errors
    /// The first thing that the module's table does not allow, with its place.
    pub fn parse(bytes: B) -> Result<Self, NetworkError> {
        let (mut layers, layer_count, latent_layer) = parse_layers(bytes.as_ref())?;
        let mut arranged = Arranged::default();
        for layer in layers.iter_mut().take(layer_count) {
            (layer.weights_from, layer.biases_from) = (arranged.weights.len(), arranged.biases.len());
            arranged.push(bytes.as_ref(), layer);
        }
        Ok(Self { bytes, layers, layer_count, latent_layer, arranged })
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[LayerShape] {
        self.layers.get(..self.layer_count).unwrap_or(&[])
    }

    /// Width of the latent layer, 1 to [`LATENT`].
    pub fn latent_width(&self) -> usize {
        self.layers().get(self.latent_layer).map_or(0, |layer| layer.outputs)
    }

    /// Index of the layer whose output is the latent one.
    pub fn latent_layer(&self) -> usize {
        self.latent_layer
    }

    /// The artifact's bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// Runs one row. Time is a function of the widths alone.
    pub fn run(&self, input: &[i8; FEATURES], scratch: &mut Scratch, out: &mut Inference) {
        for (slot, value) in scratch.activations.iter_mut().zip(input) {
            *slot = i16::from(*value);
        }
        for (index, layer) in self.layers().iter().enumerate() {
            accumulate(&self.arranged, layer, scratch);
            requantize(layer, scratch);
            if index == self.latent_layer {
                out.latent = [0; LATENT];
                out.latent_width = layer.outputs.min(LATENT) as u8;
                write_raw(layer, scratch, &mut out.latent);
            }
            if index + 1 == self.layer_count {
                write_raw(layer, scratch, &mut out.reconstruction);
            }
        }
    }
}

impl Arranged {
    /// Appends a layer.
    fn push(&mut self, bytes: &[u8], layer: &LayerShape) {
        let biases = bytes.get(layer.offset..layer.weights_at()).unwrap_or(&[]).as_chunks::<4>().0;
        let weights = bytes.get(layer.weights_at()..layer.end()).unwrap_or(&[]);
        let weight = |output: usize, input: usize| {
            let held = output < layer.outputs && input < layer.inputs;
            let weight = if held { weights.get(output * layer.inputs + input) } else { None };
            weight.map_or(0, |weight| i16::from(weight.cast_signed()))
        };
        for first in (0..layer.outputs).step_by(LANES) {
            for half in [first, first + 4] {
                let bias = |lane: usize| biases.get(half + lane).map_or(0, |bias| i32::from_le_bytes(*bias));
                self.biases.push(i32x4::new(core::array::from_fn(bias)));
            }
            for input in (0..layer.inputs).step_by(2) {
                for half in [first, first + 4] {
                    let lanes = core::array::from_fn(|lane| weight(half + lane / 2, input + lane % 2));
                    self.weights.push(i16x8::new(lanes));
                }
            }
        }
    }
}

/// `sums = weights · activations + bias`. [`BIAS_LIMIT`] and [`WIDTH`] leave no overflow. An activation behind the
/// layer's inputs meets a weight of 0.
fn accumulate(arranged: &Arranged, layer: &LayerShape, scratch: &mut Scratch) {
    let weights = arranged.weights.get(layer.weights_from..).unwrap_or(&[]);
    let biases = arranged.biases.get(layer.biases_from..).unwrap_or(&[]).as_chunks::<2>().0;
    let pairs = scratch.activations.as_chunks::<2>().0.get(..layer.pairs()).unwrap_or(&[]);
    let groups = weights.chunks_exact((2 * pairs.len()).max(1)).zip(biases);
    let sums = scratch.sums.as_chunks_mut::<LANES>().0.iter_mut().take(layer.outputs.div_ceil(LANES));
    for ((group, [low, high]), sums) in groups.zip(sums) {
        let (mut low, mut high) = (*low, *high);
        for ([low_weights, high_weights], pair) in group.as_chunks::<2>().0.iter().zip(pairs) {
            let values: i16x8 = bytemuck::cast(i32x4::splat(bytemuck::cast(*pair)));
            low += low_weights.dot(values);
            high += high_weights.dot(values);
        }
        let (low, high) = (low.to_array(), high.to_array());
        *sums = [low[0], low[1], low[2], low[3], high[0], high[1], high[2], high[3]];
    }
}

/// `activations = clamp(round_half_even(sums · multiplier))`, less the output's zero point.
fn requantize(layer: &LayerShape, scratch: &mut Scratch) {
    // Adding 1.5·2²³ leaves no fraction bits, so the addition rounds half to even (IEEE 754 §4.3.1), and the integer
    // stands in the low bits of the sum.
    const ROUNDER: f32 = 12_582_912.0;
    let (low, high) = if layer.relu { (0.0, 255.0) } else { (-128.0, 127.0) };
    let sums = scratch.sums.get(..layer.outputs).unwrap_or(&[]);
    for (sum, value) in sums.iter().zip(&mut scratch.activations) {
        // No NaN comes here: plain comparisons are one vector instruction each, `clamp` is not.
        let scaled = *sum as f32 * layer.multiplier;
        let scaled = if scaled > low { scaled } else { low };
        let scaled = if scaled < high { scaled } else { high };
        *value = (scaled + ROUNDER).to_bits() as i16;
    }
}

/// Activations → int8 as ONNX has them, zero point added.
fn write_raw(layer: &LayerShape, scratch: &Scratch, out: &mut [i8]) {
    let zero_point = if layer.relu { i16::from(RELU_ZERO_POINT) } else { 0 };
    let values = scratch.activations.get(..layer.outputs).unwrap_or(&[]);
    for (value, raw) in values.iter().zip(out) {
        *raw = value.wrapping_add(zero_point) as i8;
    }
}

type Layers = ([LayerShape; LAYERS], usize, usize);

fn parse_layers(bytes: &[u8]) -> Result<Layers, NetworkError> {
    let [m0, m1, m2, m3, count, latent, width_low, width_high] = *take::<HEADER_BYTES>(bytes, 0)?;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(NetworkError::Magic { found: [m0, m1, m2, m3] });
    }
    let (layer_count, latent_layer) = (usize::from(count), usize::from(latent));
    let input_width = u16::from_le_bytes([width_low, width_high]);
    if !(1..=LAYERS).contains(&layer_count) {
        return Err(NetworkError::LayerCount { found: count });
    }
    if usize::from(input_width) != FEATURES {
        return Err(NetworkError::InputWidth { found: input_width });
    }
    let mut layers = [LayerShape::default(); LAYERS];
    let mut inputs = FEATURES;
    let mut offset = HEADER_BYTES;
    for (index, slot) in layers.iter_mut().enumerate().take(layer_count) {
        let layer = parse_layer(bytes, offset, index, inputs)?;
        inputs = layer.outputs;
        offset = layer.end();
        *slot = layer;
    }
    if bytes.len() != offset {
        return Err(NetworkError::Trailing { expected: offset, found: bytes.len() });
    }
    check_ends(layers.get(..layer_count).unwrap_or(&[]), latent_layer)?;
    Ok((layers, layer_count, latent_layer))
}

fn parse_layer(bytes: &[u8], offset: usize, index: usize, inputs: usize) -> Result<LayerShape, NetworkError> {
    let [out_low, out_high, relu, shift, m_low, m_high] = *take::<LAYER_HEADER_BYTES>(bytes, offset)?;
    let outputs = u16::from_le_bytes([out_low, out_high]);
    let multiplier = u16::from_le_bytes([m_low, m_high]);
    if !(1..=WIDTH).contains(&usize::from(outputs)) {
        return Err(NetworkError::LayerWidth { layer: index, found: outputs });
    }
    if relu > 1 {
        return Err(NetworkError::ReluFlag { layer: index, found: relu });
    }
    if shift > SHIFT_LIMIT {
        return Err(NetworkError::Shift { layer: index, found: shift });
    }
    if !(1..=MULTIPLIER_LIMIT).contains(&multiplier) {
        return Err(NetworkError::Multiplier { layer: index, found: multiplier });
    }
    let layer = LayerShape {
        inputs,
        outputs: usize::from(outputs),
        relu: relu == 1,
        multiplier: f32::from(multiplier) / (1_u32 << shift) as f32,
        weights_from: 0,
        biases_from: 0,
        offset: offset + LAYER_HEADER_BYTES,
    };
    let body = bytes.get(layer.offset..layer.end());
    let body = body.ok_or(NetworkError::Truncated { expected: layer.end(), found: bytes.len() })?;
    let biases = body.get(..4 * layer.outputs).unwrap_or(&[]).as_chunks::<4>().0;
    for (output, bias) in biases.iter().enumerate() {
        let bias = i32::from_le_bytes(*bias);
        if !(-BIAS_LIMIT..=BIAS_LIMIT).contains(&bias) {
            return Err(NetworkError::Bias { layer: index, output, found: bias });
        }
    }
    Ok(layer)
}

fn check_ends(layers: &[LayerShape], latent_layer: usize) -> Result<(), NetworkError> {
    let latent = layers.get(latent_layer);
    let latent = latent.ok_or(NetworkError::LatentLayer { found: latent_layer, layers: layers.len() })?;
    if latent.outputs > LATENT {
        return Err(NetworkError::LatentWidth { found: latent.outputs });
    }
    match layers.last() {
        Some(last) if last.outputs != FEATURES => Err(NetworkError::OutputWidth { found: last.outputs }),
        Some(last) if last.relu => Err(NetworkError::OutputRelu),
        _ => Ok(()),
    }
}

fn take<const N: usize>(bytes: &[u8], offset: usize) -> Result<&[u8; N], NetworkError> {
    let rest = bytes.get(offset..).unwrap_or(&[]);
    rest.first_chunk().ok_or(NetworkError::Truncated { expected: offset + N, found: bytes.len() })
}

#[cfg(test)]
mod tests;
