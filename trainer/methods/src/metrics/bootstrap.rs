//! A figure on resampled rows → the interval it may lie in: percentile bootstrap, Efron and Tibshirani 1993, chapter 13.

use serde::{Deserialize, Serialize};

use crate::{
    MethodError,
    input::{check_setting, generator},
};

/// An interval around a figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Share of resamples inside, such as 0.95.
    pub confidence: f64,
    /// Resamples on which the figure stood.
    pub resamples: usize,
    /// Resamples on which it did not (such as an AUC on one class only).
    pub failed: usize,
}

/// The percentile interval of `figure`, called with row numbers drawn with replacement from `0..rows`.
///
/// `figure` gives nothing where it does not stand. Resamples run one after the other, in a fixed order.
///
/// # Errors
/// No rows, no resamples, a confidence outside 0..1, a figure that stands on no resample.
pub fn bootstrap_interval(
    rows: usize,
    resamples: usize,
    confidence: f64,
    seed: u64,
    mut figure: impl FnMut(&[usize]) -> Option<f64>,
) -> Result<Interval, MethodError> {
    check_setting("resamples", resamples, resamples > 0, "at least 1")?;
    check_setting("confidence", confidence, confidence > 0.0 && confidence < 1.0, "between 0 and 1")?;
    if rows == 0 {
        return Err(MethodError::NoRows { what: "a bootstrap", needed: 1 });
    }
    let mut drawn = vec![0; rows];
    let mut figures: Vec<f64> = (0..resamples)
        .filter_map(|resample| {
            let mut random = generator(seed, resample as u64);
            drawn.fill_with(|| random.usize(..rows));
            figure(&drawn).filter(|value| value.is_finite())
        })
        .collect();
    if figures.is_empty() {
        let why = format!("the figure stands on none of {resamples} resamples");
        return Err(MethodError::Numeric { what: "a bootstrap", why });
    }
    figures.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| {
        let place = share * (figures.len() - 1) as f64;
        let (below, part) = (place as usize, place.fract());
        figures[below] * (1.0 - part) + figures[(below + 1).min(figures.len() - 1)] * part
    };
    let tail = (1.0 - confidence) / 2.0;
    Ok(Interval {
        low: at(tail),
        high: at(1.0 - tail),
        confidence,
        resamples: figures.len(),
        failed: resamples - figures.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_mean_is_that_of_theory() {
        // 400 values 0/1, half each: standard error 0.025, so 95 % lies in 0.5 ± 0.049.
        let values: Vec<f64> = (0..400).map(|at| f64::from(at % 2)).collect();
        let mean = |rows: &[usize]| Some(rows.iter().map(|row| values[*row]).sum::<f64>() / rows.len() as f64);
        let interval = bootstrap_interval(400, 2000, 0.95, 1, mean).unwrap();
        assert!((interval.low - 0.451).abs() < 0.006, "{interval:?}");
        assert!((interval.high - 0.549).abs() < 0.006, "{interval:?}");
        assert_eq!(interval, bootstrap_interval(400, 2000, 0.95, 1, mean).unwrap());
    }

    #[test]
    fn figures_that_do_not_stand_are_counted() {
        let interval = bootstrap_interval(2, 200, 0.9, 3, |rows| (rows[0] != rows[1]).then_some(1.0)).unwrap();
        assert_eq!(interval.failed + interval.resamples, 200);
        assert!(interval.failed > 50 && interval.resamples > 50);
        assert!(bootstrap_interval(2, 5, 0.9, 3, |_| None).is_err());
        assert!(bootstrap_interval(0, 5, 0.9, 3, |_| Some(1.0)).is_err());
    }
}
