//! Feature rows of an alert's episode → the attack kind that the second stage of a saved model names, or "unknown".
//!
//! The agent's autoencoder has said that something is wrong; the first stage only tells which of the rows show it. An
//! episode may have many rows, and some are the host's ordinary flows, which are marked with the rest. So the kinds'
//! probabilities are averaged over the rows that the first stage takes for an attack: a mean, and neither the product
//! nor the surest row, because rows of one attack run repeat each other and are no independent witnesses. The likeliest
//! kind is told where its mean is over one half: it then outweighs all other kinds together. The threshold that the
//! model itself has is for single rows of the captures that it learned from, where rows repeat and it comes close to
//! 1: rows of the same attack in another network hardly ever reach that. Where the first stage
//! takes no row for an attack, the model has seen nothing like it, and the answer is "unknown".

mod work;

#[cfg(test)]
mod tests;

pub(crate) use work::KindWork;
pub use work::LOOKED;

use crate::evaluate::{Fitted, Network};
use crate::predict::model::{Model, ModelError};
use crate::store::{EpisodeKind, NO_KIND};
use lapwing_neural::models::two_stage::TwoStage;
use lapwing_shared::features::FeatureVector;
use lapwing_shared::features::schema::{index_of, schema_id};
use lapwing_shared::release::digest::Hex;
use lapwing_tables::{ColumnType, Matrix, Row, TableBuilder, TableError, Value};
use std::path::{Path, PathBuf};

/// Mean probability over which a kind is told.
const TOLD: f32 = 0.5;

/// Why a model names no alerts.
#[derive(Debug, thiserror::Error)]
pub enum KindsError {
    /// The file.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// It is a model of something else.
    #[error(
        "model {}: {found}, expected {expected}; make one with: lapwing-trainer evaluate --kind capture --train \
         ATTACKS.pcap.gz --method two-stage --save FILE",
        path.display()
    )]
    Other {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
}

/// Why rows get no name: the model cannot read them, which its own checks should have ruled out.
#[derive(Debug, thiserror::Error)]
#[error("rows cannot be named: {0}")]
pub struct NameError(String);

/// A two-stage model over agents' features.
pub struct KindNamer {
    model: Model,
    stages: TwoStage,
    /// Place in the feature schema of each feature that the model needs.
    features: Vec<(String, usize)>,
}

impl KindNamer {
    /// Reads a model and checks that it is one of two stages over this program's features.
    ///
    /// # Errors
    /// A file that is no model, or a model of another method or of other features.
    pub fn load(path: &Path) -> Result<Self, KindsError> {
        Self::new(Model::load(path)?, path)
    }

    fn new(model: Model, path: &Path) -> Result<Self, KindsError> {
        let other = |found: String, expected: String| KindsError::Other { path: path.into(), found, expected };
        let Fitted::Network(Network::TwoStage(stages)) = &model.fitted else {
            return Err(other(format!("method {}", model.plan.method), "two-stage".into()));
        };
        let stages = TwoStage::clone(stages);
        let known = Hex(&schema_id()).to_string();
        let expected = || format!("feature schema {known:.12}…");
        match &model.schema {
            Some(schema) if *schema == known => {}
            Some(schema) => return Err(other(format!("feature schema {schema:.12}…"), expected())),
            None => return Err(other(format!("features of {} files", model.kind), expected())),
        }
        let place = |(name, number): (&str, bool)| {
            let place = index_of(name).filter(|_| number).map(|place| (name.to_owned(), place));
            place.ok_or_else(|| other(format!("the feature {name}"), "features that agents compute".into()))
        };
        let features = model.encoder.needs().into_iter().map(place).collect::<Result<_, _>>()?;
        Ok(Self { model, stages, features })
    }

    /// Digest of the files that the model learned from: tells models apart in the store.
    pub fn learned_from(&self) -> &str {
        &self.model.data_sha256
    }

    /// Kinds that it can name.
    pub fn kinds(&self) -> &[String] {
        self.model.classes.get(1..).unwrap_or_default()
    }

    /// Names an episode by its rows.
    ///
    /// # Errors
    /// Rows that the model cannot read.
    pub fn name(&self, rows: &[FeatureVector]) -> Result<EpisodeKind, NameError> {
        let unknown = |probability| EpisodeKind { kind: NO_KIND.into(), probability, rows: 0 };
        if rows.is_empty() {
            return Ok(unknown(None));
        }
        let failed = |error: &dyn std::fmt::Display| NameError(error.to_string());
        let matrix = self.matrix(rows).map_err(|error| failed(&error))?;
        let attack = self.stages.attack_probabilities(&matrix).map_err(|error| failed(&error))?;
        let kinds = self.stages.kind_probabilities(&matrix).map_err(|error| failed(&error))?;
        let telling: Vec<_> =
            attack.iter().zip(kinds.iter()).filter(|(p, _)| **p > self.stages.attack_threshold()).collect();
        if telling.is_empty() {
            return Ok(unknown(None));
        }
        let mean = |kind: usize| telling.iter().map(|(_, row)| row[kind]).sum::<f32>() / telling.len() as f32;
        let means = (0..self.kinds().len()).map(|kind| (kind, mean(kind)));
        let (likeliest, probability) = means.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0));
        let sure = probability > TOLD;
        let name = self.kinds().get(likeliest).filter(|_| sure).map_or(NO_KIND, String::as_str);
        Ok(EpisodeKind { kind: name.into(), probability: Some(probability), rows: telling.len() as u32 })
    }

    fn matrix(&self, rows: &[FeatureVector]) -> Result<Matrix, TableError> {
        let mut builder = TableBuilder::new(self.features.iter().map(|(name, _)| (name.as_str(), ColumnType::Number)))?;
        builder.unlabelled();
        builder.file("samples", "", 0)?;
        for (place, row) in rows.iter().enumerate() {
            let values: Vec<Value<'_>> = self.features.iter().map(|(_, at)| Value::Number(row[*at])).collect();
            builder.push(&values, &Row { file_row: place as u64 + 1, ..Row::default() })?;
        }
        self.model.encoder.transform(&builder.finish()?, &(0..rows.len()).collect::<Vec<_>>())
    }
}
