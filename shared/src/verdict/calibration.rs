//! Score → surprise: −ln of the share of benign calibration rows that score at least this high.

use serde::{Deserialize, Serialize};

/// Limit on knots of a calibration curve.
pub const KNOTS: usize = 64;

/// Largest surprise of one row, nats: one row alone never proves an attack.
pub const SURPRISE_LIMIT_NATS: f32 = 12.0;

/// One point of the calibration curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Knot {
    /// Score as computed by [`crate::verdict::scaling::Scaling::score`].
    pub score: u32,
    /// −ln p at this score, in nats; rises with the score.
    pub surprise_nats: f32,
}

/// Tail of the benign score distribution, as a piecewise linear curve in (score, −ln p).
///
/// Below the first knot the surprise is constant; above the last one the last segment is extrapolated, up to
/// [`SURPRISE_LIMIT_NATS`]. p is conformal, (1 + rows at least as high) / (1 + rows): Vovk, Gammerman & Shafer,
/// "Algorithmic Learning in a Random World", §2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// At least two knots, with strictly increasing score and non-decreasing surprise.
    pub knots: heapless::Vec<Knot, KNOTS>,
    /// Benign rows behind the curve.
    pub rows: u32,
}

impl Calibration {
    /// True if the knots satisfy their invariant.
    pub fn is_valid(&self) -> bool {
        let rising = |pair: &[Knot]| pair[0].score < pair[1].score && pair[0].surprise_nats <= pair[1].surprise_nats;
        let finite = |knot: &Knot| (0.0..=SURPRISE_LIMIT_NATS).contains(&knot.surprise_nats);
        self.knots.len() >= 2 && self.knots.iter().all(finite) && self.knots.windows(2).all(rising)
    }

    /// −ln p of a score, in nats, 0 to [`SURPRISE_LIMIT_NATS`].
    pub fn surprise_nats(&self, score: u32) -> f32 {
        let after = self.knots.partition_point(|knot| knot.score <= score);
        let (Some(first), Some(last)) = (self.knots.first(), self.knots.last()) else { return 0.0 };
        if after == 0 || self.knots.len() < 2 {
            return first.surprise_nats;
        }
        let right = after.clamp(1, self.knots.len() - 1);
        let (low, high) = (self.knots[right - 1], self.knots[right]);
        let base = if after == self.knots.len() { *last } else { low };
        let slope = (high.surprise_nats - low.surprise_nats) / (high.score - low.score) as f32;
        (base.surprise_nats + (score - base.score) as f32 * slope).min(SURPRISE_LIMIT_NATS)
    }
}
