//! A seed → rows that resemble feature vectors: a mixture of a few kinds of flows on low-dimensional manifolds.
//!
//! For tests only; not a model of traffic.

use fastrand::Rng;
use lapwing_shared::features::{FEATURES, FeatureVector};
use lapwing_shared::verdict::scaling::Transform;

/// Kinds of flows in the mixture.
const KINDS: usize = 5;
/// Latent factors that vary within a kind.
const FACTORS: usize = 3;

/// A mixture whose shape is drawn once from a seed.
#[derive(Clone, Debug)]
pub struct Mixture {
    centres: Vec<[f32; FEATURES]>,
    factors: Vec<[[f32; FEATURES]; FACTORS]>,
}

impl Mixture {
    /// Draws the shape from a seed.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut vector = |spread: f32| std::array::from_fn(|_| (rng.f32() * 2.0 - 1.0) * spread);
        let centres = (0..KINDS).map(|_| vector(2.0)).collect();
        let factors = (0..KINDS).map(|_| [vector(0.6), vector(0.6), vector(0.6)]).collect();
        Self { centres, factors }
    }

    /// Transforms that suit the features: even-numbered ones are heavy-tailed, odd-numbered ones are not.
    pub fn transforms() -> [Transform; FEATURES] {
        std::array::from_fn(|feature| if feature % 2 == 0 { Transform::Log1p } else { Transform::Identity })
    }

    /// Benign rows.
    pub fn rows(&self, count: usize, seed: u64) -> Vec<FeatureVector> {
        let mut rng = Rng::with_seed(seed);
        (0..count).map(|_| self.row(&mut rng)).collect()
    }

    /// Anomalous rows: each feature is in its benign range, but features of two benign rows are mixed.
    #[cfg(test)]
    pub(crate) fn mixed_rows(&self, count: usize, seed: u64) -> Vec<FeatureVector> {
        let mut rng = Rng::with_seed(seed);
        let mixed = |rng: &mut Rng| {
            let (a, b) = (self.row(rng), self.row(rng));
            std::array::from_fn(|feature| if rng.bool() { a[feature] } else { b[feature] })
        };
        (0..count).map(|_| mixed(&mut rng)).collect()
    }

    fn row(&self, rng: &mut Rng) -> FeatureVector {
        let kind = rng.usize(..KINDS);
        let strengths: [f32; FACTORS] = std::array::from_fn(|_| rng.f32() * 2.0 - 1.0);
        std::array::from_fn(|feature| {
            let offset: f32 =
                self.factors[kind].iter().zip(strengths).map(|(factor, strength)| factor[feature] * strength).sum();
            let value = self.centres[kind][feature] + offset + (rng.f32() - 0.5) * 0.2;
            // Features 40 to 43 are almost constant, like flags.
            if (40..44).contains(&feature) {
                return f32::from(u8::from(rng.u32(..500) == 0));
            }
            if feature % 2 == 0 { ((value + 3.0).max(0.0)).exp_m1() } else { value }
        })
    }
}
