//! Whole methods on encoded rows: each has settings, a fit, and a model that serde writes and that predicts without burn.

pub mod autoencoder;
pub mod codebook;
pub mod indicators;
pub mod kfac_network;
pub mod latent_logistic;
pub mod two_stage;

use crate::fit::CurvePoint;

/// What a fit tells while it runs, and the clock it reads.
pub struct Watcher<'a> {
    /// Which of several networks is being trained, from 0, and where it stands.
    pub progress: &'a mut dyn FnMut(usize, &CurvePoint),
    /// Seconds since any fixed time.
    pub clock: &'a dyn Fn() -> f64,
}

/// A generator for one part of a fit, so that parts do not share a stream.
pub(crate) fn generator(seed: u64, part: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(mixed(seed ^ mixed(part.wrapping_add(1))))
}

/// SplitMix64's finaliser (Steele, Lea & Flood 2014): neighbouring numbers come out far apart.
pub(crate) fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests;
