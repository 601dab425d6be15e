//! The learning rate of each step.

use serde::{Deserialize, Serialize};

/// How the learning rate changes; `step` counts from 0 over the whole training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// Always the same.
    Constant {
        /// The rate.
        rate: f64,
    },
    /// Rises over the first tenth of the steps and falls as half a cosine to a hundredth (Loshchilov & Hutter 2017).
    WarmUpCosine {
        /// The highest rate.
        highest: f64,
    },
    /// A triangle, up and down again, without end (Smith 2017, "Cyclical Learning Rates").
    Cyclic {
        /// Rate at step 0 and after every whole cycle.
        lowest: f64,
        /// Rate in the middle of a cycle.
        highest: f64,
        /// Steps up, and as many down.
        half_cycle_steps: usize,
    },
}

impl Schedule {
    /// The cycle of Smith's paper as it is used for flow tables: 1e-4 to 1e-3 in 2,000 steps, and back.
    pub const CYCLIC: Self = Self::Cyclic { lowest: 1e-4, highest: 1e-3, half_cycle_steps: 2_000 };

    /// Rate of a step of `steps`.
    pub fn rate(&self, step: usize, steps: usize) -> f64 {
        match *self {
            Self::Constant { rate } => rate,
            Self::WarmUpCosine { highest } => highest * warm_up_cosine(step as f64 / steps.max(1) as f64),
            Self::Cyclic { lowest, highest, half_cycle_steps } => {
                let half = half_cycle_steps.max(1);
                let place = step % (2 * half);
                let up = place.min(2 * half - place) as f64 / half as f64;
                lowest + (highest - lowest) * up
            }
        }
    }

    /// The highest rate.
    pub fn highest(&self) -> f64 {
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

/// Share of the highest learning rate when `done` of the training is over.
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
    fn the_cycle_is_a_triangle() {
        let rate = |step| Schedule::CYCLIC.rate(step, 10_000);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(near(rate(0), 1e-4) && near(rate(1_000), 5.5e-4) && near(rate(2_000), 1e-3));
        assert!(near(rate(3_000), 5.5e-4) && near(rate(4_000), 1e-4) && near(rate(6_000), 1e-3));
    }

    #[test]
    fn warm_up_and_cosine_meet_at_the_highest_rate() {
        let schedule = Schedule::WarmUpCosine { highest: 0.01 };
        assert!((schedule.rate(10, 100) - 0.01).abs() < 1e-12);
        assert!(schedule.rate(0, 100) < 2e-4 && schedule.rate(99, 100) < 2e-4);
    }
}
