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
        let mut pass = IncidentPass::default();
        let (mut numbers, mut slowest, mut total) = (HashMap::new(), Duration::ZERO, Duration::ZERO);
        let (mut queued, mut passes) = (0, 0_u32);
        let all: Vec<u64> = (0..episodes).rev().collect();
        for part in all.chunks(5_000) {
            let at_s = now_s - part[part.len() - 1] * 14 * 86_400 / episodes;
            let alert = |back: &u64| {
                let of = (back * back + 7 * back) % agents;
                let number = numbers.entry(of).or_insert(0);
                *number += 1;
                // Most peers are those of one site; one in 997 is an attacker's.
                let peer = if back % 997 == 0 { 200 } else { 0 };
                attack(
                    &format!("gateway-{of:05}"),
                    *number,
                    episodes - back,
                    peer,
                    now_s - back * 14 * 86_400 / episodes,
                )
            };
            let batch: Vec<_> = part.iter().map(alert).collect();
            store.commit(&batch, at_s).unwrap();
            loop {
                let began = clock::monotonic();
                let joined = pass.pass(&*handle, false, at_s).unwrap();
                let took = clock::monotonic() - began;
                (slowest, total) = (slowest.max(took), total + took);
                queued += joined.queued;
                passes += 1;
                if !joined.has_more {
                    break;
                }
            }
        }
        let filter = IncidentFilter { limit: 9_999, ..IncidentFilter::default() };
        let all = handle.incidents(&filter).unwrap();
        let open = all.iter().filter(|one| one.state == IncidentState::Open).count();
        println!(
            "{agents} agents, {queued} episodes, {passes} passes: {:.1} ms on average, {:.0} ms the slowest; {} incidents, \
             {open} open",
            total.as_secs_f64() * 1e3 / f64::from(passes),
            slowest.as_secs_f64() * 1e3,
            all.len()
        );
        assert_eq!(queued, episodes);
        assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    }
}
