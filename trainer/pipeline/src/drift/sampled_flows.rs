//! Files and a release → the rows of reference and present in order of time, each with its score.
//!
//! At most `MOST_ROWS` rows of each are kept in memory, besides the file being read: a uniform sample (Vitter 1985,
//! "Random sampling with a reservoir", algorithm R) with a fixed seed.

use super::DriftError;
use super::measure::COLUMNS;
use crate::dataset::{Dataset, Row, capture, features_csv, stored};
use crate::quantize::scores;
use crate::release;
use fastrand::Rng;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::features::{FEATURES, FeatureVector};
use lapwing_shared::release::digest::Hex;
use lapwing_shared::release::manifest::ArtifactForm;
use lapwing_shared::units::Timestamp;
use lapwing_shared::verdict::scaling::Scaling;
use lapwing_store::TrainingRows;
use std::path::{Path, PathBuf};

/// Maximum number of rows of reference or present.
pub(crate) const MOST_ROWS: usize = 200_000;
/// Rows of a store scored at once.
const CHUNK_ROWS: usize = 4_096;
const SEED: u64 = 1;

/// Features and score of one flow record, with the number of records that it represents.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// Time of its record.
    pub at: Timestamp,
    /// Features, unscaled.
    pub features: FeatureVector,
    /// Score under the release.
    pub score: u32,
    /// Number of flow records that it represents.
    pub weight: f64,
}

impl Flow {
    /// A feature by index; the score after the last feature.
    pub fn value(&self, column: usize) -> f64 {
        self.features.get(column).map_or(f64::from(self.score), |value| f64::from(*value))
    }
}

/// Rows of the reference or the present.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Side {
    /// Sampled rows in order of time; weights are 1 on average.
    pub flows: Vec<Flow>,
    /// Rows read.
    pub read: u64,
    /// Skipped rows with an attack label.
    pub(crate) attacks: u64,
    /// Skipped rows with a value that is not finite.
    pub(crate) not_finite: u64,
}

/// The network of a release, which scores rows.
pub struct Scorer {
    int8: Vec<u8>,
    scaling: Scaling,
    /// Group and version.
    pub name: String,
    /// Creation time of the release.
    pub created: Timestamp,
}

impl Scorer {
    /// Reads scaling and network from a release file without checking its signature.
    ///
    /// # Errors
    /// When the file is not a release, or has another feature schema.
    pub fn load(path: &Path) -> Result<Self, DriftError> {
        let bytes = std::fs::read(path).map_err(|source| DriftError::Read { path: path.into(), source })?;
        let (file, manifest) =
            release::read(&bytes).map_err(|source| DriftError::Release { path: path.into(), source })?;
        if manifest.schema != schema_id() {
            let found = Hex(&manifest.schema).to_string();
            return Err(DriftError::Schema { path: path.into(), found, expected: Hex(&schema_id()).to_string() });
        }
        let index = manifest.artifacts.iter().position(|artifact| artifact.form == ArtifactForm::Int8);
        let int8 = index.and_then(|index| file.artifacts.get(index));
        Ok(Self {
            int8: int8.ok_or_else(|| DriftError::NoInt8 { path: path.into() })?.to_vec(),
            scaling: manifest.scaling,
            name: format!("{}, version {}", manifest.group, manifest.version),
            created: Timestamp::from_secs(manifest.created_s),
        })
    }

    fn flows(&self, rows: Vec<Row>) -> Result<Vec<Flow>, DriftError> {
        let scores = scores(&self.int8, &self.scaling, rows.iter().map(|row| &row.features))?;
        let flow = |(row, score): (Row, u32)| Flow {
            at: row.at,
            features: row.features,
            score,
            weight: f64::from(row.weight),
        };
        Ok(rows.into_iter().zip(scores).map(flow).collect())
    }
}

/// Reads files one after the other; `part` returns the index of the side that a row belongs to.
///
/// # Errors
/// The first file that cannot be read.
pub fn read<const SIDES: usize>(
    files: &[PathBuf],
    scorer: &Scorer,
    part: impl Fn(&Row) -> usize,
) -> Result<[Side; SIDES], DriftError> {
    let mut sides: [Side; SIDES] = std::array::from_fn(|_| Side::default());
    let mut rng = Rng::with_seed(SEED);
    for path in files {
        let dataset = one(path)?;
        for warning in &dataset.warnings {
            tracing::warn!("{warning}");
        }
        let mut parts: [Vec<Row>; SIDES] = std::array::from_fn(|_| Vec::new());
        for row in dataset.rows {
            let index = part(&row);
            if let (Some(side), Some(rows)) = (sides.get_mut(index), parts.get_mut(index)) {
                side.read += 1;
                match (&row.attack, row.features.iter().all(|value| value.is_finite())) {
                    (Some(_), _) => side.attacks += 1,
                    (None, false) => side.not_finite += 1,
                    (None, true) => rows.push(row),
                }
            }
        }
        for (side, rows) in sides.iter_mut().zip(parts) {
            let before = side.read - side.attacks - side.not_finite - rows.len() as u64;
            keep(&mut side.flows, scorer.flows(rows)?, before, MOST_ROWS, &mut rng);
        }
    }
    sides.iter_mut().for_each(Side::sort_and_normalise);
    Ok(sides)
}

/// Rows of a store before `since` and from then on, at most `most` random rows of each. Unlike [`read`], it never keeps
/// more in memory, because it runs in the server.
///
/// # Errors
/// When the store cannot be read, or the network is invalid.
pub fn read_store(
    mut rows: TrainingRows<'_>,
    scorer: &Scorer,
    since: Timestamp,
    most: usize,
) -> Result<[Side; 2], DriftError> {
    let mut sides = [Side::default(), Side::default()];
    let mut rng = Rng::with_seed(SEED);
    loop {
        let mut parts = [Vec::new(), Vec::new()];
        for row in rows.by_ref().take(CHUNK_ROWS) {
            let row = stored::row(row?, 0);
            parts[usize::from(row.at >= since)].push(row);
        }
        if parts.iter().all(Vec::is_empty) {
            break;
        }
        for (side, part) in sides.iter_mut().zip(parts) {
            let before = side.read - side.not_finite;
            side.read += part.len() as u64;
            let (finite, rest): (Vec<Row>, Vec<Row>) =
                part.into_iter().partition(|row| row.features.iter().all(|value| value.is_finite()));
            side.not_finite += rest.len() as u64;
            keep(&mut side.flows, scorer.flows(finite)?, before, most, &mut rng);
        }
    }
    sides.iter_mut().for_each(Side::sort_and_normalise);
    Ok(sides)
}

/// Reads a capture, feature file or store, by its first bytes and its name.
fn one(path: &PathBuf) -> Result<Dataset, DriftError> {
    let failed = |source| DriftError::Read { path: path.clone(), source };
    let files = std::slice::from_ref(path);
    if lapwing_store::is_store(path).map_err(failed)? {
        return Ok(stored::read(path)?);
    }
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv")) {
        return Ok(features_csv::read(files)?);
    }
    Ok(capture::read(files)?)
}

/// Offers flows to a reservoir of size `most`, to which `before` flows have been offered already.
fn keep(reservoir: &mut Vec<Flow>, flows: Vec<Flow>, before: u64, most: usize, rng: &mut Rng) {
    for (offered, flow) in (before..).zip(flows) {
        if reservoir.len() < most {
            reservoir.push(flow);
        } else if let Some(slot) = reservoir.get_mut(usize::try_from(rng.u64(..=offered)).unwrap_or(usize::MAX)) {
            *slot = flow;
        }
    }
}

impl Side {
    /// Sorts by time and normalises the weights to 1 on average.
    fn sort_and_normalise(&mut self) {
        self.flows.sort_by_key(|flow| flow.at);
        let mean = self.flows.iter().map(|flow| flow.weight).sum::<f64>() / self.flows.len().max(1) as f64;
        if mean > 0.0 {
            self.flows.iter_mut().for_each(|flow| flow.weight /= mean);
        }
    }

    /// Warnings about rows that were not used.
    pub fn warnings(&self, name: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        for (count, what) in
            [(self.attacks, "with an attack label"), (self.not_finite, "with values that are not finite")]
        {
            if count > 0 {
                warnings.push(format!("{name}: skipped {count} rows {what}"));
            }
        }
        let usable = self.read - self.attacks - self.not_finite;
        if usable > self.flows.len() as u64 {
            warnings.push(format!("{name}: using a random sample of {} of {usable} rows", self.flows.len()));
        }
        warnings
    }
}

const _: () = assert!(COLUMNS == FEATURES + 1);

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(second: u64, weight: f64) -> Flow {
        Flow { at: Timestamp::from_secs(second), features: [0.5; FEATURES], score: 9, weight }
    }

    #[test]
    fn a_reservoir_is_bounded_and_samples_uniformly() {
        let (mut held, mut rng) = (Vec::new(), Rng::with_seed(3));
        keep(&mut held, (0..600).map(|at| flow(at, 1.0)).collect(), 0, 500, &mut rng);
        keep(&mut held, (600..10_000).map(|at| flow(at, 1.0)).collect(), 600, 500, &mut rng);
        assert_eq!(held.len(), 500);
        let mean = held.iter().map(|flow| flow.at.as_secs() as f64).sum::<f64>() / 500.0;
        // Standard deviation of the mean of 500 of 0..10000: 129.
        assert!((mean - 5_000.0).abs() < 4.0 * 129.0, "{mean}");
    }

    #[test]
    fn rows_are_sorted_by_time_and_weights_average_1() {
        let mut side = Side { flows: vec![flow(3, 30.0), flow(1, 10.0)], read: 4, attacks: 1, not_finite: 1 };
        side.sort_and_normalise();
        assert_eq!(
            side.flows.iter().map(|flow| (flow.at.as_secs(), flow.weight)).collect::<Vec<_>>(),
            [(1, 0.5), (3, 1.5)]
        );
        assert_eq!(side.warnings("present").len(), 2);
        assert_eq!(side.flows[0].value(FEATURES), 9.0);
        assert_eq!(side.flows[0].value(0), 0.5);
    }
}
