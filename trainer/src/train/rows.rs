//! Which rows are trained on: shares of agents, validation split, digest. Everything here depends on rows and seed only.

use fastrand::Rng;
use lapwing_shared::features::FeatureVector;
use lapwing_shared::release::manifest::Digest;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Longest run of neighbouring rows that goes to one side of the split as a whole: bursts of flows should be held out
/// whole, since evidence limits are counted on what is held out.
const BLOCK_ROWS: usize = 512;

/// One benign row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingRow {
    /// Plain feature values.
    pub features: FeatureVector,
    /// Number of the agent that sent it, chosen by the caller.
    pub agent: u32,
    /// Not to be learnt from; it counts where it is held out.
    pub suspect: bool,
}

/// SHA-256 over the rows in order: each agent number and value as little endian bytes.
pub fn digest(rows: &[TrainingRow]) -> Digest {
    let mut hash = Sha256::new();
    for row in rows {
        hash.update(row.agent.to_le_bytes());
        row.features.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }
    hash.finalize().into()
}

/// Indices of the rows that stay when no agent may give more than `max_share` of them, in their old order.
///
/// With so few agents that the share cannot be kept, each may give as much as the smallest one.
pub fn cap_agent_share(rows: &[TrainingRow], max_share: f64, seed: u64) -> Vec<usize> {
    let mut of_agent: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        of_agent.entry(row.agent).or_default().push(index);
    }
    let cap = share_cap(&of_agent.values().map(Vec::len).collect::<Vec<_>>(), max_share);
    let mut kept: Vec<usize> = Vec::with_capacity(rows.len());
    for (agent, mut indices) in of_agent {
        if indices.len() > cap {
            Rng::with_seed(seed ^ (u64::from(agent) << 20)).shuffle(&mut indices);
            indices.truncate(cap);
        }
        kept.extend(indices);
    }
    kept.sort_unstable();
    kept
}

/// Largest count c with c ≤ share · Σ min(count, c).
fn share_cap(counts: &[usize], max_share: f64) -> usize {
    let share = max_share.max(1.0 / counts.len().max(1) as f64);
    let fits =
        |cap: usize| cap as f64 <= share * counts.iter().map(|count| *count.min(&cap)).sum::<usize>() as f64 + 1e-9;
    let (mut low, mut high) = (counts.iter().min().copied().unwrap_or(0), counts.iter().max().copied().unwrap_or(0));
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle) { low = middle } else { high = middle - 1 }
    }
    low
}

/// Splits indices into (training, validation): neighbouring rows stay together, so that one burst of like flows does
/// not stand on both sides.
pub fn split(rows: &[usize], validation_share: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let block = (rows.len() / 50).clamp(1, BLOCK_ROWS);
    let mut blocks: Vec<&[usize]> = rows.chunks(block).collect();
    Rng::with_seed(seed ^ 0x51).shuffle(&mut blocks);
    let validation_rows = (rows.len() as f64 * validation_share).round() as usize;
    let (mut training, mut validation) = (Vec::new(), Vec::new());
    for block in blocks {
        if validation.len() < validation_rows { validation.extend(block) } else { training.extend(block) }
    }
    training.sort_unstable();
    validation.sort_unstable();
    (training, validation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::features::FEATURES;

    fn rows(counts: &[usize]) -> Vec<TrainingRow> {
        let of = |(agent, count): (usize, &usize)| {
            vec![TrainingRow { features: [0.0; FEATURES], agent: agent as u32, suspect: false }; *count]
        };
        counts.iter().enumerate().flat_map(of).collect()
    }

    fn kept(counts: &[usize], share: f64) -> Vec<usize> {
        let rows = rows(counts);
        let kept = cap_agent_share(&rows, share, 1);
        (0..counts.len()).map(|agent| kept.iter().filter(|row| rows[**row].agent == agent as u32).count()).collect()
    }

    #[test]
    fn no_agent_gives_more_than_its_share() {
        assert_eq!(kept(&[900, 60, 40], 0.5), [100, 60, 40]);
        assert_eq!(kept(&[900, 800, 100, 100], 0.4), [400, 400, 100, 100]);
        assert_eq!(kept(&[10, 10, 10], 0.5), [10, 10, 10]);
    }

    #[test]
    fn a_share_that_cannot_be_kept_levels_the_agents() {
        assert_eq!(kept(&[900], 0.5), [900]);
        assert_eq!(kept(&[900, 100], 0.3), [100, 100]);
    }

    #[test]
    fn the_split_keeps_every_row_once_and_neighbours_together() {
        let all: Vec<usize> = (0..10_000).collect();
        let (training, validation) = split(&all, 0.1, 5);
        let mut both = [training, validation.clone()].concat();
        both.sort_unstable();
        assert_eq!(both, all);
        assert!((1_000..1_200).contains(&validation.len()));
        let neighbours = validation.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
        assert!(neighbours > 900, "{neighbours} of {}", validation.len());
        assert_eq!(split(&all, 0.1, 5).1, validation);
        assert_ne!(split(&all, 0.1, 6).1, validation);
    }
}
