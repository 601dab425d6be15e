//! Weights, gradients → updated weights: K-FAC, natural gradient steps with Kronecker-factored curvature (Martens &
//! Grosse 2015).
//!
//! For a dense layer with input a (with a 1 appended for the bias) and loss gradient g with respect to its output, the
//! Fisher information of its weights is approximated by A ⊗ G, A = E\[a·aᵀ\], G = E\[g·gᵀ\] (section 3), with g from
//! targets drawn from the network's own predictions (section 5). Both are running averages (section 5). The damped
//! inverse is (A + π√λ·I)⁻¹ ⊗ (G + √λ/π·I)⁻¹ with π² = mean diagonal of A / mean diagonal of G (section 6.3), computed
//! by Cholesky decomposition. Steps are scaled down so that r²·Σ ∇ᵀF⁻¹∇ ≤ the step limit (Ba et al. 2017, section 5).
//! Batch normalization's parameters use the diagonal of their Fisher information with the same damping.

use crate::error::NeuralError;
use crate::learner::{Activations, Gradients, LayerGradient, Norm, NormGradient, Weights};
use nalgebra::{Cholesky, DMatrix, DMatrixView};
use serde::{Deserialize, Serialize};

/// K-FAC's hyperparameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct KfacConfig {
    /// λ: added to the curvature, above 0.
    pub(crate) damping: f64,
    /// Maximum decay rate of the running averages; the first updates have equal weight.
    pub(crate) averaging: f64,
    /// Steps between curvature updates.
    pub(crate) statistics_steps: usize,
    /// Steps between inversions.
    pub(crate) inverse_steps: usize,
    /// Momentum, 0 to less than 1.
    pub(crate) momentum: f64,
    /// Trust region: maximum squared step length in the Fisher metric.
    pub(crate) step_limit: f64,
    /// Weight decay: share of each weight subtracted per step, times the learning rate.
    pub(crate) decay: f64,
}

impl Default for KfacConfig {
    fn default() -> Self {
        Self {
            damping: 1e-2,
            averaging: 0.95,
            statistics_steps: 5,
            inverse_steps: 20,
            momentum: 0.9,
            step_limit: 1e-3,
            decay: 0.0,
        }
    }
}

impl KfacConfig {
    pub(crate) fn check(&self) -> Result<(), NeuralError> {
        let setting = |holds: bool, name, found: f64, expected: &str| {
            if holds { Ok(()) } else { Err(NeuralError::setting(name, found, expected)) }
        };
        setting((1e-10..=1e4).contains(&self.damping), "kfac.damping", self.damping, "1e-10 to 10000")?;
        setting((0.0..1.0).contains(&self.averaging), "kfac.averaging", self.averaging, "0 to less than 1")?;
        setting((0.0..1.0).contains(&self.momentum), "kfac.momentum", self.momentum, "0 to less than 1")?;
        setting(self.step_limit > 0.0, "kfac.step-limit", self.step_limit, "above 0")?;
        setting((0.0..=10.0).contains(&self.decay), "kfac.decay", self.decay, "0 to 10")?;
        let steps = self.statistics_steps.min(self.inverse_steps);
        setting(steps >= 1, "kfac.statistics-steps and kfac.inverse-steps", steps as f64, "1 or more")
    }
}

/// Curvature, inverse curvature and momentum of every layer.
pub(crate) struct Kfac {
    config: KfacConfig,
    steps: usize,
    updates: usize,
    layers: Vec<Layer>,
}

#[derive(Default)]
struct Layer {
    /// A: (inputs + 1) × (inputs + 1).
    input: DMatrix<f64>,
    /// G: outputs × outputs.
    output: DMatrix<f64>,
    input_inverse: DMatrix<f64>,
    output_inverse: DMatrix<f64>,
    /// Outputs × (inputs + 1).
    momentum: DMatrix<f64>,
    norm: Option<Diagonal>,
}

/// Fisher information of γ, then β, and their momentum.
struct Diagonal {
    curvature: Vec<f64>,
    momentum: Vec<f64>,
}

/// The natural gradient of one layer.
struct Natural {
    dense: DMatrix<f64>,
    norm: Vec<f64>,
}

impl Kfac {
    pub(crate) fn new(config: KfacConfig) -> Self {
        Self { config, steps: 0, updates: 0, layers: Vec::new() }
    }

    /// True when the next step has to update the curvature first.
    pub(crate) fn is_curvature_due(&self) -> bool {
        self.steps.is_multiple_of(self.config.statistics_steps)
    }

    /// Updates the curvature from a batch whose targets were drawn from the predictions.
    pub(crate) fn update_curvature(&mut self, sampled: &Gradients, rows: usize) {
        self.updates += 1;
        let decay = self.config.averaging.min(1.0 - 1.0 / self.updates as f64);
        self.layers.resize_with(sampled.layers.len(), Layer::default);
        for (layer, gradient) in self.layers.iter_mut().zip(&sampled.layers) {
            let Some(activations) = &gradient.activations else { continue };
            let (input, output) = factors(activations, rows);
            update_average(&mut layer.input, input, decay);
            update_average(&mut layer.output, output, decay);
            if let Some(norm) = &gradient.norm {
                // The loss is a mean over rows, so the expected squared gradient is its curvature / rows.
                let square = |value: &f32| f64::from(*value).powi(2) * rows as f64;
                let squares: Vec<f64> = norm.gamma.iter().chain(&norm.beta).map(square).collect();
                let empty = || Diagonal { curvature: vec![0.0; squares.len()], momentum: vec![0.0; squares.len()] };
                let diagonal = layer.norm.get_or_insert_with(empty);
                for (old, new) in diagonal.curvature.iter_mut().zip(&squares) {
                    *old = decay * *old + (1.0 - decay) * new;
                }
            }
        }
    }

    /// Updates the weights.
    ///
    /// # Errors
    /// [`NeuralError::Setting`] if the damping is too small to invert a factor.
    pub(crate) fn step(&mut self, weights: &mut Weights, gradients: &Gradients, rate: f64) -> Result<(), NeuralError> {
        if self.steps.is_multiple_of(self.config.inverse_steps) || self.steps == self.config.statistics_steps {
            let damping = self.config.damping;
            self.layers.iter_mut().try_for_each(|layer| layer.invert(damping))?;
        }
        self.steps += 1;
        let mut squared_length = 0.0;
        let mut steps = Vec::with_capacity(self.layers.len());
        for (layer, gradient) in self.layers.iter().zip(&gradients.layers) {
            let (natural, product) = layer.natural(gradient, self.config.damping);
            squared_length += product;
            steps.push(natural);
        }
        let scale = (self.config.step_limit / (rate * rate * squared_length).max(f64::MIN_POSITIVE)).sqrt().min(1.0);
        for (index, natural) in steps.iter().enumerate() {
            self.layers[index].update_momentum(natural, self.config.momentum, scale);
            self.layers[index].apply(weights, index, rate, self.config.decay);
        }
        Ok(())
    }
}

impl Layer {
    fn invert(&mut self, damping: f64) -> Result<(), NeuralError> {
        let mean = |factor: &DMatrix<f64>| factor.trace() / factor.nrows().max(1) as f64;
        let (of_input, of_output) = (mean(&self.input), mean(&self.output));
        // Without any activity in the layer the ratio is undefined.
        let pi = if of_input > 0.0 && of_output > 0.0 { (of_input / of_output).sqrt() } else { 1.0 };
        self.input_inverse = inverse(&self.input, pi * damping.sqrt())?;
        self.output_inverse = inverse(&self.output, damping.sqrt() / pi)?;
        Ok(())
    }

    /// F⁻¹∇ and ∇ᵀF⁻¹∇.
    fn natural(&self, gradient: &LayerGradient, damping: f64) -> (Natural, f64) {
        let (outputs, inputs) = (self.output.nrows(), self.input.nrows() - 1);
        let full = DMatrix::from_fn(outputs, inputs + 1, |output, input| {
            let value =
                if input < inputs { gradient.weights[output * inputs + input] } else { gradient.biases[output] };
            f64::from(value)
        });
        let dense = &self.output_inverse * &full * &self.input_inverse;
        let mut product = dense.dot(&full);
        let mut norm = Vec::new();
        if let (Some(diagonal), Some(gradient)) = (&self.norm, &gradient.norm) {
            let NormGradient { gamma, beta, .. } = gradient;
            for (gradient, curvature) in gamma.iter().chain(beta).zip(&diagonal.curvature) {
                let gradient = f64::from(*gradient);
                norm.push(gradient / (curvature + damping));
                product += gradient * gradient / (curvature + damping);
            }
        }
        (Natural { dense, norm }, product)
    }

    fn update_momentum(&mut self, natural: &Natural, momentum: f64, scale: f64) {
        if self.momentum.is_empty() {
            self.momentum = DMatrix::zeros(natural.dense.nrows(), natural.dense.ncols());
        }
        self.momentum.zip_apply(&natural.dense, |old, new| *old = momentum * *old + scale * new);
        if let Some(diagonal) = &mut self.norm {
            for (old, new) in diagonal.momentum.iter_mut().zip(&natural.norm) {
                *old = momentum * *old + scale * new;
            }
        }
    }

    fn apply(&self, weights: &mut Weights, index: usize, rate: f64, decay: f64) {
        let layer = &mut weights.network.layers[index];
        let inputs = layer.inputs();
        for (output, row) in layer.weights.chunks_exact_mut(inputs).enumerate() {
            for (input, weight) in row.iter_mut().enumerate() {
                let step = self.momentum[(output, input)] + decay * f64::from(*weight);
                *weight -= (rate * step) as f32;
            }
        }
        for (output, bias) in layer.biases.iter_mut().enumerate() {
            *bias -= (rate * self.momentum[(output, inputs)]) as f32;
        }
        if let (Some(Norm { gamma, beta, .. }), Some(diagonal)) = (&mut weights.norms[index], &self.norm) {
            for (value, step) in gamma.iter_mut().chain(beta).zip(&diagonal.momentum) {
                *value -= (rate * step) as f32;
            }
        }
    }
}

/// A = E\[a·aᵀ\] with a 1 appended to a, and G = E\[g·gᵀ\], where g belongs to the loss of a single row.
fn factors(activations: &Activations, rows: usize) -> (DMatrix<f64>, DMatrix<f64>) {
    let (inputs, outputs) = (activations.input.len() / rows, activations.output_gradient.len() / rows);
    // A row-major matrix is its transpose in column-major order.
    let input = DMatrixView::from_slice(&activations.input, inputs, rows);
    let gradient = DMatrixView::from_slice(&activations.output_gradient, outputs, rows);
    let square = input * input.transpose();
    let sum = input.column_sum();
    let share = 1.0 / rows as f64;
    let of_input = DMatrix::from_fn(inputs + 1, inputs + 1, |row, column| match (row < inputs, column < inputs) {
        (true, true) => f64::from(square[(row, column)]) * share,
        (true, false) => f64::from(sum[row]) * share,
        (false, true) => f64::from(sum[column]) * share,
        (false, false) => 1.0,
    });
    // The batch's loss is a mean, so the gradient of a row's own loss is `rows` times as large.
    let of_output = (gradient * gradient.transpose()).map(|value| f64::from(value) * rows as f64);
    (of_input, of_output)
}

fn update_average(old: &mut DMatrix<f64>, new: DMatrix<f64>, decay: f64) {
    if old.is_empty() {
        *old = new;
    } else {
        old.zip_apply(&new, |old, new| *old = decay * *old + (1.0 - decay) * new);
    }
}

fn inverse(factor: &DMatrix<f64>, damping: f64) -> Result<DMatrix<f64>, NeuralError> {
    let mut damped = factor.clone();
    for index in 0..damped.nrows() {
        damped[(index, index)] += damping;
    }
    let failed = || {
        NeuralError::setting("kfac.damping", damping, "a value large enough for the Cholesky decomposition of a factor")
    };
    Cholesky::new(damped).map(|decomposition| decomposition.inverse()).ok_or_else(failed)
}
