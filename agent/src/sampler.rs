//! Feature rows → a uniform sample of every interval of capture time, for the trainer.

use lapwing_shared::features::SchemaId;
use lapwing_shared::features::flow_rows::Row;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::flow::lru::splitmix64;
use lapwing_shared::messages::{RowHosts, SAMPLE_ROWS, SampleRow, Samples};
use lapwing_shared::units::{Address, Nanos, Timestamp};
use std::hash::{DefaultHasher, Hasher};

/// Limit for the rows of an interval.
pub(crate) const INTERVAL_ROWS: usize = 256;

/// Reservoir of at most [`INTERVAL_ROWS`] rows (Vitter 1985, "Random Sampling with a Reservoir", algorithm R).
pub(crate) struct Sampler {
    schema: SchemaId,
    rows: Vec<SampleRow>,
    /// Rows of every interval without a limit.
    configured: usize,
    /// Rows of this interval.
    capacity: usize,
    /// Part of a row that the limit left over.
    left_over: f64,
    interval: Nanos,
    number: Option<u64>,
    flows_seen: u32,
    random: u64,
    pseudonyms: Pseudonyms,
}

/// Addresses → pseudonyms: a hash under a key that never leaves the agent.
struct Pseudonyms {
    key: u64,
}

impl Pseudonyms {
    /// Pseudonyms of the hosts for which the evidence tracker counts the flow.
    fn of(&self, row: &Row) -> RowHosts {
        let pseudonym = |address, followed| if followed { self.pseudonym(address) } else { 0 };
        RowHosts {
            source: pseudonym(&row.record.source, row.followed.source),
            target: pseudonym(&row.record.destination, row.followed.destination),
        }
    }

    /// Never 0.
    fn pseudonym(&self, address: &Address) -> u32 {
        let mut hash = DefaultHasher::new();
        hash.write_u64(self.key);
        hash.write(&address.0);
        (hash.finish() as u32).max(1)
    }
}

impl Sampler {
    /// `capacity` rows, 0 to [`INTERVAL_ROWS`], of every `interval`; `seed` determines the rows and the pseudonyms.
    pub(crate) fn new(capacity: usize, interval: Nanos, seed: u64) -> Self {
        let mut random = seed;
        let pseudonyms = Pseudonyms { key: splitmix64(&mut random) };
        Self {
            schema: schema_id(),
            rows: Vec::with_capacity(capacity.min(INTERVAL_ROWS)),
            configured: capacity.min(INTERVAL_ROWS),
            capacity: capacity.min(INTERVAL_ROWS),
            left_over: 0.0,
            interval: interval.max(Nanos(1)),
            number: None,
            flows_seen: 0,
            random,
            pseudonyms,
        }
    }

    /// Limits the next interval to its share of this number of rows per day; over many intervals, parts of rows count.
    pub(crate) fn limit(&mut self, rows_per_day: Option<u32>) {
        let Some(rows_per_day) = rows_per_day else {
            self.capacity = self.configured;
            return;
        };
        let share = self.interval.as_secs_f64() / 86_400.0 * f64::from(rows_per_day) + self.left_over;
        // The conversion rounds down.
        self.capacity = (share as usize).min(self.configured);
        self.left_over = (share - self.capacity as f64).min(1.0);
    }

    /// Whether a row of this time starts a new interval: call [`Sampler::take`] first then.
    pub(crate) fn is_complete_at(&self, at: Timestamp) -> bool {
        self.number.is_some_and(|previous| previous != at.as_nanos() / self.interval.0)
    }

    /// Offers a row, for the interval in which its record was made.
    pub(crate) fn offer(&mut self, offered: &Row, score: Option<u32>, in_episode: bool) {
        if self.configured == 0 {
            return;
        }
        let at = offered.record.made;
        self.number = Some(at.as_nanos() / self.interval.0);
        if self.capacity == 0 {
            return;
        }
        self.flows_seen = self.flows_seen.saturating_add(1);
        // Most rows are not sampled: a row is copied only once it has a place.
        let row =
            |pseudonyms: &Pseudonyms| SampleRow::new(at, &offered.features, score, in_episode, pseudonyms.of(offered));
        if self.rows.len() < self.capacity {
            self.rows.push(row(&self.pseudonyms));
            return;
        }
        let place = splitmix64(&mut self.random) % u64::from(self.flows_seen);
        if let Some(replaced) = self.rows.get_mut(place as usize) {
            *replaced = row(&self.pseudonyms);
        }
    }

    /// The next batch of the sample, with its share of the flows seen; `None` once the sample is empty.
    pub(crate) fn take(&mut self) -> Option<Samples> {
        let left = self.rows.len();
        let count = left.min(SAMPLE_ROWS);
        let share = (u64::from(self.flows_seen) * count as u64).checked_div(left as u64);
        let flows_seen = share.map_or(self.flows_seen, |share| share as u32);
        self.flows_seen -= flows_seen;
        let rows: heapless::Vec<SampleRow, SAMPLE_ROWS> = self.rows.drain(left - count..).collect();
        (!rows.is_empty()).then_some(Samples { schema: self.schema, flows_seen, rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::context::local::LocalNetworks;
    use lapwing_shared::features::FEATURES;
    use lapwing_shared::flow::record::FlowRecord;
    use lapwing_shared::flow::testing;

    fn row(made: Timestamp, value: f32, source: [u8; 4], destination: [u8; 4]) -> Row {
        let (source, destination) = (Address::from_v4(source), Address::from_v4(destination));
        let record = FlowRecord { source, destination, ..testing::record(made) };
        let followed = LocalNetworks::default().followed(&source, &destination);
        Row { record, features: [value; FEATURES], followed }
    }

    fn sampler(capacity: usize, seed: u64) -> Sampler {
        Sampler::new(capacity, Nanos::from_secs(60), seed)
    }

    #[test]
    fn a_limit_on_rows_per_day_holds_over_many_intervals() {
        let mut sampler = sampler(8, 11);
        let mut day = |rows_per_day: Option<u32>| {
            let mut rows = 0;
            for minute in 0..1440u64 {
                for second in 0..20 {
                    let row = row(Timestamp::from_secs(minute * 60 + second), 1.0, [10, 0, 0, 1], [10, 0, 0, 2]);
                    if sampler.is_complete_at(row.record.made) {
                        rows += std::iter::from_fn(|| sampler.take()).map(|samples| samples.rows.len()).sum::<usize>();
                        sampler.limit(rows_per_day);
                    }
                    sampler.offer(&row, None, false);
                }
            }
            rows
        };
        // The first interval of each day has the limit of the day before.
        for (rows_per_day, expected) in [(Some(200), 200), (Some(0), 0), (Some(5_000), 5_000), (None, 8 * 1440)] {
            let rows = day(rows_per_day);
            assert!(rows.abs_diff(expected) <= 16, "{rows_per_day:?}: {rows}");
        }
    }

    #[test]
    fn an_interval_gives_a_uniform_sample_of_its_flows() {
        let mut sampler = sampler(8, 11);
        let mut hits = [0u32; 100];
        for interval in 0..4000u64 {
            for flow in 0..100u64 {
                let at = Timestamp::from_nanos(interval * 60_000_000_000 + flow);
                if sampler.is_complete_at(at)
                    && let Some(samples) = sampler.take()
                {
                    assert_eq!((samples.rows.len(), samples.flows_seen), (8, 100));
                    for row in &samples.rows {
                        hits[row.features[0] as usize] += 1;
                    }
                }
                sampler.offer(&row(at, flow as f32, [10, 0, 0, 1], [192, 0, 2, 1]), None, false);
            }
        }
        // 3,999 intervals of 8 in 100: 320 expected each, standard deviation 17.
        assert!(hits.iter().all(|hits| (240..400).contains(hits)), "{hits:?}");
    }

    #[test]
    fn a_large_sample_is_sent_in_batches_that_share_the_flow_count() {
        let mut sampler = sampler(75, 3);
        (0..1_000).for_each(|flow| {
            sampler.offer(&row(Timestamp::from_secs(1), flow as f32, [10, 0, 0, 1], [10, 0, 0, 2]), None, false);
        });
        let batches: Vec<_> = std::iter::from_fn(|| sampler.take()).collect();
        assert_eq!(batches.iter().map(|batch| batch.rows.len()).collect::<Vec<_>>(), [32, 32, 11]);
        assert_eq!(batches.iter().map(|batch| batch.flows_seen).collect::<Vec<_>>(), [426, 427, 147]);
        let mut values: Vec<_> =
            batches.iter().flat_map(|batch| &batch.rows).map(|row| row.features[0] as u32).collect();
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len(), 75);
    }

    #[test]
    fn zero_rows_disable_sampling() {
        let mut sampler = sampler(0, 1);
        for second in 0..5 {
            sampler.offer(&row(Timestamp::from_secs(second), 0.0, [10, 0, 0, 1], [192, 0, 2, 1]), None, false);
            assert_eq!(sampler.take(), None);
        }
    }

    #[test]
    fn hosts_have_pseudonyms_that_differ_between_runs() {
        let pseudonyms = |seed| {
            let mut sampler = sampler(8, seed);
            let (one, other, outside) = ([10, 0, 0, 1], [10, 0, 0, 2], [192, 0, 2, 1]);
            for (source, destination) in [(one, outside), (outside, one), (other, one), (one, [224, 0, 0, 1])] {
                sampler.offer(&row(Timestamp::from_secs(1), 0.0, source, destination), None, false);
            }
            sampler.take().unwrap().rows.iter().map(|row| (row.hosts.source, row.hosts.target)).collect::<Vec<_>>()
        };
        let first = pseudonyms(1);
        let (one, other) = (first[0].0, first[2].0);
        assert!(one != 0 && other != 0 && one != other);
        assert_eq!(first, [(one, 0), (0, one), (other, one), (one, 0)]);
        assert_eq!(pseudonyms(1), first);
        assert_ne!(pseudonyms(2)[0].0, one, "another run has other pseudonyms");
    }
}
