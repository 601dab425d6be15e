//! Feature vector → score → tail probability → evidence → alert.

pub mod addresses;
pub mod alert;
#[cfg(feature = "alloc")]
mod alert_rows;
pub mod calibration;
#[cfg(feature = "alloc")]
pub mod concealment;
#[cfg(feature = "alloc")]
mod episodes;
pub mod evidence;
#[cfg(feature = "alloc")]
pub mod habits;
pub mod kinds;
#[cfg(feature = "alloc")]
pub mod network;
pub mod scaling;
#[cfg(feature = "alloc")]
mod site_alerts;
pub mod summary;
#[cfg(feature = "alloc")]
pub mod tracker;

#[cfg(feature = "alloc")]
pub use alert_rows::TRACKED_RISES;

/// Largest width of the latent layer.
pub const LATENT: usize = 32;
