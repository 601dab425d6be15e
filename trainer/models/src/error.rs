//! Why a model cannot score rows.

use lapwing_methods::MethodError;
use lapwing_tables::TableError;

/// Why a model cannot score rows.
#[derive(Debug, thiserror::Error)]
pub enum InferenceError {
    /// The encoder rejects the rows.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The classical method rejects the rows.
    #[error(transparent)]
    Method(#[from] MethodError),
    /// The network rejects the rows.
    #[error("cannot run the network: {0}")]
    Network(String),
}
