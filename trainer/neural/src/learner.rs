//! Weights under training: dense layers and batch normalization as they are learnt, and their gradients.

use crate::network::FloatNetwork;
use crate::shape::{LayerShape, NetworkShape};
use fastrand::Rng;

/// Added to a variance before its root is taken (Ioffe & Szegedy 2015).
pub(crate) const NORM_EPSILON: f32 = 1e-5;
/// Share of the running averages that each batch replaces.
const NORM_UPDATE: f32 = 0.1;

/// Batch normalization of one layer: `gain · (s − mean) / √(variance + ε) + shift`, one of each an output.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Norm {
    pub(crate) gain: Vec<f32>,
    pub(crate) shift: Vec<f32>,
    /// Running averages over batches.
    pub(crate) mean: Vec<f32>,
    pub(crate) variance: Vec<f32>,
}

/// What is learnt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weights {
    pub(crate) shape: NetworkShape,
    /// Dense layers, not folded.
    pub(crate) network: FloatNetwork,
    /// One a layer; nothing where the layer is not normalized.
    pub(crate) norms: Vec<Option<Norm>>,
}

impl Weights {
    pub(crate) fn random(shape: &NetworkShape, rng: &mut Rng) -> Self {
        Self::new(shape, FloatNetwork::random(shape, rng))
    }

    /// Goes on from given dense weights; normalization starts as identity.
    pub(crate) fn new(shape: &NetworkShape, network: FloatNetwork) -> Self {
        let norm = |layer: &LayerShape| {
            let all = |value: f32| vec![value; layer.outputs];
            layer.batch_norm.then(|| Norm { gain: all(1.0), shift: all(0.0), mean: all(0.0), variance: all(1.0) })
        };
        Self { shape: shape.clone(), network, norms: shape.layers.iter().map(norm).collect() }
    }

    /// The same function in plain layers, as it is after training.
    pub(crate) fn folded(&self) -> FloatNetwork {
        let mut network = self.network.clone();
        for (layer, norm) in network.layers.iter_mut().zip(&self.norms) {
            let Some(norm) = norm else { continue };
            let inputs = layer.inputs();
            for output in 0..layer.outputs() {
                let factor = norm.gain[output] / (norm.variance[output] + NORM_EPSILON).sqrt();
                layer.weights[output * inputs..][..inputs].iter_mut().for_each(|weight| *weight *= factor);
                layer.biases[output] = (layer.biases[output] - norm.mean[output]) * factor + norm.shift[output];
            }
        }
        network
    }

    /// Takes up what a batch's values were before normalization.
    pub(crate) fn observe(&mut self, gradients: &Gradients) {
        for (norm, layer) in self.norms.iter_mut().zip(&gradients.layers) {
            let (Some(norm), Some(batch)) = (norm, &layer.norm) else { continue };
            let blend = |kept: &mut [f32], seen: &[f32]| {
                kept.iter_mut().zip(seen).for_each(|(kept, seen)| *kept += NORM_UPDATE * (seen - *kept));
            };
            blend(&mut norm.mean, &batch.mean);
            blend(&mut norm.variance, &batch.variance);
        }
    }

    /// Every group of parameters with the gradient of the same place, in one fixed order.
    pub(crate) fn with_gradients<'a>(&'a mut self, of: &'a Gradients) -> Vec<(&'a mut [f32], &'a [f32])> {
        let mut pairs: Vec<(&mut [f32], &[f32])> = Vec::new();
        for ((layer, norm), gradient) in self.network.layers.iter_mut().zip(&mut self.norms).zip(&of.layers) {
            pairs.push((&mut layer.weights, &gradient.weights));
            pairs.push((&mut layer.biases, &gradient.biases));
            if let (Some(norm), Some(gradient)) = (norm, &gradient.norm) {
                pairs.push((&mut norm.gain, &gradient.gain));
                pairs.push((&mut norm.shift, &gradient.shift));
            }
        }
        pairs
    }
}

/// Derivatives of a batch's loss.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gradients {
    /// First to last.
    pub(crate) layers: Vec<LayerGradient>,
    /// The batch's loss.
    pub(crate) loss: f64,
}

/// Derivatives by one layer's parameters, and what K-FAC needs to know of the batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LayerGradient {
    /// As [`crate::FloatLayer::weights`].
    pub(crate) weights: Vec<f32>,
    pub(crate) biases: Vec<f32>,
    pub(crate) norm: Option<NormGradient>,
    /// Only where asked.
    pub(crate) seen: Option<Seen>,
}

/// Derivatives by batch normalization's parameters, and the batch's own mean and variance.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct NormGradient {
    pub(crate) gain: Vec<f32>,
    pub(crate) shift: Vec<f32>,
    pub(crate) mean: Vec<f32>,
    pub(crate) variance: Vec<f32>,
}

/// One dense layer's side of a batch, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    /// Rows × inputs: what came in.
    pub(crate) input: Vec<f32>,
    /// Rows × outputs: derivative of the loss by the dense layer's output.
    pub(crate) slope: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_keeps_the_function() {
        let mut rng = Rng::with_seed(2);
        let shape = NetworkShape::residual(3, 4, 1, 0.0);
        let mut weights = Weights::random(&shape, &mut rng);
        let norm = Norm {
            gain: vec![2.0, -1.0, 0.5, 1.0],
            shift: vec![0.1, 0.2, 0.3, 0.4],
            mean: vec![1.0, 0.0, -1.0, 0.5],
            variance: vec![4.0, 1.0, 0.25, 9.0],
        };
        weights.norms[0] = Some(norm.clone());
        let input = [0.3, -0.7, 1.1];
        let dense = weights.network.layers[0].clone();
        let plain = crate::FloatLayer { relu: false, ..dense }.forward(&input, None);
        let folded = weights.folded().layers[0].forward(&input, None);
        for output in 0..4 {
            let scaled = (plain[output] - norm.mean[output]) / (norm.variance[output] + NORM_EPSILON).sqrt();
            let expected = (scaled * norm.gain[output] + norm.shift[output]).max(0.0);
            assert!((folded[output] - expected).abs() < 1e-5, "{output}: {} {expected}", folded[output]);
        }
    }
}
