//! Feature vector → score → tail probability → evidence → alert.

pub mod alert;
pub mod calibration;
pub mod evidence;
#[cfg(feature = "alloc")]
pub mod judge;
pub mod kinds;
pub mod network;
pub mod scaling;
