//! One store, two ways to a release.

use super::judge::judge_by_halves;
use super::*;
use crate::calibrate::limits::Unlabelled;
use crate::commands::learn::{CalibrateArgs, ReleaseArgs, TrainArgs, run_calibrate, run_release, run_train};
use crate::dataset::stored::Sampled;
use crate::dataset::{Row, benign};
use crate::release::keys::ReleaseKey;
use crate::serve::make::{Order, ReleaseMaker};
use crate::serve::publish;
use crate::store::testing::{Folder, alert, name, received, samples};
use crate::store::{Limits, Store};
use crate::synthetic::Mixture;
use crate::train::rows::TrainingRow;
use crate::train::{TrainConfig, train};
use clap::{Args, FromArgMatches};
use fastrand::Rng;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::messages::{AlertState, Body, Message, RowHosts};
use lapwing_shared::release::manifest::Manifest;
use lapwing_shared::units::{Address, Timestamp};
use std::path::{Path, PathBuf};

const EPOCHS: usize = 3;
/// Rows of a batch, and seconds between two rows.
const ROWS: u64 = 30;
const STEP_S: u64 = 40;

/// One batch of rows of four hosts; every other batch was judged by a release, and rows now and then are suspect.
fn batch(number: u64, features: &mut impl Iterator<Item = FeatureVector>, rng: &mut Rng) -> Message {
    let times: Vec<(u64, bool)> = (0..ROWS).map(|row| ((number * ROWS + row) * STEP_S, rng.u32(..40) == 0)).collect();
    let mut message = samples(1, number, &times);
    let Body::Samples(samples) = &mut message.body else { unreachable!("samples() makes samples") };
    samples.schema = schema_id();
    for row in &mut samples.rows {
        row.features = heapless::Vec::from_slice(&features.next().unwrap()).unwrap();
        row.score = number.is_multiple_of(2).then_some(7);
        row.hosts = RowHosts { source: rng.u32(1..5), target: 0 };
    }
    message
}

/// A store with three agents of unequal loudness, and an alert that nobody labelled. The agent with the first number is
/// silent, so that numbers of agents and places of agents among the rows differ.
fn store(path: &Path) {
    let (mut rng, mixture) = (Rng::with_seed(9), Mixture::new(1));
    let mut store = Store::open(path, Limits::default()).unwrap();
    store.commit(&[received("gw-0", &alert(1, 1, 5, AlertState::Opened, (1, 2)))], 5).unwrap();
    for (agent, batches) in [("gw-1", 60_u64), ("gw-2", 15), ("gw-3", 12)] {
        let mut features = mixture.rows((batches * ROWS) as usize, batches).into_iter();
        for number in 1..=batches {
            store.commit(&[received(agent, &batch(number, &mut features, &mut rng))], 5).unwrap();
        }
    }
}

fn arguments<A: Args + FromArgMatches>(text: &[&str]) -> A {
    let command = A::augment_args(clap::Command::new("test").no_binary_name(true));
    A::from_arg_matches(&command.get_matches_from(text)).unwrap()
}

/// What a folder holds for these tests.
struct Paths {
    store: String,
    key: PathBuf,
    run: String,
}

fn paths(folder: &Folder) -> Paths {
    let text = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let key = folder.path().join("key");
    ReleaseKey::generate("test").unwrap().save(&key, &folder.path().join("pub")).unwrap();
    Paths { store: text("store.sqlite"), key, run: text("run.json") }
}

/// By hand: `train`, then `release`.
fn by_hand(paths: &Paths, out: &Path) -> Manifest {
    let epochs = EPOCHS.to_string();
    run_train(&arguments::<TrainArgs>(&[
        "--store",
        &paths.store,
        "--seed",
        "3",
        "--epochs",
        &epochs,
        "--out",
        &paths.run,
    ]))
    .unwrap();
    let (key, out_text) = (paths.key.to_str().unwrap(), out.to_str().unwrap());
    run_release(&arguments::<ReleaseArgs>(&[
        "--store",
        &paths.store,
        "--run",
        &paths.run,
        "--key",
        key,
        "--group",
        "home",
        "--version",
        "4",
        "--out",
        out_text,
    ]))
    .unwrap();
    publish::read(&std::fs::read(out).unwrap()).unwrap().1
}

/// As `serve` does it.
fn by_serve(paths: &Paths, created_s: u64, expires_s: u64) -> (Vec<u8>, Unlabelled) {
    let desk = crate::store::Desk::open(Path::new(&paths.store)).unwrap();
    let unlabelled = desk.unlabelled().unwrap();
    let order =
        Order { group: name("home"), version: 4, created_s, expires_s, seed: 3, key: paths.key.clone(), unlabelled };
    let learner = Learner { config: TrainConfig { epochs: EPOCHS, ..TrainConfig::default() } };
    let mut rows = desk.training_rows(&learner.schema()).unwrap();
    (learner.make(&order, &mut rows, &mut |_| ()).unwrap().file, unlabelled)
}

#[test]
fn a_release_made_by_hand_from_a_store_is_the_one_that_serve_makes() {
    let folder = Folder::new();
    let paths = paths(&folder);
    store(Path::new(&paths.store));
    let out = folder.path().join("hand.lwr");
    let hand = by_hand(&paths, &out);
    // The same moment for both, since a manifest tells when it was made; then nothing at all differs.
    let (serve, unlabelled) = by_serve(&paths, hand.created_s, hand.expires_s);
    assert_eq!(unlabelled.episodes, 1);
    assert_eq!(publish::read(&serve).unwrap().1, hand);
    assert!(std::fs::read(&out).unwrap() == serve, "the files differ though the manifests do not");
    assert!(hand.calibration.rows > 1_000, "{} rows: not all that a half has not seen", hand.calibration.rows);
    let json = folder.path().join("thresholds.json");
    run_calibrate(&arguments::<CalibrateArgs>(&[
        "--store",
        &paths.store,
        "--run",
        &paths.run,
        "--json",
        json.to_str().unwrap(),
    ]))
    .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let score = |knot: &serde_json::Value| knot["score"].as_u64().unwrap() as u32;
    let scores: Vec<u32> = told["calibration"]["knots"].as_array().unwrap().iter().map(score).collect();
    assert_eq!(scores, hand.calibration.knots.iter().map(|knot| knot.score).collect::<Vec<_>>());
    let nats = |knot: &serde_json::Value| knot["evidence_nats"].as_f64().unwrap() as f32;
    let limits: Vec<f32> = told["limits"].as_array().unwrap().iter().map(nats).collect();
    assert_eq!(limits, hand.limits.iter().map(|knot| knot.evidence_nats).collect::<Vec<_>>());
}

/// Share of fresh rows that the released network scores over a tail probability, by the calibration of two halves.
fn share_over(tail: f64, calibration: &Calibration, fresh: &[u32]) -> f64 {
    let over = |score: &&u32| f64::from(calibration.surprise_nats(**score)) >= -tail.ln();
    fresh.iter().filter(over).count() as f64 / fresh.len() as f64
}

#[test]
fn the_calibration_of_two_halves_fits_the_released_networks_scores() {
    let (mut hundredth, mut thousandth) = (0.0, 0.0);
    for seed in 1..=3 {
        let mixture = Mixture::new(seed);
        let row = |(place, features): (usize, FeatureVector)| Row {
            file: 0,
            at: Timestamp::from_secs(10 * place as u64),
            ends: (Address::from_v4([10, 0, 0, 1]), Address::from_v4([203, 0, 113, 1])),
            service_port: 443,
            features,
            attack: None,
            suspect: false,
            stands_for: 1.0,
            under_release: false,
        };
        let rows: Vec<Row> = mixture.rows(4_000, seed).into_iter().enumerate().map(row).collect();
        let sampled = Sampled { rows, unlabelled: Unlabelled::default() };
        let config = TrainConfig { seed, epochs: 20, batch_rows: 64, ..TrainConfig::default() };
        let training: Vec<TrainingRow> = benign(&sampled.rows).collect();
        let trained = train(&training, &transforms(), &config, &mut |_| ()).unwrap();
        let run = TrainRun::new(&training, &config, &trained);
        let judged = judge_by_halves(&run, &sampled, &[], &mut |_| ()).unwrap();
        let fresh = scores(&judged.quantized.artifacts.int8, &run.scaling, mixture.rows(10_000, 99).iter()).unwrap();
        hundredth += share_over(0.01, &judged.thresholds.calibration, &fresh) / 3.0;
        thousandth += share_over(0.001, &judged.thresholds.calibration, &fresh) / 3.0;
    }
    assert!((0.005..=0.02).contains(&hundredth), "{hundredth} of fresh rows over p = 0.01");
    assert!((0.0003..=0.003).contains(&thousandth), "{thousandth} of fresh rows over p = 0.001");
}
