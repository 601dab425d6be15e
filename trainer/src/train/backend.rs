//! The one place that knows burn: one epoch of Adam over minibatches, on the ndarray backend.
//!
//! Initial weights come from outside and every random choice is the caller's, because burn's generator is global:
//! two trainings at once would not be reproducible with it. Inputs are [batch, 48] scaled units.

use super::network::{FloatLayer, FloatNetwork};
use super::{Loss, TrainError};
use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use lapwing_shared::features::FEATURES;

/// The device that training runs on; another burn backend is another line here.
#[expect(deprecated, reason = "upstream prefers flex; ndarray is the backend that was chosen and measured")]
fn device() -> Device {
    Device::ndarray().autodiff()
}

#[derive(Module, Debug)]
struct Layers {
    linear: Vec<Linear>,
}

/// Weights under training, with Adam's moments (Kingma & Ba 2015).
pub(super) struct Learner {
    device: Device,
    layers: Layers,
    optimizer: ModuleOptimizer,
    relu: Vec<bool>,
    latent_layer: usize,
    loss: Loss,
}

impl Learner {
    /// Starts from the given weights.
    pub(super) fn new(network: &FloatNetwork, loss: Loss) -> Self {
        let device = device();
        let linear = network.layers.iter().map(|layer| upload(layer, &device)).collect();
        Self {
            layers: Layers { linear },
            optimizer: AdamConfig::new().with_epsilon(1e-8).init(),
            relu: network.layers.iter().map(|layer| layer.relu).collect(),
            latent_layer: network.latent_layer,
            device,
            loss,
        }
    }

    /// One step over one batch; `input` and `target` hold rows of [`FEATURES`] values.
    pub(super) fn step(&mut self, input: Vec<f32>, target: Vec<f32>, learning_rate: f64) {
        let target = self.rows(target);
        let output = self.forward(self.rows(input));
        let difference = output - target;
        let loss = match self.loss {
            Loss::Squared => (difference.clone() * difference).mean(),
            // Pseudo-Huber: d²·(√(1 + (e/d)²) − 1).
            Loss::Huber { delta } => {
                let scaled = difference / delta;
                ((scaled.clone() * scaled + 1.0).sqrt() - 1.0).mean() * (delta * delta)
            }
        };
        let gradients = GradientsParams::from_grads(loss.backward(), &self.layers);
        self.layers = self.optimizer.step(learning_rate, self.layers.clone(), gradients);
    }

    /// The weights now.
    ///
    /// # Errors
    /// [`TrainError::Backend`] when the backend does not give its numbers back.
    pub(super) fn network(&self) -> Result<FloatNetwork, TrainError> {
        let layers = self.layers.linear.iter().zip(&self.relu).map(|(linear, relu)| download(linear, *relu));
        Ok(FloatNetwork { layers: layers.collect::<Result<_, _>>()?, latent_layer: self.latent_layer })
    }

    fn rows(&self, values: Vec<f32>) -> Tensor<2> {
        let rows = values.len() / FEATURES;
        Tensor::from_data(TensorData::new(values, [rows, FEATURES]), &self.device)
    }

    fn forward(&self, mut values: Tensor<2>) -> Tensor<2> {
        for (linear, is_relu) in self.layers.linear.iter().zip(&self.relu) {
            values = linear.forward(values);
            if *is_relu {
                values = relu(values);
            }
        }
        values
    }
}

/// burn keeps input × output.
fn upload(layer: &FloatLayer, device: &Device) -> Linear {
    let (inputs, outputs) = (layer.inputs(), layer.outputs());
    let weight = Tensor::<2>::from_data(TensorData::new(layer.weights.clone(), [outputs, inputs]), device).transpose();
    let bias = Tensor::<1>::from_data(TensorData::new(layer.biases.clone(), [outputs]), device);
    Linear { weight: Param::from_tensor(weight), bias: Some(Param::from_tensor(bias)) }
}

fn download(linear: &Linear, relu: bool) -> Result<FloatLayer, TrainError> {
    let weights = linear.weight.val().transpose().into_data().try_to_vec::<f32>();
    let biases = linear.bias.as_ref().map(|bias| bias.val().into_data().try_to_vec::<f32>()).transpose();
    let weights = weights.map_err(|error| TrainError::Backend(format!("{error:?}")))?;
    let biases = biases.map_err(|error| TrainError::Backend(format!("{error:?}")))?.unwrap_or_default();
    Ok(FloatLayer { weights, biases, relu })
}
