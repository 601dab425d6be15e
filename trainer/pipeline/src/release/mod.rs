//! A quantized network with its calibration → a signed release file; a release file → its parts.

pub mod build;
mod golden;
pub mod keys;
pub mod roots;
mod classes;
mod read;
mod verify;

#[cfg(test)]
mod tests;

pub(crate) use classes::class_profiles;
pub use read::{ReadError, read};
