//! Flow record and host context → the feature vector that the model reads (schema version 1).

#[cfg(feature = "alloc")]
pub mod extract;
#[cfg(feature = "alloc")]
pub mod meter;
#[cfg(feature = "alloc")]
pub mod rows;
pub mod schema;
pub mod words;

/// Number of features in schema version 1.
pub const FEATURES: usize = 48;

/// One row of model input, in schema order, in plain units.
pub type FeatureVector = [f32; FEATURES];

/// The schema's id: SHA-256 over its canonical text.
pub type SchemaId = [u8; 32];
