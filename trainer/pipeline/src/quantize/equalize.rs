//! Cross-layer equalisation (Nagel, van Baalen, Blankevoort & Welling 2019, "Data-Free Quantization Through Weight
//! Equalization and Bias Correction", §4.1): weights → weights of similar range that compute the same function.
//!
//! ReLU and the identity commute with a positive factor, so output channel `i` of a layer may be divided by `sᵢ` when
//! input channel `i` of the next layer is multiplied by it. With `sᵢ = √(r¹ᵢ / r²ᵢ)`, `r` the largest magnitude of the
//! channel's weights on either side, both sides get the range √(r¹ᵢ·r²ᵢ). One scale per tensor then suits all channels.

use crate::train::network::{FloatLayer, FloatNetwork};

/// Sweeps over all pairs of layers; the paper's iteration converges within a few.
const SWEEPS: usize = 20;
/// Maximum scaling of a channel in one step, for dead channels.
const FACTOR_LIMIT: f32 = 1e3;

/// Equalises every pair of neighbouring layers. Outputs change only by rounding; hidden activations, including the
/// latent layer, are scaled by a factor per channel.
pub(super) fn equalize(network: &mut FloatNetwork) {
    for _ in 0..SWEEPS {
        for first in 1..network.layers.len() {
            let (before, after) = network.layers.split_at_mut(first);
            if let (Some(left), Some(right)) = (before.last_mut(), after.first_mut()) {
                equalize_pair(left, right);
            }
        }
    }
}

/// Multiplies all outputs of layer `index` by `factor`, and divides the next layer's weights by it.
pub(super) fn scale_outputs(network: &mut FloatNetwork, index: usize, factor: f32) {
    let (before, after) = network.layers.split_at_mut(index + 1);
    if let (Some(left), Some(right)) = (before.last_mut(), after.first_mut()) {
        left.weights.iter_mut().chain(&mut left.biases).for_each(|value| *value *= factor);
        right.weights.iter_mut().for_each(|value| *value /= factor);
    }
}

fn equalize_pair(left: &mut FloatLayer, right: &mut FloatLayer) {
    let (inputs, channels) = (left.inputs(), left.outputs());
    for channel in 0..channels {
        let row = channel * inputs..(channel + 1) * inputs;
        let left_range = range(left.weights[row.clone()].iter());
        let right_range = range(right.weights.iter().skip(channel).step_by(channels));
        if left_range == 0.0 || right_range == 0.0 {
            continue;
        }
        let factor = (left_range / right_range).sqrt().clamp(1.0 / FACTOR_LIMIT, FACTOR_LIMIT);
        left.weights[row].iter_mut().for_each(|weight| *weight /= factor);
        left.biases[channel] /= factor;
        right.weights.iter_mut().skip(channel).step_by(channels).for_each(|weight| *weight *= factor);
    }
}

fn range<'a>(values: impl Iterator<Item = &'a f32>) -> f32 {
    values.fold(0.0, |largest, value| largest.max(value.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::network::GatewayNetwork;
    use fastrand::Rng;
    use lapwing_neural::NetworkShape;
    use lapwing_shared::features::FEATURES;

    #[test]
    fn outputs_are_unchanged_and_channel_ranges_similar() {
        let mut rng = Rng::with_seed(4);
        let mut network = FloatNetwork::random(&NetworkShape::autoencoder(FEATURES, &[24, 8, 24], true), &mut rng);
        for (index, weight) in network.layers[0].weights.iter_mut().enumerate() {
            *weight *= 1.0 + (index / FEATURES) as f32;
        }
        network.layers[0].biases.fill(0.3);
        let mut equal = network.clone();
        equalize(&mut equal);
        scale_outputs(&mut equal, 1, 3.7);
        for _ in 0..20 {
            let input = std::array::from_fn(|_| rng.i8(-127..=127));
            let pairs = network.reconstruct(&input).into_iter().zip(equal.reconstruct(&input));
            pairs.for_each(|(before, after)| assert!((before - after).abs() < 1e-3 * (1.0 + before.abs())));
        }
        let spread = |network: &FloatNetwork| {
            let ranges = network.layers[0].weights.chunks(FEATURES).map(|row| range(row.iter()));
            ranges.clone().fold(0.0, f32::max) / ranges.fold(f32::INFINITY, f32::min)
        };
        assert!(spread(&network) > 20.0 && spread(&equal) < 6.0, "{} to {}", spread(&network), spread(&equal));
    }
}
