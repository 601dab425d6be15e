//! Benign rows → a fitted scorer; rows → one anomaly score each, higher is more anomalous.

mod config;
mod dbscan;
mod isolation;
mod kmeans;
mod neighbours;
mod pca;

pub use config::{DbscanConfig, IsolationForestConfig, KMeansConfig, NeighboursConfig, PcaConfig};
pub use dbscan::Dbscan;
pub use isolation::IsolationForest;
pub use kmeans::KMeans;
pub use neighbours::Neighbours;
pub use pca::Pca;

use lapwing_tables::Matrix;

use crate::{MethodError, input::check_rows, standard::Standard};

/// Checks benign rows and fits their standardisation.
fn standardise(what: &'static str, benign: &Matrix, scale: bool) -> Result<Standard, MethodError> {
    check_rows(what, benign, 2)?;
    let standard = Standard::fit(benign, scale);
    if standard.all_constant() { Err(MethodError::AllConstant { what }) } else { Ok(standard) }
}
