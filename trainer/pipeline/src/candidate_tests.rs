//! Calibration by two halves, on synthetic rows.

use super::by_halves;
use crate::dataset::Row;
use crate::dataset::stored::Sampled;
use crate::quantize::scores;
use crate::testing::Mixture;
use crate::train::run::TrainRun;
use crate::train::training_rows::{TrainingRow, benign};
use crate::train::{TrainConfig, train, transforms};
use lapwing_shared::features::FeatureVector;
use lapwing_shared::units::{Address, Timestamp};
use lapwing_shared::verdict::calibration::Calibration;
use lapwing_store::Unlabelled;

/// Share of fresh rows whose tail probability by the calibration is at most `tail`.
fn share_over(tail: f64, calibration: &Calibration, fresh: &[u32]) -> f64 {
    let over = |score: &&u32| f64::from(calibration.surprise_nats(**score)) >= -tail.ln();
    fresh.iter().filter(over).count() as f64 / fresh.len() as f64
}

#[test]
fn the_calibration_of_two_halves_fits_the_released_network() {
    let (mut hundredth, mut thousandth) = (0.0, 0.0);
    for seed in 1..=3 {
        let mixture = Mixture::new(seed);
        let row = |(index, features): (usize, FeatureVector)| Row {
            site: 0,
            at: Timestamp::from_secs(10 * index as u64),
            source: Address::from_v4([10, 0, 0, 1]),
            destination: Address::from_v4([203, 0, 113, 1]),
            service_port: 443,
            features,
            attack: None,
            suspect: false,
            weight: 1.0,
            under_release: false,
        };
        let rows: Vec<Row> = mixture.rows(4_000, seed).into_iter().enumerate().map(row).collect();
        let sampled = Sampled { rows, unlabelled: Unlabelled::default() };
        let config = TrainConfig { seed, epochs: 20, batch_rows: 64, ..TrainConfig::default() };
        let training: Vec<TrainingRow> = benign(&sampled.rows).collect();
        let trained = train(&training, &transforms(), &config, &mut |_| ()).unwrap();
        let run = TrainRun::new(&training, &config, &trained);
        let candidate = by_halves(&run, &sampled, &[], &mut |_| ()).unwrap();
        let fresh = scores(&candidate.quantized.artifacts.int8, &run.scaling, mixture.rows(10_000, 99).iter()).unwrap();
        hundredth += share_over(0.01, &candidate.thresholds.calibration, &fresh) / 3.0;
        thousandth += share_over(0.001, &candidate.thresholds.calibration, &fresh) / 3.0;
    }
    assert!((0.005..=0.02).contains(&hundredth), "{hundredth} of fresh rows over p = 0.01");
    assert!((0.0003..=0.003).contains(&thousandth), "{thousandth} of fresh rows over p = 0.001");
}
