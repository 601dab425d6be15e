//! Scaled rows → trained dense networks, with burn as the tensor backend and this crate's own optimizers.
//!
//! [`fit()`] trains a network of a [`NetworkShape`] on [`Rows`] and returns a [`FloatNetwork`], which predicts without
//! burn. [`models`] contains the methods built on it.
#![forbid(unsafe_code)]

mod adam;
mod backend;
mod compare;
mod error;
mod fit;
mod kfac;
mod learner;
mod loss;
pub mod models;
mod network;
mod weighted_rows;
mod schedule;
mod shape;

pub use adam::AdamConfig;
pub use compare::{NamedCurve, compare_fits};
pub use error::NeuralError;
pub use fit::{CurvePoint, FitConfig, Fitted, Optimizer, Watch, fit};
pub use kfac::KfacConfig;
pub use loss::Loss;
pub use network::{FloatLayer, FloatNetwork};
pub use schedule::Schedule;
pub use shape::{DROPOUT, LayerShape, NetworkShape};
pub use weighted_rows::{Rows, Target};

/// Draws from the standard normal distribution (Box & Muller 1958).
fn normal(rng: &mut fastrand::Rng) -> f32 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    (radius * (std::f64::consts::TAU * rng.f64()).cos()) as f32
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod adam_tests;
