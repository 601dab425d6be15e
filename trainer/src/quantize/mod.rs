//! f32 autoencoder → int8 network → the two artifacts of a release.

pub mod convert;
pub mod equalize;
pub mod network;
pub mod onnx;
pub mod report;

#[cfg(test)]
mod tests;
