//! Networks under training: layers of any width over burn, optimizers of our own, plain weights out.
//!
//! [`NetworkShape`] says what there is to learn, [`fit()`] learns it from [`Rows`], and a [`FloatNetwork`] comes out that
//! predicts without burn. Methods built on this stand in their own modules. Inputs are rows that are scaled already.
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
mod plain;
mod rows;
mod schedule;
mod shape;

pub use adam::AdamConfig;
pub use compare::{NamedCurve, compare_fits};
pub use error::NeuralError;
pub use fit::{CurvePoint, Engine, FitConfig, Fitted, Optimizer, Watch, fit, fit_validated};
pub use kfac::KfacConfig;
pub use loss::Loss;
pub use network::{FloatLayer, FloatNetwork, sigmoid, softmax};
pub use rows::{Rows, Target, balanced_weights};
pub use schedule::Schedule;
pub use shape::{DROPOUT, LayerShape, NetworkShape};

/// A draw from the standard normal distribution (Box & Muller 1958).
fn normal(rng: &mut fastrand::Rng) -> f32 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    (radius * (std::f64::consts::TAU * rng.f64()).cos()) as f32
}

#[cfg(test)]
mod tests;
