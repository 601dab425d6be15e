//! Quantized rows → reconstructions and latent layers, by one of two engines that agree to the bit.
//!
//! [`int8`] is always there: small, no allocation while it runs, reads only the encoding that releases carry.
//! [`tract`] (cargo feature) runs the ONNX form of the same network and wants batches.

#[cfg(feature = "tract")]
pub mod contract;
pub mod int8;
#[cfg(feature = "tract")]
pub mod tract;

pub use int8::Int8Engine;
#[cfg(feature = "tract")]
pub use tract::TractEngine;

use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::network::{Inference, NetworkError};

/// Runs a release's network.
pub trait Engine: Send {
    /// `int8` or `tract`.
    fn name(&self) -> &'static str;

    /// Rows at which the engine is at its best; more than that brings nothing.
    fn best_batch(&self) -> usize;

    /// Fills one answer a row.
    ///
    /// # Errors
    /// [`EngineError::Lengths`] when there are fewer answers than rows; [`EngineError::Run`] when the engine gives up.
    fn run_batch(&mut self, inputs: &[[i8; FEATURES]], out: &mut [Inference]) -> Result<(), EngineError>;
}

/// Why a network cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The `int8` artifact breaks its format.
    #[error("int8 artifact refused: {0}")]
    Int8(#[from] NetworkError),
    /// tract cannot load the ONNX artifact.
    #[error("onnx artifact refused by tract: {0}")]
    Onnx(String),
    /// The ONNX artifact is a model, but not one that keeps the release contract.
    #[error("onnx artifact breaks the release contract: {0}")]
    Contract(String),
    /// tract would run a layer in floating point.
    #[error("onnx artifact would not run in integers: {0}")]
    NotInteger(String),
    /// Fewer answers than rows.
    #[error("room for {answers} answers, but there are {rows} rows")]
    Lengths {
        /// Rows given.
        rows: usize,
        /// Room for answers.
        answers: usize,
    },
    /// The engine failed while it ran.
    #[error("engine failed: {0}")]
    Run(String),
}

fn check_lengths(rows: usize, answers: usize) -> Result<(), EngineError> {
    if answers < rows { Err(EngineError::Lengths { rows, answers }) } else { Ok(()) }
}
