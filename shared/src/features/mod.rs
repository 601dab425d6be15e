//! Flow record and host context → feature vector, the model's input (schema version 1).

pub mod explanation;
#[cfg(feature = "alloc")]
pub mod extract;
#[cfg(feature = "alloc")]
pub mod meter;
#[cfg(feature = "alloc")]
pub mod flow_rows;
pub mod schema;

/// Number of features in schema version 1.
pub const FEATURES: usize = 48;

/// One row of model input: schema order, plain units.
pub type FeatureVector = [f32; FEATURES];

/// Schema id: SHA-256 of its canonical text.
pub type SchemaId = [u8; 32];
