//! Public datasets → results of the network methods, printed and compared with bounds.
//!
//! The datasets are in `../shared/data` next to the workspace. Equal feature rows are always in the same split.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use lapwing_methods::metrics::{ConfusionMatrix, auc};
use lapwing_neural::models::Watcher;
use lapwing_neural::models::autoencoder::AutoencoderConfig;
use lapwing_neural::models::kfac_network::KfacNetworkConfig;
use lapwing_neural::models::latent_logistic::LatentLogisticConfig;
use lapwing_neural::models::two_stage::{Kinds, TwoStageConfig};
use lapwing_neural::{
    AdamConfig, CurvePoint, DROPOUT, FitConfig, KfacConfig, NamedCurve, NetworkShape, Optimizer, Rows, Schedule,
    compare_fits,
};
use lapwing_tables::{
    Attempted, Encoder, EncoderOptions, Format, Matrix, ReadOptions, Scaling, Split, SplitOptions, SplitRule, Table,
    read,
};
use std::path::PathBuf;

/// A public table; none if the data set is missing.
fn table(folder: &str, format: Format) -> Option<Table> {
    let path = lapwing_skips::public_data(folder)?;
    let paths: Vec<PathBuf> = if path.is_dir() {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    } else {
        vec![path]
    };
    Some(read(&paths, &[], &ReadOptions::new(format), &mut |_| ()).unwrap())
}

/// CPU time of this thread, seconds (Linux; elsewhere 0).
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

struct Splits {
    training: Matrix,
    validation: Matrix,
    test: Matrix,
    kinds: [Vec<u32>; 3],
    keys: Vec<u64>,
    encoder: Encoder,
}

/// Splits and encodes a table; the encoder is fitted on training rows.
fn splits(table: &Table, seed: u64, options: &EncoderOptions) -> Splits {
    let split = Split::make(table, &SplitOptions::new(SplitRule::Group, seed)).unwrap();
    split.check(table).unwrap();
    let encoder = Encoder::fit(table, split.training(), options).unwrap();
    let rows = [split.training().as_slice(), split.validation(), split.test()];
    let kinds = rows.map(|rows| rows.iter().map(|row| u32::from(table.kind()[*row])).collect());
    let [training, validation, test] = rows.map(|rows| encoder.transform(table, rows).unwrap());
    let keys = rows[0].iter().map(|row| table.keys()[*row]).collect();
    Splits { training, validation, test, kinds, keys, encoder }
}

fn flags(kinds: &[u32]) -> Vec<bool> {
    kinds.iter().map(|kind| *kind != 0).collect()
}

#[test]
fn the_kfac_network_detects_attacks_of_cic_ids2017() {
    let format = Format::CicIds2017 { attempted: Attempted::default() };
    let Some(table) = table("cic-ids2017-improved/rnd_2500", format) else { return };
    let options = EncoderOptions { scaling: Scaling::QuantileNormal, ..EncoderOptions::default() };
    let splits = splits(&table, 1, &options);
    println!("{} rows, {} inputs, {:?}", table.rows(), splits.encoder.names().len(), table.kind_counts());
    let attacks = flags(&splits.kinds[0]);
    let mut progress = |fold, point: &CurvePoint| println!("{fold} {point:?}");
    let mut watcher = Watcher { progress: &mut progress, clock: &cpu_seconds };
    let config = KfacNetworkConfig::default();
    let (model, reports) = config.fit(&splits.training, &attacks, &splits.keys, 1, &mut watcher).unwrap();
    for report in &reports {
        println!("fold: accuracy {:.4} precision {:.4} recall {:.4}", report.accuracy, report.precision, report.recall);
    }
    let test = flags(&splits.kinds[2]);
    let probabilities = model.probabilities(&splits.test).unwrap();
    let predicted: Vec<u32> = probabilities.iter().map(|probability| u32::from(*probability > 0.5)).collect();
    let truth: Vec<u32> = test.iter().map(|attack| u32::from(*attack)).collect();
    let confusion = ConfusionMatrix::new(&truth, &predicted, 2).unwrap();
    println!(
        "test: accuracy {:.4}, {:?}, AUC {:.5}",
        confusion.accuracy(),
        confusion,
        auc(&probabilities, &test).unwrap()
    );
    assert!(confusion.accuracy() >= 0.995, "{confusion:?}");
}

#[test]
fn two_stages_detect_and_classify_attacks_of_unsw_nb15() {
    let Some(table) = table("unsw-nb15/UNSW_NB15_dev.csv.gz", Format::UnswNb15) else { return };
    let options = EncoderOptions { scaling: Scaling::None, ..EncoderOptions::default() };
    let splits = splits(&table, 1, &options);
    println!(
        "{} rows, {} inputs, {:?} {:?}",
        table.rows(),
        splits.encoder.names().len(),
        table.kinds(),
        table.kind_counts()
    );
    let [training, validation, test] = &splits.kinds;
    let of = |rows, kinds| Kinds { rows, kinds };
    let config = TwoStageConfig::default();
    let model = config.fit(of(&splits.training, training), of(&splits.validation, validation), 1).unwrap();
    let figures = |rows, kinds| model.evaluate(of(rows, kinds)).unwrap();
    println!("validation: {:?}", figures(&splits.validation, validation));
    let results = figures(&splits.test, test);
    println!("test: {results:?}");
    for kind in results.confusion.per_class() {
        let name = table.kinds().get(kind.class as usize).map_or("unknown", String::as_str);
        println!("  {name}: {kind:?}");
    }
    assert!(results.detection.recall.unwrap() >= 0.97 && results.detection.false_positive_rate.unwrap() <= 0.03);
    assert!(results.true_attacks.weighted_f1 >= 0.88 && results.end_to_end.weighted_f1 >= 0.88);
}

#[test]
fn kfac_and_adam_both_learn_cic_ids2017() {
    let format = Format::CicIds2017 { attempted: Attempted::default() };
    let Some(table) = table("cic-ids2017-improved/rnd_2500", format) else { return };
    let options = EncoderOptions { scaling: Scaling::QuantileNormal, ..EncoderOptions::default() };
    let splits = splits(&table, 1, &options);
    let (attacks, validation_attacks) = (flags(&splits.kinds[0]), flags(&splits.kinds[1]));
    let shape = NetworkShape::residual(splits.training.columns(), 64, 1, DROPOUT);
    let fit = |optimizer, rate| FitConfig {
        epochs: 8,
        batch_rows: 256,
        optimizer,
        schedule: Schedule::Cyclic { lowest: rate / 10.0, highest: rate, half_cycle_steps: 200 },
        patience: 99,
        ..FitConfig::default()
    };
    let adam =
        [1e-3, 3e-3, 1e-2].map(|rate| (format!("Adam {rate}"), fit(Optimizer::Adam(AdamConfig::default()), rate)));
    let kfac =
        [0.03, 0.1, 0.3].map(|rate| (format!("K-FAC {rate}"), fit(Optimizer::Kfac(KfacConfig::default()), rate)));
    let settings: Vec<_> = adam.into_iter().chain(kfac).collect();
    let rows = Rows::flagged(&splits.training, &attacks);
    let validation = Rows::flagged(&splits.validation, &validation_attacks);
    let curves = compare_fits(&shape, rows, validation, &settings, 1, &cpu_seconds).unwrap();
    let best = |name: &str| {
        let matching = curves.iter().filter(|curve| curve.name.starts_with(name));
        matching.map(NamedCurve::best).fold(f64::INFINITY, f64::min)
    };
    let target = best("Adam").max(best("K-FAC"));
    for curve in &curves {
        let last = curve.points.last().map(|point| (point.step, point.seconds));
        let reached = curve.reached(target);
        println!("{}: best {:.5}, {target:.5} at {reached:?}, end {last:?}", curve.name, curve.best());
    }
    assert!(target < 0.05, "validation loss {target}");
}

#[test]
fn the_latent_head_detects_the_attack_class_it_was_trained_on() {
    let format = Format::CicIds2017 { attempted: Attempted::default() };
    let Some(table) = table("cic-ids2017-improved/rnd_2500", format) else { return };
    let options = EncoderOptions { scaling: Scaling::QuantileNormal, ..EncoderOptions::default() };
    let splits = splits(&table, 1, &options);
    let with = |matrix: &Matrix, kinds: &[u32], kind: u32| {
        let indices: Vec<usize> = (0..kinds.len()).filter(|row| kinds[*row] == 0 || kinds[*row] == kind).collect();
        let flags: Vec<bool> = indices.iter().map(|row| kinds[*row] != 0).collect();
        (matrix.select_rows(&indices), flags)
    };
    let common: Vec<u32> =
        (1..table.kinds().len() as u32).filter(|kind| table.kind_counts()[*kind as usize] > 1_700).collect();
    let benign = with(&splits.validation, &splits.kinds[1], 0).0;
    let whole = AutoencoderConfig::default();
    let fit = FitConfig { epochs: 20, batch_rows: 64, ..whole.fit.clone() };
    let autoencoder = AutoencoderConfig { hidden: vec![48, 12, 48], fit, ..whole };
    let config = LatentLogisticConfig { autoencoder, with_score: true, ..LatentLogisticConfig::default() };
    let (mut progress, mut same, mut other) = (|_: usize, _: &CurvePoint| (), [0.0; 2], [0.0; 2]);
    for trained in &common {
        let (rows, attacks) = with(&splits.training, &splits.kinds[0], *trained);
        let mut watcher = Watcher { progress: &mut progress, clock: &|| 0.0 };
        let (model, _) = config.fit(&rows, &attacks, &benign, 1, &mut watcher).unwrap();
        for tested in &common {
            let (rows, attacks) = with(&splits.test, &splits.kinds[2], *tested);
            let areas = [model.probabilities(&rows).unwrap(), model.baseline_probabilities(&rows).unwrap()]
                .map(|probabilities| auc(&probabilities, &attacks).unwrap());
            let sum = if tested == trained { &mut same } else { &mut other };
            sum.iter_mut().zip(areas).for_each(|(sum, area)| *sum += area);
        }
    }
    let count = common.len() as f64;
    let (same, other) = (same.map(|sum| sum / count), other.map(|sum| sum / (count * (count - 1.0))));
    println!(
        "mean AUC, latent head and baseline: trained class {same:.4?}, other classes {other:.4?}, {count} classes"
    );
    assert!(same[0] > 0.97, "{same:?}");
}
