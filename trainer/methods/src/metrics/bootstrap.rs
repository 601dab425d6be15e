//! A metric on resampled rows → its confidence interval: percentile bootstrap (Efron and Tibshirani 1993, chapter 13).

use lapwing_tables::stats::quantile;
use serde::{Deserialize, Serialize};

use crate::{
    MethodError,
    input::{check_setting, generator},
};

/// A confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Interval {
    pub low: f64,
    pub high: f64,
    /// Share of resamples inside, e.g. 0.95.
    pub(crate) confidence: f64,
    /// Resamples on which the metric was defined.
    pub(crate) resamples: usize,
    /// Resamples on which it was undefined (e.g. the AUC of one class).
    pub(crate) failed: usize,
}

/// The percentile interval of `metric`, which is called with row numbers drawn with replacement from `0..rows` and
/// returns `None` where it is undefined. Resamples run one after the other, in a fixed order.
///
/// # Errors
/// No rows, no resamples, a confidence outside 0..1, a metric that is undefined on every resample.
pub fn bootstrap_interval(
    rows: usize,
    resamples: usize,
    confidence: f64,
    seed: u64,
    mut metric: impl FnMut(&[usize]) -> Option<f64>,
) -> Result<Interval, MethodError> {
    check_setting("resamples", resamples, resamples > 0, "at least 1")?;
    check_setting("confidence", confidence, confidence > 0.0 && confidence < 1.0, "between 0 and 1")?;
    if rows == 0 {
        return Err(MethodError::NoRows { what: "a bootstrap", needed: 1 });
    }
    let mut drawn = vec![0; rows];
    let mut values: Vec<f64> = (0..resamples)
        .filter_map(|resample| {
            let mut random = generator(seed, resample as u64);
            drawn.fill_with(|| random.usize(..rows));
            metric(&drawn).filter(|value| value.is_finite())
        })
        .collect();
    if values.is_empty() {
        let why = format!("the metric is undefined on all {resamples} resamples");
        return Err(MethodError::Numeric { what: "a bootstrap", why });
    }
    values.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    Ok(Interval {
        low: quantile(&values, tail),
        high: quantile(&values, 1.0 - tail),
        confidence,
        resamples: values.len(),
        failed: resamples - values.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_mean_matches_theory() {
        // 400 values 0/1, half each: standard error 0.025, so 95 % lies in 0.5 ± 0.049.
        let values: Vec<f64> = (0..400).map(|at| f64::from(at % 2)).collect();
        let mean = |rows: &[usize]| Some(rows.iter().map(|row| values[*row]).sum::<f64>() / rows.len() as f64);
        let interval = bootstrap_interval(400, 2000, 0.95, 1, mean).unwrap();
        assert!((interval.low - 0.451).abs() < 0.006, "{interval:?}");
        assert!((interval.high - 0.549).abs() < 0.006, "{interval:?}");
        assert_eq!(interval, bootstrap_interval(400, 2000, 0.95, 1, mean).unwrap());
    }

    #[test]
    fn undefined_resamples_are_counted() {
        let interval = bootstrap_interval(2, 200, 0.9, 3, |rows| (rows[0] != rows[1]).then_some(1.0)).unwrap();
        assert_eq!(interval.failed + interval.resamples, 200);
        assert!(interval.failed > 50 && interval.resamples > 50);
        assert!(bootstrap_interval(2, 5, 0.9, 3, |_| None).is_err());
        assert!(bootstrap_interval(0, 5, 0.9, 3, |_| Some(1.0)).is_err());
    }
}
