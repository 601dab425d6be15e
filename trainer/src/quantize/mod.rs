//! f32 autoencoder → int8 network → the two artifacts of a release.

pub mod network;
pub mod onnx;
