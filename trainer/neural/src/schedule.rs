//! Step → learning rate.

use serde::{Deserialize, Serialize};

/// Learning rate schedule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the names of the variants document them")]
pub enum Schedule {
    Constant {
        /// Learning rate.
        rate: f64,
    },
    /// Linear warm-up over the first 10 % of the steps, then cosine decay to 1 % of the highest rate (Loshchilov &
    /// Hutter 2017).
    WarmUpCosine {
        /// Highest rate.
        highest: f64,
    },
    /// Triangular cycles (Smith 2017, "Cyclical Learning Rates").
    Cyclic {
        /// Rate at the start and end of each cycle.
        lowest: f64,
        /// Rate in the middle of each cycle.
        highest: f64,
        /// Half the cycle length, steps.
        half_cycle_steps: usize,
    },
}

impl Schedule {
    /// Rate of step `step` (from 0) of a training of `steps` steps.
    pub(crate) fn rate(&self, step: usize, steps: usize) -> f64 {
        match *self {
            Self::Constant { rate } => rate,
            Self::WarmUpCosine { highest } => highest * warm_up_cosine(step as f64 / steps.max(1) as f64),
            Self::Cyclic { lowest, highest, half_cycle_steps } => {
                let half = half_cycle_steps.max(1);
                let phase = step % (2 * half);
                let height = phase.min(2 * half - phase) as f64 / half as f64;
                lowest + (highest - lowest) * height
            }
        }
    }

    /// Highest rate of the schedule.
    pub(crate) fn highest(&self) -> f64 {
        match *self {
            Self::Constant { rate } => rate,
            Self::WarmUpCosine { highest } | Self::Cyclic { highest, .. } => highest,
        }
    }

    pub(crate) fn is_valid(&self) -> bool {
        let lowest = if let Self::Cyclic { lowest, .. } = self { *lowest } else { self.highest() };
        lowest > 0.0 && lowest <= self.highest() && self.highest() <= 10.0
    }
}

/// Share of the highest learning rate after the share `done` of the training.
fn warm_up_cosine(done: f64) -> f64 {
    const WARM_UP: f64 = 0.1;
    const LAST: f64 = 0.01;
    if done < WARM_UP {
        return LAST + (1.0 - LAST) * done / WARM_UP;
    }
    let fall = (done - WARM_UP) / (1.0 - WARM_UP);
    LAST + (1.0 - LAST) * 0.5 * (1.0 + (std::f64::consts::PI * fall).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cyclic_schedule_is_triangular() {
        let cycle = Schedule::Cyclic { lowest: 1e-4, highest: 1e-3, half_cycle_steps: 2_000 };
        let rate = |step| cycle.rate(step, 10_000);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(near(rate(0), 1e-4) && near(rate(1_000), 5.5e-4) && near(rate(2_000), 1e-3));
        assert!(near(rate(3_000), 5.5e-4) && near(rate(4_000), 1e-4) && near(rate(6_000), 1e-3));
    }

    #[test]
    fn warm_up_ends_at_the_highest_rate() {
        let schedule = Schedule::WarmUpCosine { highest: 0.01 };
        assert!((schedule.rate(10, 100) - 0.01).abs() < 1e-12);
        assert!(schedule.rate(0, 100) < 2e-4 && schedule.rate(99, 100) < 2e-4);
    }
}
