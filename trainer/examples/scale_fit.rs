//! Does the calibration that a release gets from two half-trained networks fit the released network's own scores?
//!
//! ```text
//! cargo run -p lapwing-trainer --example scale_fit -- SEEDS CAPTURE…
//! ```
//!
//! For each seed, stretches of a quarter of the benign rows are put aside, a release is made of the others as `serve`
//! does, and the rows put aside are scored by its network: the share of them over each tail probability should be that
//! probability. Beside it stands what a calibration by the rows held out of the network's own training would give.

use anyhow::Context;
use lapwing_shared::features::FeatureVector;
use lapwing_shared::verdict::calibration::Calibration;
use lapwing_trainer::calibrate::calibrate;
use lapwing_trainer::calibrate::limits::Unlabelled;
use lapwing_trainer::dataset::stored::Sampled;
use lapwing_trainer::dataset::{Row, benign, capture};
use lapwing_trainer::learn::judge::judge_by_halves;
use lapwing_trainer::learn::{scores, transforms};
use lapwing_trainer::train::rows::{TrainingRow, split};
use lapwing_trainer::train::run::TrainRun;
use lapwing_trainer::train::{TrainConfig, train};
use std::io::Write;

const TAILS: [f64; 3] = [0.1, 0.01, 0.001];

fn shares(calibration: &Calibration, fresh: &[u32]) -> [f64; TAILS.len()] {
    TAILS.map(|tail| {
        let over = |score: &&u32| f64::from(calibration.surprise_nats(**score)) >= -tail.ln();
        fresh.iter().filter(over).count() as f64 / fresh.len().max(1) as f64
    })
}

/// Shares of the fresh rows over each tail probability: by two halves, and by the rows held out of the own training.
fn one_seed(rows: &[Row], seed: u64) -> anyhow::Result<[[f64; TAILS.len()]; 2]> {
    let all: Vec<usize> = (0..rows.len()).collect();
    let (learnt, fresh) = split(&all, 0.25, seed.wrapping_add(1_000));
    let learnt: Vec<Row> = learnt.into_iter().map(|row| rows[row].clone()).collect();
    let sampled = Sampled { rows: learnt, unlabelled: Unlabelled::default() };
    let config = TrainConfig { seed, ..TrainConfig::default() };
    let training: Vec<TrainingRow> = benign(&sampled.rows).collect();
    let trained = train(&training, &transforms(), &config, &mut |_| ())?;
    let run = TrainRun::new(&training, &config, &trained).of_samples(true);
    let judged = judge_by_halves(&run, &sampled, &[], &mut |_| ())?;
    let fresh: Vec<FeatureVector> = fresh.into_iter().map(|row| rows[row].features).collect();
    let fresh = scores(&judged.quantized.artifacts.int8, &run.scaling, fresh.iter())?;
    Ok([shares(&judged.thresholds.calibration, &fresh), shares(&calibrate(&judged.scores)?, &fresh)])
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let seeds: u64 = arguments.next().context("how many seeds?")?.parse()?;
    let captures: Vec<_> = arguments.map(Into::into).collect();
    let mut rows = capture::read(&captures)?.rows;
    rows.retain(|row| row.attack.is_none());
    let mut out = std::io::stdout();
    writeln!(out, "{} benign rows; share of fresh rows over p = {TAILS:?}", rows.len())?;
    for seed in 1..=seeds {
        let [halves, own] = one_seed(&rows, seed)?;
        writeln!(out, "seed {seed}: by two halves {halves:.5?}, by what the own training held out {own:.5?}")?;
    }
    Ok(())
}
