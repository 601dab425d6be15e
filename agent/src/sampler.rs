//! Which feature rows the trainer gets to see: a uniform sample of every interval of capture time.

use lapwing_shared::features::SchemaId;
use lapwing_shared::features::rows::Row;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::flow::lru::splitmix64;
use lapwing_shared::messages::{RowHosts, SAMPLE_ROWS, SampleRow, Samples};
use lapwing_shared::units::{Address, Nanos, Timestamp};
use std::hash::{DefaultHasher, Hasher};

/// Most rows of an interval.
pub const INTERVAL_ROWS: usize = 256;

/// Reservoir of at most [`INTERVAL_ROWS`] rows (Vitter 1985, "Random Sampling with a Reservoir", algorithm R).
pub struct Sampler {
    schema: SchemaId,
    rows: Vec<SampleRow>,
    capacity: usize,
    interval: Nanos,
    number: Option<u64>,
    flows_seen: u32,
    random: u64,
    names: HostNames,
}

/// Addresses → numbers that tell hosts apart and name none of them: a hash under a key that never leaves the agent.
struct HostNames {
    key: u64,
}

impl HostNames {
    /// The hosts whose evidence the judge lets a flow count for.
    fn of(&self, row: &Row) -> RowHosts {
        let name = |address, followed| if followed { self.name(address) } else { 0 };
        RowHosts {
            source: name(&row.record.source, row.followed.source),
            target: name(&row.record.destination, row.followed.destination),
        }
    }

    /// Never 0.
    fn name(&self, address: &Address) -> u32 {
        let mut hash = DefaultHasher::new();
        hash.write_u64(self.key);
        hash.write(&address.0);
        (hash.finish() as u32).max(1)
    }
}

impl Sampler {
    /// `capacity` rows, 0 to [`INTERVAL_ROWS`], of every `interval`; `seed` decides which, and how hosts are numbered.
    pub fn new(capacity: usize, interval: Nanos, seed: u64) -> Self {
        let mut random = seed;
        let names = HostNames { key: splitmix64(&mut random) };
        Self {
            schema: schema_id(),
            rows: Vec::with_capacity(capacity.min(INTERVAL_ROWS)),
            capacity: capacity.min(INTERVAL_ROWS),
            interval: interval.max(Nanos(1)),
            number: None,
            flows_seen: 0,
            random,
            names,
        }
    }

    /// True when a row of this time begins another interval than the rows before it: [`Sampler::take`] comes first.
    pub fn is_complete_at(&self, at: Timestamp) -> bool {
        self.number.is_some_and(|previous| previous != at.as_nanos() / self.interval.0)
    }

    /// Offers a row of the interval that its record was made in.
    pub fn offer(&mut self, offered: &Row, score: Option<u32>, in_episode: bool) {
        if self.capacity == 0 {
            return;
        }
        let at = offered.record.made;
        self.number = Some(at.as_nanos() / self.interval.0);
        self.flows_seen = self.flows_seen.saturating_add(1);
        // Most rows are not kept: they are copied once their place is known.
        let row = |names: &HostNames| SampleRow::new(at, &offered.features, score, in_episode, names.of(offered));
        if self.rows.len() < self.capacity {
            self.rows.push(row(&self.names));
            return;
        }
        let place = splitmix64(&mut self.random) % u64::from(self.flows_seen);
        if let Some(kept) = self.rows.get_mut(place as usize) {
            *kept = row(&self.names);
        }
    }

    /// The sample so far, a batch at a time, each with its share of the flows seen; `None` when all is taken.
    pub fn take(&mut self) -> Option<Samples> {
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
#[path = "../../shared/src/flow/testing.rs"]
mod testing;

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::context::local::LocalNetworks;
    use lapwing_shared::features::FEATURES;
    use lapwing_shared::flow::record::FlowRecord;

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
    fn a_large_sample_comes_in_batches_that_together_tell_of_all_flows() {
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
    fn zero_rows_send_nothing() {
        let mut sampler = sampler(0, 1);
        for second in 0..5 {
            sampler.offer(&row(Timestamp::from_secs(second), 0.0, [10, 0, 0, 1], [192, 0, 2, 1]), None, false);
            assert_eq!(sampler.take(), None);
        }
    }

    #[test]
    fn rows_tell_hosts_apart_without_naming_them() {
        let told = |seed| {
            let mut sampler = sampler(8, seed);
            let (one, other, outside) = ([10, 0, 0, 1], [10, 0, 0, 2], [192, 0, 2, 1]);
            for (source, destination) in [(one, outside), (outside, one), (other, one), (one, [224, 0, 0, 1])] {
                sampler.offer(&row(Timestamp::from_secs(1), 0.0, source, destination), None, false);
            }
            sampler.take().unwrap().rows.iter().map(|row| (row.hosts.source, row.hosts.target)).collect::<Vec<_>>()
        };
        let first = told(1);
        let (one, other) = (first[0].0, first[2].0);
        assert!(one != 0 && other != 0 && one != other);
        assert_eq!(first, [(one, 0), (0, one), (other, one), (one, 0)]);
        assert_eq!(told(1), first);
        assert_ne!(told(2)[0].0, one, "another run numbers anew");
    }
}
