//! A model file: everything that is needed to judge rows, and where it came from.
//!
//! `lapwing-model 2\n`, the SHA-256 of what follows in hexadecimal, `\n`, gzip of JSON. Version, digest and the parts'
//! own rules are checked in this order before anything is used.

use crate::evaluate::{EvaluateError, Fitted, Judged, Plan, Side};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use lapwing_neural::models::indicators::usual_row;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::release::digest::{Hex, sha256};
use lapwing_tables::{Encoder, Matrix, Table, Values};
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};

const MAGIC: &str = "lapwing-model ";
/// Version of the format that this program writes and reads.
pub const VERSION: u32 = 2;
/// Largest file, bytes, and largest content, bytes.
const FILE_BYTES: u64 = 256 << 20;
const CONTENT_BYTES: u64 = 1 << 30;
/// Kind of files whose features are an agent's.
const CAPTURE: &str = "capture";
/// Benign scores kept, evenly spread.
const SCORES: usize = 1_001;
/// Training rows that usual values are taken from.
const USUAL_ROWS: usize = 20_000;
/// Usual values of a category that are named.
const USUAL_NAMES: usize = 5;

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file cannot be read or written.
    #[error("model {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no model of this version, or damaged.
    #[error("model {}: {found}, expected {expected}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
}

/// What a feature usually is in benign training rows.
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

/// A feature that rows must have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// Name.
    pub name: String,
    /// What it usually is.
    pub usual: Usual,
}

/// A fitted method with its encoder, threshold and origin.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Model {
    /// Version of the program that made it.
    pub program: String,
    /// Kind of the files that it learned from.
    pub kind: String,
    /// Digest of those files.
    pub data_sha256: String,
    /// Schema id of an agent's features, where it learned from them; nothing in files of earlier programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// What was done.
    pub plan: Plan,
    /// Features into inputs.
    pub encoder: Encoder,
    /// The method.
    pub fitted: Fitted,
    /// Class names; 0 is benign.
    pub classes: Vec<String>,
    /// Score over which a row is an attack.
    pub threshold: f32,
    /// Scores of benign validation rows, ascending, evenly spread.
    pub benign_scores: Vec<f32>,
    /// Features that rows must have, with their usual values.
    pub features: Vec<Feature>,
    /// Inputs of a usual benign row.
    pub usual: Vec<f32>,
    /// ROC-AUC, recall and false-positive rate on its test rows.
    pub figures: [Option<f64>; 3],
}

impl Model {
    /// From an evaluation.
    ///
    /// # Errors
    /// When benign training rows cannot be encoded.
    pub fn new(kind: &str, table: &Table, plan: &Plan, judged: Judged) -> Result<Self, EvaluateError> {
        let prepared = judged.prepared;
        let benign: Vec<usize> = prepared.learned.benign(table).sample(USUAL_ROWS, plan.seed).as_slice().to_vec();
        if benign.is_empty() {
            return Err(EvaluateError::Side {
                side: "training",
                found: "none of them benign".into(),
                expected: "benign rows, whose usual values explain odd ones",
                advice: "learn from more rows",
            });
        }
        let features = prepared.encoder.needs().iter().map(|(name, _)| feature(table, name, &benign)).collect();
        let usual = usual_row(&prepared.encoder.transform(table, &benign)?, &prepared.encoder.features());
        let figures = &judged.figures;
        Ok(Self {
            program: env!("CARGO_PKG_VERSION").into(),
            kind: kind.into(),
            data_sha256: table.digest(),
            schema: (kind == CAPTURE).then(|| Hex(&schema_id()).to_string()),
            plan: plan.clone(),
            benign_scores: spread(table, &prepared.validation, &judged.validation.scores),
            encoder: prepared.encoder,
            fitted: judged.fitted,
            classes: prepared.classes,
            threshold: figures.threshold,
            features,
            usual,
            figures: [figures.roc_auc.value, figures.recall.value, figures.false_positive_rate.value],
        })
    }

    /// Writes it; answers the file's size in bytes. A file of that name is replaced, whole or not at all.
    ///
    /// # Errors
    /// [`ModelError::File`].
    pub fn save(&self, path: &Path) -> Result<usize, ModelError> {
        let failed = |source| ModelError::File { path: path.into(), source };
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        serde_json::to_writer(&mut packed, self).map_err(|error| failed(error.into()))?;
        let packed = packed.finish().map_err(failed)?;
        let mut bytes = format!("{MAGIC}{VERSION}\n{}\n", hex(&packed)).into_bytes();
        bytes.extend(packed);
        let spare = path.with_extension("new");
        std::fs::write(&spare, &bytes).and_then(|()| std::fs::rename(&spare, path)).map_err(failed)?;
        Ok(bytes.len())
    }

    /// Reads and checks it.
    ///
    /// # Errors
    /// A file that cannot be read, is of another version, damaged, or holds parts that do not fit.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        let failed = |source| ModelError::File { path: path.into(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        Self::parse(&bytes).map_err(|(found, expected)| ModelError::Content { path: path.into(), found, expected })
    }

    /// Checks the bytes of a model file; on failure says what was found and what was expected.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, (String, String)> {
        if bytes.len() as u64 > FILE_BYTES {
            return Err((format!("more than {FILE_BYTES} bytes"), "a smaller file".into()));
        }
        let no_model = || ("no model".to_string(), "a file that `evaluate --save` wrote".to_string());
        let (head, rest) = line(bytes).ok_or_else(no_model)?;
        let version = head.strip_prefix(MAGIC).ok_or_else(no_model)?;
        if version != VERSION.to_string() {
            let expected = format!("{VERSION}: save the model again with this program");
            return Err((format!("format version {version:.20}"), expected));
        }
        let (digest, packed) = line(rest).ok_or_else(no_model)?;
        if digest != hex(packed) {
            return Err(("damaged content (its digest differs)".into(), "the file as it was written".into()));
        }
        let mut text = Vec::new();
        let unpacked = GzDecoder::new(packed).take(CONTENT_BYTES).read_to_end(&mut text);
        unpacked.map_err(|error| (format!("content that cannot be unpacked: {error}"), "gzip".into()))?;
        let model: Self = serde_json::from_slice(&text)
            .map_err(|error| (format!("content of another program: {error}"), "a model of this program".into()))?;
        model.check().map_err(|found| (found.into(), "parts that fit together".into()))?;
        Ok(model)
    }

    fn check(&self) -> Result<(), &'static str> {
        let inputs = self.encoder.names().len();
        let rows = Matrix::from_values(inputs, self.usual.clone()).ok_or("a usual row of another width")?;
        if !self.fitted.is_valid() {
            return Err("a method whose parts do not fit");
        }
        let answers = self.fitted.answers(&rows, self.classes.len()).map_err(|_| "a method of another width")?;
        let highest = answers.named.iter().chain(&answers.likeliest).max().map_or(0, |class| *class as usize);
        let known = self.encoder.needs().iter().zip(&self.features).all(|((name, _), feature)| *name == feature.name);
        match () {
            () if rows.rows() != 1 || !self.usual.iter().all(|value| value.is_finite()) => Err("no usual row"),
            () if highest > self.classes.len() || self.classes.len() < 2 => Err("another number of classes than names"),
            () if !known || self.features.len() != self.encoder.needs().len() => Err("other features than inputs"),
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

fn spread(table: &Table, side: &Side, scores: &[f32]) -> Vec<f32> {
    let benign = side.rows.iter().zip(scores).filter(|(row, _)| table.kind()[**row] == 0);
    let mut sorted: Vec<f32> = benign.map(|(_, score)| *score).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    if sorted.len() <= SCORES {
        return sorted;
    }
    (0..SCORES).map(|place| sorted[place * (sorted.len() - 1) / (SCORES - 1)]).collect()
}

fn feature(table: &Table, name: &str, rows: &[usize]) -> Feature {
    let usual = match table.column(name).map(|column| &column.values) {
        Some(Values::Numbers(numbers)) => {
            let mut sorted: Vec<f32> = rows.iter().map(|row| numbers[*row]).filter(|value| value.is_finite()).collect();
            sorted.sort_unstable_by(f32::total_cmp);
            let at = |share: f64| {
                let place = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
                sorted.get(place).copied().unwrap_or(0.0)
            };
            Usual::Number { low: at(0.05), middle: at(0.5), high: at(0.95) }
        }
        Some(Values::Categories { names, codes }) => {
            let mut counts = vec![0_usize; names.len()];
            rows.iter().for_each(|row| counts[usize::from(codes[*row])] += 1);
            let mut order: Vec<usize> = (0..names.len()).filter(|place| counts[*place] > 0).collect();
            order.sort_by_key(|place| std::cmp::Reverse(counts[*place]));
            Usual::Names(order.into_iter().take(USUAL_NAMES).map(|place| names[place].clone()).collect())
        }
        None => Usual::Names(Vec::new()),
    };
    Feature { name: name.into(), usual }
}
