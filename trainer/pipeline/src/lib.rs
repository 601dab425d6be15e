//! Feature rows → a trained network → int8 → calibration and evidence limits → a signed release with its model card.
#![forbid(unsafe_code)]

pub mod dataset;
pub mod train;
pub mod quantize;
pub mod calibrate;
pub mod release;
pub mod candidate;
pub mod gate;
pub mod card;
pub mod order;
pub mod make;
pub mod drift;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
