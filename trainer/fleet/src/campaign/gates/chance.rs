//! Tail probabilities.

/// Probability of `count` or more events where `expected` are expected (Poisson).
pub fn poisson_tail(count: u64, expected: f64) -> f64 {
    if count == 0 || expected.is_nan() {
        return 1.0;
    }
    if expected <= 0.0 {
        return 0.0;
    }
    let first = count as f64;
    if first < expected - 10.0 * expected.sqrt() {
        return 1.0;
    }
    let mut term = (first * expected.ln() - expected - ln_factorial(first)).exp();
    let (mut sum, mut at) = (0.0, first);
    // Terms fall once they are past the mean.
    while term > sum * 1e-12 || at < expected {
        sum += term;
        at += 1.0;
        term *= expected / at;
        if at > first + 10_000.0 + 10.0 * expected {
            break;
        }
    }
    sum.min(1.0)
}

/// ln n!, by Stirling's series; the error is below 1e-7 for every n ≥ 1.
fn ln_factorial(n: f64) -> f64 {
    if n < 10.0 {
        return (2..=n as u32).map(|factor| f64::from(factor).ln()).sum();
    }
    let square = n * n;
    n * n.ln() - n
        + 0.5 * (std::f64::consts::TAU * n).ln()
        + (1.0 - (1.0 - 2.0 / (7.0 * square)) / (30.0 * square)) / (12.0 * n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_match_the_sum_of_the_mass_function() {
        // 1 − Σ exp(−λ + k ln λ − lgamma(k + 1)) for k < count, with Python's math.
        for (count, expected, tail) in [
            (0, 3.0, 1.0),
            (1, 0.05, 0.048_770_575_499_285_98),
            (5, 1.0, 0.003_659_846_827_343_771),
            (12, 5.0, 0.005_453_091_913_009_911),
            (60, 40.0, 0.001_879_628_568_643_321_3),
        ] {
            let found = poisson_tail(count, expected);
            assert!((found - tail).abs() < 1e-4 * tail.max(1e-3), "{count} {expected}: {found} {tail}");
        }
        assert!(poisson_tail(3, 5_000.0) == 1.0 && poisson_tail(5, 0.0) == 0.0);
    }
}
