//! Encoded rows → fitted models: each method has a configuration, a `fit`, and a serializable model that predicts
//! without burn.

pub mod autoencoder;
pub(crate) mod codebook;
pub mod indicators;
pub mod kfac_network;
pub mod latent_logistic;
pub mod two_stage;

use crate::fit::CurvePoint;

/// Progress callback and clock of a fit.
pub struct Watcher<'a> {
    /// Called after every epoch with the index of the network being trained, from 0.
    pub progress: &'a mut dyn FnMut(usize, &CurvePoint),
    /// Seconds since a fixed but arbitrary time.
    pub clock: &'a dyn Fn() -> f64,
}

/// An independent random generator for one part of a fit.
pub(crate) fn generator(seed: u64, part: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(mixed(seed ^ mixed(part.wrapping_add(1))))
}

/// SplitMix64's finalizer (Steele, Lea & Flood 2014): a hash of one number.
pub(crate) fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests;
