//! Weights, batch → loss and gradients, with burn's tensors. The only module that uses burn.
//!
//! burn serves as the tensor backend only. The backward pass is written out in tensor operations, because burn's
//! automatic differentiation takes twice as long on networks as small as a gateway's. The caller makes every random
//! choice: burn's generator is global, so two trainings at once would not be reproducible with it.
//!
//! Tensors are rows × values. Weights are outputs × inputs.

use crate::error::NeuralError;
use crate::learner::{Activations, Gradients, LayerGradient, NORM_EPSILON, Norm, NormGradient, Weights};
use crate::loss::LossGradient;
use crate::network::FloatLayer;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};

/// The device that training runs on. To use another burn backend, change this line.
#[expect(deprecated, reason = "upstream prefers flex; ndarray is the backend that was chosen and measured")]
fn device() -> Device {
    Device::ndarray()
}

/// The input rows of one step and their dropout masks.
pub(crate) struct Batch {
    pub(crate) rows: usize,
    /// Rows × inputs.
    pub(crate) input: Vec<f32>,
    /// One per layer: rows × outputs factors, or `None` without dropout.
    pub(crate) dropout_masks: Vec<Option<Vec<f32>>>,
}

/// Loss and its gradient with respect to the outputs, from the outputs.
pub(crate) type LossFn<'a> = &'a mut (dyn FnMut(&[f32]) -> LossGradient + Send);

/// What one layer's backward pass needs from its forward pass.
struct LayerCache {
    input: Tensor<2>,
    weights: Tensor<2>,
    norm: Option<NormCache>,
    /// 1 where the layer's sum is positive, else 0: multiplying by it is faster than selecting.
    relu_mask: Option<Tensor<2>>,
    dropout_mask: Option<Tensor<2>>,
}

/// Normalized values before γ and β, and the batch's own mean and variance.
struct NormCache {
    gamma: Tensor<2>,
    normalized: Tensor<2>,
    mean: Tensor<2>,
    variance: Tensor<2>,
}

/// Runs a forward and a backward pass. With `keep_activations`, the result includes each layer's [`Activations`].
///
/// burn-ndarray moves every matrix product to a thread of rayon's pool and waits for it, unless it runs on such a
/// thread already. The scope enters the pool once per batch.
///
/// # Errors
/// [`NeuralError::Backend`] if the backend does not return its values.
pub(crate) fn gradients(
    weights: &Weights,
    batch: Batch,
    keep_activations: bool,
    loss: LossFn<'_>,
) -> Result<Gradients, NeuralError> {
    rayon::scope(|_| forward_backward(weights, batch, keep_activations, loss))
}

fn forward_backward(
    weights: &Weights,
    batch: Batch,
    keep_activations: bool,
    loss: LossFn<'_>,
) -> Result<Gradients, NeuralError> {
    let device = device();
    let Batch { rows, input, dropout_masks } = batch;
    let mut caches: Vec<LayerCache> = Vec::with_capacity(weights.shape.layers.len());
    let mut outputs: Vec<Tensor<2>> = Vec::with_capacity(weights.shape.layers.len());
    let mut values = tensor(input, [rows, weights.shape.inputs], &device);
    for ((index, shape), mask) in weights.shape.layers.iter().enumerate().zip(dropout_masks) {
        let mask = mask.map(|mask| tensor(mask, [rows, shape.outputs], &device));
        let layer = upload(&weights.network.layers[index], weights.norms[index].as_ref(), rows, &device);
        let added = shape.add.map(|from| outputs[from].clone());
        let (output, cache) = layer.forward(values, added, shape.relu, mask);
        caches.push(cache);
        values = output.clone();
        outputs.push(output);
    }
    drop(outputs);
    let width = values.dims()[1];
    let LossGradient { loss, gradient } = loss(&download(values)?);
    let layers = backward(weights, caches, tensor(gradient, [rows, width], &device), keep_activations)?;
    Ok(Gradients { layers, loss })
}

fn tensor(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn download(tensor: Tensor<2>) -> Result<Vec<f32>, NeuralError> {
    tensor.into_data().try_into_vec::<f32>().map_err(|error| NeuralError::Backend(format!("{error:?}")))
}

/// One layer's parameters on the device.
struct Layer {
    weights: Tensor<2>,
    /// Repeated for every row of the batch: burn-ndarray takes several times as long to broadcast one row.
    biases: Tensor<2>,
    norm: Option<NormLayer>,
}

struct NormLayer {
    gamma: Tensor<2>,
    beta: Tensor<2>,
}

fn upload(layer: &FloatLayer, norm: Option<&Norm>, rows: usize, device: &Device) -> Layer {
    let (inputs, outputs) = (layer.inputs(), layer.outputs());
    let row = |values: &[f32]| tensor(values.to_vec(), [1, outputs], device);
    Layer {
        weights: tensor(layer.weights.clone(), [outputs, inputs], device),
        biases: tensor(layer.biases.repeat(rows), [rows, outputs], device),
        norm: norm.map(|norm| NormLayer { gamma: row(&norm.gamma), beta: row(&norm.beta) }),
    }
}

impl Layer {
    fn forward(
        self,
        input: Tensor<2>,
        added: Option<Tensor<2>>,
        has_relu: bool,
        dropout_mask: Option<Tensor<2>>,
    ) -> (Tensor<2>, LayerCache) {
        let mut values = input.clone().matmul(self.weights.clone().transpose()) + self.biases;
        let norm = self.norm.map(|norm| norm.forward(&mut values));
        if let Some(added) = added {
            values = values + added;
        }
        if has_relu {
            values = relu(values);
        }
        let relu_mask = has_relu.then(|| values.clone().sign());
        if let Some(mask) = &dropout_mask {
            values = values * mask.clone();
        }
        (values, LayerCache { input, weights: self.weights, norm, relu_mask, dropout_mask })
    }
}

/// From the gradient with respect to the outputs to the gradient of every parameter.
fn backward(
    weights: &Weights,
    caches: Vec<LayerCache>,
    gradient: Tensor<2>,
    keep_activations: bool,
) -> Result<Vec<LayerGradient>, NeuralError> {
    let mut output_gradients: Vec<Option<Tensor<2>>> = vec![None; caches.len()];
    let mut layers = Vec::with_capacity(caches.len());
    if let Some(last) = output_gradients.last_mut() {
        *last = Some(gradient);
    }
    for (index, cache) in caches.into_iter().enumerate().rev() {
        // In a valid shape every layer's output is used, so every layer has a gradient.
        let Some(mut gradient) = output_gradients[index].take() else { continue };
        if let Some(mask) = cache.dropout_mask {
            gradient = gradient * mask;
        }
        if let Some(mask) = cache.relu_mask {
            gradient = gradient * mask;
        }
        if let Some(from) = weights.shape.layers[index].add {
            accumulate(&mut output_gradients[from], gradient.clone());
        }
        let mut norm = None;
        if let Some(cache) = cache.norm {
            let (before, parameters) = cache.backward(gradient)?;
            (gradient, norm) = (before, Some(parameters));
        }
        if index > 0 {
            accumulate(&mut output_gradients[index - 1], gradient.clone().matmul(cache.weights));
        }
        layers.push(layer_gradient(cache.input, gradient, norm, keep_activations)?);
    }
    layers.reverse();
    Ok(layers)
}

fn layer_gradient(
    input: Tensor<2>,
    gradient: Tensor<2>,
    norm: Option<NormGradient>,
    keep_activations: bool,
) -> Result<LayerGradient, NeuralError> {
    let ([_, inputs], [_, outputs]) = (input.dims(), gradient.dims());
    // The first factor is transposed, which copies it, so it is the narrower one.
    let weights = if outputs <= inputs {
        gradient.clone().transpose().matmul(input.clone())
    } else {
        input.clone().transpose().matmul(gradient.clone()).transpose()
    };
    // The last reference to the tensor, so that the download does not copy.
    let output_gradient = download(gradient)?;
    let biases = column_sums(&output_gradient, outputs);
    let activations =
        if keep_activations { Some(Activations { input: download(input)?, output_gradient }) } else { None };
    Ok(LayerGradient { weights: download(weights)?, biases, norm, activations })
}

/// Sums row by row, to the same bits as burn-ndarray, which takes some hundred instructions per row.
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

impl NormLayer {
    /// Normalizes the values over the batch.
    fn forward(self, values: &mut Tensor<2>) -> NormCache {
        let mean = values.clone().mean_dim(0);
        let centred = values.clone() - mean.clone();
        let variance = (centred.clone() * centred.clone()).mean_dim(0);
        let normalized = centred / (variance.clone() + NORM_EPSILON).sqrt();
        *values = normalized.clone() * self.gamma.clone() + self.beta;
        NormCache { gamma: self.gamma, normalized, mean, variance }
    }
}

impl NormCache {
    /// From the gradient after normalization to the gradient before it (Ioffe & Szegedy 2015, section 3).
    fn backward(self, gradient: Tensor<2>) -> Result<(Tensor<2>, NormGradient), NeuralError> {
        let rows = gradient.dims()[0].max(1) as f32;
        let gamma = (gradient.clone() * self.normalized.clone()).sum_dim(0);
        let beta = gradient.clone().sum_dim(0);
        let factor = self.gamma / (self.variance.clone() + NORM_EPSILON).sqrt();
        let before = (gradient - beta.clone() / rows - self.normalized * (gamma.clone() / rows)) * factor;
        let parameters = NormGradient {
            gamma: download(gamma)?,
            beta: download(beta)?,
            mean: download(self.mean)?,
            variance: download(self.variance)?,
        };
        Ok((before, parameters))
    }
}
