//! A smooth convex function and its gradient → its minimum: L-BFGS (Liu and Nocedal 1989), with a backtracking search.

use std::collections::VecDeque;

/// Pairs of steps and gradient changes that stand for the curvature.
const MEMORY: usize = 10;

/// Where the search ended.
#[derive(Debug)]
pub(super) struct Minimum {
    pub(super) point: Vec<f64>,
    /// Largest part of the gradient there.
    pub(super) slope: f64,
}

/// Steps from `point` until no part of the gradient exceeds `tolerance`, `iterations` are done, or no step helps.
///
/// `value` writes the gradient and gives the value; `told` hears of each iteration.
pub(super) fn minimize(
    mut point: Vec<f64>,
    iterations: usize,
    tolerance: f64,
    mut value: impl FnMut(&[f64], &mut [f64]) -> f64,
    mut told: impl FnMut(usize),
) -> Minimum {
    let mut gradient = vec![0.0; point.len()];
    let mut here = value(&point, &mut gradient);
    let mut memory: VecDeque<(Vec<f64>, Vec<f64>, f64)> = VecDeque::with_capacity(MEMORY);
    let (mut next, mut next_gradient) = (point.clone(), gradient.clone());
    for iteration in 0..iterations {
        told(iteration);
        if largest(&gradient) <= tolerance {
            break;
        }
        let mut direction = direction(&gradient, &memory);
        let mut descent = dot(&direction, &gradient);
        if descent >= 0.0 {
            memory.clear();
            direction = gradient.iter().map(|g| -g).collect();
            descent = -dot(&gradient, &gradient);
        }
        // The first direction is a bare gradient, of any length.
        let mut step = if memory.is_empty() { 1.0 / libm::sqrt(-descent).max(1.0) } else { 1.0 };
        let mut found = None;
        for _ in 0..40 {
            for ((next, at), towards) in next.iter_mut().zip(&point).zip(&direction) {
                *next = at + step * towards;
            }
            let there = value(&next, &mut next_gradient);
            if there.is_finite() && there <= here + 1e-4 * step * descent {
                found = Some(there);
                break;
            }
            step *= 0.5;
        }
        let Some(there) = found else { break };
        let moved: Vec<f64> = next.iter().zip(&point).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let curvature = dot(&moved, &change);
        if curvature > 1e-12 * dot(&change, &change) {
            if memory.len() == MEMORY {
                memory.pop_front();
            }
            memory.push_back((moved, change, curvature));
        }
        (point, next) = (next, point);
        (gradient, next_gradient) = (next_gradient, gradient);
        here = there;
    }
    Minimum { slope: largest(&gradient), point }
}

/// −H·g by the two loops, H from the remembered pairs.
fn direction(gradient: &[f64], memory: &VecDeque<(Vec<f64>, Vec<f64>, f64)>) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::with_capacity(memory.len());
    for (moved, change, curvature) in memory.iter().rev() {
        let share = dot(moved, &q) / curvature;
        add(&mut q, change, -share);
        shares.push(share);
    }
    if let Some((_, change, curvature)) = memory.back() {
        let scale = curvature / dot(change, change);
        q.iter_mut().for_each(|value| *value *= scale);
    }
    for ((moved, change, curvature), share) in memory.iter().zip(shares.into_iter().rev()) {
        let back = dot(change, &q) / curvature;
        add(&mut q, moved, share - back);
    }
    q
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
    fn a_stretched_bowl_is_descended_to_its_bottom() {
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
        let found = minimize(vec![0.0; 20], 200, 1e-9, bowl, |_| {});
        assert!(found.slope <= 1e-9, "{found:?}");
        for (at, x) in found.point.iter().enumerate() {
            assert!((x - at as f64 - 1.0).abs() < 1e-6);
        }
    }
}
