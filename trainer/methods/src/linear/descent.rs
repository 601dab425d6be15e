//! A smooth convex function and its gradient → its minimum: L-BFGS (Liu and Nocedal 1989), with a backtracking search.

use std::collections::VecDeque;

/// Number of recent steps from which the curvature is estimated.
const MEMORY: usize = 10;
/// Halvings of the step length before the search ends.
const HALVINGS: usize = 40;

/// When the search ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    /// Maximum number of iterations.
    pub(super) iterations: usize,
    /// Largest gradient component that counts as converged.
    pub(super) tolerance: f64,
}

/// Where the search ended.
#[derive(Debug)]
pub(super) struct Minimum {
    pub(super) point: Vec<f64>,
    /// Largest absolute component of the gradient there.
    pub(super) gradient: f64,
}

/// A point with its value and gradient.
#[derive(Clone)]
struct Evaluated {
    point: Vec<f64>,
    gradient: Vec<f64>,
    value: f64,
}

/// A descent direction with its directional derivative and the first step length to try.
struct Direction {
    towards: Vec<f64>,
    descent: f64,
    step: f64,
}

/// Searches from `point` until the gradient is within the tolerance, the iterations are used up, or no step helps.
///
/// `function` writes the gradient and returns the value; `progress` is called before each iteration.
pub(super) fn minimize(
    point: Vec<f64>,
    stop: Stop,
    mut function: impl FnMut(&[f64], &mut [f64]) -> f64,
    mut progress: impl FnMut(usize),
) -> Minimum {
    let mut gradient = vec![0.0; point.len()];
    let value = function(&point, &mut gradient);
    let mut current = Evaluated { point, gradient, value };
    let mut next = current.clone();
    let mut memory = Memory::default();
    for iteration in 0..stop.iterations {
        progress(iteration);
        if largest(&current.gradient) <= stop.tolerance {
            break;
        }
        let direction = memory.direction(&current.gradient);
        if !line_search(&current, &mut next, direction, &mut function) {
            break;
        }
        memory.push(&current, &next);
        std::mem::swap(&mut current, &mut next);
    }
    Minimum { gradient: largest(&current.gradient), point: current.point }
}

/// Halves the step until `next` satisfies the Armijo condition; false when no step does.
fn line_search(
    current: &Evaluated,
    next: &mut Evaluated,
    direction: Direction,
    function: &mut impl FnMut(&[f64], &mut [f64]) -> f64,
) -> bool {
    let mut step = direction.step;
    for _ in 0..HALVINGS {
        for ((next, at), towards) in next.point.iter_mut().zip(&current.point).zip(&direction.towards) {
            *next = at + step * towards;
        }
        next.value = function(&next.point, &mut next.gradient);
        if next.value.is_finite() && next.value <= current.value + 1e-4 * step * direction.descent {
            return true;
        }
        step *= 0.5;
    }
    false
}

/// A step with the change of the gradient along it, and the product of both.
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    curvature: f64,
}

/// The most recent steps, oldest first.
#[derive(Default)]
struct Memory {
    pairs: VecDeque<Pair>,
}

impl Memory {
    /// −H·g, or the steepest descent (forgetting all pairs) where that is no descent direction.
    fn direction(&mut self, gradient: &[f64]) -> Direction {
        let mut towards = self.newton(gradient);
        let mut descent = dot(&towards, gradient);
        if descent >= 0.0 {
            self.pairs.clear();
            towards = gradient.iter().map(|g| -g).collect();
            descent = -dot(gradient, gradient);
        }
        // Without pairs the direction is the bare gradient, whose length says nothing about the step.
        let step = if self.pairs.is_empty() { 1.0 / libm::sqrt(-descent).max(1.0) } else { 1.0 };
        Direction { towards, descent, step }
    }

    /// −H·g by the two-loop recursion, with H estimated from the pairs.
    fn newton(&self, gradient: &[f64]) -> Vec<f64> {
        let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut shares = Vec::with_capacity(self.pairs.len());
        for pair in self.pairs.iter().rev() {
            let share = dot(&pair.step, &q) / pair.curvature;
            add(&mut q, &pair.change, -share);
            shares.push(share);
        }
        if let Some(last) = self.pairs.back() {
            let scale = last.curvature / dot(&last.change, &last.change);
            q.iter_mut().for_each(|value| *value *= scale);
        }
        for (pair, share) in self.pairs.iter().zip(shares.into_iter().rev()) {
            let back = dot(&pair.change, &q) / pair.curvature;
            add(&mut q, &pair.step, share - back);
        }
        q
    }

    /// Adds the step between two points, unless its curvature is too small to use.
    fn push(&mut self, from: &Evaluated, to: &Evaluated) {
        let step: Vec<f64> = to.point.iter().zip(&from.point).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = to.gradient.iter().zip(&from.gradient).map(|(a, b)| a - b).collect();
        let curvature = dot(&step, &change);
        if curvature > 1e-12 * dot(&change, &change) {
            if self.pairs.len() == MEMORY {
                self.pairs.pop_front();
            }
            self.pairs.push_back(Pair { step, change, curvature });
        }
    }
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(l, r)| l * r).sum()
}

fn add(to: &mut [f64], what: &[f64], times: f64) {
    for (to, what) in to.iter_mut().zip(what) {
        *to += times * what;
    }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| value.abs().max(largest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretched_bowl_is_minimized() {
        // Σ i² (x − i)², curvatures 1 to 400.
        let bowl = |x: &[f64], gradient: &mut [f64]| {
            let mut value = 0.0;
            for (at, (x, gradient)) in x.iter().zip(gradient).enumerate() {
                let (i, scale) = (at as f64 + 1.0, (at as f64 + 1.0) * (at as f64 + 1.0));
                value += scale * (x - i) * (x - i);
                *gradient = 2.0 * scale * (x - i);
            }
            value
        };
        let minimum = minimize(vec![0.0; 20], Stop { iterations: 200, tolerance: 1e-9 }, bowl, |_| {});
        assert!(minimum.gradient <= 1e-9, "{minimum:?}");
        for (at, x) in minimum.point.iter().enumerate() {
            assert!((x - at as f64 - 1.0).abs() < 1e-6);
        }
    }
}
