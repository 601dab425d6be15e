//! f32 autoencoder → int8 network → the two artifacts of a release, and the quantization loss.

pub mod convert;
mod equalize;
pub mod network;
pub mod onnx;
pub(crate) mod report;

#[cfg(test)]
mod tests;

pub use convert::{QuantizeConfig, QuantizeError};

use crate::train::run::TrainRun;
use lapwing_shared::features::FeatureVector;
use lapwing_shared::verdict::network::{Inference, Int8Network, NetworkError, Scratch};
use lapwing_shared::verdict::scaling::{QuantizedInput, Scaling};
use report::{QuantizeReport, compare};

/// One network in the two forms that agents run.
#[derive(Clone, Debug, PartialEq)]
pub struct Artifacts {
    /// Artifact for the `int8` engine.
    pub int8: Vec<u8>,
    /// Artifact for the `tract` engine.
    pub onnx: Vec<u8>,
}

/// Both forms of a network, and the quantization loss.
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Quantized {
    pub artifacts: Artifacts,
    /// int8 compared with f32.
    pub report: QuantizeReport,
}

/// Quantizes the network of a training run and encodes both forms.
///
/// # Errors
/// When the network does not fit the encoding.
pub(crate) fn artifacts(
    run: &TrainRun,
    calibration_rows: &[QuantizedInput],
    config: &QuantizeConfig,
) -> Result<Artifacts, QuantizeError> {
    let network = convert::quantize(&run.network, calibration_rows, config)?;
    Ok(Artifacts { int8: network.to_int8()?, onnx: onnx::encode(&network) })
}

/// Quantizes with training rows as calibration set and measures the loss on `held_out` rows.
///
/// # Errors
/// When the network does not fit the encoding.
pub fn quantize(
    run: &TrainRun,
    held_out: &[FeatureVector],
    attacks: &[FeatureVector],
) -> Result<Quantized, QuantizeError> {
    let inputs =
        |rows: &[FeatureVector]| -> Vec<QuantizedInput> { rows.iter().map(|row| run.scaling.quantize(row)).collect() };
    let artifacts = artifacts(run, &run.range_rows(), &QuantizeConfig::default())?;
    let report = compare(&run.network, &artifacts.int8, &run.scaling, &inputs(held_out), &inputs(attacks))?;
    Ok(Quantized { artifacts, report })
}

/// Scores of rows by an `int8` artifact, as an agent computes them.
///
/// # Errors
/// When the artifact is not a network.
pub fn scores<'a>(
    int8: &[u8],
    scaling: &Scaling,
    rows: impl Iterator<Item = &'a FeatureVector>,
) -> Result<Vec<u32>, NetworkError> {
    let network = Int8Network::parse(int8)?;
    let (mut scratch, mut inference) = (Scratch::default(), Inference::default());
    let score = |row: &FeatureVector| {
        let input = scaling.quantize(row);
        network.run(&input, &mut scratch, &mut inference);
        scaling.score(&input, &inference.reconstruction)
    };
    Ok(rows.map(score).collect())
}
