//! Gradients through the tensor library, optimizers and the training loop, on tables that the tests make.

use crate::adam::{Adam, AdamConfig};
use crate::backend::{self, Batch};
use crate::learner::{Gradients, Weights};
use crate::loss::{BatchTarget, Goal};
use crate::*;
use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::optim::{AdamConfig as TheirAdam, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData};
use fastrand::Rng;
use lapwing_tables::Matrix;

/// Rows of two kinds that a plane does not part: true where the product of two of the values is positive.
fn crossed(rows: usize, rng: &mut Rng) -> (Matrix, Vec<bool>) {
    let values: Vec<f32> = (0..rows * 4).map(|_| normal(rng)).collect();
    let flags = values.chunks_exact(4).map(|row| row[0] * row[1] > 0.0).collect();
    (Matrix::from_values(4, values).unwrap(), flags)
}

/// Rows on a plane of 2 dimensions in 8, with a little noise.
fn flat(rows: usize, rng: &mut Rng) -> Matrix {
    let axes: Vec<f32> = (0..16).map(|_| normal(rng)).collect();
    let mut values = Vec::with_capacity(rows * 8);
    for _ in 0..rows {
        let (a, b) = (normal(rng), normal(rng));
        values.extend((0..8).map(|column| a * axes[column] + b * axes[column + 8] + 0.05 * normal(rng)));
    }
    Matrix::from_values(8, values).unwrap()
}

fn fit_quietly(shape: &NetworkShape, rows: Rows<'_>, held_out: Rows<'_>, config: &FitConfig) -> Fitted {
    let mut rng = Rng::with_seed(5);
    fit_validated(shape, rows, held_out, config, &mut rng, &mut |_| (), &|| 0.0).unwrap()
}

fn pass(weights: &Weights, input: &Matrix, goal: &Goal) -> Gradients {
    pass_by(Engine::Burn, weights, input, goal)
}

fn pass_by(engine: Engine, weights: &Weights, input: &Matrix, goal: &Goal) -> Gradients {
    let kept = weights.shape.layers.iter().map(|layer| {
        (layer.dropout > 0.0).then(|| (0..input.rows() * layer.outputs).map(|at| (at % 3) as f32 * 0.75).collect())
    });
    let batch = Batch { rows: input.rows(), input: input.values().to_vec(), kept: kept.collect() };
    let mut judge = |outputs: &[f32]| {
        let judged = goal.judge(outputs, input.rows());
        (judged.value, judged.gradient)
    };
    match engine {
        Engine::Plain => crate::plain::gradients(weights, batch, true, &mut judge),
        Engine::Burn => backend::gradients(weights, batch, true, &mut judge).unwrap(),
    }
}

#[test]
fn gradients_of_every_layer_are_slopes_of_the_loss() {
    let mut rng = Rng::with_seed(6);
    let (input, _) = crossed(9, &mut rng);
    let shape = NetworkShape::residual(4, 6, 3, 0.2);
    let mut weights = Weights::random(&shape, &mut rng);
    // A bias of 0 puts rows on ReLU's kink, where there is no slope.
    weights
        .network
        .layers
        .iter_mut()
        .flat_map(|layer| &mut layer.biases)
        .for_each(|bias| *bias = 0.1 * normal(&mut rng));
    for norm in weights.norms.iter_mut().flatten() {
        norm.gain.iter_mut().for_each(|gain| *gain += 0.3 * normal(&mut rng));
        norm.shift.iter_mut().for_each(|shift| *shift += 0.3 * normal(&mut rng));
    }
    let target = BatchTarget::Classes((0..9).map(|row| row % 3).collect());
    let goal = Goal { target, row_weights: Vec::new() };
    let gradients = pass(&weights, &input, &goal);
    let sizes: Vec<usize> = weights.with_gradients(&gradients).iter().map(|(group, _)| group.len()).collect();
    for (group, size) in sizes.into_iter().enumerate() {
        for place in 0..size.min(12) {
            let moved = |by: f32| {
                let mut weights = weights.clone();
                weights.with_gradients(&gradients)[group].0[place] += by;
                pass(&weights, &input, &goal).loss
            };
            let slope = (moved(5e-4) - moved(-5e-4)) / 1e-3;
            let found = f64::from(weights.clone().with_gradients(&gradients)[group].1[place]);
            assert!((slope - found).abs() < 5e-3 + 0.02 * slope.abs(), "group {group}, {place}: {slope}, {found}");
        }
    }
}

#[test]
fn both_engines_give_the_same_gradients() {
    let mut rng = Rng::with_seed(14);
    let (input, flags) = crossed(300, &mut rng);
    let mut weights = Weights::random(&NetworkShape::residual(4, 20, 1, 0.2), &mut rng);
    let biases = weights.network.layers.iter_mut().flat_map(|layer| &mut layer.biases);
    biases.for_each(|bias| *bias = 0.1 * normal(&mut rng));
    let goal = Goal { target: BatchTarget::Flags(flags), row_weights: Vec::new() };
    let [plain, burn] = [Engine::Plain, Engine::Burn].map(|engine| pass_by(engine, &weights, &input, &goal));
    assert!((plain.loss - burn.loss).abs() < 1e-6);
    let near = |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    for (plain, burn) in plain.layers.iter().zip(&burn.layers) {
        assert!(near(&plain.weights, &burn.weights) && near(&plain.biases, &burn.biases));
        let ([Some(plain_seen), Some(burn_seen)], norms) = ([&plain.seen, &burn.seen], [&plain.norm, &burn.norm])
        else {
            panic!("a probe sees nothing");
        };
        assert!(near(&plain_seen.input, &burn_seen.input) && near(&plain_seen.slope, &burn_seen.slope));
        if let [Some(plain), Some(burn)] = norms {
            assert!(near(&plain.gain, &burn.gain) && near(&plain.shift, &burn.shift));
            assert!(near(&plain.mean, &burn.mean) && near(&plain.variance, &burn.variance));
        }
    }
}

#[test]
fn what_a_probe_sees_makes_up_the_weights_gradient() {
    let mut rng = Rng::with_seed(7);
    let (input, flags) = crossed(33, &mut rng);
    let weights = Weights::random(&NetworkShape::residual(4, 6, 1, 0.2), &mut rng);
    let goal = Goal { target: BatchTarget::Flags(flags), row_weights: Vec::new() };
    for (index, layer) in pass(&weights, &input, &goal).layers.iter().enumerate() {
        let seen = layer.seen.as_ref().unwrap();
        let (inputs, outputs) = (seen.input.len() / 33, seen.slope.len() / 33);
        for output in 0..outputs {
            let of = |input: usize| -> f32 {
                (0..33).map(|row| seen.slope[row * outputs + output] * seen.input[row * inputs + input]).sum()
            };
            let bias: f32 = (0..33).map(|row| seen.slope[row * outputs + output]).sum();
            let near = |input| (of(input) - layer.weights[output * inputs + input]).abs() < 1e-5;
            assert!((0..inputs).all(near) && (bias - layer.biases[output]).abs() < 1e-5, "layer {index}");
        }
    }
}

#[test]
fn two_kinds_are_told_apart_by_either_optimizer() {
    let mut rng = Rng::with_seed(8);
    let ((input, flags), (held, held_flags)) = (crossed(3_000, &mut rng), crossed(1_000, &mut rng));
    let shape = NetworkShape::residual(4, 24, 1, DROPOUT);
    for optimizer in [Optimizer::Adam(AdamConfig::default()), Optimizer::Kfac(KfacConfig::default())] {
        let schedule = match optimizer {
            Optimizer::Adam(_) => Schedule::WarmUpCosine { highest: 5e-3 },
            Optimizer::Kfac(_) => Schedule::WarmUpCosine { highest: 0.1 },
        };
        let config = FitConfig { epochs: 15, batch_rows: 128, optimizer, schedule, ..FitConfig::default() };
        let fitted = fit_quietly(&shape, Rows::flagged(&input, &flags), Rows::flagged(&held, &held_flags), &config);
        let outputs = fitted.network.outputs_of(&held);
        let right = outputs.values().iter().zip(&held_flags).filter(|(logit, flag)| (**logit > 0.0) == **flag).count();
        println!("{optimizer:?}: {right} of 1000, {:?}", fitted.curve.last());
        assert!(right > 940, "{optimizer:?}: {right} of 1000, {:?}", fitted.curve);
    }
}

#[test]
fn kfac_needs_fewer_steps_than_adam_for_the_same_loss() {
    let mut rng = Rng::with_seed(9);
    let rows = flat(2_000, &mut rng);
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
fn the_same_generator_gives_the_same_bits() {
    let mut rng = Rng::with_seed(10);
    let (input, flags) = crossed(700, &mut rng);
    let rows = Rows::flagged(&input, &flags);
    let shape = NetworkShape::residual(4, 96, 1, 0.3);
    let optimizers = [Optimizer::Adam(AdamConfig::default()), Optimizer::Kfac(KfacConfig::default())];
    for (optimizer, engine) in optimizers.into_iter().flat_map(|one| [(one, Engine::Plain), (one, Engine::Burn)]) {
        let (noise, masking) = (0.1, 0.1);
        let config =
            FitConfig { epochs: 2, batch_rows: 600, optimizer, engine, noise, masking, ..FitConfig::default() };
        let fitted = fit_quietly(&shape, rows, rows, &config);
        assert_eq!(fitted, fit_quietly(&shape, rows, rows, &config));
        // The next test reads this line from another process.
        println!("bits {:?}", fitted.network.layers.iter().flat_map(|layer| &layer.weights).sum::<f32>().to_bits());
    }
}

#[test]
fn one_thread_or_two_give_the_same_bits() {
    let bits = |threads: &str| -> Vec<String> {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", "tests::the_same_generator_gives_the_same_bits", "--nocapture"]);
        let told = again.env("RAYON_NUM_THREADS", threads).env("MATMUL_NUM_THREADS", threads).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        told.lines().filter(|line| line.starts_with("bits ")).map(str::to_owned).collect()
    };
    let one = bits("1");
    assert_eq!(one.len(), 4);
    assert_eq!(one, bits("2"));
}

#[test]
fn training_stops_early_and_keeps_the_best_weights() {
    let mut rng = Rng::with_seed(11);
    let ((input, flags), (held, _)) = (crossed(60, &mut rng), crossed(200, &mut rng));
    // Nothing to learn here: labels of the validation rows are noise.
    let noise: Vec<bool> = (0..200).map(|_| rng.bool()).collect();
    let config = FitConfig { epochs: 500, patience: 4, batch_rows: 16, ..FitConfig::default() };
    let held_out = Rows::flagged(&held, &noise);
    let shape = NetworkShape::classifier(4, &[16], 1, 0.0);
    let fitted = fit_quietly(&shape, Rows::flagged(&input, &flags), held_out, &config);
    assert_eq!(fitted.curve.len(), fitted.best_epoch + 4);
    let best = fitted.curve.iter().map(|point| point.validation_loss).fold(f64::INFINITY, f64::min);
    assert_eq!(held_out.loss(&fitted.network, config.loss, &[]), best);
}

#[test]
fn a_row_that_weighs_nothing_teaches_nothing() {
    let mut rng = Rng::with_seed(12);
    let (input, flags) = crossed(300, &mut rng);
    let mut lies = flags.clone();
    lies[..150].iter_mut().for_each(|flag| *flag = !*flag);
    let weights: Vec<f32> = (0..300).map(|row| if row < 150 { 0.0 } else { 2.0 }).collect();
    let shape = NetworkShape::classifier(4, &[16], 1, 0.0);
    let config = FitConfig { epochs: 4, ..FitConfig::default() };
    let fitted = |flags: &[bool]| {
        let rows = Rows::flagged(&input, flags).weighted(&weights);
        fit_quietly(&shape, rows, Rows::flagged(&input, flags).weighted(&weights), &config).network
    };
    assert_eq!(fitted(&flags), fitted(&lies));
}

#[test]
fn balanced_weights_give_every_class_the_same_sum() {
    let classes = [0, 0, 0, 2, 2, 0, 0, 0];
    let weights = balanced_weights(&classes);
    let sum = |class| -> f32 { classes.iter().zip(&weights).filter(|(of, _)| **of == class).map(|(_, w)| w).sum() };
    assert!((sum(0) - 4.0).abs() < 1e-6 && (sum(2) - 4.0).abs() < 1e-6);
    assert!(balanced_weights(&[]).is_empty());
}

#[test]
fn rows_and_settings_that_cannot_be_are_refused() {
    let (input, flags) = crossed(20, &mut Rng::with_seed(1));
    let shape = NetworkShape::classifier(4, &[3], 1, 0.0);
    let config = FitConfig { epochs: 1, ..FitConfig::default() };
    let refused = |shape: &NetworkShape, rows: Rows<'_>, config: &FitConfig| {
        let good = Rows::flagged(&input, &flags);
        let mut rng = Rng::with_seed(1);
        let validate = &mut |network: &FloatNetwork| good.loss(network, Loss::Squared, &[]);
        let watch = Watch { validate, progress: &mut |_| (), clock: &|| 0.0 };
        fit(shape, rows, config, &mut rng, watch).unwrap_err().to_string()
    };
    let good = Rows::flagged(&input, &flags);
    let narrow = NetworkShape::classifier(5, &[3], 1, 0.0);
    assert_eq!(refused(&narrow, good, &config), "4 columns, expected 5, as many as the network has inputs");
    let few = refused(&shape, Rows::flagged(&input, &flags[1..]), &config);
    assert_eq!(few, "19 targets, expected 20, as many as rows");
    let classes = vec![3; 20];
    let many = refused(&shape, Rows::classified(&input, &classes), &config);
    assert!(many.starts_with("4 values or classes a target, expected 1"), "{many}");
    let mut broken = input.clone();
    broken.row_mut(7)[2] = f32::NAN;
    let nan = refused(&shape, Rows::flagged(&broken, &flags), &config);
    assert!(nan.starts_with("7 is the first row with a value that is no number"), "{nan}");
    let idle = refused(&shape, good, &FitConfig { batch_rows: 0, ..config.clone() });
    assert!(idle.starts_with("network setting batch-rows is 0"), "{idle}");
    let empty = Matrix::from_values(4, Vec::new()).unwrap();
    assert_eq!(refused(&shape, Rows::flagged(&empty, &[]), &config), "0 rows, expected at least 1");
}

/// An autoencoder of one hidden layer, as burn's own modules make it.
#[derive(Module, Debug)]
struct Theirs {
    layers: Vec<Linear>,
}

#[test]
fn losses_and_adam_give_the_bits_of_burns_own() {
    #[expect(deprecated, reason = "the backend that the crate uses")]
    let device = Device::ndarray().autodiff();
    let mut rng = Rng::with_seed(13);
    let rows = flat(64, &mut rng);
    let upload = |values: &[f32], shape: [usize; 2]| -> Tensor<2> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &device)
    };
    let cases = [Loss::Squared, Loss::Huber { delta: 0.7 }];
    for (loss, engine) in cases.into_iter().flat_map(|loss| [(loss, Engine::Burn), (loss, Engine::Plain)]) {
        let mut weights = Weights::random(&NetworkShape::autoencoder(8, &[5], true), &mut rng);
        let layers = weights.network.layers.iter().map(|layer| {
            let weight = upload(&layer.weights, [layer.outputs(), layer.inputs()]).transpose();
            let bias = Tensor::<1>::from_data(TensorData::new(layer.biases.clone(), [layer.outputs()]), &device);
            Linear { weight: Param::from_tensor(weight), bias: Some(Param::from_tensor(bias)) }
        });
        let mut theirs = Theirs { layers: layers.collect() };
        let (mut adam, mut optimizer) = (Adam::new(AdamConfig::default()), TheirAdam::new().with_epsilon(1e-8).init());
        for _ in 0..20 {
            let input = upload(rows.values(), [64, 8]);
            let hidden = burn::tensor::activation::relu(theirs.layers[0].forward(input.clone()));
            let difference = theirs.layers[1].forward(hidden) - input;
            let value = match loss {
                Loss::Squared => (difference.clone() * difference).mean(),
                Loss::Huber { delta } => {
                    let scaled = difference / delta;
                    ((scaled.clone() * scaled + 1.0).sqrt() - 1.0).mean() * (delta * delta)
                }
            };
            theirs = optimizer.step(3e-3, theirs.clone(), GradientsParams::from_grads(value.backward(), &theirs));
            let target = BatchTarget::Values { values: rows.values().to_vec(), loss, output_weights: Vec::new() };
            let gradients = pass_by(engine, &weights, &rows, &Goal { target, row_weights: Vec::new() });
            adam.step(&mut weights, &gradients, 3e-3);
        }
        for (ours, theirs) in weights.network.layers.iter().zip(&theirs.layers) {
            let found = theirs.weight.val().transpose().into_data().try_to_vec::<f32>().unwrap();
            let (exact, off) = (engine == Engine::Burn, |(a, b): (&f32, &f32)| (a - b).abs());
            let furthest = ours.weights.iter().zip(&found).map(off).fold(0.0, f32::max);
            println!("{loss:?} {engine:?}: off by {furthest}");
            assert!(if exact { ours.weights == found } else { furthest < 1e-5 }, "{loss:?} {engine:?}: {furthest}");
        }
    }
}
