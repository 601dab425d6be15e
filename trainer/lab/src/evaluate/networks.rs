//! A plan for a network, and training data → a fitted network and its learning curves.

use super::error::EvaluateError;
use super::fitted::TrainingData;
use lapwing_common::clock;
use lapwing_methods::{ClassWeights, ClassifierConfig, FitProgress, Step};
use lapwing_models::{MethodName, Network, Plan};
use lapwing_neural::models::Watcher;
use lapwing_neural::models::autoencoder::AutoencoderConfig;
use lapwing_neural::models::kfac_network::KfacNetworkConfig;
use lapwing_neural::models::latent_logistic::LatentLogisticConfig;
use lapwing_neural::models::two_stage::{Kinds, TwoStageConfig};
use lapwing_neural::{CurvePoint, NeuralError};

/// Name and learning curve of each network that was trained.
pub(crate) type Losses = Vec<(String, Vec<CurvePoint>)>;

/// Fits the plan's network.
///
/// # Errors
/// Rows or settings that the network cannot use.
pub(super) fn fit(
    plan: &Plan,
    training_data: &TrainingData,
    progress: FitProgress<'_>,
) -> Result<(Network, Losses), EvaluateError> {
    let start = clock::monotonic();
    let clock = || start.elapsed().as_secs_f64();
    let mut report_epoch = |_: usize, point: &CurvePoint| {
        progress(Step { what: "epochs", done: point.epoch, total: point.epochs });
    };
    let mut watcher = Watcher { progress: &mut report_epoch, clock: &clock };
    let attacks: Vec<bool> = training_data.labels.iter().map(|label| *label != 0).collect();
    let failed = |error: NeuralError| EvaluateError::Network(error.to_string());
    let label = |name: &str, curves: Vec<Vec<CurvePoint>>| -> Losses {
        let one = curves.len() == 1;
        let name = |index: usize| if one { name.to_string() } else { format!("{name} {}", index + 1) };
        curves.into_iter().enumerate().map(|(index, curve)| (name(index), curve)).collect()
    };
    match plan.method {
        MethodName::LatentLogistic => {
            let mut config = LatentLogisticConfig::default();
            config.autoencoder = AutoencoderConfig { codes: 0, ..autoencoder(plan, config.autoencoder) };
            let benign = training_data.benign_validation();
            let (model, report) =
                config.fit(&training_data.rows, &attacks, &benign, plan.seed, &mut watcher).map_err(failed)?;
            Ok((Network::LatentLogistic(Box::new(model)), label("autoencoder", report.curves)))
        }
        MethodName::KfacNetwork => {
            let mut config = KfacNetworkConfig::default();
            config.fit.epochs = plan.epochs.unwrap_or(config.fit.epochs);
            config.class_ratio = plan.undersample.unwrap_or(config.class_ratio);
            let fitted = config.fit(&training_data.rows, &attacks, &training_data.keys, plan.seed, &mut watcher);
            let (model, reports) = fitted.map_err(failed)?;
            let curves = reports.into_iter().map(|report| report.curve).collect();
            Ok((Network::KfacNetwork(model), label("fold", curves)))
        }
        MethodName::TwoStage => {
            let config = two_stage(plan)?;
            let training = Kinds { rows: &training_data.rows, kinds: &training_data.labels };
            let validation = Kinds { rows: &training_data.validation.0, kinds: &training_data.validation.1 };
            let model = config.fit(training, validation, plan.seed).map_err(failed)?;
            Ok((Network::TwoStage(Box::new(model)), Vec::new()))
        }
        MethodName::Autoencoder | MethodName::Plain(_) => {
            let benign = training_data.benign_validation();
            let fitted = autoencoder(plan, AutoencoderConfig::default()).fit(
                &training_data.rows,
                &benign,
                plan.seed,
                &mut watcher,
            );
            let (model, report) = fitted.map_err(failed)?;
            Ok((Network::Autoencoder(model), label("autoencoder", report.curves)))
        }
    }
}

fn two_stage(plan: &Plan) -> Result<TwoStageConfig, EvaluateError> {
    let mut config = TwoStageConfig { false_positives: plan.false_positive_rate, ..TwoStageConfig::default() };
    if let Some(share) = plan.unknown {
        if !(0.0..1.0).contains(&share) {
            let (found, expected) = (share.to_string(), "0 to less than 1");
            return Err(EvaluateError::Setting { setting: "unknown", found, expected });
        }
        config.unknown = share;
    }
    let Some(method) = plan.classifier else { return Ok(config) };
    config.classifier = method.classifier().ok_or_else(|| EvaluateError::Setting {
        setting: "classifier",
        found: method.name().into(),
        expected: "a supervised method, like random-forest",
    })?;
    match &mut config.classifier {
        ClassifierConfig::RandomForest(forest) => forest.tree.class_weights = ClassWeights::Balanced,
        ClassifierConfig::GradientBoosting(boosting) => *boosting = TwoStageConfig::boosted_classifier(),
        _ => {}
    }
    Ok(config)
}

/// The method's default settings, overridden by the plan's.
fn autoencoder(plan: &Plan, mut config: AutoencoderConfig) -> AutoencoderConfig {
    if !plan.hidden.is_empty() {
        config.hidden.clone_from(&plan.hidden);
    }
    config.members = plan.members.unwrap_or(config.members);
    config.codes = plan.codes.unwrap_or(config.codes);
    config.fit.masking = plan.masking.unwrap_or(config.fit.masking);
    config.fit.epochs = plan.epochs.unwrap_or(config.fit.epochs);
    config.contamination = plan.contamination;
    config
}
