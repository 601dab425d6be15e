//! f32 autoencoder → int8 network: one scale per tensor, ranges from a calibration set.
//!
//! Every activation quantum is a power of two: a layer's outputs may be scaled freely against the next layer's weights
//! (`equalize::scale_outputs`), so no bit of range is lost. The weight quantum then follows from the layer's
//! multiplier m / 2¹⁶, the smallest whose 127 quanta cover the weights; at most 1 / m of the range is lost.
//!
//! Biases are corrected for the mean error that rounding the weights causes on the calibration set (Nagel et al. 2019,
//! §4.2, with measured means), layer by layer, on the integers that the engine will see.

use super::equalize;
use super::network::{QuantizedLayer, QuantizedNetwork};
use crate::train::network::{FloatLayer, FloatNetwork, GatewayNetwork};
use lapwing_shared::verdict::network::{BIAS_LIMIT, MULTIPLIER_LIMIT, NetworkError, SHIFT_LIMIT};
use lapwing_shared::verdict::scaling::QuantizedInput;
use lapwing_tables::stats::nearest_quantile;
use serde::{Deserialize, Serialize};

/// Input and reconstruction have 2⁻⁵ = 1/32 unit per quantum ([`lapwing_shared::verdict::scaling::INPUT_QUANTA_PER_UNIT`]).
pub(crate) const EDGE_EXPONENT: i32 = -5;
/// Hidden activations have 2⁻⁶ per quantum; any other power of two works as well.
const HIDDEN_EXPONENT: i32 = -6;
const WEIGHT_LIMIT: f32 = 127.0;
/// Quanta between a hidden activation's extremes.
const RELU_QUANTA: f32 = 255.0;
const LINEAR_QUANTA: f32 = 127.0;

/// Steps of quantization; steps are disabled only to measure their effect.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct QuantizeConfig {
    pub(crate) equalize: bool,
    pub(crate) correct_bias: bool,
    /// Share of calibration activations within the range of a hidden layer; the rest saturate.
    pub(crate) range_share: f64,
    /// Maximum number of calibration rows, evenly spread over the given ones.
    pub rows: usize,
}

impl Default for QuantizeConfig {
    fn default() -> Self {
        Self { equalize: true, correct_bias: true, range_share: 0.9999, rows: 4_096 }
    }
}

/// Why a network cannot be quantized.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum QuantizeError {
    /// The weights are invalid.
    #[error("invalid weights: layer widths that no engine accepts, or a value that is not finite")]
    Network,
    /// Its own engine rejects the int8 artifact.
    #[error("int8 artifact: {0}")]
    Artifact(#[from] NetworkError),
    #[error("no calibration rows, expected at least one")]
    Rows,
    /// A layer's numbers do not fit the encoding.
    #[error("layer {layer} does not fit int8: {what}")]
    Layer {
        /// Layer, from 0.
        layer: usize,
        /// What does not fit.
        what: String,
    },
}

/// Quantizes a network; `rows` is the calibration set. Use training rows, because validation rows must stay unseen.
///
/// # Errors
/// [`QuantizeError`].
pub fn quantize(
    network: &FloatNetwork,
    rows: &[QuantizedInput],
    config: &QuantizeConfig,
) -> Result<QuantizedNetwork, QuantizeError> {
    if !network.fits_gateway() {
        return Err(QuantizeError::Network);
    }
    if rows.is_empty() {
        return Err(QuantizeError::Rows);
    }
    let rows: Vec<QuantizedInput> = rows.iter().step_by(rows.len().div_ceil(config.rows.max(1))).copied().collect();
    let mut network = network.clone();
    if config.equalize {
        equalize::equalize(&mut network);
    }
    fit_ranges(&mut network, &rows, config.range_share);
    let last = network.layers.len() - 1;
    let mut values: Vec<Vec<i32>> =
        rows.iter().map(|row| row.iter().map(|value| i32::from(*value)).collect()).collect();
    let mut exact: Vec<Vec<f32>> =
        rows.iter().map(|row| row.iter().map(|value| f32::from(*value) / 32.0).collect()).collect();
    let (mut layers, mut input_exponent) = (Vec::new(), EDGE_EXPONENT);
    for (index, layer) in network.layers.iter().enumerate() {
        let output_exponent = if index == last { EDGE_EXPONENT } else { HIDDEN_EXPONENT };
        let mut quantized = quantize_layer(index, layer, input_exponent, output_exponent)?;
        if config.correct_bias {
            correct_biases(layer, &mut quantized, &exact, &values, input_exponent);
        }
        exact = exact.iter().map(|value| layer.forward(value, None)).collect();
        values = values.iter().map(|value| forward(&quantized, value)).collect();
        layers.push(quantized);
        input_exponent = output_exponent;
    }
    Ok(QuantizedNetwork { layers, latent_layer: network.latent_layer, input_exponent: EDGE_EXPONENT })
}

/// Scales every hidden layer so that its range on the calibration set fills the quanta.
fn fit_ranges(network: &mut FloatNetwork, rows: &[QuantizedInput], share: f64) {
    let all: Vec<Vec<Vec<f32>>> = rows.iter().map(|row| network.activations_of(row)).collect();
    for index in 0..network.layers.len().saturating_sub(1) {
        let mut magnitudes: Vec<f32> = all.iter().flat_map(|row| &row[index]).map(|value| value.abs()).collect();
        magnitudes.sort_unstable_by(f32::total_cmp);
        let quanta = if network.layers[index].relu { RELU_QUANTA } else { LINEAR_QUANTA };
        let range = nearest_quantile(&magnitudes, share.clamp(0.0, 1.0)).unwrap_or_default();
        if range > 0.0 {
            equalize::scale_outputs(network, index, quanta * 2_f32.powi(HIDDEN_EXPONENT) / range);
        }
    }
}

/// Quantizes a layer; `input` and `output` are the exponents of its input and output quantum.
fn quantize_layer(index: usize, layer: &FloatLayer, input: i32, output: i32) -> Result<QuantizedLayer, QuantizeError> {
    let range = layer.weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
    // m / 2ⁿ = s_in · s_weight / s_out.
    let one = f64::from(1_u32 << SHIFT_LIMIT);
    let multiplier = (f64::from(range / WEIGHT_LIMIT) * 2_f64.powi(input - output) * one).ceil().max(1.0);
    if multiplier > f64::from(MULTIPLIER_LIMIT) {
        return Err(QuantizeError::Layer { layer: index, what: format!("weights up to {range}") });
    }
    let weight_quantum = (multiplier / one * 2_f64.powi(output - input)) as f32;
    let sum_quantum = weight_quantum * 2_f32.powi(input);
    let quantize = |weight: &f32| (weight / weight_quantum).round_ties_even().clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT) as i8;
    let biases = layer.biases.iter().map(|bias| bias_quanta(*bias, sum_quantum));
    Ok(QuantizedLayer {
        weights: layer.weights.iter().map(quantize).collect(),
        biases: biases.collect(),
        relu: layer.relu,
        multiplier: multiplier as u16,
        shift: SHIFT_LIMIT,
        output_exponent: output,
    })
}

/// Clamping is harmless: a bias beyond the limit saturates the output anyway.
fn bias_quanta(bias: f32, sum_quantum: f32) -> i32 {
    let limit = BIAS_LIMIT as f32;
    (bias / sum_quantum).round_ties_even().clamp(-limit, limit) as i32
}

/// Adds the mean error of the sums on the calibration set to every bias.
fn correct_biases(
    layer: &FloatLayer,
    quantized: &mut QuantizedLayer,
    exact: &[Vec<f32>],
    values: &[Vec<i32>],
    input_exponent: i32,
) {
    let multiplier = f64::from(quantized.multiplier) / f64::from(1_u32 << quantized.shift);
    let sum_quantum = multiplier * 2_f64.powi(quantized.output_exponent);
    let exact_means = means(exact.iter().map(|row| row.iter().map(|value| f64::from(*value))), layer.inputs());
    let quantum = 2_f64.powi(input_exponent);
    let value_means =
        means(values.iter().map(|row| row.iter().map(|value| f64::from(*value) * quantum)), layer.inputs());
    let rows = layer.weights.chunks_exact(layer.inputs()).zip(quantized.weights.chunks_exact(layer.inputs()));
    for ((weights, quanta), bias) in rows.zip(&mut quantized.biases) {
        let expected: f64 = weights.iter().zip(&exact_means).map(|(weight, mean)| f64::from(*weight) * mean).sum();
        let weight_quantum = sum_quantum / quantum;
        let actual: f64 =
            quanta.iter().zip(&value_means).map(|(weight, mean)| f64::from(*weight) * weight_quantum * mean).sum();
        let correction = ((expected - actual) / sum_quantum).round() as i64;
        let limit = i64::from(BIAS_LIMIT);
        *bias = (i64::from(*bias) + correction).clamp(-limit, limit) as i32;
    }
}

/// Mean of each of `width` columns.
fn means(rows: impl Iterator<Item = impl Iterator<Item = f64>>, width: usize) -> Vec<f64> {
    let (mut sums, mut count) = (vec![0.0; width], 0_u32);
    for row in rows {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        count += 1;
    }
    sums.iter().map(|sum| sum / f64::from(count.max(1))).collect()
}

/// One layer in integers, on values minus their zero point. Used for bias correction only; agents run the engine in
/// `shared`.
fn forward(layer: &QuantizedLayer, input: &[i32]) -> Vec<i32> {
    let multiplier = f64::from(layer.multiplier) / f64::from(1_u32 << layer.shift);
    let rows = layer.weights.chunks_exact(input.len()).zip(&layer.biases);
    let (low, high) = if layer.relu { (0.0, 255.0) } else { (-128.0, 127.0) };
    let output = |(row, bias): (&[i8], &i32)| {
        let sum: i32 = row.iter().zip(input).map(|(weight, value)| i32::from(*weight) * value).sum();
        (f64::from(sum + bias) * multiplier).round_ties_even().clamp(low, high) as i32
    };
    rows.map(output).collect()
}
