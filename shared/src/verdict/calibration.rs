//! Score → surprise: −ln of the share of benign calibration rows that score at least this high.

use serde::{Deserialize, Serialize};

/// Most knots a calibration curve may have.
pub const KNOTS: usize = 64;

/// Largest surprise of one row, in nats: one row alone never proves an attack.
pub const SURPRISE_LIMIT_NATS: f32 = 12.0;

/// One point of the calibration curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Knot {
    /// Score, as [`crate::verdict::scaling::Scaling::score`] gives it.
    pub score: u32,
    /// −ln p at this score, in nats; rises with the score.
    pub surprise_nats: f32,
}

/// Tail of the benign score distribution, as a piecewise linear curve in (score, −ln p).
///
/// Below the first knot the surprise is the first knot's; above the last one the last segment's slope goes on, to
/// [`SURPRISE_LIMIT_NATS`] at most. p is conformal, (1 + rows at least as high) / (1 + rows): Vovk, Gammerman & Shafer,
/// "Algorithmic Learning in a Random World", §2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Strictly rising scores, rising surprise; two knots at least.
    pub knots: heapless::Vec<Knot, KNOTS>,
    /// Benign rows behind the curve.
    pub rows: u32,
}

impl Calibration {
    /// True when the knots rise as the field's text says.
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
