//! Charts: each takes plain numbers and gives one [`Picture`](crate::Picture).
//!
//! Values that are not finite are left out and counted in the caption. Numbers of drawn points and rows are bounded;
//! what was left out is told in the caption, too.

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
pub use scatter::{Panel, Scatter};

/// " 3 values that are not finite are left out.", or nothing.
pub(crate) fn left_out(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => " One value that is not finite is left out.".into(),
        _ => format!(" {count} values that are not finite are left out."),
    }
}
