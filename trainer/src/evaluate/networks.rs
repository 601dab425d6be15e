//! Methods that are networks: the plan's settings → a fit, and the learning curves that it left.

use super::error::EvaluateError;
use super::fitted::{Answers, Lesson};
use super::plan::{MethodName, Plan};
use crate::clock;
use lapwing_methods::{ClassWeights, ClassifierConfig, Progress, Step};
use lapwing_neural::models::Watcher;
use lapwing_neural::models::autoencoder::{Autoencoder, AutoencoderConfig};
use lapwing_neural::models::kfac_network::{KfacNetwork, KfacNetworkConfig};
use lapwing_neural::models::latent_logistic::{LatentLogistic, LatentLogisticConfig};
use lapwing_neural::models::two_stage::{Answer, Kinds, TwoStage, TwoStageConfig};
use lapwing_neural::{CurvePoint, NeuralError};
use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

/// A fitted network.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// Scores by reconstruction.
    Autoencoder(Autoencoder),
    /// Logistic head on latent values.
    LatentLogistic(Box<LatentLogistic>),
    /// Residual networks under K-FAC.
    KfacNetwork(KfacNetwork),
    /// Detector and namer.
    TwoStage(Box<TwoStage>),
}

/// Losses of one network, epoch by epoch.
pub type Losses = Vec<(String, Vec<CurvePoint>)>;

/// Fits the plan's network.
///
/// # Errors
/// What the network says of rows or settings that it cannot use.
pub(super) fn fit(plan: &Plan, lesson: &Lesson, progress: Progress<'_>) -> Result<(Network, Losses), EvaluateError> {
    let begun = clock::monotonic();
    let clock = || begun.elapsed().as_secs_f64();
    let mut told = |_: usize, point: &CurvePoint| {
        progress(Step { what: "epochs", done: point.epoch, total: point.epochs });
    };
    let mut watcher = Watcher { progress: &mut told, clock: &clock };
    let attacks: Vec<bool> = lesson.labels.iter().map(|label| *label != 0).collect();
    let failed = |error: NeuralError| EvaluateError::Network(error.to_string());
    let named = |name: &str, curves: Vec<Vec<CurvePoint>>| -> Losses {
        let one = curves.len() == 1;
        let name = |place: usize| if one { name.to_string() } else { format!("{name} {}", place + 1) };
        curves.into_iter().enumerate().map(|(place, curve)| (name(place), curve)).collect()
    };
    match plan.method {
        MethodName::LatentLogistic => {
            let mut config = LatentLogisticConfig::default();
            config.autoencoder = AutoencoderConfig { codes: 0, ..autoencoder(plan, config.autoencoder) };
            let benign = lesson.benign_validation();
            let (model, report) =
                config.fit(&lesson.rows, &attacks, &benign, plan.seed, &mut watcher).map_err(failed)?;
            Ok((Network::LatentLogistic(Box::new(model)), named("autoencoder", report.curves)))
        }
        MethodName::KfacNetwork => {
            let mut config = KfacNetworkConfig::default();
            config.fit.epochs = plan.epochs.unwrap_or(config.fit.epochs);
            config.class_ratio = plan.undersample.unwrap_or(config.class_ratio);
            let fitted = config.fit(&lesson.rows, &attacks, &lesson.keys, plan.seed, &mut watcher);
            let (model, reports) = fitted.map_err(failed)?;
            let curves = reports.into_iter().map(|report| report.curve).collect();
            Ok((Network::KfacNetwork(model), named("fold", curves)))
        }
        MethodName::TwoStage => {
            let config = two_stage(plan)?;
            let training = Kinds { rows: &lesson.rows, kinds: &lesson.labels };
            let validation = Kinds { rows: &lesson.validation.0, kinds: &lesson.validation.1 };
            let model = config.fit(training, validation, plan.seed).map_err(failed)?;
            Ok((Network::TwoStage(Box::new(model)), Vec::new()))
        }
        MethodName::Autoencoder | MethodName::Plain(_) => {
            let benign = lesson.benign_validation();
            let fitted =
                autoencoder(plan, AutoencoderConfig::default()).fit(&lesson.rows, &benign, plan.seed, &mut watcher);
            let (model, report) = fitted.map_err(failed)?;
            Ok((Network::Autoencoder(model), named("autoencoder", report.curves)))
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
    let Some(method) = plan.namer else { return Ok(config) };
    config.namer = method.classifier().ok_or_else(|| EvaluateError::Setting {
        setting: "namer",
        found: method.name().into(),
        expected: "a method that learns from labels, like random-forest",
    })?;
    match &mut config.namer {
        ClassifierConfig::RandomForest(forest) => forest.tree.class_weights = ClassWeights::Balanced,
        ClassifierConfig::GradientBoosting(boosting) => *boosting = TwoStageConfig::boosted_namer(),
        _ => {}
    }
    Ok(config)
}

/// The method's own settings, with what the plan says otherwise.
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

impl Network {
    /// What it says of rows; `classes` counts benign.
    ///
    /// # Errors
    /// Rows of another width, or with values that are not finite.
    pub(super) fn answers(&self, rows: &Matrix, classes: usize) -> Result<Answers, EvaluateError> {
        let failed = |error: NeuralError| EvaluateError::Network(error.to_string());
        match self {
            Self::Autoencoder(model) => {
                Ok(Answers { scores: model.scores(rows).map_err(failed)?, ..Answers::default() })
            }
            Self::LatentLogistic(model) => Ok(two_classes(model.probabilities(rows).map_err(failed)?)),
            Self::KfacNetwork(model) => Ok(two_classes(model.probabilities(rows).map_err(failed)?)),
            Self::TwoStage(model) => {
                let answers = model.answers(rows).map_err(failed)?;
                let class = |answer: Answer| match answer {
                    Answer::Benign => 0,
                    Answer::Attack(kind) => kind,
                    Answer::Unknown => classes as u32,
                };
                Ok(Answers {
                    scores: answers.iter().map(|named| named.probability).collect(),
                    probabilities: true,
                    named: answers.iter().map(|named| class(named.answer)).collect(),
                    likeliest: answers.iter().map(|named| named.likeliest).collect(),
                })
            }
        }
    }

    /// Latent values of rows, where there are some.
    pub(super) fn latent(&self, rows: &Matrix) -> Option<Matrix> {
        let autoencoder = match self {
            Self::Autoencoder(model) => model,
            Self::LatentLogistic(model) => model.autoencoder(),
            _ => return None,
        };
        (rows.columns() == autoencoder.columns()).then(|| autoencoder.latent(rows))
    }

    /// False when parts of a model from a file do not fit together.
    pub fn is_valid(&self) -> bool {
        match self {
            Self::Autoencoder(model) => model.is_valid(),
            Self::LatentLogistic(model) => model.autoencoder().is_valid(),
            Self::KfacNetwork(model) => model.is_valid(),
            Self::TwoStage(_) => true,
        }
    }
}

fn two_classes(probabilities: Vec<f32>) -> Answers {
    let named = probabilities.iter().map(|probability| u32::from(*probability > 0.5)).collect();
    Answers { scores: probabilities, probabilities: true, named, likeliest: Vec::new() }
}
