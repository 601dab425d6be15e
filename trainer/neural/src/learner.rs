//! Weights under training → the folded network: dense layers and batch normalization, and their gradients.

use crate::network::FloatNetwork;
use crate::shape::{LayerShape, NetworkShape};
use fastrand::Rng;

/// Added to the variance before the square root (Ioffe & Szegedy 2015).
pub(crate) const NORM_EPSILON: f32 = 1e-5;
/// Momentum of the running averages: weight of each new batch.
const NORM_UPDATE: f32 = 0.1;

/// Batch normalization of one layer: `γ · (s − mean) / √(variance + ε) + β`, one of each per output.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Norm {
    pub(crate) gamma: Vec<f32>,
    pub(crate) beta: Vec<f32>,
    /// Running averages over batches.
    pub(crate) mean: Vec<f32>,
    pub(crate) variance: Vec<f32>,
}

/// All parameters of a network under training.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weights {
    pub(crate) shape: NetworkShape,
    /// Dense layers, without folded batch normalization.
    pub(crate) network: FloatNetwork,
    /// One per layer; `None` without batch normalization.
    pub(crate) norms: Vec<Option<Norm>>,
}

impl Weights {
    pub(crate) fn random(shape: &NetworkShape, rng: &mut Rng) -> Self {
        Self::new(shape, FloatNetwork::random(shape, rng))
    }

    /// Starts from the given dense weights; batch normalization starts as identity.
    pub(crate) fn new(shape: &NetworkShape, network: FloatNetwork) -> Self {
        let norm = |layer: &LayerShape| {
            let all = |value: f32| vec![value; layer.outputs];
            layer.batch_norm.then(|| Norm { gamma: all(1.0), beta: all(0.0), mean: all(0.0), variance: all(1.0) })
        };
        Self { shape: shape.clone(), network, norms: shape.layers.iter().map(norm).collect() }
    }

    /// The network for prediction, with batch normalization folded into the dense layers.
    pub(crate) fn folded(&self) -> FloatNetwork {
        let mut network = self.network.clone();
        for (layer, norm) in network.layers.iter_mut().zip(&self.norms) {
            let Some(norm) = norm else { continue };
            let inputs = layer.inputs();
            for output in 0..layer.outputs() {
                let factor = norm.gamma[output] / (norm.variance[output] + NORM_EPSILON).sqrt();
                layer.weights[output * inputs..][..inputs].iter_mut().for_each(|weight| *weight *= factor);
                layer.biases[output] = (layer.biases[output] - norm.mean[output]) * factor + norm.beta[output];
            }
        }
        network
    }

    /// Updates batch normalization's running averages with the batch's mean and variance.
    pub(crate) fn update_running_averages(&mut self, gradients: &Gradients) {
        for (norm, layer) in self.norms.iter_mut().zip(&gradients.layers) {
            let (Some(norm), Some(batch)) = (norm, &layer.norm) else { continue };
            let update = |average: &mut [f32], new: &[f32]| {
                average.iter_mut().zip(new).for_each(|(average, new)| *average += NORM_UPDATE * (new - *average));
            };
            update(&mut norm.mean, &batch.mean);
            update(&mut norm.variance, &batch.variance);
        }
    }

    /// Pairs every group of parameters with its gradient, in a fixed order.
    pub(crate) fn with_gradients<'a>(&'a mut self, gradients: &'a Gradients) -> Vec<(&'a mut [f32], &'a [f32])> {
        let mut pairs: Vec<(&mut [f32], &[f32])> = Vec::new();
        for ((layer, norm), gradient) in self.network.layers.iter_mut().zip(&mut self.norms).zip(&gradients.layers) {
            pairs.push((&mut layer.weights, &gradient.weights));
            pairs.push((&mut layer.biases, &gradient.biases));
            if let (Some(norm), Some(gradient)) = (norm, &gradient.norm) {
                pairs.push((&mut norm.gamma, &gradient.gamma));
                pairs.push((&mut norm.beta, &gradient.beta));
            }
        }
        pairs
    }
}

/// Loss of a batch and its gradient.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gradients {
    /// First to last.
    pub(crate) layers: Vec<LayerGradient>,
    pub(crate) loss: f64,
}

/// Gradient with respect to one layer's parameters, and what K-FAC needs from the batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LayerGradient {
    /// Outputs × inputs, as in [`crate::FloatLayer::weights`].
    pub(crate) weights: Vec<f32>,
    pub(crate) biases: Vec<f32>,
    pub(crate) norm: Option<NormGradient>,
    /// `None` unless requested.
    pub(crate) activations: Option<Activations>,
}

/// Gradient with respect to γ and β, and the batch's own mean and variance.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct NormGradient {
    pub(crate) gamma: Vec<f32>,
    pub(crate) beta: Vec<f32>,
    pub(crate) mean: Vec<f32>,
    pub(crate) variance: Vec<f32>,
}

/// Input of one dense layer for a batch and the loss gradient at its output, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Activations {
    /// Rows × inputs.
    pub(crate) input: Vec<f32>,
    /// Rows × outputs: before batch normalization.
    pub(crate) output_gradient: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_does_not_change_the_output() {
        let mut rng = Rng::with_seed(2);
        let shape = NetworkShape::residual(3, 4, 1, 0.0);
        let mut weights = Weights::random(&shape, &mut rng);
        let norm = Norm {
            gamma: vec![2.0, -1.0, 0.5, 1.0],
            beta: vec![0.1, 0.2, 0.3, 0.4],
            mean: vec![1.0, 0.0, -1.0, 0.5],
            variance: vec![4.0, 1.0, 0.25, 9.0],
        };
        weights.norms[0] = Some(norm.clone());
        let input = [0.3, -0.7, 1.1];
        let dense = weights.network.layers[0].clone();
        let linear = crate::FloatLayer { relu: false, ..dense }.forward(&input, None);
        let folded = weights.folded().layers[0].forward(&input, None);
        for output in 0..4 {
            let normalized = (linear[output] - norm.mean[output]) / (norm.variance[output] + NORM_EPSILON).sqrt();
            let expected = (normalized * norm.gamma[output] + norm.beta[output]).max(0.0);
            assert!((folded[output] - expected).abs() < 1e-5, "{output}: {} {expected}", folded[output]);
        }
    }
}
