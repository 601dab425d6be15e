//! Captures → how well the calibration by two half-trained networks fits the released network's own scores.
//!
//! ```text
//! cargo run -p lapwing-pipeline --example scale_fit -- SEEDS CAPTURE…
//! ```
//!
//! For each seed, a quarter of the benign rows is set aside in stretches, a release is made of the others as in `serve`,
//! and its network scores the rows set aside: the share of them above each tail probability should be that probability.
//! The result of calibrating on the validation rows of the network's own training is printed for comparison.

use anyhow::Context;
use lapwing_pipeline::calibrate::calibrate;
use lapwing_pipeline::candidate::by_halves;
use lapwing_pipeline::dataset::stored::Sampled;
use lapwing_pipeline::dataset::{Row, capture};
use lapwing_pipeline::quantize::scores;
use lapwing_pipeline::train::run::TrainRun;
use lapwing_pipeline::train::training_rows::{TrainingRow, benign, split};
use lapwing_pipeline::train::{TrainConfig, train, transforms};
use lapwing_shared::features::FeatureVector;
use lapwing_shared::verdict::calibration::Calibration;
use lapwing_store::Unlabelled;
use std::io::Write;

const TAILS: [f64; 3] = [0.1, 0.01, 0.001];

fn shares(calibration: &Calibration, fresh: &[u32]) -> [f64; TAILS.len()] {
    TAILS.map(|tail| {
        let over = |score: &&u32| f64::from(calibration.surprise_nats(**score)) >= -tail.ln();
        fresh.iter().filter(over).count() as f64 / fresh.len().max(1) as f64
    })
}

/// Shares of fresh rows above each tail probability: calibrated by two halves, and on the own validation rows.
fn one_seed(rows: &[Row], seed: u64) -> anyhow::Result<[[f64; TAILS.len()]; 2]> {
    let all: Vec<usize> = (0..rows.len()).collect();
    let split = split(&all, 0.25, seed.wrapping_add(1_000));
    let learnt: Vec<Row> = split.training.into_iter().map(|row| rows[row].clone()).collect();
    let sampled = Sampled { rows: learnt, unlabelled: Unlabelled::default() };
    let config = TrainConfig { seed, ..TrainConfig::default() };
    let training: Vec<TrainingRow> = benign(&sampled.rows).collect();
    let trained = train(&training, &transforms(), &config, &mut |_| ())?;
    let run = TrainRun::new(&training, &config, &trained).of_samples(true);
    let candidate = by_halves(&run, &sampled, &[], &mut |_| ())?;
    let fresh: Vec<FeatureVector> = split.validation.into_iter().map(|row| rows[row].features).collect();
    let fresh = scores(&candidate.quantized.artifacts.int8, &run.scaling, fresh.iter())?;
    Ok([shares(&candidate.thresholds.calibration, &fresh), shares(&calibrate(&candidate.scores)?, &fresh)])
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let seeds: u64 = arguments.next().context("usage: scale_fit SEEDS CAPTURE…")?.parse()?;
    let captures: Vec<_> = arguments.map(Into::into).collect();
    let mut rows = capture::read(&captures)?.rows;
    rows.retain(|row| row.attack.is_none());
    let mut out = std::io::stdout();
    writeln!(out, "{} benign rows; share of fresh rows above p = {TAILS:?}", rows.len())?;
    for seed in 1..=seeds {
        let [halves, own] = one_seed(&rows, seed)?;
        writeln!(out, "seed {seed}: by two halves {halves:.5?}, on own validation rows {own:.5?}")?;
    }
    Ok(())
}
