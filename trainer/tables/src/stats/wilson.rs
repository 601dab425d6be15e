//! A share of a number of rows → its 95 % confidence interval.

/// 95 % confidence interval of a share of `rows` rows (Wilson 1927), which also holds near 0 and 1.
pub fn wilson(share: f64, rows: usize) -> (f64, f64) {
    const Z: f64 = 1.959_964;
    if rows == 0 {
        return (0.0, 1.0);
    }
    let (rows, square) = (rows as f64, Z * Z);
    let middle = (share + square / (2.0 * rows)) / (1.0 + square / rows);
    let half = Z / (1.0 + square / rows) * (share * (1.0 - share) / rows + square / (4.0 * rows * rows)).sqrt();
    // At the ends the formula gives 0 and 1 but for rounding.
    let low = if share <= 0.0 { 0.0 } else { (middle - half).max(0.0) };
    (low, if share >= 1.0 { 1.0 } else { (middle + half).min(1.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_intervals_match_the_textbook() {
        let (low, high) = wilson(0.9, 10);
        assert!((low - 0.5958).abs() < 1e-3 && (high - 0.9821).abs() < 1e-3, "{low} {high}");
        let (low, high) = wilson(1.0, 50);
        assert!(low > 0.92 && low < 0.94 && high == 1.0, "{low} {high}");
        assert_eq!(wilson(0.0, 57).0, 0.0);
        assert_eq!(wilson(0.5, 0), (0.0, 1.0));
    }
}
