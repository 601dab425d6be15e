//! A share → the standard normal quantile.
//!
//! Rational approximation by P. J. Acklam (2003), relative error 1.15e-9, with `libm` functions.

const A: [f64; 6] = [
    -3.969683028665376e1,
    2.209460984245205e2,
    -2.759285104469687e2,
    1.38357751867269e2,
    -3.066479806614716e1,
    2.506628277459239,
];
const B: [f64; 5] =
    [-5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1, -1.328068155288572e1];
const C: [f64; 6] = [
    -7.784894002430293e-3,
    -3.223964580411365e-1,
    -2.400758277161838,
    -2.549732539343734,
    4.374664141464968,
    2.938163982698783,
];
const D: [f64; 4] = [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416];
/// Shares below this, and above one minus this, are tails.
const LOW: f64 = 0.02425;

/// Normal quantile of a share in the open interval (0, 1).
pub(super) fn deviate(share: f64) -> f64 {
    let polynomial = |factors: &[f64], x: f64| factors.iter().fold(0.0, |sum, factor| sum * x + factor);
    let tail = |share: f64| {
        let q = libm::sqrt(-2.0 * libm::log(share));
        polynomial(&C, q) / (polynomial(&D, q) * q + 1.0)
    };
    if share < LOW {
        tail(share)
    } else if share > 1.0 - LOW {
        -tail(1.0 - share)
    } else {
        let q = share - 0.5;
        let r = q * q;
        polynomial(&A, r) * q / (polynomial(&B, r) * r + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::deviate;

    #[test]
    fn deviates_match_published_tables() {
        for (share, expected) in
            [(0.5, 0.0), (0.975, 1.959963984540), (0.001, -3.090232306168), (1e-7, -5.199337582193)]
        {
            assert!((deviate(share) - expected).abs() < 1e-7, "{share}");
        }
    }
}
