//! Input rows → outputs of a trained `f32` network. Networks are saved in this form and predict without a tensor
//! library.
//!
//! A layer is `y = max(0, W·x + b + a)`. `a` is the output of an earlier layer if the layer has a skip connection, and
//! a linear layer omits `max`. W is outputs × inputs, row-major. Batch normalization is folded into W and b. The last
//! layer of a classifier returns logits.

use crate::shape::NetworkShape;
use fastrand::Rng;
use lapwing_tables::Matrix;
use nalgebra::{DMatrix, DMatrixView};
use serde::{Deserialize, Serialize};

/// Rows processed at once, to limit memory.
const CHUNK_ROWS: usize = 1024;

/// One fully connected layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FloatLayer {
    /// Outputs × inputs, row-major.
    pub weights: Vec<f32>,
    /// One per output.
    pub biases: Vec<f32>,
    /// Index of the earlier layer whose output is added before ReLU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add: Option<usize>,
    /// Whether ReLU is applied.
    pub relu: bool,
}

impl FloatLayer {
    /// Output width.
    pub fn outputs(&self) -> usize {
        self.biases.len()
    }

    /// Input width.
    pub fn inputs(&self) -> usize {
        self.weights.len() / self.biases.len().max(1)
    }

    /// The layer's output for one input, after ReLU; `added` is the output of layer [`Self::add`].
    pub fn forward(&self, input: &[f32], added: Option<&[f32]>) -> Vec<f32> {
        let rows = self.weights.chunks_exact(self.inputs().max(1)).zip(&self.biases);
        let sums =
            rows.map(|(row, bias)| row.iter().zip(input).map(|(weight, value)| weight * value).sum::<f32>() + bias);
        let mut sums: Vec<f32> = sums.collect();
        if let Some(added) = added {
            sums.iter_mut().zip(added).for_each(|(sum, value)| *sum += value);
        }
        if self.relu {
            sums.iter_mut().for_each(|sum| *sum = sum.max(0.0));
        }
        sums
    }

    /// Inputs × rows → outputs × rows.
    fn forward_columns(&self, input: &DMatrix<f32>, added: Option<&DMatrix<f32>>) -> DMatrix<f32> {
        let weights = DMatrix::from_row_slice(self.outputs(), self.inputs(), &self.weights);
        let mut sums = weights * input;
        for (column, mut sums) in sums.column_iter_mut().enumerate() {
            sums.iter_mut().zip(&self.biases).for_each(|(sum, bias)| *sum += bias);
            if let Some(added) = added {
                sums += added.column(column);
            }
            if self.relu {
                sums.iter_mut().for_each(|sum| *sum = sum.max(0.0));
            }
        }
        sums
    }
}

/// A chain of layers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FloatNetwork {
    /// First to last.
    pub layers: Vec<FloatLayer>,
    /// Index of the latent layer.
    pub latent_layer: usize,
}

impl FloatNetwork {
    /// Initializes weights layer by layer: uniform with variance 2 / inputs before ReLU and 1 / inputs otherwise (He et
    /// al. 2015, "Delving Deep into Rectifiers"); biases 0.
    pub fn random(shape: &NetworkShape, rng: &mut Rng) -> Self {
        let mut inputs = shape.inputs;
        let layers = shape.layers.iter().map(|layer| {
            let variance = if layer.relu { 2.0 } else { 1.0 } / inputs as f32;
            let limit = (3.0 * variance).sqrt();
            let weights = (0..inputs * layer.outputs).map(|_| (rng.f32() * 2.0 - 1.0) * limit).collect();
            inputs = layer.outputs;
            FloatLayer { weights, biases: vec![0.0; layer.outputs], add: layer.add, relu: layer.relu }
        });
        Self { layers: layers.collect(), latent_layer: shape.latent_layer }
    }

    /// Input width; 0 without layers.
    pub(crate) fn inputs(&self) -> usize {
        self.layers.first().map_or(0, FloatLayer::inputs)
    }

    /// Output width; 0 without layers.
    pub(crate) fn outputs(&self) -> usize {
        self.layers.last().map_or(0, FloatLayer::outputs)
    }

    /// True if the layer widths match from `inputs` on, skip connections join equal widths, and every value is finite.
    /// Check this before using a network read from a file.
    pub fn is_valid(&self, inputs: usize) -> bool {
        let mut width = inputs;
        let layers_fit = self.layers.iter().enumerate().all(|(index, layer)| {
            let fits = layer.outputs() >= 1 && layer.weights.len() == width * layer.outputs();
            let adds = layer.add.is_none_or(|from| from < index && self.layers[from].outputs() == layer.outputs());
            width = layer.outputs();
            fits && adds && layer.weights.iter().chain(&layer.biases).all(|value| value.is_finite())
        });
        layers_fit && inputs >= 1 && self.latent_layer < self.layers.len()
    }

    /// Output of every layer for one input.
    pub fn activations(&self, input: &[f32]) -> Vec<Vec<f32>> {
        let mut outputs: Vec<Vec<f32>> = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let added = layer.add.and_then(|from| outputs.get(from)).map(Vec::as_slice);
            let output = layer.forward(outputs.last().map_or(input, Vec::as_slice), added);
            outputs.push(output);
        }
        outputs
    }

    /// Rows × outputs of the last layer.
    ///
    /// # Panics
    /// If the rows do not have [`Self::inputs`] columns, which is a programming error.
    pub(crate) fn outputs_of(&self, rows: &Matrix) -> Matrix {
        self.layer_of(rows, self.layers.len().saturating_sub(1))
    }

    /// Rows × latent values; panics like [`Self::outputs_of`].
    pub(crate) fn latent_of(&self, rows: &Matrix) -> Matrix {
        self.layer_of(rows, self.latent_layer)
    }

    fn layer_of(&self, rows: &Matrix, last: usize) -> Matrix {
        assert_eq!(rows.columns(), self.inputs(), "columns of the rows, inputs of the network");
        let width = self.layers.get(last).map_or(0, FloatLayer::outputs);
        let mut values = Vec::with_capacity(rows.rows() * width);
        for chunk in rows.values().chunks((CHUNK_ROWS * rows.columns()).max(1)) {
            let input = DMatrixView::from_slice(chunk, rows.columns(), chunk.len() / rows.columns());
            let mut outputs: Vec<DMatrix<f32>> = Vec::with_capacity(last + 1);
            for layer in &self.layers[..=last] {
                let added = layer.add.and_then(|from| outputs.get(from));
                let output = match outputs.last() {
                    Some(previous) => layer.forward_columns(previous, added),
                    None => layer.forward_columns(&input.into_owned(), added),
                };
                outputs.push(output);
            }
            values.extend(outputs.last().into_iter().flat_map(|output| output.iter().copied()));
        }
        Matrix::from_values(width, values).unwrap_or_default()
    }
}

/// 1 / (1 + e^−x).
pub(crate) fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// Turns logits into probabilities, in place.
pub(crate) fn softmax(logits: &mut [f32]) {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    logits.iter_mut().for_each(|logit| *logit = (*logit - highest).exp());
    let sum: f32 = logits.iter().sum();
    logits.iter_mut().for_each(|value| *value /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize, columns: usize, rng: &mut Rng) -> Matrix {
        Matrix::from_values(columns, (0..count * columns).map(|_| rng.f32() * 2.0 - 1.0).collect()).unwrap()
    }

    #[test]
    fn a_batch_gives_the_outputs_of_its_rows() {
        let mut rng = Rng::with_seed(3);
        let network = FloatNetwork::random(&NetworkShape::residual(7, 12, 3, 0.0), &mut rng);
        let rows = rows(CHUNK_ROWS + 5, 7, &mut rng);
        let batch = network.outputs_of(&rows);
        let latent = network.latent_of(&rows);
        assert_eq!((batch.rows(), batch.columns(), latent.columns()), (CHUNK_ROWS + 5, 3, 6));
        for (index, row) in rows.iter().enumerate() {
            let single = network.activations(row);
            let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
            assert!(near(batch.row(index), &single[4]) && near(latent.row(index), &single[3]), "row {index}");
        }
    }

    #[test]
    fn a_skip_connection_adds_the_earlier_output() {
        let one = |weight: f32, add, relu| FloatLayer { weights: vec![weight], biases: vec![1.0], add, relu };
        let layers = vec![one(2.0, None, true), one(-3.0, None, false), one(1.0, Some(0), true)];
        let network = FloatNetwork { layers, latent_layer: 0 };
        // 2·5 + 1 = 11; −3·11 + 1 = −32; −32 + 1 + 11 = −20 → 0.
        assert_eq!(network.activations(&[5.0]), [[11.0], [-32.0], [0.0]]);
    }

    #[test]
    fn malformed_networks_are_invalid() {
        let good = FloatNetwork::random(&NetworkShape::residual(4, 6, 2, 0.0), &mut Rng::with_seed(1));
        assert!(good.is_valid(4) && !good.is_valid(5));
        let with = |change: fn(&mut FloatNetwork)| {
            let mut network = good.clone();
            change(&mut network);
            network.is_valid(4)
        };
        assert!(!with(|network| network.layers[1].weights[3] = f32::NAN));
        assert!(!with(|network| network.layers[1].biases.truncate(2)));
        assert!(!with(|network| network.layers[2].add = Some(2)));
        assert!(!with(|network| network.layers[3].add = Some(0)));
        assert!(!with(|network| network.latent_layer = 5));
    }

    #[test]
    fn softmax_of_large_logits_is_finite() {
        let mut logits = [1000.0, 1000.0, -1000.0];
        softmax(&mut logits);
        assert_eq!(logits, [0.5, 0.5, 0.0]);
        assert_eq!((sigmoid(-1000.0), sigmoid(1000.0)), (0.0, 1.0));
    }
}
