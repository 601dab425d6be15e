//! Counters that an agent reports about a release → the measures that gates compare.

/// Rows without which scores have no stability index. The rarest bins then expect eight rows, so that chance alone keeps the
/// index near 0.01.
const DRIFT_ROWS: u64 = 1_000;
/// Count added to each bin: an empty one must not make the index infinite.
const BIN_PRIOR: f64 = 0.5;
/// Packets on either side without which CPU times are not compared: start-up would dominate.
const COST_PACKETS: u64 = 20_000;

/// Population stability index of rows by −log2 p, against 1/2, 1/4 … 1/128, 1/128, which a calibrated model has. `None`
/// with too few rows. 0.1 is a small change by the usual rule, 0.25 a large one.
pub(crate) fn drift_index(surprise: &[u32; 8]) -> Option<f32> {
    let rows: u64 = surprise.iter().map(|count| u64::from(*count)).sum();
    if rows < DRIFT_ROWS {
        return None;
    }
    let total = rows as f64 + BIN_PRIOR * surprise.len() as f64;
    let mut expected = 1.0;
    let mut index = 0.0;
    for (bin, count) in surprise.iter().enumerate() {
        // The last bin has the rest, which is as large as the one before it.
        if bin + 1 < surprise.len() {
            expected /= 2.0;
        }
        let share = (f64::from(*count) + BIN_PRIOR) / total;
        index += (share - expected) * (share / expected).ln();
    }
    Some(index as f32)
}

/// CPU time and packets since a release came into use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) cpu_ms: u64,
    pub(crate) packets: u64,
}

/// CPU time per packet relative to that with the release before; `None` with too few packets.
pub(crate) fn cost_ratio(now: Usage, before: Usage) -> Option<f32> {
    if now.packets < COST_PACKETS || before.packets < COST_PACKETS || before.cpu_ms == 0 {
        return None;
    }
    let per_packet = |usage: Usage| usage.cpu_ms as f64 / usage.packets as f64;
    Some((per_packet(now) / per_packet(before)) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calibrated_model_has_no_drift_and_a_blind_one_much() {
        let calibrated = [5_120, 2_560, 1_280, 640, 320, 160, 80, 80];
        assert!(drift_index(&calibrated).unwrap() < 0.001);
        // Sample of a calibrated model, as drawn.
        assert!(drift_index(&[520, 240, 130, 60, 28, 14, 5, 9]).unwrap() < 0.05);
        assert!(drift_index(&[10_000, 200, 20, 20, 0, 0, 0, 0]).unwrap() > 0.25);
        assert!(drift_index(&[0, 0, 0, 0, 0, 0, 0, 10_000]).unwrap() > 5.0);
        // (0.25 − 0.5) ln 0.5 + (0.5 − 0.25) ln 2 = 0.3466, up to the prior.
        let swapped = drift_index(&[2_560, 5_120, 1_280, 640, 320, 160, 80, 80]).unwrap();
        assert!((swapped - 0.3466).abs() < 0.001, "{swapped}");
    }

    #[test]
    fn few_rows_have_no_index() {
        assert_eq!(drift_index(&[999, 0, 0, 0, 0, 0, 0, 0]), None);
        assert!(drift_index(&[1_000, 0, 0, 0, 0, 0, 0, 0]).is_some());
        assert!(drift_index(&[u32::MAX; 8]).unwrap().is_finite());
    }

    #[test]
    fn cost_is_relative_to_the_release_before() {
        let usage = |cpu_ms, packets| Usage { cpu_ms, packets };
        assert_eq!(cost_ratio(usage(3_000, 100_000), usage(2_000, 100_000)), Some(1.5));
        assert_eq!(cost_ratio(usage(3_000, 200_000), usage(3_000, 100_000)), Some(0.5));
        assert_eq!(cost_ratio(usage(3_000, 19_999), usage(2_000, 100_000)), None);
        assert_eq!(cost_ratio(usage(3_000, 100_000), usage(2_000, 19_999)), None);
        assert_eq!(cost_ratio(usage(3_000, 100_000), usage(0, 100_000)), None);
    }
}
