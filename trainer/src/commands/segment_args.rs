//! The options that select rows of a store and of segments → a filter.

use clap::Args;
use lapwing_segments::{Filter, Sample, SegmentError};
use lapwing_shared::units::Timestamp;

/// Group of the options that name a store or a folder of segments.
pub(crate) const STORED: &str = "stored";

/// Options that select rows of a store and of segments.
#[derive(Debug, Args)]
pub(crate) struct SegmentArgs {
    /// Only rows of this agent in --store and --segments. Repeatable [default: all agents].
    #[arg(long = "segments-agent", value_name = "NAME", requires = STORED)]
    agents: Vec<String>,
    /// Only rows in --store and --segments of this time or later, seconds since the epoch.
    #[arg(long = "segments-from", value_name = "SECONDS", requires = STORED)]
    from_s: Option<u64>,
    /// Only rows in --store and --segments before this time, seconds since the epoch.
    #[arg(long = "segments-until", value_name = "SECONDS", requires = STORED)]
    until_s: Option<u64>,
    /// Share of the rows in --store and --segments, above 0 and at most 1; the same rows each time [default: 1].
    #[arg(long = "segments-rate", value_name = "SHARE", requires = STORED)]
    rate: Option<f64>,
}

/// Seed of the sample, fixed so that training can be repeated.
const SEED: u64 = 1;

impl SegmentArgs {
    pub(crate) fn filter(&self) -> Result<Filter, SegmentError> {
        let before = |seconds: u64| Timestamp::from_nanos(Timestamp::from_secs(seconds).as_nanos().saturating_sub(1));
        let first = self.from_s.map_or(Timestamp::EPOCH, Timestamp::from_secs);
        let last = self.until_s.map_or(Timestamp::MAX, before);
        Ok(Filter {
            agents: (!self.agents.is_empty()).then(|| self.agents.iter().cloned().collect()),
            times: first..=last,
            sample: self.rate.map(|rate| Sample::new(rate, SEED)).transpose()?,
            ..Filter::default()
        })
    }
}
