//! Twenty training steps → the same bits as burn's own layers, automatic differentiation and Adam give.
//!
//! burn's results are in a file, since building its optimizers would take a minute of every cold build. With the feature
//! `burn-optim` a second test computes them again: `tests/run burn-optim`.

use crate::adam::{Adam, AdamConfig};
use crate::learner::Weights;
use crate::loss::{BatchTarget, Objective};
use crate::tests::{gradients_of, plane_rows};
use crate::*;
use fastrand::Rng;
use lapwing_tables::Matrix;

const STEPS: usize = 20;
const LEARNING_RATE: f64 = 3e-3;
/// For each loss the weights of both layers, as hexadecimal bits of `f32`.
const BURNS: &str = include_str!("../tests/data/weights-of-burn.txt");
const LOSSES: [Loss; 2] = [Loss::Squared, Loss::Huber { delta: 0.7 }];

fn start(rows: &mut Matrix, loss: usize) -> Weights {
    let mut rng = Rng::with_seed(13 + loss as u64);
    *rows = plane_rows(64, &mut rng);
    Weights::random(&NetworkShape::autoencoder(8, &[5], true), &mut rng)
}

/// One line per loss.
fn lines(weights: impl Iterator<Item = Vec<Vec<f32>>>) -> Vec<String> {
    let hex = |layers: Vec<Vec<f32>>| {
        layers.concat().iter().map(|value| format!("{:08x}", value.to_bits())).collect::<Vec<_>>().join(" ")
    };
    weights.map(hex).collect()
}

#[test]
fn losses_and_adam_give_the_same_bits_as_burn() {
    let ours = LOSSES.into_iter().enumerate().map(|(index, loss)| {
        let mut rows = Matrix::from_values(8, Vec::new()).unwrap();
        let mut weights = start(&mut rows, index);
        let mut adam = Adam::new(AdamConfig::default());
        for _ in 0..STEPS {
            let target = BatchTarget::Values { values: rows.values().to_vec(), loss, output_weights: Vec::new() };
            let gradients = gradients_of(&weights, &rows, &Objective { target, row_weights: Vec::new() });
            adam.step(&mut weights, &gradients, LEARNING_RATE);
        }
        weights.network.layers.into_iter().map(|layer| layer.weights).collect()
    });
    assert_eq!(lines(ours), BURNS.lines().collect::<Vec<_>>());
}

#[cfg(feature = "burn-optim")]
mod burns {
    use super::*;
    use burn::module::{Module, Param};
    use burn::nn::Linear;
    use burn::optim::{AdamConfig as BurnAdam, GradientsParams};
    use burn::tensor::{Device, Tensor, TensorData};

    /// The layers of an autoencoder as burn modules.
    #[derive(Module, Debug)]
    struct BurnLayers {
        layers: Vec<Linear>,
    }

    #[test]
    fn the_file_has_the_weights_of_burn() {
        #[expect(deprecated, reason = "the backend that the crate uses")]
        let device = Device::ndarray().autodiff();
        let upload = |values: &[f32], shape: [usize; 2]| -> Tensor<2> {
            Tensor::from_data(TensorData::new(values.to_vec(), shape), &device)
        };
        let weights = LOSSES.into_iter().enumerate().map(|(index, loss)| {
            let mut rows = Matrix::from_values(8, Vec::new()).unwrap();
            let weights = start(&mut rows, index);
            let layers = weights.network.layers.iter().map(|layer| {
                let weight = upload(&layer.weights, [layer.outputs(), layer.inputs()]).transpose();
                let bias = Tensor::<1>::from_data(TensorData::new(layer.biases.clone(), [layer.outputs()]), &device);
                Linear { weight: Param::from_tensor(weight), bias: Some(Param::from_tensor(bias)) }
            });
            let mut burns = BurnLayers { layers: layers.collect() };
            let mut optimizer = BurnAdam::new().with_epsilon(1e-8).init();
            for _ in 0..STEPS {
                let input = upload(rows.values(), [64, 8]);
                let hidden = burn::tensor::activation::relu(burns.layers[0].forward(input.clone()));
                let difference = burns.layers[1].forward(hidden) - input;
                let value = match loss {
                    Loss::Squared => (difference.clone() * difference).mean(),
                    Loss::Huber { delta } => {
                        let scaled = difference / delta;
                        ((scaled.clone() * scaled + 1.0).sqrt() - 1.0).mean() * (delta * delta)
                    }
                };
                let gradients = GradientsParams::from_grads(value.backward(), &burns);
                burns = optimizer.step(LEARNING_RATE, burns.clone(), gradients);
            }
            let weights_of = |layer: &Linear| layer.weight.val().transpose().into_data().try_to_vec().unwrap();
            burns.layers.iter().map(weights_of).collect()
        });
        let found = lines(weights);
        println!("{}", found.join("\n"));
        assert_eq!(found, BURNS.lines().collect::<Vec<_>>(), "tests/data/weights-of-burn.txt");
    }
}
