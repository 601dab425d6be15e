//! Many points → a subset that looks the same in a chart.

/// Indices of at most `limit` of `count` values, evenly spaced, including first and last.
pub(crate) fn subsample(count: usize, limit: usize) -> Vec<usize> {
    if count <= limit {
        return (0..count).collect();
    }
    if limit < 2 {
        return (0..limit).collect();
    }
    (0..limit).map(|step| step * (count - 1) / (limit - 1)).collect()
}

/// At most `limit` points of a line, without points within one canvas unit of the previous one.
pub(crate) fn line(points: &[(i32, i32)], limit: usize) -> Vec<(i32, i32)> {
    let mut distinct: Vec<(i32, i32)> = Vec::new();
    for (index, point) in points.iter().enumerate() {
        let near = distinct.last().is_some_and(|last| (last.0 - point.0).abs() + (last.1 - point.1).abs() < 2);
        if !near || index + 1 == points.len() {
            distinct.push(*point);
        }
    }
    subsample(distinct.len(), limit).into_iter().map(|index| distinct[index]).collect()
}

/// Caption sentence for subsampled points; empty if all are drawn.
pub(crate) fn note(drawn: usize, of: usize, what: &str) -> String {
    if drawn < of { format!(" {drawn} of {of} {what} are drawn, evenly subsampled.") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subsample_has_both_ends_and_at_most_the_limit() {
        assert_eq!(subsample(3, 10), [0, 1, 2]);
        let subset = subsample(1_000_003, 100);
        assert_eq!((subset.len(), subset[0], subset[99]), (100, 0, 1_000_002));
        assert!(subset.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(note(100, 1_000_003, "points"), " 100 of 1000003 points are drawn, evenly subsampled.");
        assert_eq!(note(5, 5, "points"), "");
    }

    #[test]
    fn a_line_omits_points_closer_than_one_unit() {
        let points: Vec<(i32, i32)> = (0..10_000).map(|step| (step / 100, 0)).collect();
        let subset = line(&points, 60);
        assert!(subset.len() <= 60 && subset[0] == (0, 0) && subset.last() == Some(&(99, 0)), "{}", subset.len());
    }
}
