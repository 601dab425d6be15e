//! Training on small synthetic mixtures.

use super::run::TrainRun;
use super::*;
use crate::testing::Mixture;

fn rows(count: usize) -> Vec<TrainingRow> {
    let rows = Mixture::new(1).rows(count, 2);
    rows.into_iter()
        .enumerate()
        .map(|(row, features)| TrainingRow { features, agent: (row % 2) as u32, suspect: false })
        .collect()
}

fn short() -> TrainConfig {
    TrainConfig { epochs: 12, batch_rows: 64, ..TrainConfig::default() }
}

fn train_quietly(rows: &[TrainingRow], config: &TrainConfig) -> Result<Trained, TrainError> {
    train(rows, &Mixture::transforms(), config, &mut |_| ())
}

#[test]
fn equal_seeds_give_equal_weights_and_others_do_not() {
    let rows = rows(1_200);
    let config = TrainConfig { noise: 0.1, epochs: 3, ..short() };
    let first = train_quietly(&rows, &config).unwrap();
    assert_eq!(first, train_quietly(&rows, &config).unwrap());
    let other = train_quietly(&rows, &TrainConfig { seed: 2, ..config }).unwrap();
    assert_ne!(first.network, other.network);
}

#[test]
fn the_validation_error_falls_and_the_best_weights_are_kept() {
    let rows = rows(3_000);
    let mut reports = Vec::new();
    let trained = train(&rows, &Mixture::transforms(), &short(), &mut |progress| reports.push(progress)).unwrap();
    let errors = &trained.report.validation_errors;
    let best = errors.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(best < 0.5 * errors[0], "{errors:?}");
    assert_eq!(errors[trained.report.best_epoch - 1], best);
    assert_eq!(reports.iter().filter(|progress| progress.pass == 2).count(), errors.len());
    assert_eq!(reports.last().map(|progress| progress.best_error), Some(best));
}

#[test]
fn anomalous_rows_score_higher_than_benign_rows() {
    let trained = train_quietly(&rows(3_000), &short()).unwrap();
    let mean = |rows: &[FeatureVector]| {
        let error = |row: &FeatureVector| squared_error(&trained.network, &trained.scaling.quantize(row));
        rows.iter().map(error).sum::<f64>() / rows.len() as f64
    };
    let mixture = Mixture::new(1);
    let (benign, anomalous) = (mean(&mixture.rows(500, 77)), mean(&mixture.mixed_rows(500, 78)));
    assert!(anomalous > 3.0 * benign, "{anomalous} against {benign}");
}

#[test]
fn the_worst_share_is_dropped_before_the_last_pass() {
    let mut rows = rows(3_000);
    let anomalous = Mixture::new(1).mixed_rows(15, 5);
    // Isolated, one in two hundred rows, like an unnoticed attack.
    for (index, features) in anomalous.into_iter().enumerate() {
        rows[index * 200 + 7].features = features;
    }
    let trained = train_quietly(&rows, &TrainConfig { contamination: 0.02, epochs: 24, ..short() }).unwrap();
    let anomalous_rows = (0..15).map(|number| number * 200 + 7);
    let (mut dropped, mut in_training) = (0, 0);
    for index in anomalous_rows.filter(|index| !trained.validation.contains(index)) {
        in_training += 1;
        dropped += usize::from(!trained.training.contains(&index));
    }
    assert!(dropped * 10 >= in_training * 8, "{dropped} of {in_training}");
    assert_eq!(trained.report.dropped_rows + trained.report.training_rows + trained.report.validation_rows, 3_000);
}

#[test]
fn suspect_rows_are_never_trained_on() {
    let mut rows = rows(2_000);
    rows.iter_mut().step_by(10).for_each(|row| row.suspect = true);
    let trained = train_quietly(&rows, &TrainConfig { epochs: 1, ..short() }).unwrap();
    assert!(trained.training.iter().all(|index| !rows[*index].suspect));
    let held_out = trained.validation.iter().filter(|index| rows[**index].suspect).count();
    assert!(held_out > 0 && trained.report.suspect_rows == 200 - held_out, "{held_out} held out");
}

#[test]
fn the_largest_agent_is_subsampled_to_its_share() {
    let mut rows = rows(1_000);
    for (index, row) in rows.iter_mut().enumerate() {
        row.agent = u32::from(index % 10 == 0);
    }
    let config = TrainConfig { epochs: 1, ..short() };
    let trained = train_quietly(&rows, &config).unwrap();
    assert_eq!(trained.report.subsampled_rows, 800);
}

#[test]
fn too_few_rows_and_invalid_settings_are_rejected() {
    let error = train_quietly(&rows(50), &short()).unwrap_err();
    assert!(matches!(error, TrainError::Rows { found: 50 }), "{error}");
    let wide = TrainConfig { hidden: vec![40, 40], ..short() };
    let error = train_quietly(&rows(100), &wide).unwrap_err();
    assert!(error.to_string().starts_with("training setting hidden is [40, 40], expected"), "{error}");
    let rate = TrainConfig { learning_rate: f64::NAN, ..short() };
    assert!(matches!(train_quietly(&rows(100), &rate), Err(TrainError::Setting { name: "learning-rate", .. })));
}

#[test]
fn extreme_values_do_not_break_training() {
    let mut rows = rows(500);
    rows[3].features = [f32::NAN; FEATURES];
    rows[9].features = [f32::INFINITY; FEATURES];
    rows[11].features = [f32::MIN; FEATURES];
    let trained = train_quietly(&rows, &TrainConfig { epochs: 2, ..short() }).unwrap();
    assert!(trained.network.fits_gateway() && trained.scaling.is_valid());
}

#[test]
fn a_saved_run_comes_back_and_a_damaged_one_is_refused() {
    let rows = rows(300);
    let config = TrainConfig { epochs: 1, ..short() };
    let run = TrainRun::new(&rows, &config, &train_quietly(&rows, &config).unwrap());
    let directory = std::env::temp_dir().join(format!("lapwing-run-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("run.json");
    run.save(&path).unwrap();
    assert_eq!(TrainRun::load(&path).unwrap(), run);
    let mut broken = run;
    broken.network.layers[0].biases.pop();
    broken.save(&path).unwrap();
    assert!(TrainRun::load(&path).unwrap_err().to_string().ends_with("invalid weights or scaling"));
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn layer_ranges_come_from_training_rows() {
    let rows = rows(6_000);
    let config = TrainConfig { epochs: 1, ..short() };
    let trained = train_quietly(&rows, &config).unwrap();
    let run = TrainRun::new(&rows, &config, &trained);
    let read = |indices: &[usize]| -> std::collections::HashSet<_> {
        indices.iter().map(|row| trained.scaling.quantize(&rows[*row].features)).collect()
    };
    let (training, validation) = (read(&trained.training), read(&trained.validation));
    let range_rows = run.range_rows();
    assert!((1_000..=super::run::RANGE_ROWS).contains(&range_rows.len()), "{}", range_rows.len());
    assert!(range_rows.iter().all(|row| training.contains(row)));
    assert!(!validation.is_subset(&training), "training and validation rows differ");
}
