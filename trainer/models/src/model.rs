//! A model file → everything needed to score rows, and its origin.
//!
//! `lapwing-model 2\n`, the SHA-256 of the rest in hexadecimal, `\n`, gzip of JSON. Reading checks version, digest and
//! consistency of the parts, in this order.

use crate::{Fitted, Plan};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use lapwing_shared::release::digest::sha256;
use lapwing_tables::{Encoder, Matrix};
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};

const MAGIC: &str = "lapwing-model ";
/// Version of the format.
pub(crate) const MODEL_VERSION: u32 = 2;
/// Maximum size of a file, bytes.
const FILE_BYTES: u64 = 256 << 20;
/// Maximum size of the uncompressed content, bytes.
const CONTENT_BYTES: u64 = 1 << 30;

/// Why a model file cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum ModelError {
    /// The file cannot be read or written.
    #[error("model {}: {source}", path.display())]
    File {
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// The file is not a model of this version, or is damaged.
    #[error("model {}: {found}, expected {expected}", path.display())]
    Content { path: PathBuf, found: String, expected: String },
}

/// Usual values of a feature in benign training rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Usual {
    /// 5th, 50th and 95th percentile.
    Number {
        /// 5th percentile.
        low: f32,
        /// Median.
        middle: f32,
        /// 95th percentile.
        high: f32,
    },
    /// Most frequent values, at most five.
    Names(Vec<String>),
}

/// A required feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Feature {
    pub name: String,
    pub usual: Usual,
}

/// A fitted method with its encoder, threshold and origin.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Model {
    /// Version of the program that made it.
    pub program: String,
    /// Format of the training files.
    pub kind: String,
    /// Digest of the training files.
    pub data_sha256: String,
    /// Feature schema id, if trained on agents' features; `None` in files of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// How it was trained.
    pub plan: Plan,
    /// Encoder of features as inputs.
    pub encoder: Encoder,
    pub fitted: Fitted,
    /// Class names; 0 is benign.
    pub classes: Vec<String>,
    /// Score above which a row is an attack.
    pub threshold: f32,
    /// Scores of benign validation rows, ascending, evenly spread.
    pub benign_scores: Vec<f32>,
    /// Required features with their usual values.
    pub features: Vec<Feature>,
    /// Inputs of a typical benign row.
    pub usual: Vec<f32>,
    /// ROC-AUC, recall and false-positive rate on the test rows.
    pub figures: [Option<f64>; 3],
}

impl Model {
    /// Writes the file atomically and returns its size in bytes.
    ///
    /// # Errors
    /// [`ModelError::File`].
    pub fn save(&self, path: &Path) -> Result<usize, ModelError> {
        let failed = |source| ModelError::File { path: path.into(), source };
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        serde_json::to_writer(&mut packed, self).map_err(|error| failed(error.into()))?;
        let packed = packed.finish().map_err(failed)?;
        let mut bytes = format!("{MAGIC}{MODEL_VERSION}\n{}\n", hex(&packed)).into_bytes();
        bytes.extend(packed);
        let temporary = path.with_extension("new");
        std::fs::write(&temporary, &bytes).and_then(|()| std::fs::rename(&temporary, path)).map_err(failed)?;
        Ok(bytes.len())
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// When the file cannot be read, has another version, is damaged, or its parts do not fit together.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        let failed = |source| ModelError::File { path: path.into(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        Self::parse(&bytes).map_err(|(found, expected)| ModelError::Content { path: path.into(), found, expected })
    }

    /// Parses and checks the bytes of a model file; an error is the pair (found, expected).
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, (String, String)> {
        if bytes.len() as u64 > FILE_BYTES {
            return Err((format!("more than {FILE_BYTES} bytes"), "a smaller file".into()));
        }
        let not_a_model =
            || ("no model file".to_string(), "a file written by `lapwing-lab evaluate --save`".to_string());
        let (head, rest) = line(bytes).ok_or_else(not_a_model)?;
        let version = head.strip_prefix(MAGIC).ok_or_else(not_a_model)?;
        if version != MODEL_VERSION.to_string() {
            let expected = format!("{MODEL_VERSION}: save the model again with this program");
            return Err((format!("format version {version:.20}"), expected));
        }
        let (digest, packed) = line(rest).ok_or_else(not_a_model)?;
        if digest != hex(packed) {
            return Err(("damaged content (its digest differs)".into(), "an unmodified file".into()));
        }
        let mut text = Vec::new();
        let unpacked = GzDecoder::new(packed).take(CONTENT_BYTES).read_to_end(&mut text);
        unpacked.map_err(|error| (format!("content that cannot be decompressed: {error}"), "gzip".into()))?;
        let model: Self = serde_json::from_slice(&text)
            .map_err(|error| (format!("invalid content: {error}"), "a model of this version".into()))?;
        model.check().map_err(|found| (found.into(), "parts that fit together".into()))?;
        Ok(model)
    }

    fn check(&self) -> Result<(), &'static str> {
        let inputs = self.encoder.names().len();
        let rows = Matrix::from_values(inputs, self.usual.clone()).ok_or("a typical row of another width")?;
        if !self.fitted.is_valid() {
            return Err("a method whose parts do not fit together");
        }
        let answers = self.fitted.answers(&rows, self.classes.len()).map_err(|_| "a method of another width")?;
        let highest = answers.named.iter().chain(&answers.likeliest).max().map_or(0, |class| *class as usize);
        let are_inputs =
            self.encoder.needs().iter().zip(&self.features).all(|((name, _), feature)| *name == feature.name);
        match () {
            () if rows.rows() != 1 || !self.usual.iter().all(|value| value.is_finite()) => Err("no typical row"),
            () if highest > self.classes.len() || self.classes.len() < 2 => Err("another number of classes than names"),
            () if !are_inputs || self.features.len() != self.encoder.needs().len() => Err("other features than inputs"),
            () if !self.threshold.is_finite() || self.benign_scores.is_empty() => Err("no threshold"),
            () => Ok(()),
        }
    }
}

fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().take(128).position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}

fn hex(bytes: &[u8]) -> String {
    sha256(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
