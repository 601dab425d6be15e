//! What quantization costs: the same rows scored with the f32 network and with the `int8` engine.

use crate::train::network::{FloatNetwork, GatewayNetwork};
use fastrand::Rng;
use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::network::{Inference, Int8Network, NetworkError, Scratch};
use lapwing_shared::verdict::scaling::{QuantizedInput, Scaling};
use serde::{Deserialize, Serialize};

/// Which rows AUC tells from benign ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Against {
    /// Rows labelled as attacks.
    LabelledAttacks,
    /// Benign rows, a quarter of whose features were swapped in from other benign rows: for want of labels.
    PerturbedRows,
}

/// Scores of two networks over the same rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct QuantizeReport {
    /// Benign rows compared.
    pub benign_rows: usize,
    /// Odd rows compared.
    pub odd_rows: usize,
    /// What the odd rows are.
    pub against: Against,
    /// Spearman's rank correlation of the scores over all rows.
    pub rank_correlation: f64,
    /// Area under the ROC curve with f32 scores.
    pub auc_f32: f64,
    /// Area under the ROC curve with int8 scores.
    pub auc_int8: f64,
    /// Root mean square of reconstruction differences, quanta.
    pub rms_quanta: f64,
    /// Size of the `int8` artifact, bytes.
    pub size_bytes: usize,
}

/// Compares the networks on benign validation rows and, where there are any, labelled attack rows.
///
/// # Errors
/// When the artifact is none.
pub fn compare(
    network: &FloatNetwork,
    artifact: &[u8],
    scaling: &Scaling,
    benign: &[QuantizedInput],
    attacks: &[QuantizedInput],
) -> Result<QuantizeReport, NetworkError> {
    let engine = Int8Network::parse(artifact)?;
    let perturbed = if attacks.is_empty() { perturb(benign) } else { Vec::new() };
    let against = if attacks.is_empty() { Against::PerturbedRows } else { Against::LabelledAttacks };
    let odd = if attacks.is_empty() { perturbed.as_slice() } else { attacks };
    let (mut scratch, mut inference) = (Scratch::default(), Inference::default());
    let (mut float, mut int8, mut squares) = (Vec::new(), Vec::new(), 0.0);
    for input in benign.iter().chain(odd) {
        engine.run(input, &mut scratch, &mut inference);
        let exact = network.reconstruct(input);
        let difference = |(a, b): (&f32, &i8)| f64::from(*a - f32::from(*b)).powi(2);
        squares += exact.iter().zip(&inference.reconstruction).map(difference).sum::<f64>();
        float.push(float_score(scaling, input, &exact));
        int8.push(f64::from(scaling.score(input, &inference.reconstruction)));
    }
    let rows = float.len().max(1);
    Ok(QuantizeReport {
        benign_rows: benign.len(),
        odd_rows: odd.len(),
        against,
        rank_correlation: correlation(&ranks(&float), &ranks(&int8)),
        auc_f32: auc(&float, benign.len()),
        auc_int8: auc(&int8, benign.len()),
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

/// Ranks from 1; equal values share their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for group in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = first as f64 + (group.len() as f64 + 1.0) / 2.0;
        group.iter().for_each(|place| ranks[*place] = rank);
        first += group.len();
    }
    ranks
}

/// Pearson's correlation; of ranks, that is Spearman's. 1 where a side does not vary.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let sum = |x: &[f64], mean_x: f64, y: &[f64], mean_y: f64| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum()
    };
    let spread = (sum(a, mean_a, a, mean_a) * sum(b, mean_b, b, mean_b)).sqrt();
    if spread > 0.0 { sum(a, mean_a, b, mean_b) / spread } else { 1.0 }
}

/// Share of (benign, odd) pairs in the right order, ties half (Mann & Whitney 1947); the first `benign` values are benign.
pub fn auc(scores: &[f64], benign: usize) -> f64 {
    let odd = scores.len() - benign.min(scores.len());
    if benign == 0 || odd == 0 {
        return 0.5;
    }
    let rank_sum: f64 = ranks(scores).iter().skip(benign).sum();
    (rank_sum - (odd * (odd + 1)) as f64 / 2.0) / (benign as f64 * odd as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auc_counts_pairs_in_order() {
        assert_eq!(auc(&[1.0, 2.0, 3.0, 4.0], 2), 1.0);
        assert_eq!(auc(&[3.0, 4.0, 1.0, 2.0], 2), 0.0);
        assert_eq!(auc(&[1.0, 3.0, 2.0, 4.0], 2), 0.75);
        assert_eq!(auc(&[5.0; 6], 2), 0.5);
    }

    #[test]
    fn rank_correlation_ignores_the_scale() {
        let (a, b) = ([1.0, 2.0, 3.0, 10.0], [-5.0, 0.0, 1.0, 1.5]);
        assert_eq!(correlation(&ranks(&a), &ranks(&b)), 1.0);
        let reversed = b.map(|value| -value);
        assert_eq!(correlation(&ranks(&a), &ranks(&reversed)), -1.0);
    }
}
