//! Quantized row → reconstruction and latent layer: the `int8` engine. No `unsafe`, no panics, and no allocation after
//! the artifact is parsed.
//!
//! A network is a chain of fully connected layers, each an ONNX QLinearConv with a 1×1 kernel, int8 activations, int8
//! weights (zero point 0), int32 bias and one scale per tensor. With `x` the layer's input minus its zero point, a
//! layer computes
//!
//! ```text
//! acc = Σ weight·x + bias                      exact, 32 bits
//! y   = round_half_even(acc · m / 2ⁿ)          exact before rounding, see below
//! y   = clamp(y, −128, 127)                    linear layer, zero point 0
//! y   = clamp(y, 0, 255), written as y − 128   layer with ReLU, zero point −128
//! ```
//!
//! **Why the result is the same everywhere.** n ≤ 16, so every product |acc·m| that does not saturate is below
//! 2⁸⁺¹⁶ = 2²⁴ and `acc·m/2ⁿ` is an exact `f32`; saturated values stay saturated after rounding. onnxruntime multiplies
//! in `f32`, tract in 64-bit fixed point, this engine in `f32`; all three round the same exact value half to even, so
//! they agree on every processor.
//!
//! **Artifact** (little endian):
//!
//! | bytes | content |
//! |---|---|
//! | 4 | `LWN1` |
//! | 1 | number of layers, 1 to [`LAYERS`] |
//! | 1 | index of the latent layer |
//! | 2 | input width, [`FEATURES`] |
//! | 2, 1, 1, 2 | layer: output width (1 to [`WIDTH`]), ReLU flag, n (0 to 16), m (1 to 32767) |
//! | 4 · out | layer: biases, int32, within ±[`BIAS_LIMIT`] |
//! | out · in | layer: weights, int8, output by output |
//!
//! The last layer has no ReLU and outputs [`FEATURES`] values with zero point 0, like the input.

mod error;
mod parse;

pub use error::NetworkError;

pub use super::LATENT;

use crate::features::FEATURES;
use crate::lanes::{FOUR, SIXTEEN, nearest, widened};
use alloc::boxed::Box;
use wide::{f32x4, i8x16, i16x8, i32x4};

/// First bytes of an artifact of form `int8`.
pub const MAGIC: [u8; 4] = *b"LWN1";
/// Limit on layers.
pub const LAYERS: usize = 8;
/// Largest layer width.
pub const WIDTH: usize = 256;
/// Largest n of a layer's multiplier m / 2ⁿ.
pub const SHIFT_LIMIT: u8 = 16;
/// Largest m of a layer's multiplier m / 2ⁿ.
pub const MULTIPLIER_LIMIT: u16 = 32_767;
/// Largest magnitude of a bias; a bias plus [`WIDTH`] products then fits 32 bits.
pub const BIAS_LIMIT: i32 = 1 << 24;
/// Zero point of the output of a layer with ReLU.
pub const RELU_ZERO_POINT: i8 = -128;

/// Pairs of inputs fetched at once.
const QUAD: usize = 4;
/// Outputs of one group: two vectors of four sums.
const LANES: usize = 8;
/// Groups computed together: their accumulators, weights and inputs fit the sixteen vector registers of x86-64 and
/// 32-bit ARM, and each pair of inputs is loaded once for all of them.
const GROUPS: usize = 3;

/// Output of an engine for one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inference {
    /// Reconstructed input, in input quanta.
    pub reconstruction: [i8; FEATURES],
    /// Latent layer as in the ONNX output `latent` (zero point included); 0 from `latent_width` on.
    pub latent: [i8; LATENT],
    /// Number of values of `latent` in use.
    pub latent_width: u8,
}

impl Default for Inference {
    fn default() -> Self {
        Self { reconstruction: [0; FEATURES], latent: [0; LATENT], latent_width: 0 }
    }
}

/// Inputs of a layer minus its zero point, −128 to 255, in vectors of eight.
type Activations = [i16x8; WIDTH / LANES];

/// Working memory of [`Int8Network::run`], reusable for any row and network.
#[derive(Clone, Debug)]
pub struct Scratch {
    inputs: Activations,
    outputs: Activations,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { inputs: [i16x8::ZERO; WIDTH / LANES], outputs: [i16x8::ZERO; WIDTH / LANES] }
    }
}

/// Shape, arithmetic and artifact offset of one layer.
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
}

/// A validated `int8` network; running it cannot fail. `B` is the artifact's bytes, borrowed (`&[u8]`) or owned
/// (`Vec<u8>`, `Box<[u8]>`).
#[derive(Clone, Debug)]
pub struct Int8Network<B> {
    bytes: B,
    layers: [LayerShape; LAYERS],
    layer_count: usize,
    latent_layer: usize,
    arranged: Box<[Layer]>,
}

/// `VECTORS` / 2 groups of a layer's outputs: biases, and weights in the order of the multiplication, pair of inputs by
/// pair of inputs, [`QUAD`] pairs together.
///
/// One vector holds the weights of two neighbouring inputs for four outputs, so that one multiply-and-add instruction
/// (`pmaddwd` on x86-64, two on aarch64) makes eight products. Incomplete groups and quads are padded with 0.
#[derive(Clone, Debug)]
struct Block<const VECTORS: usize> {
    biases: [i32x4; VECTORS],
    quads: Box<[[[i16x8; VECTORS]; QUAD]]>,
}

/// One layer, rearranged for the multiplication.
#[derive(Clone, Debug)]
struct Layer {
    /// Blocks of [`GROUPS`] groups.
    wide: Box<[Block<{ 2 * GROUPS }>]>,
    /// The remaining groups.
    narrow: Box<[Block<2>]>,
    /// Lowest and highest output minus its zero point, and the multiplier.
    range: [f32x4; 3],
    zero_point: i16x8,
    /// All bits set in the bytes of [`Inference::latent`] that the layer has outputs for.
    latent_mask: [i8x16; LATENT / SIXTEEN],
}

impl<B: AsRef<[u8]>> Int8Network<B> {
    /// Parses and validates an artifact.
    ///
    /// # Errors
    /// The first violation of the format in the module documentation.
    pub fn parse(bytes: B) -> Result<Self, NetworkError> {
        let (layers, layer_count, latent_layer) = parse::layers(bytes.as_ref())?;
        let arranged = layers.iter().take(layer_count).map(|layer| Layer::new(bytes.as_ref(), layer)).collect();
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

    /// Index of the latent layer.
    pub fn latent_layer(&self) -> usize {
        self.latent_layer
    }

    /// The artifact's bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// Runs one row. The time depends only on the layer widths.
    pub fn run(&self, input: &[i8; FEATURES], scratch: &mut Scratch, out: &mut Inference) {
        out.latent_width = self.latent_width() as u8;
        run_layers(&self.arranged, self.latent_layer, scratch, input, out);
    }
}

impl Layer {
    fn new(bytes: &[u8], layer: &LayerShape) -> Self {
        let groups = layer.outputs.div_ceil(LANES);
        let wide = groups / GROUPS;
        let (low, high) = if layer.relu { (0.0, 255.0) } else { (-128.0, 127.0) };
        let remaining = |first: usize| i8x16::splat(layer.outputs.saturating_sub(first).min(SIXTEEN) as i8);
        Self {
            wide: (0..wide).map(|block| Block::new(bytes, layer, block * GROUPS)).collect(),
            narrow: (wide * GROUPS..groups).map(|group| Block::new(bytes, layer, group)).collect(),
            range: [low, high, layer.multiplier].map(f32x4::splat),
            zero_point: i16x8::splat(if layer.relu { i16::from(RELU_ZERO_POINT) } else { 0 }),
            latent_mask: core::array::from_fn(|number| LANE_INDICES.simd_lt(remaining(number * SIXTEEN))),
        }
    }

    /// `outputs = clamp(round_half_even((weights · inputs + bias) · multiplier))`, minus the output's zero point.
    #[inline(always)]
    fn run(&self, inputs: &Activations, outputs: &mut Activations) {
        let mut chunks = outputs.as_chunks_mut::<GROUPS>().0.iter_mut();
        for (block, outputs) in self.wide.iter().zip(chunks.by_ref()) {
            block.run(&self.range, inputs, outputs);
        }
        let remaining = outputs.iter_mut().skip(self.wide.len() * GROUPS);
        for (block, output) in self.narrow.iter().zip(remaining) {
            block.run(&self.range, inputs, core::array::from_mut(output));
        }
    }

    /// Activations → int8 as in ONNX, zero point added; 0 beyond the layer's outputs.
    #[inline(always)]
    fn write_latent(&self, activations: &Activations, out: &mut [i8; LATENT]) {
        let sixteens = activations.as_chunks::<2>().0.iter().zip(&self.latent_mask);
        for ((halves, mask), raw) in sixteens.zip(out.as_chunks_mut::<SIXTEEN>().0) {
            *raw = (saturated_bytes(halves.map(|half| half + self.zero_point)) & *mask).to_array();
        }
    }
}

impl<const VECTORS: usize> Block<VECTORS> {
    /// The block that starts with this group.
    fn new(bytes: &[u8], layer: &LayerShape, group: usize) -> Self {
        let biases = bytes.get(layer.offset..layer.weights_at()).unwrap_or(&[]).as_chunks::<4>().0;
        let weights = bytes.get(layer.weights_at()..layer.end()).unwrap_or(&[]);
        let bias = |output: usize| biases.get(output).map_or(0, |bias| i32::from_le_bytes(*bias));
        let weight = |output: usize, input: usize| {
            let exists = output < layer.outputs && input < layer.inputs;
            let weight = if exists { weights.get(output * layer.inputs + input) } else { None };
            weight.map_or(0, |weight| i16::from(weight.cast_signed()))
        };
        let output = |vector: usize, lane: usize| group * LANES + vector * FOUR + lane;
        let pair = |input: usize| {
            core::array::from_fn(|vector| {
                i16x8::new(core::array::from_fn(|lane| weight(output(vector, lane / 2), input + lane % 2)))
            })
        };
        Self {
            biases: core::array::from_fn(|vector| i32x4::new(core::array::from_fn(|lane| bias(output(vector, lane))))),
            quads: (0..layer.inputs.div_ceil(2 * QUAD))
                .map(|quad| core::array::from_fn(|number| pair((quad * QUAD + number) * 2)))
                .collect(),
        }
    }

    /// Computes the block's outputs. [`BIAS_LIMIT`] and [`WIDTH`] exclude overflow. Activations beyond the layer's
    /// inputs have weight 0.
    #[inline(always)]
    fn run<const COUNT: usize>(&self, range: &[f32x4; 3], inputs: &Activations, outputs: &mut [i16x8; COUNT]) {
        let mut sums = self.biases;
        for (quad, values) in self.quads.iter().zip(inputs) {
            let pairs: i32x4 = bytemuck::cast(*values);
            for (weights, pair) in quad.iter().zip(pairs.to_array()) {
                let values: i16x8 = bytemuck::cast(i32x4::splat(pair));
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum += weights.dot(values);
                }
            }
        }
        let [low, high, multiplier] = *range;
        let four = |sums| nearest((f32x4::from_i32x4(sums) * multiplier).fast_max(low).fast_min(high));
        for (output, sums) in outputs.iter_mut().zip(sums.as_chunks::<2>().0) {
            *output = i16x8::from_i32x8_saturate(bytemuck::cast(sums.map(four)));
        }
    }
}

const _: () = assert!(FEATURES.is_multiple_of(SIXTEEN) && LATENT.is_multiple_of(SIXTEEN), "outputs in whole sixteens");

/// Two vectors of 16-bit numbers → one of bytes, saturated.
#[inline(always)]
fn saturated_bytes(halves: [i16x8; 2]) -> i8x16 {
    i8x16::from_i16x16_saturate(bytemuck::cast(halves))
}

/// Runs all layers. Separate from the generic [`Int8Network::run`], so that it is compiled in this crate, for speed,
/// and not in a caller optimised for size.
#[inline(never)]
fn run_layers(
    layers: &[Layer],
    latent_layer: usize,
    scratch: &mut Scratch,
    input: &[i8; FEATURES],
    out: &mut Inference,
) {
    let Scratch { inputs, outputs } = scratch;
    let (mut inputs, mut outputs) = (inputs, outputs);
    for (octets, values) in input.as_chunks::<SIXTEEN>().0.iter().zip(inputs.as_chunks_mut::<2>().0) {
        *values = widened(octets);
    }
    for (index, layer) in layers.iter().enumerate() {
        layer.run(inputs, outputs);
        if index == latent_layer {
            layer.write_latent(outputs, &mut out.latent);
        }
        (inputs, outputs) = (outputs, inputs);
    }
    // The last layer's zero point is 0.
    let halves = inputs.as_chunks::<2>().0.iter();
    for (halves, raw) in halves.zip(out.reconstruction.as_chunks_mut::<SIXTEEN>().0) {
        *raw = saturated_bytes(*halves).to_array();
    }
}

/// Index of each of sixteen lanes.
const LANE_INDICES: i8x16 = i8x16::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);

#[cfg(test)]
mod tests;
