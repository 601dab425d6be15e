//! Feature rows of an alert's episode → its attack class by the second stage of a saved two-stage model, or "unknown".
//!
//! The first stage selects the rows that show an attack: an episode also has rows of the host's ordinary flows. The class
//! probabilities are averaged over the selected rows. A mean is used rather than a product or the most certain row,
//! because rows of one attack repeat each other and are not independent. The most probable class is returned if its mean
//! exceeds one half, so that it outweighs all other classes together. The model's own threshold is not used: it was
//! fitted to single rows of the training captures, where rows repeat and it approaches 1, a value that rows of the same
//! attack in another network hardly ever reach. If the first stage selects no row, the answer is "unknown".

use crate::model::{Model, ModelError};
use crate::{Fitted, Network};
use lapwing_neural::models::two_stage::TwoStage;
use lapwing_shared::features::FeatureVector;
use lapwing_shared::features::schema::{index_of, schema_id};
use lapwing_shared::release::digest::Hex;
use lapwing_tables::{ColumnType, Matrix, Row, TableBuilder, TableError, Value};
use std::path::{Path, PathBuf};

/// Mean probability above which a class is returned.
const LEAST_PROBABILITY: f32 = 0.5;

/// The class of an episode, if any.
#[derive(Clone, Debug, PartialEq)]
pub struct EpisodeClass {
    /// Attack class; `None` is "unknown".
    pub class: Option<String>,
    /// Its mean probability over the rows below; `None` where no row shows an attack.
    pub probability: Option<f32>,
    /// Rows that the first stage takes for an attack.
    pub rows: u32,
}

/// Why a model cannot classify alerts.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum ClassifierError {
    /// The file cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model has another method or other features.
    #[error(
        "model {}: {found}, expected {expected}; make one with: lapwing-lab evaluate --kind capture --train \
         ATTACKS.pcap.gz --method two-stage --save FILE",
        path.display()
    )]
    Unsuitable {
        path: PathBuf,
        found: String,
        /// What it should be.
        expected: String,
    },
}

/// The model cannot read the rows, which its own checks should have ruled out.
#[derive(Debug, thiserror::Error)]
#[error("cannot classify rows: {0}")]
pub struct ClassifyError(String);

/// A two-stage model over agents' features.
pub struct AttackClassifier {
    model: Model,
    stages: TwoStage,
    /// Features that the model needs, each with its index in the feature schema.
    features: Vec<(String, usize)>,
}

impl AttackClassifier {
    /// Reads a model and checks that it is a two-stage model over this program's features.
    ///
    /// # Errors
    /// When the file is not a model, or is a model of another method or of other features.
    pub fn load(path: &Path) -> Result<Self, ClassifierError> {
        Self::new(Model::load(path)?, path)
    }

    /// Checks a model that was read from `path`.
    ///
    /// # Errors
    /// When it is a model of another method or of other features.
    pub fn new(model: Model, path: &Path) -> Result<Self, ClassifierError> {
        let unsuitable =
            |found: String, expected: String| ClassifierError::Unsuitable { path: path.into(), found, expected };
        let Fitted::Network(Network::TwoStage(stages)) = &model.fitted else {
            return Err(unsuitable(format!("method {}", model.plan.method), "two-stage".into()));
        };
        let stages = TwoStage::clone(stages);
        let own_schema = Hex(&schema_id()).to_string();
        let expected = || format!("feature schema {own_schema:.12}…");
        match &model.schema {
            Some(schema) if *schema == own_schema => {}
            Some(schema) => return Err(unsuitable(format!("feature schema {schema:.12}…"), expected())),
            None => return Err(unsuitable(format!("features of {} files", model.kind), expected())),
        }
        let indexed = |(name, number): (&str, bool)| {
            let index = index_of(name).filter(|_| number).map(|index| (name.to_owned(), index));
            index.ok_or_else(|| unsuitable(format!("the feature {name}"), "features that agents compute".into()))
        };
        let features = model.encoder.needs().into_iter().map(indexed).collect::<Result<_, _>>()?;
        Ok(Self { model, stages, features })
    }

    /// Digest of the training files: identifies the model in the store.
    pub fn data_sha256(&self) -> &str {
        &self.model.data_sha256
    }

    /// Attack classes that it can return.
    pub fn classes(&self) -> &[String] {
        self.model.classes.get(1..).unwrap_or_default()
    }

    /// Classifies an episode by its rows.
    ///
    /// # Errors
    /// When the model cannot read the rows.
    pub fn classify(&self, rows: &[FeatureVector]) -> Result<EpisodeClass, ClassifyError> {
        let unknown = EpisodeClass { class: None, probability: None, rows: 0 };
        if rows.is_empty() {
            return Ok(unknown);
        }
        let failed = |error: &dyn std::fmt::Display| ClassifyError(error.to_string());
        let matrix = self.matrix(rows).map_err(|error| failed(&error))?;
        let attack = self.stages.attack_probabilities(&matrix).map_err(|error| failed(&error))?;
        let classes = self.stages.kind_probabilities(&matrix).map_err(|error| failed(&error))?;
        let selected: Vec<_> =
            attack.iter().zip(classes.iter()).filter(|(p, _)| **p > self.stages.attack_threshold()).collect();
        if selected.is_empty() {
            return Ok(unknown);
        }
        let mean = |class: usize| selected.iter().map(|(_, row)| row[class]).sum::<f32>() / selected.len() as f32;
        let means = (0..self.classes().len()).map(|class| (class, mean(class)));
        let (likeliest, probability) = means.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0));
        let class = self.classes().get(likeliest).filter(|_| probability > LEAST_PROBABILITY).cloned();
        Ok(EpisodeClass { class, probability: Some(probability), rows: selected.len() as u32 })
    }

    fn matrix(&self, rows: &[FeatureVector]) -> Result<Matrix, TableError> {
        let mut builder = TableBuilder::new(self.features.iter().map(|(name, _)| (name.as_str(), ColumnType::Number)))?;
        builder.unlabelled();
        builder.file("samples", "", 0)?;
        for (index, row) in rows.iter().enumerate() {
            let values: Vec<Value<'_>> = self.features.iter().map(|(_, at)| Value::Number(row[*at])).collect();
            builder.push(&values, &Row { file_row: index as u64 + 1, ..Row::default() })?;
        }
        self.model.encoder.transform(&builder.finish()?, &(0..rows.len()).collect::<Vec<_>>())
    }
}
