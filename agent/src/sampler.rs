//! Which feature rows the trainer gets to see: a uniform sample of every interval of capture time.

use lapwing_shared::features::schema::schema_id;
use lapwing_shared::features::{FeatureVector, SchemaId};
use lapwing_shared::flow::lru::splitmix64;
use lapwing_shared::messages::{SAMPLE_ROWS, SampleRow, Samples};
use lapwing_shared::units::{Nanos, Timestamp};

/// Reservoir of at most [`SAMPLE_ROWS`] rows (Vitter 1985, "Random Sampling with a Reservoir", algorithm R).
pub struct Sampler {
    schema: SchemaId,
    rows: heapless::Vec<SampleRow, SAMPLE_ROWS>,
    capacity: usize,
    interval: Nanos,
    number: Option<u64>,
    flows_seen: u32,
    random: u64,
}

impl Sampler {
    /// `capacity` rows, 0 to [`SAMPLE_ROWS`], of every `interval`; `seed` decides which.
    pub fn new(capacity: usize, interval: Nanos, seed: u64) -> Self {
        Self {
            schema: schema_id(),
            rows: heapless::Vec::new(),
            capacity: capacity.min(SAMPLE_ROWS),
            interval: interval.max(Nanos(1)),
            number: None,
            flows_seen: 0,
            random: seed,
        }
    }

    /// True when a row of this time begins another interval than the rows before it: [`Sampler::take`] comes first.
    pub fn is_complete_at(&self, at: Timestamp) -> bool {
        self.number.is_some_and(|previous| previous != at.as_nanos() / self.interval.0)
    }

    /// Offers a row of the interval that `at` lies in.
    pub fn offer(&mut self, at: Timestamp, features: &FeatureVector, score: Option<u32>, in_episode: bool) {
        self.number = Some(at.as_nanos() / self.interval.0);
        self.flows_seen = self.flows_seen.saturating_add(1);
        if self.capacity == 0 {
            return;
        }
        // Most rows are not kept: they are copied once their place is known.
        let row = || SampleRow::new(at, features, score, in_episode);
        if self.rows.len() < self.capacity {
            // There is room: the capacity is at most the vector's.
            let _ = self.rows.push(row());
            return;
        }
        let place = splitmix64(&mut self.random) % u64::from(self.flows_seen);
        if let Some(kept) = self.rows.get_mut(place as usize) {
            *kept = row();
        }
    }

    /// The sample so far; `None` without rows.
    pub fn take(&mut self) -> Option<Samples> {
        let flows_seen = std::mem::take(&mut self.flows_seen);
        if self.rows.is_empty() {
            return None;
        }
        Some(Samples { schema: self.schema, flows_seen, rows: std::mem::take(&mut self.rows) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_gives_a_uniform_sample_of_its_flows() {
        let mut sampler = Sampler::new(8, Nanos::from_secs(60), 11);
        let mut hits = [0u32; 100];
        for interval in 0..4000u64 {
            for flow in 0..100u64 {
                let at = Timestamp::from_nanos(interval * 60_000_000_000 + flow);
                let features = [flow as f32; lapwing_shared::features::FEATURES];
                if sampler.is_complete_at(at)
                    && let Some(samples) = sampler.take()
                {
                    assert_eq!((samples.rows.len(), samples.flows_seen), (8, 100));
                    for row in &samples.rows {
                        hits[row.features[0] as usize] += 1;
                    }
                }
                sampler.offer(at, &features, None, false);
            }
        }
        // 3,999 intervals of 8 in 100: 320 expected each, standard deviation 17.
        assert!(hits.iter().all(|hits| (240..400).contains(hits)), "{hits:?}");
    }

    #[test]
    fn zero_rows_send_nothing() {
        let mut sampler = Sampler::new(0, Nanos::from_secs(1), 1);
        for second in 0..5 {
            sampler.offer(Timestamp::from_secs(second), &[0.0; 48], None, false);
            assert_eq!(sampler.take(), None);
        }
    }
}
