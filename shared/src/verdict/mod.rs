//! Feature vector → score → tail probability → evidence → alert.

pub mod calibration;
pub mod network;
pub mod scaling;
