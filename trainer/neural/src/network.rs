//! A trained network in plain `f32`: what is saved and what predicts, without any tensor library.
//!
//! A layer is `y = max(0, W·x + b + a)`: `a` is an earlier layer's output where the layer adds one, and `max` is left
//! out where it is linear. W is output × input, one output after the other. Batch normalization is folded into W and b,
//! dropout is gone. The last layer of a classifier gives logits.

use crate::shape::NetworkShape;
use fastrand::Rng;
use lapwing_tables::Matrix;
use nalgebra::{DMatrix, DMatrixView};
use serde::{Deserialize, Serialize};

/// Rows that go through the layers together; bounds memory.
const CHUNK_ROWS: usize = 1024;

/// One fully connected layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FloatLayer {
    /// Output × input weights.
    pub weights: Vec<f32>,
    /// One bias an output.
    pub biases: Vec<f32>,
    /// The earlier layer whose output is added before ReLU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add: Option<usize>,
    /// True with ReLU.
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

    /// The layer's output for one input, ReLU applied; `added` is the output of the layer named by [`Self::add`].
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

    /// Rows as columns: input × rows gives output × rows.
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
    /// Index of the layer whose output is the latent one.
    pub latent_layer: usize,
}

impl FloatNetwork {
    /// Weights drawn for the shape (He et al. 2015, "Delving Deep into Rectifiers": uniform of variance 2 / inputs with
    /// ReLU, 1 / inputs without), layer after layer; biases 0.
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

    /// Values that go in; 0 without layers.
    pub fn inputs(&self) -> usize {
        self.layers.first().map_or(0, FloatLayer::inputs)
    }

    /// Values that come out; 0 without layers.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, FloatLayer::outputs)
    }

    /// Number of weights and biases.
    pub fn parameters(&self) -> usize {
        self.layers.iter().map(|layer| layer.weights.len() + layer.biases.len()).sum()
    }

    /// True when the widths form a chain from `inputs` values on, additions meet, and every number is finite. Whoever
    /// reads a network from a file asks this before anything else.
    pub fn is_valid(&self, inputs: usize) -> bool {
        let mut width = inputs;
        let chained = self.layers.iter().enumerate().all(|(index, layer)| {
            let fits = layer.outputs() >= 1 && layer.weights.len() == width * layer.outputs();
            let adds = layer.add.is_none_or(|from| from < index && self.layers[from].outputs() == layer.outputs());
            width = layer.outputs();
            fits && adds && layer.weights.iter().chain(&layer.biases).all(|value| value.is_finite())
        });
        chained && inputs >= 1 && self.latent_layer < self.layers.len()
    }

    /// Every layer's output for one input, first to last.
    pub fn activations(&self, input: &[f32]) -> Vec<Vec<f32>> {
        let mut outputs: Vec<Vec<f32>> = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let added = layer.add.and_then(|from| outputs.get(from)).map(Vec::as_slice);
            let output = layer.forward(outputs.last().map_or(input, Vec::as_slice), added);
            outputs.push(output);
        }
        outputs
    }

    /// The last layer's output for every row: rows × outputs.
    ///
    /// # Panics
    /// When the rows are not as wide as the network's input: a mistake of the program, never of input.
    pub fn outputs_of(&self, rows: &Matrix) -> Matrix {
        self.layer_of(rows, self.layers.len().saturating_sub(1))
    }

    /// The latent layer's output for every row: rows × latent values; panics as [`Self::outputs_of`] does.
    pub fn latent_of(&self, rows: &Matrix) -> Matrix {
        self.layer_of(rows, self.latent_layer)
    }

    fn layer_of(&self, rows: &Matrix, last: usize) -> Matrix {
        assert_eq!(rows.columns(), self.inputs(), "columns of the rows against inputs of the network");
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
pub fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// Logits in place into shares that add up to 1.
pub fn softmax(logits: &mut [f32]) {
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
    fn many_rows_at_once_give_what_each_gives_alone() {
        let mut rng = Rng::with_seed(3);
        let network = FloatNetwork::random(&NetworkShape::residual(7, 12, 3, 0.0), &mut rng);
        let rows = rows(CHUNK_ROWS + 5, 7, &mut rng);
        let together = network.outputs_of(&rows);
        let latent = network.latent_of(&rows);
        assert_eq!((together.rows(), together.columns(), latent.columns()), (CHUNK_ROWS + 5, 3, 6));
        for (index, row) in rows.iter().enumerate() {
            let alone = network.activations(row);
            let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
            assert!(near(together.row(index), &alone[4]) && near(latent.row(index), &alone[3]), "row {index}");
        }
    }

    #[test]
    fn a_layer_adds_the_output_it_names() {
        let one = |weight: f32, add, relu| FloatLayer { weights: vec![weight], biases: vec![1.0], add, relu };
        let layers = vec![one(2.0, None, true), one(-3.0, None, false), one(1.0, Some(0), true)];
        let network = FloatNetwork { layers, latent_layer: 0 };
        // 2·5 + 1 = 11; −3·11 + 1 = −32; −32 + 1 + 11 = −20 → 0.
        assert_eq!(network.activations(&[5.0]), [[11.0], [-32.0], [0.0]]);
    }

    #[test]
    fn networks_with_holes_or_nonsense_in_them_are_told() {
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
