//! A saved model and rows → for each row a score, whether it is an attack, how sure, which kind, and which features
//! look suspicious. The same for CSV files, single rows and the HTTP API.

pub mod answer;
pub mod api;
pub mod args;
pub mod model;
mod rows;
#[cfg(test)]
mod tests;

pub use answer::{Prediction, Suspicious};
pub use model::{Model, ModelError};
pub use rows::{RowError, csv_table, json_table};
