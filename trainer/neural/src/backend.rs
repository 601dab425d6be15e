//! The one place that knows burn: a batch forward through the layers, the loss's gradient backward.
//!
//! Every random choice is the caller's, because burn's generator is global: two trainings at once would not be
//! reproducible with it. Losses come as gradients by the outputs, so that burn differentiates layers only.

use crate::error::NeuralError;
use crate::learner::{Gradients, LayerGradient, NORM_EPSILON, Norm, NormGradient, Seen, Weights};
use crate::network::FloatLayer;
use burn::tensor::activation::relu;
use burn::tensor::module::linear;
use burn::tensor::{Device, Gradients as Tape, Tensor, TensorData};

/// The device that training runs on; another burn backend is another line here.
#[expect(deprecated, reason = "upstream prefers flex; ndarray is the backend that was chosen and measured")]
fn device() -> Device {
    Device::ndarray().autodiff()
}

/// Rows × inputs of one batch, and what dropout leaves of each layer's output: rows × outputs factors, or nothing.
pub(crate) struct Batch {
    pub(crate) rows: usize,
    pub(crate) input: Vec<f32>,
    pub(crate) kept: Vec<Option<Vec<f32>>>,
}

/// Loss and its derivative by the outputs, from the outputs.
pub(crate) type Judge<'a> = &'a mut dyn FnMut(&[f32]) -> (f64, Vec<f32>);

/// A layer's tensors during one pass.
struct Pass {
    weights: Tensor<2>,
    biases: Tensor<1>,
    norm: Option<NormPass>,
    /// Its input, and a zero added to its output, whose gradient is the derivative by that output.
    probe: Option<(Tensor<2>, Tensor<2>)>,
}

struct NormPass {
    gain: Tensor<2>,
    shift: Tensor<2>,
    mean: Tensor<2>,
    variance: Tensor<2>,
}

/// Runs a batch through and back. With `probe`, each layer's [`Seen`] comes along.
///
/// # Errors
/// [`NeuralError::Backend`] when the backend does not give its numbers back.
pub(crate) fn gradients(
    weights: &Weights,
    batch: Batch,
    probe: bool,
    judge: Judge<'_>,
) -> Result<Gradients, NeuralError> {
    let device = device();
    let mut passes: Vec<Pass> = Vec::with_capacity(weights.shape.layers.len());
    let mut outputs: Vec<Tensor<2>> = Vec::with_capacity(weights.shape.layers.len());
    let input = tensor(batch.input, [batch.rows, weights.shape.inputs], &device);
    for (index, shape) in weights.shape.layers.iter().enumerate() {
        let input = outputs.last().unwrap_or(&input).clone();
        let mut pass = upload(&weights.network.layers[index], weights.norms[index].as_ref(), &device);
        let mut values = linear(input.clone(), pass.weights.clone(), Some(pass.biases.clone()));
        if probe {
            let zero = Tensor::zeros([batch.rows, shape.outputs], &device).require_grad();
            values = values + zero.clone();
            pass.probe = Some((input, zero));
        }
        values = normalize(values, &mut pass.norm);
        if let Some(from) = shape.add {
            values = values + outputs[from].clone();
        }
        if shape.relu {
            values = relu(values);
        }
        if let Some(kept) = &batch.kept[index] {
            values = values * tensor(kept.clone(), [batch.rows, shape.outputs], &device);
        }
        outputs.push(values);
        passes.push(pass);
    }
    let Some(output) = outputs.pop() else { return Ok(Gradients { layers: Vec::new(), loss: 0.0 }) };
    drop(outputs);
    // A copy: what the tape holds as well comes back number by number, ten times as slowly.
    let (loss, slope) = judge(&numbers(output.clone().detach().mul_scalar(1.0))?);
    let slope = tensor(slope, output.dims(), &device);
    let mut tape = (output * slope).sum().backward();
    let layers = passes.into_iter().map(|pass| download(pass, &mut tape));
    Ok(Gradients { layers: layers.collect::<Result<_, _>>()?, loss })
}

fn tensor(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// burn keeps input × output.
fn upload(layer: &FloatLayer, norm: Option<&Norm>, device: &Device) -> Pass {
    let (inputs, outputs) = (layer.inputs(), layer.outputs());
    let weights = tensor(layer.weights.clone(), [outputs, inputs], device).transpose().require_grad();
    let biases = Tensor::<1>::from_data(TensorData::new(layer.biases.clone(), [outputs]), device).require_grad();
    let row = |values: &[f32]| tensor(values.to_vec(), [1, outputs], device);
    let norm = norm.map(|norm| NormPass {
        gain: row(&norm.gain).require_grad(),
        shift: row(&norm.shift).require_grad(),
        mean: row(&norm.mean),
        variance: row(&norm.variance),
    });
    Pass { weights, biases, norm, probe: None }
}

/// Replaces running averages by the batch's own.
fn normalize(values: Tensor<2>, norm: &mut Option<NormPass>) -> Tensor<2> {
    let Some(norm) = norm else { return values };
    let mean = values.clone().mean_dim(0);
    let centred = values - mean.clone();
    let variance = (centred.clone() * centred.clone()).mean_dim(0);
    let scaled = centred / (variance.clone() + NORM_EPSILON).sqrt();
    norm.mean = mean.detach();
    norm.variance = variance.detach();
    scaled * norm.gain.clone() + norm.shift.clone()
}

fn download(pass: Pass, tape: &mut Tape) -> Result<LayerGradient, NeuralError> {
    let missing = || NeuralError::Backend("a parameter has no gradient".into());
    let weights = pass.weights.grad_remove(tape).ok_or_else(missing)?;
    let biases = pass.biases.grad_remove(tape).ok_or_else(missing)?;
    let norm = match pass.norm {
        None => None,
        Some(norm) => Some(NormGradient {
            gain: numbers(norm.gain.grad_remove(tape).ok_or_else(missing)?)?,
            shift: numbers(norm.shift.grad_remove(tape).ok_or_else(missing)?)?,
            mean: numbers(norm.mean)?,
            variance: numbers(norm.variance)?,
        }),
    };
    let seen = match pass.probe {
        None => None,
        Some((input, zero)) => {
            Some(Seen { input: numbers(input)?, slope: numbers(zero.grad_remove(tape).ok_or_else(missing)?)? })
        }
    };
    Ok(LayerGradient { weights: numbers(weights.transpose())?, biases: numbers(biases)?, norm, seen })
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, NeuralError> {
    tensor.into_data().try_to_vec::<f32>().map_err(|error| NeuralError::Backend(format!("{error:?}")))
}
