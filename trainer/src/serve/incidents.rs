//! New and changed alert episodes → incidents, in the process that holds the lease of role train.
//!
//! The classifier runs in the same process and before, so that an episode joins by its attack class.

use lapwing_common::clock::Moment;
use lapwing_store::{IncidentPass, Joined, StoreError, StoreHandle};
use std::time::{Duration, Instant};

/// Interval between two passes while the queue is short. A long one is taken in the next passes of the server's loop.
const INTERVAL: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Default)]
pub(super) struct Incidents {
    pass: IncidentPass,
    passed: Option<Instant>,
}

impl Incidents {
    /// One pass, if it is due; if the store is busy, a later one tries again.
    ///
    /// # Errors
    /// When the store cannot be used for a reason that does not pass.
    pub(super) fn pass(&mut self, handle: &StoreHandle, classified_only: bool, now: Moment) -> Result<(), StoreError> {
        if self.passed.is_some_and(|at| now.monotonic.saturating_duration_since(at) < INTERVAL) {
            return Ok(());
        }
        self.passed = Some(now.monotonic);
        match self.pass.pass(&**handle, classified_only, now.wall_s) {
            Ok(joined) => {
                self.passed = self.passed.filter(|_| !joined.has_more);
                log(joined);
                Ok(())
            }
            Err(error) if error.is_temporary() => {
                tracing::warn!(%error, "cannot join alerts to incidents now; retrying");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

fn log(joined: Joined) {
    let Joined { queued, incidents, episodes, .. } = joined;
    if incidents > 0 {
        tracing::info!(incidents, episodes, "new incidents; see `lapwing-trainer incidents list`");
    } else if queued > 0 {
        tracing::debug!(queued, episodes, "compared alerts with incidents");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_common::clock;
    use lapwing_fleet::incident::IncidentState;
    use lapwing_store::contract::incidents::attack;
    use lapwing_store::testing::Folder;
    use lapwing_store::traits::IncidentFilter;
    use lapwing_store::{Limits, Store};
    use std::collections::HashMap;

    #[test]
    fn a_pass_runs_every_two_seconds_or_at_once_while_many_episodes_wait() {
        let folder = Folder::new();
        let mut store = Store::open(folder.store(), Limits::default()).unwrap();
        let (handle, began) = (store.handle().unwrap(), clock::moment());
        let mut incidents = Incidents::default();
        let mut waiting = |store: &mut Store, batch: std::ops::Range<u64>, ms: u64| {
            let alerts: Vec<_> = batch.map(|number| attack("gw", number + 1, number, 7, began.wall_s)).collect();
            store.commit(&alerts, began.wall_s).unwrap();
            let monotonic = began.monotonic + Duration::from_millis(ms);
            incidents.pass(&handle, false, Moment { monotonic, ..began }).unwrap();
            handle.join_queue(false, 9_999, began.wall_s).unwrap().len()
        };
        assert_eq!(waiting(&mut store, 0..1, 0), 0);
        assert_eq!(waiting(&mut store, 1..2, 1_999), 1, "too early");
        assert_eq!(waiting(&mut store, 2..1_101, 2_000), 600);
        assert_eq!(waiting(&mut store, 0..0, 2_500), 100);
        assert_eq!(waiting(&mut store, 0..0, 3_000), 0);
    }

    /// Times of passes.
    #[derive(Default)]
    struct Times {
        passes: u32,
        queued: u64,
        total: Duration,
        slowest: Duration,
    }

    impl Times {
        /// Passes until the queue is empty.
        fn join(&mut self, pass: &mut IncidentPass, handle: &StoreHandle, now_s: u64) {
            loop {
                let began = clock::monotonic();
                let joined = pass.pass(&**handle, false, now_s).unwrap();
                let took = clock::monotonic() - began;
                (self.slowest, self.total) = (self.slowest.max(took), self.total + took);
                (self.queued, self.passes) = (self.queued + joined.queued, self.passes + 1);
                if !joined.has_more {
                    return;
                }
            }
        }
    }

    /// Prints the times in docs/measurements.md. `LAPWING_FLEET=AGENTS,EPISODES` changes the size of the fleet.
    #[test]
    #[ignore = "measures, and takes minutes"]
    fn passes_over_a_large_fleet_are_measured() {
        let sizes = std::env::var("LAPWING_FLEET").unwrap_or_else(|_| "10000,1000000".into());
        let sizes: Vec<u64> = sizes.split(',').map(|number| number.parse().unwrap()).collect();
        let (agents, episodes) = (sizes[0], sizes[1]);
        let folder = Folder::new();
        let mut store = Store::open(folder.store(), Limits { alerts: 2 * episodes, ..Limits::default() }).unwrap();
        let (handle, now_s) = (store.handle().unwrap(), clock::now_s());
        let (mut pass, mut numbers, mut times) = (IncidentPass::default(), HashMap::new(), Times::default());
        let time = |back: u64| now_s - back * 14 * 86_400 / episodes;
        let mut alert = |back: &u64| {
            let of = (back * back + 7 * back) % agents;
            let number = numbers.entry(of).or_insert(0);
            *number += 1;
            // Every alert has the same cause, which is the worst case; one in 997 has an attacker as its peer.
            let peer = if back.is_multiple_of(997) { 200 } else { 0 };
            attack(&format!("gateway-{of:05}"), *number, episodes - back, peer, time(*back))
        };
        let all: Vec<u64> = (0..episodes).rev().collect();
        for part in all.chunks(5_000) {
            let batch: Vec<_> = part.iter().map(&mut alert).collect();
            let at_s = time(part[part.len() - 1]);
            store.commit(&batch, at_s).unwrap();
            times.join(&mut pass, &handle, at_s);
        }
        let found = handle.incidents(&IncidentFilter { limit: 9_999, ..IncidentFilter::default() }).unwrap();
        let open = found.iter().filter(|one| one.state == IncidentState::Open).count();
        let Times { passes, queued, total, slowest } = times;
        let [mean, slowest] = [total / passes, slowest].map(|time| time.as_secs_f64() * 1e3);
        println!("{agents} agents, {queued} episodes, {passes} passes: mean {mean:.1} ms, slowest {slowest:.0} ms");
        println!("{} incidents, {open} open", found.len());
        assert_eq!(queued, episodes);
        assert!(slowest < 5_000.0, "{slowest} ms");
    }
}
