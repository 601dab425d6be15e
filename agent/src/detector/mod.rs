//! Quantized rows → reconstructions and latent layers, by one of two engines with bit-identical results.
//!
//! [`int8`] is always built: small, allocates nothing while it runs, reads a release's int8 form. [`tract`] (a cargo
//! feature) runs the ONNX form of the same network, and is efficient only in batches.

#[cfg(feature = "tract")]
pub(crate) mod contract;
pub mod int8;
#[cfg(feature = "tract")]
pub mod tract;

pub use int8::Int8Engine;
#[cfg(feature = "tract")]
pub use tract::TractEngine;

use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::network::{Inference, NetworkError};
use serde::Deserialize;

/// The engine that scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineChoice {
    /// tract on the release's ONNX form.
    Tract,
    /// The built-in integer engine on the release's int8 form.
    Int8,
}

impl std::str::FromStr for EngineChoice {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "tract" => Ok(Self::Tract),
            "int8" => Ok(Self::Int8),
            _ => Err(()),
        }
    }
}

impl Default for EngineChoice {
    /// tract if it is built in.
    fn default() -> Self {
        if cfg!(feature = "tract") { Self::Tract } else { Self::Int8 }
    }
}

/// Runs a release's network.
pub trait Engine: Send {
    /// `int8` or `tract`.
    fn name(&self) -> &'static str;

    /// Most efficient batch size, rows.
    fn best_batch(&self) -> usize;

    /// Fills one answer per row.
    ///
    /// # Errors
    /// [`EngineError::Lengths`] when there are fewer answers than rows; [`EngineError::Run`] when the engine fails.
    fn run_batch(&mut self, inputs: &[[i8; FEATURES]], out: &mut [Inference]) -> Result<(), EngineError>;
}

/// Why a network cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum EngineError {
    /// The int8 artifact is invalid.
    #[error("int8 artifact rejected: {0}")]
    Int8(#[from] NetworkError),
    /// tract cannot load the ONNX artifact.
    #[error("onnx artifact rejected by tract: {0}")]
    Onnx(String),
    /// The ONNX artifact breaks the release contract.
    #[error("onnx artifact violates the release contract: {0}")]
    Contract(String),
    /// tract would run a layer in floating point.
    #[error("onnx artifact would not run in integer arithmetic: {0}")]
    NotInteger(String),
    /// Fewer answers than rows.
    #[error("space for {answers} results, but {rows} rows given")]
    Lengths {
        rows: usize,
        /// Room for answers.
        answers: usize,
    },
    /// The engine failed while running.
    #[error("engine failed: {0}")]
    Run(String),
}

fn check_lengths(rows: usize, answers: usize) -> Result<(), EngineError> {
    if answers < rows { Err(EngineError::Lengths { rows, answers }) } else { Ok(()) }
}
