//! Which attack kind a flow resembles.

use crate::features::FEATURES;
use crate::verdict::scaling::{QuantizedInput, RowScaler};
use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

/// Attack kinds that a release can describe.
pub const KINDS: usize = 16;

/// What an attack kind looks like to the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KindProfile {
    /// Name of the kind, e.g. `port-scan`.
    pub name: String<32>,
    /// Mean quantized input of its rows, [`FEATURES`] values.
    pub centre: Vec<i8, FEATURES>,
    /// Largest weighted squared distance ([`RowScaler::score`] of input against centre) that still resembles it.
    pub radius: u32,
}

/// Index of the nearest kind whose radius reaches the row; of equally near ones the first.
pub fn resembling(kinds: &[KindProfile], scaler: &RowScaler, input: &QuantizedInput) -> Option<usize> {
    let mut nearest = None;
    let mut reach = u32::MAX;
    for (index, kind) in kinds.iter().take(KINDS).enumerate() {
        let centre = kind.centre.as_slice().try_into().ok();
        let distance = centre.and_then(|centre| scaler.score_within(kind.radius.min(reach), input, centre));
        if let Some(distance) = distance {
            // Whoever comes later has to be nearer; nobody can be nearer than 0.
            (nearest, reach) = (Some(index), distance.saturating_sub(1));
            if distance == 0 {
                break;
            }
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::scaling::{FeatureScaling, Scaling, Transform};

    #[test]
    fn the_nearest_kind_within_reach_is_told_and_of_equal_ones_the_first() {
        let feature = FeatureScaling {
            transform: Transform::Identity,
            centre: 0.0,
            unit: 1.0,
            weight: 1,
            benign_low: 0.0,
            benign_high: 1.0,
        };
        let scaling = Scaling { features: core::iter::repeat_n(feature, FEATURES).collect() };
        let scaler = RowScaler::new(&scaling);
        let kind = |centre: i8, radius| KindProfile {
            name: String::new(),
            centre: core::iter::repeat_n(centre, FEATURES).collect(),
            radius,
        };
        let wide = FEATURES as u32 * 100;
        let kinds = [kind(20, wide), kind(4, 10), kind(8, wide), kind(6, wide), kind(8, wide), kind(0, 0)];
        let told = |value: i8| resembling(&kinds, &scaler, &[value; FEATURES]);
        assert_eq!(told(4), Some(1), "at its centre");
        assert_eq!(told(5), Some(3), "the second kind is nearer to none but its own");
        assert_eq!(told(9), Some(2), "the fifth is as near");
        assert_eq!(told(7), Some(2), "and so is the fourth");
        assert_eq!(told(0), Some(5));
        assert_eq!(told(31), None);
    }
}
