//! Benign validation scores → calibration curve; benign flows replayed through the alert logic → evidence limits for
//! each false-alert budget ([`limits`]).
//!
//! Neither uses training rows or attack labels.

pub mod limits;

use lapwing_shared::verdict::calibration::{Calibration, KNOTS, Knot, SURPRISE_LIMIT_NATS};

/// Nats that every flow subtracts from its hosts' evidence by default: twice the mean benign surprise.
pub const DRIFT_NATS: f32 = 2.0;
/// Number of highest benign scores that the tail is fitted to.
const TAIL_ROWS: usize = 50;
/// Distance of the last knot from the start of the tail, nats; beyond it the curve is extrapolated linearly.
const TAIL_REACH_NATS: f32 = 3.0;

/// Why calibration failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum CalibrateError {
    #[error("{found} validation scores, expected at least {}: collect more rows", 2 * TAIL_ROWS)]
    Rows { found: usize },
    /// The drift does not exceed the mean benign surprise.
    #[error(
        "evidence drift is {found} nats, expected more than 1, the mean benign surprise, and at most {SURPRISE_LIMIT_NATS}"
    )]
    Drift { found: f32 },
}

/// Fits the curve to benign validation scores.
///
/// Knots are equidistant in −ln p, hence dense in the tail. Over the `TAIL_ROWS` highest scores, the curve is a straight
/// line: an exponential tail with their mean excess, or with the scaled largest excess if that is flatter.
///
/// # Errors
/// [`CalibrateError::Rows`] with too few scores.
pub fn calibrate(scores: &[u32]) -> Result<Calibration, CalibrateError> {
    if scores.len() < 2 * TAIL_ROWS {
        return Err(CalibrateError::Rows { found: scores.len() });
    }
    // Leaves room for the last knot.
    let mut descending: Vec<u32> = scores.iter().map(|score| (*score).min(u32::MAX - 1)).collect();
    descending.sort_unstable_by(|a, b| b.cmp(a));
    let rows = descending.len() as f32;
    // Conformal: (1 + rows at least as high) / (1 + rows).
    let surprise = |score: u32| {
        let at_least = descending.partition_point(|other| *other >= score) as f32;
        -((1.0 + at_least) / (1.0 + rows)).ln()
    };
    let tail = descending[TAIL_ROWS - 1];
    let body = KNOTS - 1;
    let mut knots: Vec<Knot> = Vec::with_capacity(KNOTS);
    let tail_nats = surprise(tail);
    for step in 0..body {
        let nats = tail_nats * step as f32 / (body - 1) as f32;
        let index = ((1.0 + rows) * (-nats).exp() - 1.0).floor().clamp((TAIL_ROWS - 1) as f32, rows - 1.0) as usize;
        let score = descending[index];
        if knots.last().is_none_or(|last| last.score < score) {
            knots.push(Knot { score, surprise_nats: surprise(score).clamp(0.0, SURPRISE_LIMIT_NATS) });
        }
    }
    knots.push(tail_knot(&descending, tail, knots.last().map_or(0.0, |knot| knot.surprise_nats)));
    if knots.len() < 2 {
        knots.insert(0, Knot { score: 0, surprise_nats: 0.0 });
    }
    Ok(Calibration { knots: knots.into_iter().collect(), rows: u32::try_from(descending.len()).unwrap_or(u32::MAX) })
}

/// The last knot: the end of the straight line that starts at `tail`.
fn tail_knot(descending: &[u32], tail: u32, tail_nats: f32) -> Knot {
    let excess = |score: u32| f64::from(score - tail);
    let mean = descending.iter().take(TAIL_ROWS).map(|score| excess(*score)).sum::<f64>() / TAIL_ROWS as f64;
    let largest = descending.first().map_or(0.0, |score| excess(*score)) / (TAIL_ROWS as f64).ln();
    // If all tail scores are equal, one nat is a fiftieth of their value.
    let per_nat = mean.max(largest).max(f64::from(tail) * 0.02).max(1.0);
    let reach = TAIL_REACH_NATS.min(SURPRISE_LIMIT_NATS - tail_nats).max(0.0);
    let score = (f64::from(tail) + per_nat * f64::from(reach)).min(f64::from(u32::MAX));
    Knot { score: (score as u32).max(tail.saturating_add(1)), surprise_nats: tail_nats + reach }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    fn exponential(rng: &mut Rng) -> f64 {
        -(1.0 - rng.f64()).ln()
    }

    fn scores(count: usize) -> Vec<u32> {
        let mut rng = Rng::with_seed(3);
        (0..count).map(|_| (1_000.0 * exponential(&mut rng)) as u32).collect()
    }

    #[test]
    fn surprises_of_fresh_benign_rows_are_exponential() {
        let calibration = calibrate(&scores(20_000)).unwrap();
        assert!(calibration.is_valid());
        for nats in [0.5, 1.0, 3.0, 5.0, 7.0, 9.0] {
            let surprise = calibration.surprise_nats((1_000.0 * nats) as u32);
            assert!((surprise - nats).abs() < 0.1 + 0.1 * nats, "{nats} nats became {surprise}");
        }
        assert_eq!(calibration.surprise_nats(u32::MAX), SURPRISE_LIMIT_NATS);
    }

    #[test]
    fn few_equal_or_huge_scores_give_a_valid_curve() {
        assert!(calibrate(&[1; 99]).is_err());
        for scores in [vec![0; 100], vec![7; 500], vec![u32::MAX; 100], (0..100).collect(), scores(100)] {
            let calibration = calibrate(&scores).unwrap();
            assert!(calibration.is_valid(), "{calibration:?}");
        }
        let mut outlier = scores(1_000);
        outlier[0] = u32::MAX;
        assert!(calibrate(&outlier).unwrap().is_valid());
    }
}
