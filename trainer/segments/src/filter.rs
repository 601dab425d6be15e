//! Agents, times and a sampling rate → whether a row, a row group or a segment is selected.
//!
//! The sample is a function of the row's identity and a seed, so the same rows are selected again, from whatever file they
//! are read, and a lower rate selects a subset of a higher one.

use crate::description::Segment;
use crate::error::SegmentError;
use crate::row::Row;
use lapwing_shared::messages::AgentName;
use lapwing_shared::units::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// A share of the rows, chosen by a hash.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    rate: f64,
    seed: u64,
}

/// Selects rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// Only segments of this group; `None`: of every group.
    pub group: Option<String>,
    /// Only rows of these agents; `None`: of every agent.
    pub agents: Option<BTreeSet<String>>,
    /// Only rows of these times, capture time.
    pub times: RangeInclusive<Timestamp>,
    /// Only a sample of the rows; `None`: all of them.
    pub sample: Option<Sample>,
}

impl Default for Filter {
    fn default() -> Self {
        Self { group: None, agents: None, times: Timestamp::EPOCH..=Timestamp::MAX, sample: None }
    }
}

impl Sample {
    /// Selects each row with probability `rate`.
    ///
    /// # Errors
    /// When the rate is not above 0 and at most 1.
    pub fn new(rate: f64, seed: u64) -> Result<Self, SegmentError> {
        if rate > 0.0 && rate <= 1.0 { Ok(Self { rate, seed }) } else { Err(SegmentError::Rate { rate }) }
    }

    /// Key of an agent: the first 8 bytes of SHA-256(seed as u64 LE ‖ agent name), as u64 LE.
    pub(crate) fn agent_key(&self, agent: &str) -> u64 {
        let digest = Sha256::new().chain_update(self.seed.to_le_bytes()).chain_update(agent).finalize();
        digest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// Whether the sample has the row.
    pub(crate) fn selects(&self, agent_key: u64, row: &Row) -> bool {
        let parts = [row.run, row.number, u64::from(row.row)];
        let hash = parts.into_iter().fold(agent_key, |hash, part| mix(hash ^ part));
        // 2⁶⁴ × rate; a rate of 1 selects every hash, although the product saturates.
        self.rate >= 1.0 || hash < (self.rate * 2.0_f64.powi(64)) as u64
    }
}

/// The output function of SplitMix64, a bijection whose every output bit depends on every input bit.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A filter, with the key of the last row's agent.
#[derive(Clone, Debug)]
pub struct Selector<'a> {
    filter: &'a Filter,
    agent: Option<(AgentName, u64)>,
}

impl<'a> Selector<'a> {
    /// Applies a filter to rows, whatever they are read from.
    pub fn new(filter: &'a Filter) -> Self {
        Self { filter, agent: None }
    }

    /// Whether a row is selected by agent, time and sample.
    pub fn selects(&mut self, row: &Row) -> bool {
        if !self.filter.times.contains(&row.at) || !self.filter.selects_agent(&row.agent) {
            return false;
        }
        let Some(sample) = &self.filter.sample else { return true };
        let key = match &self.agent {
            Some((agent, key)) if *agent == row.agent => *key,
            _ => {
                let key = sample.agent_key(&row.agent);
                self.agent = Some((row.agent.clone(), key));
                key
            }
        };
        sample.selects(key, row)
    }
}

impl Filter {
    /// Whether a segment may have selected rows, by its description.
    pub fn may_select(&self, segment: &Segment) -> bool {
        self.group.as_ref().is_none_or(|group| *group == segment.group)
            && self.may_select_times(segment.first, segment.last)
    }

    /// Whether rows between two times may be selected.
    pub(crate) fn may_select_times(&self, first: Timestamp, last: Timestamp) -> bool {
        first <= *self.times.end() && last >= *self.times.start()
    }

    /// Whether rows of agents between two names may be selected.
    pub(crate) fn may_select_agents(&self, first: &str, last: &str) -> bool {
        let within = |agents: &BTreeSet<String>| agents.iter().any(|agent| (first..=last).contains(&agent.as_str()));
        self.agents.as_ref().is_none_or(within)
    }

    /// Whether rows of an agent may be selected.
    pub fn selects_agent(&self, agent: &str) -> bool {
        self.agents.as_ref().is_none_or(|agents| agents.contains(agent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::row;

    #[test]
    fn a_sample_has_its_rate_repeats_and_contains_each_lower_rate() {
        let rows: Vec<Row> = (0..20_000).map(|number| row("gw-1", number, 10 + number)).collect();
        let chosen = |rate: f64, seed: u64| {
            let sample = Sample::new(rate, seed).unwrap();
            let key = sample.agent_key("gw-1");
            rows.iter().filter(|row| sample.selects(key, row)).map(|row| row.number).collect::<BTreeSet<_>>()
        };
        let tenth = chosen(0.1, 7);
        assert!((1_800..2_200).contains(&tenth.len()), "{}", tenth.len());
        assert_eq!(tenth, chosen(0.1, 7));
        assert!(tenth.is_subset(&chosen(0.3, 7)));
        assert_ne!(tenth, chosen(0.1, 8));
        assert_eq!(chosen(1.0, 7).len(), rows.len());
        let sample = Sample::new(0.1, 7).unwrap();
        assert_ne!(sample.agent_key("gw-1"), sample.agent_key("gw-2"), "agents have samples of their own");
    }

    #[test]
    fn a_rate_outside_0_to_1_is_rejected() {
        for rate in [0.0, -0.1, 1.5, f64::NAN, f64::INFINITY] {
            let error = Sample::new(rate, 1).unwrap_err().to_string();
            assert!(error.contains("invalid sampling rate"), "{error}");
        }
    }
}
