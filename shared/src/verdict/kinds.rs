//! Quantized row → the attack class that it resembles.

use crate::features::FEATURES;
use crate::lanes::EIGHT;
use crate::verdict::scaling::{QuantizedInput, RowScaler, Scaling, part_of_score};
use heapless::{String, Vec};
use serde::{Deserialize, Serialize};
use wide::i16x8;

/// Limit on attack classes in a release.
pub const KINDS: usize = 16;

/// Profile of one attack class in the model's input space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KindProfile {
    /// Name of the class, e.g. `port-scan`.
    pub name: String<32>,
    /// Mean quantized input of its rows, [`FEATURES`] values.
    pub centre: Vec<i8, FEATURES>,
    /// Largest weighted squared distance from the centre ([`RowScaler::score`]) that still counts as a match.
    pub radius: u32,
}

/// The classes of a release, laid out for comparison with many rows.
///
/// Most classes are ruled out early: their distance over the eight most discriminating features already exceeds the
/// radius.
#[derive(Clone, Debug)]
pub struct KindFinder {
    /// The eight most discriminating features, and their weights.
    features: [u8; EIGHT],
    weights: i16x8,
    kinds: Vec<Profile, KINDS>,
}

#[derive(Clone, Debug)]
struct Profile {
    /// The centre's values of the eight features.
    part: i16x8,
    centre: QuantizedInput,
    radius: u32,
    index: usize,
}

impl KindFinder {
    /// From a release's classes and the scaling of its features. A class without [`FEATURES`] values never matches.
    #[inline]
    pub fn new(kinds: &[KindProfile], scaling: &Scaling) -> Self {
        let weight = |feature: usize| scaling.features.get(feature).map_or(0, |scaling| scaling.clamped_weight());
        let spread = |feature: usize| {
            let square = |kind: &KindProfile| kind.centre.get(feature).map_or(0, |centre| i64::from(*centre).pow(2));
            i64::from(weight(feature)) * kinds.iter().map(square).sum::<i64>()
        };
        let mut order: [u8; FEATURES] = core::array::from_fn(|feature| feature as u8);
        order.sort_unstable_by_key(|feature| (core::cmp::Reverse(spread(usize::from(*feature))), *feature));
        let features: [u8; EIGHT] = core::array::from_fn(|lane| order[lane]);
        let profile = |(index, kind): (usize, &KindProfile)| {
            let centre: QuantizedInput = kind.centre.as_slice().try_into().ok()?;
            Some(Profile { part: picked(&features, &centre), centre, radius: kind.radius, index })
        };
        Self {
            features,
            weights: i16x8::new(features.map(|feature| weight(usize::from(feature)))),
            kinds: kinds.iter().take(KINDS).enumerate().filter_map(profile).collect(),
        }
    }

    /// From a release's classes and the scaling of its features. A class without [`FEATURES`] values never matches.
    /// the scaling given to [`KindFinder::new`].
    #[inline(never)]
    pub fn resembling(&self, scaler: &RowScaler, input: &QuantizedInput) -> Option<usize> {
        let part = picked(&self.features, input);
        let mut nearest = None;
        let mut reach = u32::MAX;
        for kind in &self.kinds {
            let limit = kind.radius.min(reach);
            if part_of_score(self.weights, part - kind.part) > limit {
                continue;
            }
            if let Some(distance) = scaler.score_within(limit, input, &kind.centre) {
                nearest = Some(kind.index);
                // A later class must be nearer, which is impossible at distance 0.
                let Some(nearer) = distance.checked_sub(1) else { break };
                reach = nearer;
            }
        }
        nearest
    }
}

#[inline(always)]
fn picked(features: &[u8; EIGHT], input: &QuantizedInput) -> i16x8 {
    i16x8::new(features.map(|feature| i16::from(input[usize::from(feature) % FEATURES])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::lru::splitmix64;
    use crate::verdict::scaling::{FeatureScaling, Transform};

    fn scaling(weight: impl Fn(usize) -> u16) -> Scaling {
        let feature = |index| FeatureScaling {
            transform: Transform::Identity,
            centre: 0.0,
            unit: 1.0,
            weight: weight(index),
            benign_low: 0.0,
            benign_high: 1.0,
        };
        Scaling { features: (0..FEATURES).map(feature).collect() }
    }

    #[test]
    fn the_match_equals_a_search_over_full_distances() {
        let mut state = 3;
        for round in 0..300 {
            let mut octet = |range: u64| (splitmix64(&mut state) % (2 * range + 1)) as i64 as i8 - range as i8;
            let scaling = scaling(|index| (index * 97 % 1025) as u16);
            let kind = |_| KindProfile {
                name: String::new(),
                centre: (0..FEATURES).map(|_| octet(20)).collect(),
                radius: 5_000_000,
            };
            let kinds: [KindProfile; 7] = core::array::from_fn(kind);
            let near = kinds[round % 7].centre.clone();
            let input = core::array::from_fn(|index| near[index] + octet(25));
            let distances = kinds.iter().map(|kind| {
                let centre = kind.centre.as_slice().try_into().unwrap();
                (kind.radius, scaling.score(&input, centre))
            });
            let within = distances.enumerate().filter(|(_, (radius, distance))| distance <= radius);
            let nearest = within.min_by_key(|(_, (_, distance))| *distance).map(|(index, _)| index);
            let finder = KindFinder::new(&kinds, &scaling);
            assert_eq!(finder.resembling(&RowScaler::new(&scaling), &input), nearest, "round {round}");
        }
    }

    #[test]
    fn the_nearest_class_in_reach_matches_and_ties_go_to_the_first() {
        let scaling = scaling(|_| 1);
        let scaler = RowScaler::new(&scaling);
        let kind = |centre: i8, radius| KindProfile {
            name: String::new(),
            centre: core::iter::repeat_n(centre, FEATURES).collect(),
            radius,
        };
        let wide = FEATURES as u32 * 100;
        let kinds = [kind(20, wide), kind(4, 10), kind(8, wide), kind(6, wide), kind(8, wide), kind(0, 0)];
        let finder = KindFinder::new(&kinds, &scaling);
        let nearest = |value: i8| finder.resembling(&scaler, &[value; FEATURES]);
        assert_eq!(nearest(4), Some(1), "at its centre");
        assert_eq!(nearest(5), Some(3), "outside the radius of the second class");
        assert_eq!(nearest(9), Some(2), "the fifth class is as near");
        assert_eq!(nearest(7), Some(2), "the fourth class is as near");
        assert_eq!(nearest(0), Some(5));
        assert_eq!(nearest(31), None);
    }
}
