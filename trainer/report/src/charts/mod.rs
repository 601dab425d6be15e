//! Numbers → charts; each returns one [`Picture`](crate::Picture).
//!
//! Values that are not finite are omitted. The numbers of drawn points and rows are limited. Captions state what is
//! omitted.

mod bars;
mod confusion;
mod curves;
mod days;
mod distances;
mod drift;
mod evidence;
mod heatmap;
mod histogram;
mod kdistance;
mod learning;
mod methods;
mod rollouts;
mod scatter;

pub use bars::{Bar, Recalls};
pub use confusion::Confusion;
pub use curves::{Curve, Operating, PrecisionRecall, Roc};
pub use days::{DaySeries, Days};
pub use distances::{Distance, Distances};
pub use drift::{Drift, DriftLine};
pub use evidence::{Evidence, EvidencePoint};
pub use heatmap::HeatMap;
pub use histogram::{Group, Histogram};
pub use kdistance::KDistance;
pub use learning::{Learning, LearningCurve, LearningPoint};
pub use methods::{MethodRow, Methods};
pub use rollouts::{RolloutLine, Rollouts};
pub use scatter::{Panel, Scatter};

/// Caption sentence for omitted values; empty for 0.
pub(crate) fn omitted(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => " One value that is not finite is omitted.".into(),
        _ => format!(" {count} values that are not finite are omitted."),
    }
}
