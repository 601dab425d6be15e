//! `train` and `release` make the same release as `serve` from the same store.

use super::train::{CalibrateArgs, ReleaseArgs, TrainArgs, run_calibrate, run_release, run_train};
use clap::{Args, FromArgMatches};
use fastrand::Rng;
use lapwing_pipeline::make::Pipeline;
use lapwing_pipeline::order::{Guard, Order, ReleaseMaker};
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_pipeline::release::read;
use lapwing_pipeline::testing::Mixture;
use lapwing_pipeline::train::TrainConfig;
use lapwing_segments::{Limits as SegmentLimits, Row};
use lapwing_shared::features::FeatureVector;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::messages::{AlertState, Body, Message, RowHosts};
use lapwing_shared::release::manifest::Manifest;
use lapwing_shared::release::signature::KeyUse;
use lapwing_store::Unlabelled;
use lapwing_store::old_store::{OLD_VERSIONS, write_old_store};
use lapwing_store::testing::{Folder, alert, name, received, samples};
use lapwing_store::{Compactor, Limits, Received, Step, Store, StoreCopy, StoreHandle, StoreUrl};
use std::path::{Path, PathBuf};

const EPOCHS: usize = 3;
const ROWS: u64 = 30;
/// Seconds between two rows.
const STEP_S: u64 = 40;

/// One batch of rows of four hosts; every other batch has scores of a release, and one row in 40 is suspect.
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

/// Messages of three agents of unequal traffic and an unlabelled alert. The first agent sends no rows, so that agent
/// numbers differ from site numbers.
fn messages() -> Vec<Received> {
    let (mut rng, mixture) = (Rng::with_seed(9), Mixture::new(1));
    let mut messages = vec![received("gw-0", &alert(1, 1, 5, AlertState::Opened, (1, 2)))];
    for (agent, batches) in [("gw-1", 60_u64), ("gw-2", 15), ("gw-3", 12)] {
        let mut features = mixture.rows((batches * ROWS) as usize, batches).into_iter();
        messages.extend((1..=batches).map(|number| received(agent, &batch(number, &mut features, &mut rng))));
    }
    messages
}

fn store(path: &Path) {
    Store::open(path, Limits::default()).unwrap().commit(&messages(), 5).unwrap();
}

fn arguments<A: Args + FromArgMatches>(text: &[&str]) -> A {
    let command = A::augment_args(clap::Command::new("test").no_binary_name(true));
    A::from_arg_matches(&command.get_matches_from(text)).unwrap()
}

/// Files of a test.
struct Paths {
    store: String,
    key: PathBuf,
    run: String,
}

fn paths(folder: &Folder) -> Paths {
    let text = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let key = folder.path().join("key");
    ReleaseKey::generate("test").unwrap().save(&key, &folder.path().join("pub"), KeyUse::Any, None).unwrap();
    Paths { store: text("store.sqlite"), key, run: text("run.json") }
}

/// With the commands `train` and `release`.
fn by_commands(paths: &Paths, out: &Path) -> Manifest {
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
    read(&std::fs::read(out).unwrap()).unwrap().1
}

/// As `serve` makes it.
fn by_serve(paths: &Paths, created_s: u64, expires_s: u64) -> (Vec<u8>, Unlabelled) {
    let handle = StoreHandle::open(Path::new(&paths.store)).unwrap();
    let unlabelled = handle.unlabelled().unwrap();
    let order = Order {
        group: name("home"),
        version: 4,
        created_s,
        expires_s,
        floor: 0,
        seed: 3,
        key: Some(paths.key.clone()),
        unlabelled,
        guard: Guard::default(),
    };
    let pipeline = Pipeline { config: TrainConfig { epochs: EPOCHS, ..TrainConfig::default() } };
    let rows = handle.training_rows(&pipeline.schema()).unwrap().collect::<Result<_, _>>().unwrap();
    (pipeline.make(&order, rows, &mut |_| ()).unwrap().file, unlabelled)
}

#[test]
fn commands_and_serve_make_the_same_release_from_a_store() {
    let folder = Folder::new();
    let paths = paths(&folder);
    store(Path::new(&paths.store));
    let out = folder.path().join("commands.lwr");
    let manifest = by_commands(&paths, &out);
    // With the same creation time, the files are identical.
    let (serve, unlabelled) = by_serve(&paths, manifest.created_s, manifest.expires_s);
    assert_eq!(unlabelled.episodes, 1);
    assert_eq!(read(&serve).unwrap().1, manifest);
    assert!(std::fs::read(&out).unwrap() == serve, "the manifests are equal but the files differ");
    assert!(
        manifest.calibration.rows > 1_000,
        "{} rows: some unseen rows of a half are missing",
        manifest.calibration.rows
    );
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
    let thresholds: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let score = |knot: &serde_json::Value| knot["score"].as_u64().unwrap() as u32;
    let scores: Vec<u32> = thresholds["calibration"]["knots"].as_array().unwrap().iter().map(score).collect();
    assert_eq!(scores, manifest.calibration.knots.iter().map(|knot| knot.score).collect::<Vec<_>>());
    let nats = |knot: &serde_json::Value| knot["evidence_nats"].as_f64().unwrap() as f32;
    let limits: Vec<f32> = thresholds["limits"].as_array().unwrap().iter().map(nats).collect();
    assert_eq!(limits, manifest.limits.iter().map(|knot| knot.evidence_nats).collect::<Vec<_>>());
}

#[test]
fn a_migrated_store_gives_the_same_release_to_the_bit() {
    let folder = Folder::new();
    let mut paths = paths(&folder);
    store(Path::new(&paths.store));
    let (expected, unlabelled) = by_serve(&paths, 1_700_000_000, 1_800_000_000);
    paths.store = folder.path().join("old.sqlite").to_str().unwrap().to_owned();
    write_old_store(Path::new(&paths.store), *OLD_VERSIONS.end(), &messages(), 5, &[], [0, 0]);
    let (file, migrated) = by_serve(&paths, 1_700_000_000, 1_800_000_000);
    assert_eq!(migrated, unlabelled);
    assert!(file == expected, "the files differ");
    // Again, after most of the rows have moved to several segments, and after all have.
    for rows in [1_500, 400] {
        let handle = StoreHandle::open(Path::new(&paths.store)).unwrap();
        let limits = SegmentLimits { bytes: rows * size_of::<Row>() as u64, age_s: 300 };
        let mut written = 0;
        let stop_after = if rows == 1_500 { 1 } else { u32::MAX };
        let mut go_on = |step| {
            written += u32::from(step == Step::Listed);
            written < stop_after
        };
        Compactor::new(handle, limits, "home").pass(1_700_000_000, &mut go_on).unwrap();
        let (file, _) = by_serve(&paths, 1_700_000_000, 1_800_000_000);
        assert!(file == expected, "the files differ after compaction to {rows} rows");
    }
    let handle = StoreHandle::open(Path::new(&paths.store)).unwrap();
    assert!(handle.segments(None).unwrap().len() > 3 && handle.journal(&schema_id()).unwrap().is_empty());
}

#[test]
fn a_copied_store_gives_the_same_release_to_the_bit() {
    let folder = Folder::new();
    let mut paths = paths(&folder);
    let path = |name: &str| folder.path().join(name);
    store(&path("store.sqlite"));
    let handle = StoreHandle::open(path("store.sqlite")).unwrap();
    let limits = SegmentLimits { bytes: 400 * size_of::<Row>() as u64, age_s: 300 };
    let mut written = 0;
    let mut go_on = |step| {
        written += u32::from(step == Step::Listed);
        written < 3
    };
    Compactor::new(handle, limits, "home").pass(1_700_000_000, &mut go_on).unwrap();
    let (expected, _) = by_serve(&paths, 1_700_000_000, 1_800_000_000);
    let copy = |from: &StoreUrl, to: &StoreUrl, segments: &Path| {
        StoreCopy::open(from, to, segments.to_str()).unwrap().run(&mut |_| true).unwrap().unwrap();
    };
    let source = StoreUrl::from(path("store.sqlite"));
    let from = in_a_database(&source, &path("database"), &copy);
    copy(from.as_ref().map_or(&source, |(_, url)| url), &path("copy.sqlite").into(), &path("copy"));
    paths.store = path("copy.sqlite").to_str().unwrap().to_owned();
    assert!(by_serve(&paths, 1_700_000_000, 1_800_000_000).0 == expected, "the files differ");
}

/// A copy in PostgreSQL; `None` without a server, which is listed as skipped.
#[cfg(feature = "postgres")]
fn in_a_database(
    source: &StoreUrl,
    segments: &Path,
    copy: &dyn Fn(&StoreUrl, &StoreUrl, &Path),
) -> Option<(lapwing_store::testing::postgres::Database, StoreUrl)> {
    use lapwing_store::testing::postgres::Database;
    let database = Database::create_at(Database::server_url()?);
    let url = database.url();
    copy(source, &url, segments);
    Some((database, url))
}

#[cfg(not(feature = "postgres"))]
fn in_a_database(_: &StoreUrl, _: &Path, _: &dyn Fn(&StoreUrl, &StoreUrl, &Path)) -> Option<((), StoreUrl)> {
    None
}
