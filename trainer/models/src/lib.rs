//! A saved model and rows → for each row a score, whether it is an attack, its attack class, and the features that
//! deviate. The same for CSV files, single rows, the HTTP API and the rows of alerts.
#![forbid(unsafe_code)]

mod answers;
mod error;
mod network;
mod fitted;
mod plan;
mod model;
mod input_rows;
mod prediction;
pub mod classify;

pub use answers::Answers;
pub use error::InferenceError;
pub use fitted::Fitted;
pub use input_rows::{RowError, csv_table, json_table};
pub use model::{Feature, Model, ModelError, Usual};
pub use network::Network;
pub use plan::{Categories, MethodName, Plan};
pub use prediction::{Prediction, Suspicious};
