//! Test statistics → tail probabilities of the normal, chi-squared and binomial distributions, for `compare`.

/// P(|Z| ≥ |z|) of a standard normal Z.
pub(super) fn normal_two_sided(z: f64) -> f64 {
    libm::erfc(z.abs() / core::f64::consts::SQRT_2)
}

/// P(X ≥ `value`) of chi-squared with `degrees` of freedom.
///
/// Regularised upper incomplete gamma by its series or continued fraction (Press et al., "Numerical Recipes", §6.2).
pub(super) fn chi_squared_upper(value: f64, degrees: f64) -> f64 {
    let (shape, x) = (degrees / 2.0, value / 2.0);
    if x <= 0.0 {
        return 1.0;
    }
    let front = libm::exp(shape * libm::log(x) - x - libm::lgamma(shape));
    if x < shape + 1.0 {
        let (mut term, mut sum, mut at) = (1.0 / shape, 1.0 / shape, shape);
        for _ in 0..1000 {
            at += 1.0;
            term *= x / at;
            sum += term;
            if term < sum * 1e-16 {
                break;
            }
        }
        return (1.0 - front * sum).clamp(0.0, 1.0);
    }
    // Lentz's method; `tiny` replaces a zero denominator.
    let tiny = 1e-300;
    let mut b = x + 1.0 - shape;
    let (mut c, mut d) = (1.0 / tiny, 1.0 / b);
    let mut fraction = d;
    for step in 1..1000 {
        let a = -f64::from(step) * (f64::from(step) - shape);
        b += 2.0;
        d = 1.0 / non_zero(a * d + b, tiny);
        c = non_zero(b + a / c, tiny);
        fraction *= c * d;
        if (c * d - 1.0).abs() < 1e-16 {
            break;
        }
    }
    (front * fraction).clamp(0.0, 1.0)
}

fn non_zero(value: f64, tiny: f64) -> f64 {
    if value.abs() < tiny { tiny } else { value }
}

/// P(X ≤ `few` or X ≥ `trials` − `few`) of a fair binomial, for `few` ≤ `trials` / 2.
pub(super) fn fair_binomial_two_sided(few: u64, trials: u64) -> f64 {
    if 2 * few >= trials {
        return 1.0;
    }
    let n = trials as f64;
    let log = |k: f64| libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0);
    let ln_two = core::f64::consts::LN_2;
    let sum: f64 = (0..=few).map(|k| libm::exp(log(k as f64) - n * ln_two)).sum();
    (2.0 * sum).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_probabilities_match_published_tables() {
        assert!((normal_two_sided(1.959_963_985) - 0.05).abs() < 1e-9);
        assert!((chi_squared_upper(3.841_458_821, 1.0) - 0.05).abs() < 1e-9);
        assert!((chi_squared_upper(18.307_038_05, 10.0) - 0.05).abs() < 1e-9);
        assert!((chi_squared_upper(2.0, 2.0) - libm::exp(-1.0)).abs() < 1e-12);
        assert_eq!(chi_squared_upper(0.0, 3.0), 1.0);
        // Two heads or fewer, or eight or more, in ten: 2 · (1 + 10 + 45) / 1024.
        assert!((fair_binomial_two_sided(2, 10) - 112.0 / 1024.0).abs() < 1e-12);
        assert_eq!(fair_binomial_two_sided(5, 10), 1.0);
    }
}
