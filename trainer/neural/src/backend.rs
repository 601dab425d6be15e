//! The one place that knows burn: a batch forward through the layers, the loss's gradient backward.
//!
//! The way back is written out in tensors rather than left to burn's automatic differentiation, which takes as long
//! again on networks as small as a gateway's. Every random choice is the caller's, because burn's generator is global:
//! two trainings at once would not be reproducible with it.
//!
//! Tensors are rows × values. Weights stand as outputs × inputs.

use crate::error::NeuralError;
use crate::learner::{Gradients, LayerGradient, NORM_EPSILON, Norm, NormGradient, Seen, Weights};
use crate::network::FloatLayer;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};

/// The device that training runs on; another burn backend is another line here.
#[expect(deprecated, reason = "upstream prefers flex; ndarray is the backend that was chosen and measured")]
fn device() -> Device {
    Device::ndarray()
}

/// Rows × inputs of one batch, and what dropout leaves of each layer's output: rows × outputs factors, or nothing.
pub(crate) struct Batch {
    pub(crate) rows: usize,
    pub(crate) input: Vec<f32>,
    pub(crate) kept: Vec<Option<Vec<f32>>>,
}

/// Loss and its derivative by the outputs, from the outputs.
pub(crate) type Judge<'a> = &'a mut (dyn FnMut(&[f32]) -> (f64, Vec<f32>) + Send);

/// What one layer's way back needs of its way forward.
struct Trace {
    input: Tensor<2>,
    weights: Tensor<2>,
    norm: Option<NormTrace>,
    /// 1 where ReLU lets the slope through, else 0: to multiply is quicker than to choose.
    alive: Option<Tensor<2>>,
    kept: Option<Tensor<2>>,
}

/// Values normalized, before gain and shift; the batch's own mean and variance.
struct NormTrace {
    gain: Tensor<2>,
    scaled: Tensor<2>,
    mean: Tensor<2>,
    variance: Tensor<2>,
}

/// Runs a batch through and back. With `probe`, each layer's [`Seen`] comes along.
///
/// burn-ndarray takes every product to a thread of rayon's pool and waits for it there; from such a thread it goes on
/// where it is, so that one batch waits once.
///
/// # Errors
/// [`NeuralError::Backend`] when the backend does not give its numbers back.
pub(crate) fn gradients(
    weights: &Weights,
    batch: Batch,
    probe: bool,
    judge: Judge<'_>,
) -> Result<Gradients, NeuralError> {
    rayon::scope(|_| there_and_back(weights, batch, probe, judge))
}

fn there_and_back(weights: &Weights, batch: Batch, probe: bool, judge: Judge<'_>) -> Result<Gradients, NeuralError> {
    let device = device();
    let Batch { rows, input, kept } = batch;
    let mut traces: Vec<Trace> = Vec::with_capacity(weights.shape.layers.len());
    let mut outputs: Vec<Tensor<2>> = Vec::with_capacity(weights.shape.layers.len());
    let mut values = tensor(input, [rows, weights.shape.inputs], &device);
    for ((index, shape), kept) in weights.shape.layers.iter().enumerate().zip(kept) {
        let kept = kept.map(|kept| tensor(kept, [rows, shape.outputs], &device));
        let layer = upload(&weights.network.layers[index], weights.norms[index].as_ref(), rows, &device);
        let added = shape.add.map(|from| outputs[from].clone());
        let (output, trace) = layer.forward(values, added, shape.relu, kept);
        traces.push(trace);
        values = output.clone();
        outputs.push(output);
    }
    drop(outputs);
    let width = values.dims()[1];
    let (loss, slope) = judge(&numbers(values)?);
    let layers = backward(weights, traces, tensor(slope, [rows, width], &device), probe)?;
    Ok(Gradients { layers, loss })
}

fn tensor(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn numbers(tensor: Tensor<2>) -> Result<Vec<f32>, NeuralError> {
    tensor.into_data().try_into_vec::<f32>().map_err(|error| NeuralError::Backend(format!("{error:?}")))
}

/// One layer's parameters on the device.
struct Layer {
    weights: Tensor<2>,
    /// Once for every row of the batch: to add one row to all takes burn-ndarray several times as long.
    biases: Tensor<2>,
    /// Gain and shift.
    norm: Option<(Tensor<2>, Tensor<2>)>,
}

fn upload(layer: &FloatLayer, norm: Option<&Norm>, rows: usize, device: &Device) -> Layer {
    let (inputs, outputs) = (layer.inputs(), layer.outputs());
    let row = |values: &[f32]| tensor(values.to_vec(), [1, outputs], device);
    Layer {
        weights: tensor(layer.weights.clone(), [outputs, inputs], device),
        biases: tensor(layer.biases.repeat(rows), [rows, outputs], device),
        norm: norm.map(|norm| (row(&norm.gain), row(&norm.shift))),
    }
}

impl Layer {
    fn forward(
        self,
        input: Tensor<2>,
        added: Option<Tensor<2>>,
        has_relu: bool,
        kept: Option<Tensor<2>>,
    ) -> (Tensor<2>, Trace) {
        let mut values = input.clone().matmul(self.weights.clone().transpose()) + self.biases;
        let norm = self.norm.map(|(gain, shift)| NormTrace::forward(&mut values, gain, shift));
        if let Some(added) = added {
            values = values + added;
        }
        if has_relu {
            values = relu(values);
        }
        let alive = has_relu.then(|| values.clone().sign());
        if let Some(kept) = &kept {
            values = values * kept.clone();
        }
        (values, Trace { input, weights: self.weights, norm, alive, kept })
    }
}

/// From the slope by the outputs to the slopes by every parameter.
fn backward(
    weights: &Weights,
    traces: Vec<Trace>,
    slope: Tensor<2>,
    probe: bool,
) -> Result<Vec<LayerGradient>, NeuralError> {
    let mut slopes: Vec<Option<Tensor<2>>> = vec![None; traces.len()];
    let mut layers = Vec::with_capacity(traces.len());
    if let Some(last) = slopes.last_mut() {
        *last = Some(slope);
    }
    for (index, trace) in traces.into_iter().enumerate().rev() {
        // A layer whose output nobody takes has no slope; there is none such in a valid shape.
        let Some(mut slope) = slopes[index].take() else { continue };
        if let Some(kept) = trace.kept {
            slope = slope * kept;
        }
        if let Some(alive) = trace.alive {
            slope = slope * alive;
        }
        if let Some(from) = weights.shape.layers[index].add {
            accumulate(&mut slopes[from], slope.clone());
        }
        let norm = match trace.norm {
            None => None,
            Some(norm) => {
                let (before, gradient) = norm.backward(slope)?;
                slope = before;
                Some(gradient)
            }
        };
        if index > 0 {
            accumulate(&mut slopes[index - 1], slope.clone().matmul(trace.weights));
        }
        layers.push(layer_gradient(trace.input, slope, norm, probe)?);
    }
    layers.reverse();
    Ok(layers)
}

fn layer_gradient(
    input: Tensor<2>,
    slope: Tensor<2>,
    norm: Option<NormGradient>,
    probe: bool,
) -> Result<LayerGradient, NeuralError> {
    let ([_, inputs], [_, outputs]) = (input.dims(), slope.dims());
    // The first factor has to be turned, which copies it: let it be the narrower one.
    let weights = if outputs <= inputs {
        slope.clone().transpose().matmul(input.clone())
    } else {
        input.clone().transpose().matmul(slope.clone()).transpose()
    };
    // The last to hold it, so that its numbers come without a copy.
    let slope = numbers(slope)?;
    let biases = column_sums(&slope, outputs);
    let seen = if probe { Some(Seen { input: numbers(input)?, slope }) } else { None };
    Ok(LayerGradient { weights: numbers(weights)?, biases, norm, seen })
}

/// Row after row, as burn-ndarray sums, to the bit: it takes some hundred instructions for every row.
fn column_sums(values: &[f32], columns: usize) -> Vec<f32> {
    let mut sums = vec![0.0; columns];
    for row in values.chunks_exact(columns) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    sums
}

fn accumulate(sum: &mut Option<Tensor<2>>, part: Tensor<2>) {
    *sum = Some(match sum.take() {
        Some(sum) => sum + part,
        None => part,
    });
}

impl NormTrace {
    /// Normalizes the values over the batch.
    fn forward(values: &mut Tensor<2>, gain: Tensor<2>, shift: Tensor<2>) -> Self {
        let mean = values.clone().mean_dim(0);
        let centred = values.clone() - mean.clone();
        let variance = (centred.clone() * centred.clone()).mean_dim(0);
        let scaled = centred / (variance.clone() + NORM_EPSILON).sqrt();
        *values = scaled.clone() * gain.clone() + shift;
        Self { gain, scaled, mean, variance }
    }

    /// Turns the slope by the normalized values into the slope by the values before (Ioffe & Szegedy 2015, section 3).
    fn backward(self, slope: Tensor<2>) -> Result<(Tensor<2>, NormGradient), NeuralError> {
        let rows = slope.dims()[0].max(1) as f32;
        let gain = (slope.clone() * self.scaled.clone()).sum_dim(0);
        let shift = slope.clone().sum_dim(0);
        let factor = self.gain / (self.variance.clone() + NORM_EPSILON).sqrt();
        let before = (slope - shift.clone() / rows - self.scaled * (gain.clone() / rows)) * factor;
        let gradient = NormGradient {
            gain: numbers(gain)?,
            shift: numbers(shift)?,
            mean: numbers(self.mean)?,
            variance: numbers(self.variance)?,
        };
        Ok((before, gradient))
    }
}
