//! Rows and a seed → rows to train on: share per agent, validation split, digest.

use super::TrainConfig;
use crate::dataset::Row;
use fastrand::Rng;
use lapwing_shared::features::FeatureVector;
use lapwing_shared::release::manifest::Digest;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Maximum length of a run of neighbouring rows that the split keeps together: bursts of flows should be held out whole,
/// because evidence limits are counted on held-out rows.
const BLOCK_ROWS: usize = 512;

/// One benign row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingRow {
    /// Unscaled feature values.
    pub features: FeatureVector,
    /// Number of the agent that sent it, chosen by the caller.
    pub agent: u32,
    /// Excluded from training, but may be held out.
    pub suspect: bool,
}

/// Benign rows as training rows; each site counts as one agent.
pub fn benign(rows: &[Row]) -> impl Iterator<Item = TrainingRow> {
    let benign = rows.iter().filter(|row| row.attack.is_none());
    benign.map(|row| TrainingRow { features: row.features, agent: row.site, suspect: row.suspect })
}

/// SHA-256 over the rows in order: each agent number and value as little endian bytes.
pub(crate) fn digest(rows: &[TrainingRow]) -> Digest {
    let mut hash = Sha256::new();
    for row in rows {
        hash.update(row.agent.to_le_bytes());
        row.features.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }
    hash.finalize().into()
}

/// Subsamples the rows of the largest agents so that none has more than `max_agent_share` of the result. Returns
/// ascending indices.
///
/// If there are too few agents for the share, every agent is cut to the size of the smallest one with at least
/// `min_agent_rows`. Smaller agents (or captures, of which each counts as one) keep their rows and cut no other.
pub(crate) fn cap_agent_share(rows: &[TrainingRow], config: &TrainConfig) -> Vec<usize> {
    let mut of_agent: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        of_agent.entry(row.agent).or_default().push(index);
    }
    let mut counts: Vec<usize> = of_agent.values().map(Vec::len).collect();
    let cap_of_all = share_cap(&counts, config.max_agent_share);
    counts.retain(|count| *count >= config.min_agent_rows);
    let cap = cap_of_all.max(share_cap(&counts, config.max_agent_share));
    let mut kept: Vec<usize> = Vec::with_capacity(rows.len());
    for (agent, mut indices) in of_agent {
        if indices.len() > cap {
            Rng::with_seed(config.seed ^ (u64::from(agent) << 20)).shuffle(&mut indices);
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

/// Indices of training and validation rows, both ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Rows to train on.
    pub training: Vec<usize>,
    /// Rows to hold out.
    pub validation: Vec<usize>,
}

/// Splits indices. Neighbouring rows stay together, so that a burst of similar flows is not in both parts.
pub fn split(rows: &[usize], validation_share: f64, seed: u64) -> Split {
    let block = (rows.len() / 50).clamp(1, BLOCK_ROWS);
    let mut blocks: Vec<&[usize]> = rows.chunks(block).collect();
    Rng::with_seed(seed ^ 0x51).shuffle(&mut blocks);
    let validation_rows = (rows.len() as f64 * validation_share).round() as usize;
    let Split { mut training, mut validation } = Split::default();
    for block in blocks {
        if validation.len() < validation_rows { validation.extend(block) } else { training.extend(block) }
    }
    training.sort_unstable();
    validation.sort_unstable();
    Split { training, validation }
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

    fn capped(counts: &[usize], max_agent_share: f64) -> Vec<usize> {
        let rows = rows(counts);
        let config = TrainConfig { max_agent_share, min_agent_rows: 10, ..TrainConfig::default() };
        let kept = cap_agent_share(&rows, &config);
        (0..counts.len()).map(|agent| kept.iter().filter(|row| rows[**row].agent == agent as u32).count()).collect()
    }

    #[test]
    fn no_agent_gives_more_than_its_share() {
        assert_eq!(capped(&[900, 60, 40], 0.5), [100, 60, 40]);
        assert_eq!(capped(&[900, 800, 100, 100], 0.4), [400, 400, 100, 100]);
        assert_eq!(capped(&[10, 10, 10], 0.5), [10, 10, 10]);
    }

    #[test]
    fn too_few_agents_are_cut_to_the_smallest() {
        assert_eq!(capped(&[900], 0.5), [900]);
        assert_eq!(capped(&[900, 100], 0.3), [100, 100]);
    }

    #[test]
    fn an_agent_with_hardly_any_rows_does_not_cut_the_others() {
        assert_eq!(capped(&[900, 1], 0.5), [900, 1]);
        assert_eq!(capped(&[900, 9, 9, 100], 0.5), [118, 9, 9, 100]);
        assert_eq!(capped(&[9, 3], 0.5), [3, 3], "all agents have too few");
        assert_eq!(capped(&[900, 20], 1.0), [900, 20], "no agent is cut");
    }

    #[test]
    fn many_small_captures_keep_their_rows_beside_a_large_one() {
        let counts = [vec![9; 100], vec![350]].concat();
        assert_eq!(capped(&counts, 0.5), counts);
    }

    #[test]
    fn the_split_keeps_every_row_once_and_neighbours_together() {
        let all: Vec<usize> = (0..10_000).collect();
        let Split { training, validation } = split(&all, 0.1, 5);
        let mut both = [training, validation.clone()].concat();
        both.sort_unstable();
        assert_eq!(both, all);
        assert!((1_000..1_200).contains(&validation.len()));
        let neighbours = validation.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
        assert!(neighbours > 900, "{neighbours} of {}", validation.len());
        assert_eq!(split(&all, 0.1, 5).validation, validation);
        assert_ne!(split(&all, 0.1, 6).validation, validation);
    }
}
