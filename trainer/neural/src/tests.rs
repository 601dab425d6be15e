//! Synthetic rows → gradients, optimizers and the training loop.

use crate::adam::AdamConfig;
use crate::backend::{self, Batch};
use crate::fit::fit_validated;
use crate::learner::{Activations, Gradients, Weights};
use crate::loss::{BatchTarget, Objective};
use crate::*;
use fastrand::Rng;
use lapwing_tables::Matrix;

/// Two classes that are not linearly separable: true if the product of the first two values is positive.
fn xor_rows(rows: usize, rng: &mut Rng) -> (Matrix, Vec<bool>) {
    let values: Vec<f32> = (0..rows * 4).map(|_| normal(rng)).collect();
    let flags = values.chunks_exact(4).map(|row| row[0] * row[1] > 0.0).collect();
    (Matrix::from_values(4, values).unwrap(), flags)
}

/// Rows of 8 columns near a 2-dimensional plane.
pub(crate) fn plane_rows(rows: usize, rng: &mut Rng) -> Matrix {
    let axes: Vec<f32> = (0..16).map(|_| normal(rng)).collect();
    let mut values = Vec::with_capacity(rows * 8);
    for _ in 0..rows {
        let (a, b) = (normal(rng), normal(rng));
        values.extend((0..8).map(|column| a * axes[column] + b * axes[column + 8] + 0.05 * normal(rng)));
    }
    Matrix::from_values(8, values).unwrap()
}

fn fit_quietly(shape: &NetworkShape, rows: Rows<'_>, validation: Rows<'_>, config: &FitConfig) -> Fitted {
    let mut rng = Rng::with_seed(5);
    fit_validated(shape, rows, validation, config, &mut rng, &mut |_| (), &|| 0.0).unwrap()
}

pub(crate) fn gradients_of(weights: &Weights, input: &Matrix, objective: &Objective) -> Gradients {
    let dropout_masks = weights.shape.layers.iter().map(|layer| {
        (layer.dropout > 0.0).then(|| (0..input.rows() * layer.outputs).map(|at| (at % 3) as f32 * 0.75).collect())
    });
    let batch = Batch { rows: input.rows(), input: input.values().to_vec(), dropout_masks: dropout_masks.collect() };
    backend::gradients(weights, batch, true, &mut |outputs| objective.loss(outputs, input.rows())).unwrap()
}

#[test]
fn gradients_match_finite_differences_of_the_loss() {
    let mut rng = Rng::with_seed(6);
    let (input, _) = xor_rows(9, &mut rng);
    let shape = NetworkShape::residual(4, 6, 3, 0.2);
    let mut weights = Weights::random(&shape, &mut rng);
    // A bias of 0 would put rows at the kink of ReLU, which has no derivative.
    weights
        .network
        .layers
        .iter_mut()
        .flat_map(|layer| &mut layer.biases)
        .for_each(|bias| *bias = 0.1 * normal(&mut rng));
    for norm in weights.norms.iter_mut().flatten() {
        norm.gamma.iter_mut().for_each(|gamma| *gamma += 0.3 * normal(&mut rng));
        norm.beta.iter_mut().for_each(|beta| *beta += 0.3 * normal(&mut rng));
    }
    let target = BatchTarget::Classes((0..9).map(|row| row % 3).collect());
    let objective = Objective { target, row_weights: Vec::new() };
    let gradients = gradients_of(&weights, &input, &objective);
    let sizes: Vec<usize> = weights.with_gradients(&gradients).iter().map(|(group, _)| group.len()).collect();
    for (group, size) in sizes.into_iter().enumerate() {
        for index in 0..size.min(12) {
            let moved = |by: f32| {
                let mut weights = weights.clone();
                weights.with_gradients(&gradients)[group].0[index] += by;
                gradients_of(&weights, &input, &objective).loss
            };
            let expected = (moved(5e-4) - moved(-5e-4)) / 1e-3;
            let gradient = f64::from(weights.clone().with_gradients(&gradients)[group].1[index]);
            let error = (expected - gradient).abs();
            assert!(error < 5e-3 + 0.02 * expected.abs(), "group {group}, {index}: {expected}, {gradient}");
        }
    }
}

#[test]
fn activations_reproduce_the_weight_gradients() {
    let mut rng = Rng::with_seed(7);
    let (input, flags) = xor_rows(33, &mut rng);
    let weights = Weights::random(&NetworkShape::residual(4, 6, 1, 0.2), &mut rng);
    let objective = Objective { target: BatchTarget::Flags(flags), row_weights: Vec::new() };
    for (index, layer) in gradients_of(&weights, &input, &objective).layers.iter().enumerate() {
        let Activations { input, output_gradient } = layer.activations.as_ref().unwrap();
        let (inputs, outputs) = (input.len() / 33, output_gradient.len() / 33);
        for output in 0..outputs {
            let gradient = |column: usize| -> f32 {
                (0..33).map(|row| output_gradient[row * outputs + output] * input[row * inputs + column]).sum()
            };
            let bias: f32 = (0..33).map(|row| output_gradient[row * outputs + output]).sum();
            let near = |input| (gradient(input) - layer.weights[output * inputs + input]).abs() < 1e-5;
            assert!((0..inputs).all(near) && (bias - layer.biases[output]).abs() < 1e-5, "layer {index}");
        }
    }
}

#[test]
fn both_optimizers_learn_to_separate_two_classes() {
    let mut rng = Rng::with_seed(8);
    let ((input, flags), (test, test_flags)) = (xor_rows(3_000, &mut rng), xor_rows(1_000, &mut rng));
    let shape = NetworkShape::residual(4, 24, 1, DROPOUT);
    for optimizer in [Optimizer::Adam(AdamConfig::default()), Optimizer::Kfac(KfacConfig::default())] {
        let schedule = match optimizer {
            Optimizer::Adam(_) => Schedule::WarmUpCosine { highest: 5e-3 },
            Optimizer::Kfac(_) => Schedule::WarmUpCosine { highest: 0.1 },
        };
        let config = FitConfig { epochs: 15, batch_rows: 128, optimizer, schedule, ..FitConfig::default() };
        let fitted = fit_quietly(&shape, Rows::flagged(&input, &flags), Rows::flagged(&test, &test_flags), &config);
        let outputs = fitted.network.outputs_of(&test);
        let correct =
            outputs.values().iter().zip(&test_flags).filter(|(logit, flag)| (**logit > 0.0) == **flag).count();
        println!("{optimizer:?}: {correct} of 1000, {:?}", fitted.curve.last());
        assert!(correct > 940, "{optimizer:?}: {correct} of 1000, {:?}", fitted.curve);
    }
}

#[test]
fn kfac_needs_fewer_steps_than_adam_for_the_same_loss() {
    let mut rng = Rng::with_seed(9);
    let rows = plane_rows(2_000, &mut rng);
    let shape = NetworkShape::autoencoder(8, &[12, 2, 12], false);
    let best = |optimizer, highest: f64| {
        let schedule = Schedule::Constant { rate: highest };
        let config =
            FitConfig { epochs: 10, batch_rows: 256, optimizer, schedule, patience: 99, ..FitConfig::default() };
        let fitted = fit_quietly(&shape, Rows::to_reconstruct(&rows), Rows::to_reconstruct(&rows), &config);
        fitted.curve.last().unwrap().best_loss
    };
    let rates = [1e-3, 3e-3, 1e-2, 3e-2];
    let adam = rates.map(|rate| best(Optimizer::Adam(AdamConfig::default()), rate));
    let kfac = best(Optimizer::Kfac(KfacConfig::default()), 0.3);
    println!("adam {adam:?}, kfac {kfac}");
    assert!(adam.iter().all(|adam| kfac < 0.7 * adam), "adam {adam:?}, kfac {kfac}");
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let mut rng = Rng::with_seed(10);
    let (input, flags) = xor_rows(700, &mut rng);
    let rows = Rows::flagged(&input, &flags);
    let shape = NetworkShape::residual(4, 96, 1, 0.3);
    let optimizers = [Optimizer::Adam(AdamConfig::default()), Optimizer::Kfac(KfacConfig::default())];
    for optimizer in optimizers {
        let (noise, masking) = (0.1, 0.1);
        let config = FitConfig { epochs: 2, batch_rows: 600, optimizer, noise, masking, ..FitConfig::default() };
        let fitted = fit_quietly(&shape, rows, rows, &config);
        assert_eq!(fitted, fit_quietly(&shape, rows, rows, &config));
        // The next test runs this one in another process and reads this line.
        println!("bits {:?}", fitted.network.layers.iter().flat_map(|layer| &layer.weights).sum::<f32>().to_bits());
    }
}

#[test]
fn one_and_two_threads_give_the_same_bits() {
    let bits = |threads: &str| -> Vec<String> {
        let mut process = std::process::Command::new(std::env::current_exe().unwrap());
        process.args(["--exact", "tests::the_same_seed_gives_the_same_bits", "--nocapture"]);
        let output = process.env("RAYON_NUM_THREADS", threads).env("MATMUL_NUM_THREADS", threads).output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        output.lines().filter(|line| line.starts_with("bits ")).map(str::to_owned).collect()
    };
    let one = bits("1");
    assert_eq!(one.len(), 2);
    assert_eq!(one, bits("2"));
}

#[test]
fn training_stops_early_and_returns_the_best_weights() {
    let mut rng = Rng::with_seed(11);
    let ((input, flags), (validation, _)) = (xor_rows(60, &mut rng), xor_rows(200, &mut rng));
    // Random validation labels, so that the validation loss soon rises.
    let noise: Vec<bool> = (0..200).map(|_| rng.bool()).collect();
    let config = FitConfig { epochs: 500, patience: 4, batch_rows: 16, ..FitConfig::default() };
    let validation = Rows::flagged(&validation, &noise);
    let shape = NetworkShape::classifier(4, &[16], 1, 0.0);
    let fitted = fit_quietly(&shape, Rows::flagged(&input, &flags), validation, &config);
    assert_eq!(fitted.curve.len(), fitted.best_epoch + 4);
    let best = fitted.curve.iter().map(|point| point.validation_loss).fold(f64::INFINITY, f64::min);
    assert_eq!(validation.loss(&fitted.network, config.loss, &[]), best);
}

#[test]
fn rows_of_weight_zero_do_not_affect_training() {
    let mut rng = Rng::with_seed(12);
    let (input, flags) = xor_rows(300, &mut rng);
    let mut wrong = flags.clone();
    wrong[..150].iter_mut().for_each(|flag| *flag = !*flag);
    let weights: Vec<f32> = (0..300).map(|row| if row < 150 { 0.0 } else { 2.0 }).collect();
    let shape = NetworkShape::classifier(4, &[16], 1, 0.0);
    let config = FitConfig { epochs: 4, ..FitConfig::default() };
    let fitted = |flags: &[bool]| {
        let rows = Rows::flagged(&input, flags).weighted(&weights);
        fit_quietly(&shape, rows, Rows::flagged(&input, flags).weighted(&weights), &config).network
    };
    assert_eq!(fitted(&flags), fitted(&wrong));
}

#[test]
fn invalid_rows_and_settings_are_rejected() {
    let (input, flags) = xor_rows(20, &mut Rng::with_seed(1));
    let shape = NetworkShape::classifier(4, &[3], 1, 0.0);
    let config = FitConfig { epochs: 1, ..FitConfig::default() };
    let error = |shape: &NetworkShape, rows: Rows<'_>, config: &FitConfig| {
        let good = Rows::flagged(&input, &flags);
        let mut rng = Rng::with_seed(1);
        let validate = &mut |network: &FloatNetwork| good.loss(network, Loss::Squared, &[]);
        let watch = Watch { validate, progress: &mut |_| (), clock: &|| 0.0 };
        fit(shape, rows, config, &mut rng, watch).unwrap_err().to_string()
    };
    let good = Rows::flagged(&input, &flags);
    let narrow = NetworkShape::classifier(5, &[3], 1, 0.0);
    assert_eq!(error(&narrow, good, &config), "4 columns, expected 5, one per input of the network");
    let few = error(&shape, Rows::flagged(&input, &flags[1..]), &config);
    assert_eq!(few, "19 targets, expected 20, one per row");
    let classes = vec![3; 20];
    let many = error(&shape, Rows::classified(&input, &classes), &config);
    assert!(many.starts_with("4 values or classes per target, expected 1"), "{many}");
    let mut broken = input.clone();
    broken.row_mut(7)[2] = f32::NAN;
    let nan = error(&shape, Rows::flagged(&broken, &flags), &config);
    assert_eq!(nan, "row 7 contains a value that is not finite");
    let idle = error(&shape, good, &FitConfig { batch_rows: 0, ..config.clone() });
    assert!(idle.starts_with("network setting batch-rows is 0"), "{idle}");
    let empty = Matrix::from_values(4, Vec::new()).unwrap();
    assert_eq!(error(&shape, Rows::flagged(&empty, &[]), &config), "0 rows, expected at least 1");
}
