//! The same rows scored with the f32 network and with the `int8` engine → quantization loss.

use crate::train::network::{FloatNetwork, GatewayNetwork};
use fastrand::Rng;
use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::network::{Inference, Int8Network, NetworkError, Scratch};
use lapwing_shared::verdict::scaling::{QuantizedInput, Scaling};
use lapwing_tables::stats::{auc, rank_correlation};
use serde::{Deserialize, Serialize};

/// Anomalous rows that AUC is measured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Against {
    /// Rows labelled as attacks.
    LabelledAttacks,
    /// Benign rows with a quarter of their features swapped in from other benign rows, if there are no labels.
    PerturbedRows,
}

/// Scores of two networks over the same rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct QuantizeReport {
    pub(crate) benign_rows: usize,
    #[serde(rename = "odd-rows")]
    pub(crate) anomalous_rows: usize,
    /// Type of the anomalous rows.
    pub(crate) against: Against,
    /// Spearman's rank correlation of the scores over all rows.
    pub(crate) rank_correlation: f64,
    /// Area under the ROC curve with f32 scores.
    pub(crate) auc_f32: f64,
    /// Area under the ROC curve with int8 scores.
    pub(crate) auc_int8: f64,
    /// Root mean square of reconstruction differences, quanta.
    pub(crate) rms_quanta: f64,
    /// Size of the `int8` artifact, bytes.
    pub(crate) size_bytes: usize,
}

impl QuantizeReport {
    /// One line of text.
    pub fn summary(&self) -> String {
        let against = match self.against {
            Against::LabelledAttacks => "labelled attacks",
            Against::PerturbedRows => "perturbed rows",
        };
        format!(
            "int8 and f32 scores: rank correlation {:.4}; AUC {:.4} with int8, {:.4} with f32 on {against}; {} bytes",
            self.rank_correlation, self.auc_int8, self.auc_f32, self.size_bytes
        )
    }
}

/// Compares the networks on benign validation rows and labelled attack rows, if any.
///
/// # Errors
/// When the artifact is not a network.
pub(crate) fn compare(
    network: &FloatNetwork,
    artifact: &[u8],
    scaling: &Scaling,
    benign: &[QuantizedInput],
    attacks: &[QuantizedInput],
) -> Result<QuantizeReport, NetworkError> {
    let engine = Int8Network::parse(artifact)?;
    let perturbed = if attacks.is_empty() { perturb(benign) } else { Vec::new() };
    let against = if attacks.is_empty() { Against::PerturbedRows } else { Against::LabelledAttacks };
    let anomalous = if attacks.is_empty() { perturbed.as_slice() } else { attacks };
    let (mut scratch, mut inference) = (Scratch::default(), Inference::default());
    let (mut float, mut int8, mut squares) = (Vec::new(), Vec::new(), 0.0);
    for input in benign.iter().chain(anomalous) {
        engine.run(input, &mut scratch, &mut inference);
        let exact = network.reconstruct(input);
        let difference = |(a, b): (&f32, &i8)| f64::from(*a - f32::from(*b)).powi(2);
        squares += exact.iter().zip(&inference.reconstruction).map(difference).sum::<f64>();
        float.push(float_score(scaling, input, &exact));
        int8.push(f64::from(scaling.score(input, &inference.reconstruction)));
    }
    let positive: Vec<bool> = (0..float.len()).map(|row| row >= benign.len()).collect();
    let rows = float.len().max(1);
    Ok(QuantizeReport {
        benign_rows: benign.len(),
        anomalous_rows: anomalous.len(),
        against,
        rank_correlation: rank_correlation(&float, &int8).unwrap_or(1.0),
        auc_f32: auc(&float, &positive).unwrap_or(0.5),
        auc_int8: auc(&int8, &positive).unwrap_or(0.5),
        rms_quanta: (squares / (rows * FEATURES) as f64).sqrt(),
        size_bytes: artifact.len(),
    })
}

/// [`Scaling::score`] without rounding the reconstruction.
fn float_score(scaling: &Scaling, input: &QuantizedInput, reconstruction: &[f32; FEATURES]) -> f64 {
    let pairs = input.iter().zip(reconstruction);
    let part = |(weight, (value, output)): (u16, (&i8, &f32))| {
        f64::from(weight) * f64::from(f32::from(*value) - output).powi(2)
    };
    scaling.features.iter().map(|feature| feature.weight).zip(pairs).map(part).sum()
}

fn perturb(benign: &[QuantizedInput]) -> Vec<QuantizedInput> {
    let mut rng = Rng::with_seed(1);
    let mut swapped = |row: &QuantizedInput| {
        let other = benign[rng.usize(..benign.len())];
        std::array::from_fn(|feature| if rng.u8(..4) == 0 { other[feature] } else { row[feature] })
    };
    benign.iter().map(&mut swapped).collect()
}
