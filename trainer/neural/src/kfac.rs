//! K-FAC: steps along the natural gradient with Kronecker-factored curvature (Martens & Grosse 2015).
//!
//! For a dense layer with input a (a 1 appended, for the bias) and derivative g by its output, the Fisher information of
//! its weights is taken as A ⊗ G, A = E\[a·aᵀ\], G = E\[g·gᵀ\] (section 3), with g from targets that are drawn from the
//! network's own predictions (section 5). Both are running averages (section 5). The damped inverse is
//! (A + π√λ·I)⁻¹ ⊗ (G + √λ/π·I)⁻¹ with π² = mean diagonal of A over that of G (section 6.3), by Cholesky. A step is
//! shortened where it would move the predictions too far: r²·Σ ∇ᵀF⁻¹∇ ≤ the limit (Ba et al. 2017, section 5).
//! Parameters of batch normalization have the diagonal of their Fisher information, equally damped.

use crate::error::NeuralError;
use crate::learner::{Gradients, LayerGradient, Norm, NormGradient, Seen, Weights};
use nalgebra::{Cholesky, DMatrix, DMatrixView};
use serde::{Deserialize, Serialize};

/// K-FAC's settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct KfacConfig {
    /// λ: added to the curvature, more than 0.
    pub damping: f64,
    /// Largest share of the old averages that stays at an update; fewer updates weigh all alike.
    pub averaging: f64,
    /// Steps from one look at the curvature to the next.
    pub statistics_steps: usize,
    /// Steps from one inversion to the next.
    pub inverse_steps: usize,
    /// Share of the last step that goes into the next one.
    pub momentum: f64,
    /// Trust region: the largest squared length of a step, in the Fisher metric.
    pub step_limit: f64,
    /// Share of each weight that is taken off with each step, times the learning rate.
    pub decay: f64,
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
        setting(self.step_limit > 0.0, "kfac.step-limit", self.step_limit, "more than 0")?;
        setting((0.0..=10.0).contains(&self.decay), "kfac.decay", self.decay, "0 to 10")?;
        let steps = self.statistics_steps.min(self.inverse_steps);
        setting(steps >= 1, "kfac.statistics-steps and kfac.inverse-steps", steps as f64, "1 or more")
    }
}

/// Curvature, its inverse, and momentum of every layer.
pub(crate) struct Kfac {
    config: KfacConfig,
    steps: usize,
    looks: usize,
    layers: Vec<Layer>,
}

#[derive(Default)]
struct Layer {
    /// (Inputs + 1)², outputs².
    input: DMatrix<f64>,
    output: DMatrix<f64>,
    input_inverse: DMatrix<f64>,
    output_inverse: DMatrix<f64>,
    /// Outputs × (inputs + 1).
    momentum: DMatrix<f64>,
    norm: Option<Diagonal>,
}

/// Fisher information of gain and shift, one after the other, and their momentum.
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
        Self { config, steps: 0, looks: 0, layers: Vec::new() }
    }

    /// True when the next step wants a look at the curvature first.
    pub(crate) fn is_statistics_due(&self) -> bool {
        self.steps.is_multiple_of(self.config.statistics_steps)
    }

    /// Takes up a batch whose targets were drawn from the predictions.
    pub(crate) fn observe(&mut self, sampled: &Gradients, rows: usize) {
        self.looks += 1;
        let kept = self.config.averaging.min(1.0 - 1.0 / self.looks as f64);
        self.layers.resize_with(sampled.layers.len(), Layer::default);
        for (layer, gradient) in self.layers.iter_mut().zip(&sampled.layers) {
            let Some(seen) = &gradient.seen else { continue };
            let (input, output) = moments(seen, rows);
            blend(&mut layer.input, input, kept);
            blend(&mut layer.output, output, kept);
            if let Some(norm) = &gradient.norm {
                // Derivatives of a mean over rows; a single draw's square has the mean's curvature over rows.
                let square = |value: &f32| f64::from(*value).powi(2) * rows as f64;
                let seen: Vec<f64> = norm.gain.iter().chain(&norm.shift).map(square).collect();
                let empty = || Diagonal { curvature: vec![0.0; seen.len()], momentum: vec![0.0; seen.len()] };
                let diagonal = layer.norm.get_or_insert_with(empty);
                for (old, new) in diagonal.curvature.iter_mut().zip(&seen) {
                    *old = kept * *old + (1.0 - kept) * new;
                }
            }
        }
    }

    /// One step.
    ///
    /// # Errors
    /// [`NeuralError::Setting`] when a factor cannot be inverted: the damping is too small for it.
    pub(crate) fn step(&mut self, weights: &mut Weights, gradients: &Gradients, rate: f64) -> Result<(), NeuralError> {
        if self.steps.is_multiple_of(self.config.inverse_steps) || self.steps == self.config.statistics_steps {
            let damping = self.config.damping;
            self.layers.iter_mut().try_for_each(|layer| layer.invert(damping))?;
        }
        self.steps += 1;
        let mut reach = 0.0;
        let mut steps = Vec::with_capacity(self.layers.len());
        for (layer, gradient) in self.layers.iter().zip(&gradients.layers) {
            let (natural, product) = layer.natural(gradient, self.config.damping);
            reach += product;
            steps.push(natural);
        }
        let shorter = (self.config.step_limit / (rate * rate * reach).max(f64::MIN_POSITIVE)).sqrt().min(1.0);
        for (index, natural) in steps.iter().enumerate() {
            self.layers[index].remember(natural, self.config.momentum, shorter);
            self.layers[index].apply(weights, index, rate, self.config.decay);
        }
        Ok(())
    }
}

impl Layer {
    fn invert(&mut self, damping: f64) -> Result<(), NeuralError> {
        let mean = |factor: &DMatrix<f64>| factor.trace() / factor.nrows().max(1) as f64;
        let (of_input, of_output) = (mean(&self.input), mean(&self.output));
        // A layer that is dead on both sides has no ratio.
        let pi = if of_input > 0.0 && of_output > 0.0 { (of_input / of_output).sqrt() } else { 1.0 };
        self.input_inverse = inverse(&self.input, pi * damping.sqrt())?;
        self.output_inverse = inverse(&self.output, damping.sqrt() / pi)?;
        Ok(())
    }

    /// F⁻¹∇ and ∇ᵀF⁻¹∇.
    fn natural(&self, gradient: &LayerGradient, damping: f64) -> (Natural, f64) {
        let (outputs, inputs) = (self.output.nrows(), self.input.nrows() - 1);
        let slope = DMatrix::from_fn(outputs, inputs + 1, |output, input| {
            let value =
                if input < inputs { gradient.weights[output * inputs + input] } else { gradient.biases[output] };
            f64::from(value)
        });
        let dense = &self.output_inverse * &slope * &self.input_inverse;
        let mut product = dense.dot(&slope);
        let mut norm = Vec::new();
        if let (Some(diagonal), Some(gradient)) = (&self.norm, &gradient.norm) {
            let NormGradient { gain, shift, .. } = gradient;
            for (slope, curvature) in gain.iter().chain(shift).zip(&diagonal.curvature) {
                let slope = f64::from(*slope);
                norm.push(slope / (curvature + damping));
                product += slope * slope / (curvature + damping);
            }
        }
        (Natural { dense, norm }, product)
    }

    fn remember(&mut self, natural: &Natural, momentum: f64, shorter: f64) {
        if self.momentum.is_empty() {
            self.momentum = DMatrix::zeros(natural.dense.nrows(), natural.dense.ncols());
        }
        self.momentum.zip_apply(&natural.dense, |old, new| *old = momentum * *old + shorter * new);
        if let Some(diagonal) = &mut self.norm {
            for (old, new) in diagonal.momentum.iter_mut().zip(&natural.norm) {
                *old = momentum * *old + shorter * new;
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
        if let (Some(Norm { gain, shift, .. }), Some(diagonal)) = (&mut weights.norms[index], &self.norm) {
            for (value, step) in gain.iter_mut().chain(shift).zip(&diagonal.momentum) {
                *value -= (rate * step) as f32;
            }
        }
    }
}

/// E\[a·aᵀ\] with a 1 appended to a, and E\[g·gᵀ\] of each row's own loss.
fn moments(seen: &Seen, rows: usize) -> (DMatrix<f64>, DMatrix<f64>) {
    let (inputs, outputs) = (seen.input.len() / rows, seen.slope.len() / rows);
    // Row-major rows are column-major columns.
    let input = DMatrixView::from_slice(&seen.input, inputs, rows);
    let slope = DMatrixView::from_slice(&seen.slope, outputs, rows);
    let square = input * input.transpose();
    let sum = input.column_sum();
    let share = 1.0 / rows as f64;
    let of_input = DMatrix::from_fn(inputs + 1, inputs + 1, |row, column| match (row < inputs, column < inputs) {
        (true, true) => f64::from(square[(row, column)]) * share,
        (true, false) => f64::from(sum[row]) * share,
        (false, true) => f64::from(sum[column]) * share,
        (false, false) => 1.0,
    });
    // The batch's loss is a mean, so each row's own derivative is `rows` times as large.
    let of_output = (slope * slope.transpose()).map(|value| f64::from(value) * rows as f64);
    (of_input, of_output)
}

fn blend(old: &mut DMatrix<f64>, new: DMatrix<f64>, kept: f64) {
    if old.is_empty() {
        *old = new;
    } else {
        old.zip_apply(&new, |old, new| *old = kept * *old + (1.0 - kept) * new);
    }
}

fn inverse(factor: &DMatrix<f64>, damping: f64) -> Result<DMatrix<f64>, NeuralError> {
    let mut damped = factor.clone();
    for place in 0..damped.nrows() {
        damped[(place, place)] += damping;
    }
    let failed = || NeuralError::setting("kfac.damping", damping, "enough for a factor's Cholesky decomposition");
    Cholesky::new(damped).map(|decomposition| decomposition.inverse()).ok_or_else(failed)
}
