//! Fewer points where there are more than a picture can show.

/// Places of at most `limit` of `count` values, evenly spread, first and last among them.
pub(crate) fn spread(count: usize, limit: usize) -> Vec<usize> {
    if count <= limit {
        return (0..count).collect();
    }
    if limit < 2 {
        return (0..limit).collect();
    }
    (0..limit).map(|step| step * (count - 1) / (limit - 1)).collect()
}

/// At most `limit` points of a line on the canvas, without those that lie within a unit of the one before.
pub(crate) fn line(points: &[(i32, i32)], limit: usize) -> Vec<(i32, i32)> {
    let mut kept: Vec<(i32, i32)> = Vec::new();
    for (place, point) in points.iter().enumerate() {
        let near = kept.last().is_some_and(|last| (last.0 - point.0).abs() + (last.1 - point.1).abs() < 2);
        if !near || place + 1 == points.len() {
            kept.push(*point);
        }
    }
    spread(kept.len(), limit).into_iter().map(|place| kept[place]).collect()
}

/// Words for a caption when values were left out.
pub(crate) fn told(drawn: usize, of: usize, what: &str) -> String {
    if drawn < of { format!(" {drawn} of {of} {what} are drawn, evenly spread.") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_ends_and_the_limit() {
        assert_eq!(spread(3, 10), [0, 1, 2]);
        let kept = spread(1_000_003, 100);
        assert_eq!((kept.len(), kept[0], kept[99]), (100, 0, 1_000_002));
        assert!(kept.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(told(100, 1_000_003, "points"), " 100 of 1000003 points are drawn, evenly spread.");
        assert_eq!(told(5, 5, "points"), "");
    }

    #[test]
    fn a_line_loses_points_that_nobody_could_see() {
        let points: Vec<(i32, i32)> = (0..10_000).map(|step| (step / 100, 0)).collect();
        let kept = line(&points, 60);
        assert!(kept.len() <= 60 && kept[0] == (0, 0) && kept.last() == Some(&(99, 0)), "{}", kept.len());
    }
}
