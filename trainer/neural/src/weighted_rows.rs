//! Matrix, targets, row weights → the objective of a batch.

use crate::error::NeuralError;
use crate::loss::{BatchTarget, Loss, Objective};
use crate::network::FloatNetwork;
use lapwing_tables::Matrix;

/// Targets of the outputs.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// The row itself: an autoencoder.
    Input,
    /// These values: rows × outputs.
    Values(&'a Matrix),
    /// True or false; one logit.
    Flags(&'a [bool]),
    /// Classes from 0; one logit per class.
    Classes(&'a [u32]),
}

/// Rows with their targets and weights.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Rows<'a> {
    /// Rows × inputs.
    pub input: &'a Matrix,
    pub target: Target<'a>,
    /// Weight of each row in the loss; empty: all 1. Their mean should be near 1, because it scales the learning rate.
    pub(crate) weights: &'a [f32],
}

impl<'a> Rows<'a> {
    /// Rows for an autoencoder.
    pub fn to_reconstruct(input: &'a Matrix) -> Self {
        Self { input, target: Target::Input, weights: &[] }
    }

    /// Rows for a binary classifier.
    pub fn flagged(input: &'a Matrix, flags: &'a [bool]) -> Self {
        Self { input, target: Target::Flags(flags), weights: &[] }
    }

    /// Rows for a multi-class classifier.
    #[cfg(test)]
    pub(crate) fn classified(input: &'a Matrix, classes: &'a [u32]) -> Self {
        Self { input, target: Target::Classes(classes), weights: &[] }
    }

    /// Sets the weight of each row.
    pub fn weighted(self, weights: &'a [f32]) -> Self {
        Self { weights, ..self }
    }

    pub(crate) fn objective(&self, batch: &[usize], loss: Loss, output_weights: &[f32]) -> Objective {
        let values = |matrix: &Matrix| BatchTarget::Values {
            values: gather(matrix, batch),
            loss,
            output_weights: output_weights.to_vec(),
        };
        let target = match self.target {
            Target::Input => values(self.input),
            Target::Values(matrix) => values(matrix),
            Target::Flags(flags) => BatchTarget::Flags(batch.iter().map(|row| flags[*row]).collect()),
            Target::Classes(classes) => BatchTarget::Classes(batch.iter().map(|row| classes[*row]).collect()),
        };
        let row_weights =
            if self.weights.is_empty() { Vec::new() } else { batch.iter().map(|row| self.weights[*row]).collect() };
        Objective { target, row_weights }
    }

    /// Mean loss of a network over all rows.
    pub fn loss(&self, network: &FloatNetwork, loss: Loss, output_weights: &[f32]) -> f64 {
        const CHUNK_ROWS: usize = 4096;
        let indices: Vec<usize> = (0..self.input.rows()).collect();
        let chunk = |batch: &[usize]| {
            let outputs = network.outputs_of(&self.input.select_rows(batch));
            self.objective(batch, loss, output_weights).loss(outputs.values(), batch.len()).loss * batch.len() as f64
        };
        indices.chunks(CHUNK_ROWS).map(chunk).sum::<f64>() / indices.len().max(1) as f64
    }

    pub(crate) fn check(&self, inputs: usize, outputs: usize) -> Result<(), NeuralError> {
        let rows = self.input.rows();
        if rows == 0 {
            return Err(NeuralError::rows("rows", 0, "at least 1"));
        }
        if self.input.columns() != inputs {
            let expected = format!("{inputs}, one per input of the network");
            return Err(NeuralError::rows("columns", self.input.columns(), expected));
        }
        self.check_targets(inputs, outputs)?;
        if !self.weights.is_empty() {
            NeuralError::check_length("row weights", self.weights.len(), rows)?;
        }
        match self.input.values().iter().position(|value| !value.is_finite()) {
            Some(index) => Err(NeuralError::NotFinite(index / inputs)),
            None => Ok(()),
        }
    }

    fn check_targets(&self, inputs: usize, outputs: usize) -> Result<(), NeuralError> {
        let rows = self.input.rows();
        let (targets, width) = match self.target {
            Target::Input => (rows, inputs),
            Target::Values(values) => (values.rows(), values.columns()),
            Target::Flags(flags) => (flags.len(), 1),
            Target::Classes(classes) => {
                (classes.len(), classes.iter().max().map_or(1, |class| *class as usize + 1).max(outputs))
            }
        };
        NeuralError::check_length("targets", targets, rows)?;
        if width != outputs {
            let expected = format!("{outputs}, one per output of the network");
            return Err(NeuralError::rows("values or classes per target", width, expected));
        }
        Ok(())
    }
}

/// The values of the given rows, row-major. Copies whole rows, which is faster than a chain of iterators.
pub(crate) fn gather(matrix: &Matrix, rows: &[usize]) -> Vec<f32> {
    let mut values = Vec::with_capacity(rows.len() * matrix.columns());
    rows.iter().for_each(|row| values.extend_from_slice(matrix.row(*row)));
    values
}
