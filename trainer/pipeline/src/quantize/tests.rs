//! Quantization of a trained network, step by step.

use super::convert::{QuantizeConfig, quantize};
use super::report::{Against, compare};
use crate::testing::Mixture;
use crate::train::network::FloatNetwork;
use crate::train::training_rows::TrainingRow;
use crate::train::{TrainConfig, Trained, train};
use lapwing_neural::NetworkShape;
use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::scaling::QuantizedInput;

fn trained() -> (Trained, Vec<QuantizedInput>, Vec<QuantizedInput>, Vec<QuantizedInput>) {
    let mixture = Mixture::new(1);
    let row = |(row, features)| TrainingRow { features, agent: row as u32 % 3, suspect: false };
    let rows: Vec<TrainingRow> = mixture.rows(4_000, 2).into_iter().enumerate().map(row).collect();
    let config = TrainConfig { epochs: 25, batch_rows: 64, ..TrainConfig::default() };
    let trained = train(&rows, &Mixture::transforms(), &config, &mut |_| ()).unwrap();
    let inputs = |indices: &[usize]| indices.iter().map(|row| trained.scaling.quantize(&rows[*row].features)).collect();
    let (calibration, benign) = (inputs(&trained.training), inputs(&trained.validation));
    let anomalous = mixture.mixed_rows(600, 9).iter().map(|row| trained.scaling.quantize(row)).collect();
    (trained, calibration, benign, anomalous)
}

#[test]
fn quantization_loss_is_small_and_each_step_reduces_it() {
    let (trained, calibration, benign, anomalous) = trained();
    let report = |config: QuantizeConfig, anomalous: &[QuantizedInput]| {
        let artifact = quantize(&trained.network, &calibration, &config).unwrap().to_int8().unwrap();
        compare(&trained.network, &artifact, &trained.scaling, &benign, anomalous).unwrap()
    };
    let full = report(QuantizeConfig::default(), &anomalous);
    let plain = report(QuantizeConfig { equalize: false, correct_bias: false, ..Default::default() }, &anomalous);
    let unequal = report(QuantizeConfig { equalize: false, ..Default::default() }, &anomalous);
    let uncorrected = report(QuantizeConfig { correct_bias: false, ..Default::default() }, &anomalous);
    println!("full {full:?}\nplain {plain:?}\nno equalisation {unequal:?}\nno correction {uncorrected:?}");
    assert_eq!((full.against, full.anomalous_rows), (Against::LabelledAttacks, 600));
    assert!(full.rank_correlation > 0.99, "{full:?}");
    assert!((full.auc_f32 - full.auc_int8).abs() < 0.005, "{full:?}");
    assert!(full.rms_quanta < plain.rms_quanta, "{full:?} against {plain:?}");
    let unlabelled = report(QuantizeConfig::default(), &[]);
    assert_eq!((unlabelled.against, unlabelled.anomalous_rows), (Against::PerturbedRows, benign.len()));
}

#[test]
fn an_invalid_network_or_no_rows_are_rejected() {
    let shape = NetworkShape::autoencoder(FEATURES, &[8], false);
    let mut network = FloatNetwork::random(&shape, &mut fastrand::Rng::with_seed(1));
    assert!(quantize(&network, &[], &QuantizeConfig::default()).is_err());
    network.layers[0].weights[0] = f32::NAN;
    assert!(quantize(&network, &[[0; 48]], &QuantizeConfig::default()).is_err());
}
