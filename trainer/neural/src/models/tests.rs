//! Synthetic rows → every model.

use super::autoencoder::AutoencoderConfig;
use super::indicators::{indicators, usual_row};
use super::kfac_network::{KfacNetwork, KfacNetworkConfig};
use super::latent_logistic::LatentLogisticConfig;
use super::two_stage::{Answer, Kinds, TwoStageConfig};
use super::*;
use crate::{FitConfig, NeuralError, Schedule, normal};
use fastrand::Rng;
use lapwing_methods::metrics::auc;
use lapwing_methods::{ClassifierConfig, ForestConfig};
use lapwing_tables::Matrix;

const COLUMNS: usize = 8;

/// Synthetic rows: benign ones lie near a plane, class 1 leaves it in column 2, class 2 in column 5, class 3 in both.
fn synthetic(counts: [usize; 4], seed: u64) -> (Matrix, Vec<u32>) {
    let mut rng = Rng::with_seed(seed);
    let (mut values, mut kinds) = (Vec::new(), Vec::new());
    for (kind, count) in counts.into_iter().enumerate() {
        for _ in 0..count {
            let (a, b) = (normal(&mut rng), normal(&mut rng));
            let mut row: Vec<f32> = (0..COLUMNS).map(|at| a * (at as f32).sin() + b * (at as f32).cos()).collect();
            row.iter_mut().for_each(|value| *value += 0.1 * normal(&mut rng));
            row[2] += if kind & 1 == 1 { 2.5 } else { 0.0 };
            row[5] += if kind & 2 == 2 { 2.5 } else { 0.0 };
            values.extend(row);
            kinds.push(kind as u32);
        }
    }
    (Matrix::from_values(COLUMNS, values).unwrap(), kinds)
}

fn attacks(kinds: &[u32]) -> Vec<bool> {
    kinds.iter().map(|kind| *kind != 0).collect()
}

fn without_progress<T>(fit: impl FnOnce(&mut Watcher<'_>) -> Result<T, NeuralError>) -> Result<T, NeuralError> {
    fit(&mut Watcher { progress: &mut |_, _| (), clock: &|| 0.0 })
}

fn kfac_config() -> KfacNetworkConfig {
    let whole = KfacNetworkConfig::default();
    let forest = ForestConfig { trees: 10, ..whole.forest.clone() };
    let schedule = Schedule::Constant { rate: 0.1 };
    let fit = FitConfig { epochs: 8, batch_rows: 64, schedule, ..whole.fit.clone() };
    KfacNetworkConfig { folds: 3, columns: 4, class_ratio: 1.0, width: 16, forest, fit, ..whole }
}

#[test]
fn the_kfac_network_selects_the_relevant_columns() {
    let (rows, kinds) = synthetic([900, 200, 200, 0], 1);
    let flags = attacks(&kinds);
    let keys: Vec<u64> = (0..kinds.len() as u64).map(|row| row / 2).collect();
    let fit = || without_progress(|watcher| kfac_config().fit(&rows, &flags, &keys, 3, watcher)).unwrap();
    let (model, reports) = fit();
    assert_eq!(fit(), (model.clone(), reports.clone()));
    assert_eq!(reports.len(), 3);
    assert_eq!(reports.iter().map(|report| report.confusion.total()).sum::<u64>(), 1_300);
    for report in &reports {
        assert!(report.accuracy > 0.95 && report.columns.len() == 4, "{report:?}");
        assert!(report.columns.contains(&2) && report.columns.contains(&5), "{report:?}");
        assert!(report.training_rows < 600, "benign rows are undersampled to the number of attacks: {report:?}");
    }
    let (test, test_kinds) = synthetic([300, 50, 50, 0], 2);
    let found = auc(&model.probabilities(&test).unwrap(), &attacks(&test_kinds)).unwrap();
    assert!(found > 0.98, "{found}");
    let text = serde_json::to_string(&model).unwrap();
    let read: KfacNetwork = serde_json::from_str(&text).unwrap();
    assert!(read.is_valid() && read == model);
    let narrow = model.probabilities(&Matrix::zeros(2, COLUMNS - 1)).unwrap_err().to_string();
    assert_eq!(narrow, "7 columns, expected 8, as in training");
}

#[test]
fn the_first_indicator_is_the_changed_column() {
    let (rows, kinds) = synthetic([900, 200, 200, 0], 1);
    let keys: Vec<u64> = (0..kinds.len() as u64).collect();
    let (model, _) = without_progress(|watcher| kfac_config().fit(&rows, &attacks(&kinds), &keys, 3, watcher)).unwrap();
    let names: Vec<String> = (0..COLUMNS).map(|column| format!("c{column}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let benign: Vec<usize> = (0..900).collect();
    let usual = usual_row(&rows.select_rows(&benign), &names);
    let mut row = usual.clone();
    row[5] += 3.0;
    let found = indicators(&row, &usual, &names, |rows| model.probabilities(rows)).unwrap();
    assert_eq!(found[0].feature, "c5");
    assert!(found[0].log_odds > 1.0 && found[1].log_odds.abs() < 1e-3, "{found:?}");
}

#[test]
fn different_lengths_and_invalid_settings_are_rejected() {
    let (rows, kinds) = synthetic([20, 20, 0, 0], 1);
    let flags = attacks(&kinds);
    let keys = vec![0; 40];
    let error = |config: &KfacNetworkConfig, flags: &[bool], keys: &[u64]| {
        without_progress(|watcher| config.fit(&rows, flags, keys, 3, watcher)).unwrap_err().to_string()
    };
    assert_eq!(error(&kfac_config(), &flags[1..], &keys), "39 labels, expected 40, one per row");
    assert_eq!(error(&kfac_config(), &flags, &keys[2..]), "38 keys, expected 40, one per row");
    let one = KfacNetworkConfig { folds: 1, ..kfac_config() };
    assert_eq!(error(&one, &flags, &keys), "network setting folds is 1, expected 2 to 20");
    // All keys are equal, so one fold has all rows.
    assert!(!error(&kfac_config(), &flags, &keys).is_empty());
    let invalid = AutoencoderConfig { contamination: 0.3, ..AutoencoderConfig::default() };
    let error = without_progress(|watcher| invalid.fit(&rows, &rows, 1, watcher)).unwrap_err().to_string();
    assert_eq!(error, "network setting contamination is 0.3, expected 0 to 0.2");
}

#[test]
fn autoencoders_score_anomalies_and_exclude_contamination() {
    let (benign, _) = synthetic([1_500, 0, 0, 0], 1);
    let (validation, _) = synthetic([300, 0, 0, 0], 2);
    let (test, kinds) = synthetic([300, 60, 60, 0], 3);
    let whole = AutoencoderConfig::default();
    let fit = FitConfig { epochs: 12, batch_rows: 64, ..whole.fit.clone() };
    let config = AutoencoderConfig { hidden: vec![12, 2, 12], members: 2, fit, ..whole };
    let (model, report) = without_progress(|watcher| config.fit(&benign, &validation, 1, watcher)).unwrap();
    assert!(model.is_valid() && model.members().len() == 2 && model.latent(&test).columns() == 2);
    assert_eq!((report.curves.len(), report.dropped_rows.as_slice()), (2, [0, 0].as_slice()));
    let found = auc(&model.scores(&test).unwrap(), &attacks(&kinds)).unwrap();
    assert!(found > 0.97, "{found}");
    let (mut contaminated, anomalies) = (benign.clone(), synthetic([0, 0, 0, 30], 4).0);
    for (index, row) in anomalies.iter().enumerate() {
        contaminated.row_mut(index * 50).copy_from_slice(row);
    }
    let config = AutoencoderConfig { contamination: 0.05, members: 1, ..config };
    let (_, report) = without_progress(|watcher| config.fit(&contaminated, &validation, 1, watcher)).unwrap();
    assert_eq!(report.dropped_rows, [75]);
}

#[test]
fn the_codebook_detects_distant_rows_that_reconstruct_well() {
    let (benign, _) = synthetic([1_500, 0, 0, 0], 1);
    let (validation, _) = synthetic([300, 0, 0, 0], 2);
    let (ordinary, _) = synthetic([300, 0, 0, 0], 3);
    // On the plane, but six times as far from the origin.
    let far: Vec<f32> = synthetic([60, 0, 0, 0], 4).0.values().iter().map(|value| 6.0 * value).collect();
    let values = ordinary.values().iter().copied().chain(far).collect();
    let (test, flags) = (Matrix::from_values(COLUMNS, values).unwrap(), (0..360).map(|row| row >= 300));
    let flags: Vec<bool> = flags.collect();
    let whole = AutoencoderConfig::default();
    let fit = FitConfig { epochs: 12, batch_rows: 64, ..whole.fit.clone() };
    let config = AutoencoderConfig { hidden: vec![12, 2, 12], codes: 40, fit, ..whole };
    let fitted = |config: &AutoencoderConfig| without_progress(|watcher| config.fit(&benign, &validation, 1, watcher));
    let (model, _) = fitted(&config).unwrap();
    let again: crate::models::autoencoder::Autoencoder =
        serde_json::from_str(&serde_json::to_string(&model).unwrap()).unwrap();
    assert!(again == model && model.is_valid() && model.codebook().unwrap().codes().rows() == 40);
    let with = auc(&model.scores(&test).unwrap(), &flags).unwrap();
    let (no_codebook, _) = fitted(&AutoencoderConfig { codes: 0, ..config.clone() }).unwrap();
    let without = auc(&no_codebook.scores(&test).unwrap(), &flags).unwrap();
    println!("AUC with codebook {with}, without {without}");
    assert!(no_codebook.codebook().is_none() && with > without && with > 0.95, "{with}, {without}");
    let error = fitted(&AutoencoderConfig { codes: 5_000, ..config }).unwrap_err().to_string();
    assert_eq!(error, "network setting codes is 5000, expected 0 to 4096");
}

#[test]
fn the_latent_head_and_the_baseline_both_learn() {
    let (rows, kinds) = synthetic([900, 150, 150, 0], 1);
    let (validation, _) = synthetic([300, 0, 0, 0], 2);
    let (test, test_kinds) = synthetic([300, 50, 50, 0], 3);
    let whole = AutoencoderConfig::default();
    let fit = FitConfig { epochs: 12, batch_rows: 64, ..whole.fit.clone() };
    let autoencoder = AutoencoderConfig { hidden: vec![12, 4, 12], fit, ..whole };
    let config = LatentLogisticConfig { autoencoder, with_score: true, ..LatentLogisticConfig::default() };
    let fitted = without_progress(|watcher| config.fit(&rows, &attacks(&kinds), &validation, 1, watcher));
    let (model, _) = fitted.unwrap();
    let flags = attacks(&test_kinds);
    let latent = auc(&model.probabilities(&test).unwrap(), &flags).unwrap();
    let baseline = auc(&model.baseline_probabilities(&test).unwrap(), &flags).unwrap();
    assert!(latent > 0.95 && baseline > 0.95, "{latent}, {baseline}");
}

#[test]
fn two_stages_detect_classify_and_answer_unknown() {
    let ((rows, kinds), (validation, validation_kinds)) =
        (synthetic([900, 200, 200, 0], 1), synthetic([400, 80, 80, 0], 2));
    let forest = ClassifierConfig::RandomForest(ForestConfig { trees: 30, ..ForestConfig::default() });
    let config = TwoStageConfig { detector: forest.clone(), classifier: forest, false_positives: 0.02, unknown: 0.05 };
    let of = |rows, kinds| Kinds { rows, kinds };
    let model = config.fit(of(&rows, &kinds), of(&validation, &validation_kinds), 1).unwrap();
    let benign: Vec<usize> = (0..400).collect();
    let predictions = model.answers(&validation.select_rows(&benign)).unwrap();
    let wrong = predictions.iter().filter(|prediction| prediction.answer != Answer::Benign).count();
    assert!(wrong <= 8, "{wrong} of 400 benign validation rows, target rate 2 %");
    let (test, test_kinds) = synthetic([300, 60, 60, 60], 3);
    let answers = model.answers(&test).unwrap();
    let share = |kind: u32, answer: Answer| {
        let rows: Vec<_> = answers.iter().zip(&test_kinds).filter(|(_, truth)| **truth == kind).collect();
        rows.iter().filter(|(prediction, _)| prediction.answer == answer).count() as f64 / rows.len() as f64
    };
    assert!(share(0, Answer::Benign) > 0.94);
    assert!(share(1, Answer::Attack(1)) > 0.85 && share(2, Answer::Attack(2)) > 0.85);
    // Class 3 has no training rows and resembles both other classes.
    assert!(share(3, Answer::Unknown) > 0.25, "{}", share(3, Answer::Unknown));
    let figures = model.evaluate(of(&test, &test_kinds)).unwrap();
    assert!(figures.detection.recall.unwrap() > 0.9 && figures.end_to_end.answered < 0.95, "{figures:?}");
    assert!(figures.true_attacks.strict_weighted_f1 < figures.true_attacks.weighted_f1, "{figures:?}");
    assert_eq!(figures.confusion.total(), 480);
    let error = config.fit(of(&rows, &kinds[1..]), of(&validation, &validation_kinds), 1).unwrap_err().to_string();
    assert_eq!(error, "1299 labels, expected 1300, one per row");
}
