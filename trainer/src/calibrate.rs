//! Benign validation scores → calibration curve; benign surprises → evidence limits for the operator's knob.
//!
//! Neither sees a training row or an attack label.

use lapwing_shared::release::manifest::{LIMIT_KNOTS, LimitKnot};
use lapwing_shared::units::Timestamp;
use lapwing_shared::verdict::calibration::{Calibration, KNOTS, Knot, SURPRISE_LIMIT_NATS};

/// Knob settings that a release carries, false alerts a day and site.
pub const ALERTS_PER_DAY: [f32; 7] = [0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0];
/// What every flow takes off its hosts' evidence unless told otherwise, nats: twice the mean benign surprise.
pub const DRIFT_NATS: f32 = 2.0;
/// Highest benign scores that the slope beyond them is fitted to.
const TAIL_ROWS: usize = 50;
/// The last knot stands this far beyond the tail's first row, nats: past it the curve goes straight on.
const TAIL_REACH_NATS: f32 = 3.0;
/// Lowest limit: two rows alone never make an alert.
const LIMIT_FLOOR_NATS: f32 = 2.0 * SURPRISE_LIMIT_NATS;
const SECONDS_PER_DAY: f64 = 86_400.0;

/// Why there is no calibration.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// Too few rows.
    #[error("{found} validation scores, expected at least {}: collect more rows", 2 * TAIL_ROWS)]
    Rows {
        /// Scores given.
        found: usize,
    },
    /// The drift does not outweigh benign surprises.
    #[error(
        "evidence drift is {found} nats, expected more than 1, the mean benign surprise, and at most {SURPRISE_LIMIT_NATS}"
    )]
    Drift {
        /// Drift given.
        found: f32,
    },
}

/// Fits the curve to benign validation scores.
///
/// Knots stand evenly in −ln p, which makes them dense in the tail. From the `TAIL_ROWS` highest scores on, the curve
/// is a straight line: an exponential tail of their mean excess, or of the largest one where that is flatter.
///
/// # Errors
/// [`CalibrateError::Rows`] with too few scores.
pub fn calibrate(scores: &[u32]) -> Result<Calibration, CalibrateError> {
    if scores.len() < 2 * TAIL_ROWS {
        return Err(CalibrateError::Rows { found: scores.len() });
    }
    // No score reaches the end of the range; keeping off it leaves room for the last knot.
    let mut falling: Vec<u32> = scores.iter().map(|score| (*score).min(u32::MAX - 1)).collect();
    falling.sort_unstable_by(|a, b| b.cmp(a));
    let rows = falling.len() as f32;
    // Conformal: (1 + rows at least as high) / (1 + rows).
    let surprise = |score: u32| {
        let at_least = falling.partition_point(|other| *other >= score) as f32;
        -((1.0 + at_least) / (1.0 + rows)).ln()
    };
    let tail = falling[TAIL_ROWS - 1];
    let body = KNOTS - 1;
    let mut knots: Vec<Knot> = Vec::with_capacity(KNOTS);
    let tail_nats = surprise(tail);
    for step in 0..body {
        let nats = tail_nats * step as f32 / (body - 1) as f32;
        let place = ((1.0 + rows) * (-nats).exp() - 1.0).floor().clamp((TAIL_ROWS - 1) as f32, rows - 1.0) as usize;
        let score = falling[place];
        if knots.last().is_none_or(|last| last.score < score) {
            knots.push(Knot { score, surprise_nats: surprise(score).clamp(0.0, SURPRISE_LIMIT_NATS) });
        }
    }
    knots.push(tail_knot(&falling, tail, knots.last().map_or(0.0, |knot| knot.surprise_nats)));
    if knots.len() < 2 {
        knots.insert(0, Knot { score: 0, surprise_nats: 0.0 });
    }
    Ok(Calibration { knots: knots.into_iter().collect(), rows: u32::try_from(falling.len()).unwrap_or(u32::MAX) })
}

/// The end of the straight line that begins at `tail`.
fn tail_knot(falling: &[u32], tail: u32, tail_nats: f32) -> Knot {
    let excess = |score: u32| f64::from(score - tail);
    let mean = falling.iter().take(TAIL_ROWS).map(|score| excess(*score)).sum::<f64>() / TAIL_ROWS as f64;
    let largest = falling.first().map_or(0.0, |score| excess(*score)) / (TAIL_ROWS as f64).ln();
    // Where all tail scores are one value, anything above it is new: one nat for a tenth more.
    let per_nat = mean.max(largest).max(f64::from(tail) * 0.02).max(1.0);
    let reach = TAIL_REACH_NATS.min(SURPRISE_LIMIT_NATS - tail_nats).max(0.0);
    let score = (f64::from(tail) + per_nat * f64::from(reach)).min(f64::from(u32::MAX));
    Knot { score: (score as u32).max(tail.saturating_add(1)), surprise_nats: tail_nats + reach }
}

/// Surprises of one host in one role, in order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stream {
    /// (when, nats).
    pub steps: Vec<(Timestamp, f32)>,
}

/// Evidence limits for each of [`ALERTS_PER_DAY`], from the benign validation streams of one site.
///
/// The larger of two values: what theory asks if surprises were independent, and what would have kept the observed
/// streams to that rate. `paths` turns streams into the peaks of their evidence, one for each rise from zero; pass
/// [`peaks`], or what replays the detector's own evidence.
///
/// # Errors
/// [`CalibrateError::Drift`].
pub fn evidence_limits(
    streams: &[Stream],
    drift_nats: f32,
    paths: &dyn Fn(&Stream, f32) -> Vec<f32>,
) -> Result<heapless::Vec<LimitKnot, LIMIT_KNOTS>, CalibrateError> {
    let exponent = tail_exponent(drift_nats)?;
    let days = observed_days(streams);
    let steps_per_day = streams.iter().map(|stream| stream.steps.len()).sum::<usize>() as f64 / days;
    let mut rises: Vec<f32> = streams.iter().flat_map(|stream| paths(stream, drift_nats)).collect();
    rises.sort_unstable_by(|a, b| b.total_cmp(a));
    let mut limits = heapless::Vec::new();
    let mut above = f32::INFINITY;
    for alerts_per_day in ALERTS_PER_DAY {
        let theory = (steps_per_day.max(1.0) / f64::from(alerts_per_day)).ln().max(0.0) / exponent;
        // Rises over the limit that the rate allows in the days seen; the next one must stay under it.
        let allowed = (f64::from(alerts_per_day) * days).floor() as usize;
        let observed = rises.get(allowed).copied().unwrap_or(0.0) * 1.05;
        let limit = (theory as f32).max(observed).max(LIMIT_FLOOR_NATS).min(above);
        above = limit;
        let _ = limits.push(LimitKnot { alerts_per_day, evidence_nats: limit });
    }
    Ok(limits)
}

/// Peaks of the CUSUM max(0, S + surprise − drift), one for each time it leaves zero (E. S. Page 1954).
pub fn peaks(stream: &Stream, drift_nats: f32) -> Vec<f32> {
    let (mut sum, mut peak, mut peaks) = (0.0_f32, 0.0_f32, Vec::new());
    for (_, surprise) in &stream.steps {
        sum = (sum + surprise - drift_nats).max(0.0);
        if sum > 0.0 {
            peak = peak.max(sum);
        } else if peak > 0.0 {
            peaks.push(peak);
            peak = 0.0;
        }
    }
    peaks.extend((peak > 0.0).then_some(peak));
    peaks
}

/// θ > 0 with e^(−θ·drift) / (1 − θ) = 1: the chance that the CUSUM of exponential surprises passes h falls as e^(−θh)
/// (Siegmund 1985, "Sequential Analysis", ch. X).
fn tail_exponent(drift_nats: f32) -> Result<f64, CalibrateError> {
    let drift = f64::from(drift_nats);
    if !(drift > 1.0 && drift <= f64::from(SURPRISE_LIMIT_NATS)) {
        return Err(CalibrateError::Drift { found: drift_nats });
    }
    // f(θ) = −θ·drift − ln(1 − θ) is 0 at 0, falls, and rises to infinity at 1.
    let (mut low, mut high) = (1.0 - 1.0 / drift, 1.0);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if -middle * drift - (1.0 - middle).ln() < 0.0 { low = middle } else { high = middle }
    }
    Ok(0.5 * (low + high))
}

/// From the first to the last step of all streams; an hour at least, so that little data does not look like a busy day.
fn observed_days(streams: &[Stream]) -> f64 {
    let times = || streams.iter().flat_map(|stream| &stream.steps).map(|(at, _)| *at);
    let (first, last) = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
    (last.since(first).as_secs_f64() / SECONDS_PER_DAY).max(1.0 / 24.0)
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
            let found = calibration.surprise_nats((1_000.0 * nats) as u32);
            assert!((found - nats).abs() < 0.1 + 0.1 * nats, "{nats} nats came out as {found}");
        }
        assert_eq!(calibration.surprise_nats(u32::MAX), SURPRISE_LIMIT_NATS);
    }

    #[test]
    fn few_or_equal_or_huge_scores_still_give_a_valid_curve() {
        assert!(calibrate(&[1; 99]).is_err());
        for scores in [vec![0; 100], vec![7; 500], vec![u32::MAX; 100], (0..100).collect(), scores(100)] {
            let calibration = calibrate(&scores).unwrap();
            assert!(calibration.is_valid(), "{calibration:?}");
        }
        let mut outlier = scores(1_000);
        outlier[0] = u32::MAX;
        assert!(calibrate(&outlier).unwrap().is_valid());
    }

    #[test]
    fn the_tail_exponent_solves_its_equation() {
        for drift in [1.1_f32, 1.5, 2.0, 4.0] {
            let theta = tail_exponent(drift).unwrap();
            let value = (-theta * f64::from(drift)).exp() / (1.0 - theta);
            assert!((value - 1.0).abs() < 1e-9 && theta > 0.0, "drift {drift}: θ {theta}");
        }
        assert!(tail_exponent(1.0).is_err() && tail_exponent(f32::NAN).is_err());
    }

    #[test]
    fn limits_hold_their_rate_on_fresh_independent_surprises() {
        let mut rng = Rng::with_seed(8);
        let mut stream = |steps: u64| Stream {
            steps: (0..steps)
                .map(|step| (Timestamp::from_secs(step), exponential(&mut rng).min(12.0) as f32))
                .collect(),
        };
        let (seen, fresh) = (stream(86_400), stream(20 * 86_400));
        let limits = evidence_limits(&[seen], DRIFT_NATS, &peaks).unwrap();
        assert!(limits.windows(2).all(|pair| pair[0].evidence_nats >= pair[1].evidence_nats));
        let limit = limits.iter().find(|knot| knot.alerts_per_day == 1.0).unwrap().evidence_nats;
        let alerts = peaks(&fresh, DRIFT_NATS).into_iter().filter(|peak| *peak > limit).count();
        assert!(alerts <= 20, "{alerts} alerts in 20 days at {limit} nats");
    }

    #[test]
    fn bursts_in_the_observed_streams_raise_the_limit() {
        let burst = |step: u64| if step % 5_000 < 20 { 8.0 } else { 0.5 };
        let stream = Stream { steps: (0..86_400).map(|step| (Timestamp::from_secs(step), burst(step))).collect() };
        let limits = evidence_limits(&[stream], DRIFT_NATS, &peaks).unwrap();
        assert!(limits[0].evidence_nats > 20.0 * 6.0, "{limits:?}");
        assert!(limits[6].evidence_nats < limits[0].evidence_nats, "{limits:?}");
    }
}
