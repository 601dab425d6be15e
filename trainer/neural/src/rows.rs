//! What is learnt from: rows, what the network should say of each, and how much each counts.

use crate::error::NeuralError;
use crate::loss::{BatchTarget, Goal, Loss};
use crate::network::FloatNetwork;
use lapwing_tables::Matrix;

/// What the outputs of each row should be.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// The row itself: an autoencoder.
    Input,
    /// These values: rows × outputs.
    Values(&'a Matrix),
    /// True or false, one logit.
    Flags(&'a [bool]),
    /// A class, one logit each; classes count from 0.
    Classes(&'a [u32]),
}

/// Rows with their targets.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Rows × inputs.
    pub input: &'a Matrix,
    /// What comes out.
    pub target: Target<'a>,
    /// How much each row counts; empty: all alike. The mean should be about 1, or learning rates mean something else.
    pub weights: &'a [f32],
}

impl<'a> Rows<'a> {
    /// Rows to reconstruct.
    pub fn to_reconstruct(input: &'a Matrix) -> Self {
        Self { input, target: Target::Input, weights: &[] }
    }

    /// Rows to tell apart.
    pub fn flagged(input: &'a Matrix, flags: &'a [bool]) -> Self {
        Self { input, target: Target::Flags(flags), weights: &[] }
    }

    /// Rows to name.
    pub fn classified(input: &'a Matrix, classes: &'a [u32]) -> Self {
        Self { input, target: Target::Classes(classes), weights: &[] }
    }

    /// The same rows, each counting as much as it is told.
    pub fn weighted(self, weights: &'a [f32]) -> Self {
        Self { weights, ..self }
    }

    pub(crate) fn goal(&self, batch: &[usize], loss: Loss, output_weights: &[f32]) -> Goal {
        let values = |matrix: &Matrix| BatchTarget::Values {
            values: gathered(matrix, batch),
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
        Goal { target, row_weights }
    }

    /// Mean loss of a network over all rows.
    pub fn loss(&self, network: &FloatNetwork, loss: Loss, output_weights: &[f32]) -> f64 {
        const CHUNK_ROWS: usize = 4096;
        let places: Vec<usize> = (0..self.input.rows()).collect();
        let chunk = |batch: &[usize]| {
            let outputs = network.outputs_of(&self.input.select_rows(batch));
            self.goal(batch, loss, output_weights).judge(outputs.values(), batch.len()).value * batch.len() as f64
        };
        places.chunks(CHUNK_ROWS).map(chunk).sum::<f64>() / places.len().max(1) as f64
    }

    pub(crate) fn check(&self, inputs: usize, outputs: usize) -> Result<(), NeuralError> {
        let rows = self.input.rows();
        let wrong = |what, found, expected: String| Err(NeuralError::Rows { what, found, expected });
        if rows == 0 {
            return wrong("rows", 0, "at least 1".into());
        }
        if self.input.columns() != inputs {
            return wrong("columns", self.input.columns(), format!("{inputs}, as many as the network has inputs"));
        }
        let (targets, width) = match self.target {
            Target::Input => (rows, inputs),
            Target::Values(values) => (values.rows(), values.columns()),
            Target::Flags(flags) => (flags.len(), 1),
            Target::Classes(classes) => {
                (classes.len(), classes.iter().max().map_or(1, |class| *class as usize + 1).max(outputs))
            }
        };
        if targets != rows {
            return wrong("targets", targets, format!("{rows}, as many as rows"));
        }
        if width != outputs {
            return wrong(
                "values or classes a target",
                width,
                format!("{outputs}, as many as the network has outputs"),
            );
        }
        if !self.weights.is_empty() && self.weights.len() != rows {
            return wrong("row weights", self.weights.len(), format!("{rows}, as many as rows"));
        }
        match self.input.values().iter().position(|value| !value.is_finite()) {
            Some(place) => {
                wrong("is the first row with a value that is no number", place / inputs, "finite values".into())
            }
            None => Ok(()),
        }
    }
}

/// The values of some rows, one row after the other: whole rows are copied, which a chain of iterators does not do.
pub(crate) fn gathered(matrix: &Matrix, rows: &[usize]) -> Vec<f32> {
    let mut values = Vec::with_capacity(rows.len() * matrix.columns());
    rows.iter().for_each(|row| values.extend_from_slice(matrix.row(*row)));
    values
}

/// Row weights by which every class counts the same in sum, with mean 1: rows / (classes · rows of the class).
pub fn balanced_weights(classes: &[u32]) -> Vec<f32> {
    let mut counts = vec![0_usize; classes.iter().max().map_or(0, |class| *class as usize + 1)];
    classes.iter().for_each(|class| counts[*class as usize] += 1);
    let present = counts.iter().filter(|count| **count > 0).count();
    classes.iter().map(|class| classes.len() as f32 / (present * counts[*class as usize]) as f32).collect()
}
