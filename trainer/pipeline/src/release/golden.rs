//! Rows → golden vectors: extreme and typical rows with the results of the `int8` engine.

use lapwing_shared::features::{FEATURES, FeatureVector};
use lapwing_shared::release::manifest::{GOLDEN_VECTORS, GoldenVector};
use lapwing_shared::verdict::network::{Inference, Int8Network, Scratch};
use lapwing_shared::verdict::scaling::{FeatureScaling, Scaling};

/// Eight rows: zeros, both ends and the middle of the normal range, the largest float, negative values, and the first
/// and last of `rows`.
pub(super) fn golden_rows(scaling: &Scaling, rows: &[FeatureVector]) -> [FeatureVector; GOLDEN_VECTORS] {
    let each = |value: fn(&FeatureScaling) -> f32| -> FeatureVector {
        let mut row = [0.0; FEATURES];
        row.iter_mut().zip(&scaling.features).for_each(|(slot, feature)| *slot = value(feature));
        row.map(|value| if value.is_finite() { value } else { 0.0 })
    };
    let finite = |row: Option<&FeatureVector>| {
        row.map_or([0.5; FEATURES], |row| row.map(|value| if value.is_finite() { value } else { 0.0 }))
    };
    [
        [0.0; FEATURES],
        each(|feature| feature.benign_low),
        each(|feature| feature.benign_high),
        [f32::MAX; FEATURES],
        [-1.0; FEATURES],
        each(|feature| 0.5 * (feature.benign_low + feature.benign_high)),
        finite(rows.first()),
        finite(rows.last()),
    ]
}

/// The result of the engine for a row.
pub(super) fn golden_vector<B: AsRef<[u8]>>(
    network: &Int8Network<B>,
    scaling: &Scaling,
    row: &FeatureVector,
) -> GoldenVector {
    let input = scaling.quantize(row);
    let mut inference = Inference::default();
    network.run(&input, &mut Scratch::default(), &mut inference);
    GoldenVector {
        row: row.iter().copied().collect(),
        input: input.into_iter().collect(),
        reconstruction: inference.reconstruction.into_iter().collect(),
        latent: inference.latent.into_iter().take(usize::from(inference.latent_width)).collect(),
        score: scaling.score(&input, &inference.reconstruction),
    }
}
