//! Feature vector → score → tail probability → evidence → alert.

pub mod alert;
pub mod calibration;
pub mod evidence;
#[cfg(feature = "alloc")]
pub mod judge;
pub mod kinds;
#[cfg(feature = "alloc")]
pub mod network;
pub mod scaling;
#[cfg(feature = "alloc")]
mod witness;
pub mod words;

#[cfg(feature = "alloc")]
pub use witness::WATCHED;

/// Widest latent layer of a network.
pub const LATENT: usize = 32;
