//! Agents that have stopped sending → their state in the store.

use lapwing_store::{StoreError, StoreHandle};
use std::time::{Duration, Instant};

/// Interval between two looks; an agent is silent after two minutes.
const INTERVAL: Duration = Duration::from_secs(5);

/// Marks silent agents. Every process does, whatever its roles: whoever shows the fleet relies on it, and it is idempotent.
#[derive(Default)]
pub(super) struct SilenceCheck {
    looked: Option<Instant>,
}

impl SilenceCheck {
    /// Looks, if the interval is over.
    pub(super) fn pass(&mut self, handle: &StoreHandle, now_s: u64, now: Instant) -> Result<(), StoreError> {
        if self.looked.is_some_and(|at| now.saturating_duration_since(at) < INTERVAL) {
            return Ok(());
        }
        self.looked = Some(now);
        let marked = handle.mark_silent(now_s)?;
        if marked > 0 {
            tracing::info!(agents = marked, "agents have been silent for two minutes");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_common::clock;
    use lapwing_fleet::{AgentState, SILENT_S};
    use lapwing_store::testing::{Folder, received, status};
    use lapwing_store::{Limits, Store};

    #[test]
    fn an_agent_is_marked_at_the_first_look_after_two_minutes() {
        let folder = Folder::new();
        let mut store = Store::open(folder.store(), Limits::default()).unwrap();
        store.commit(&[received("gw", &status(1))], 1_000).unwrap();
        let handle = store.handle().unwrap();
        let (mut check, began) = (SilenceCheck::default(), clock::moment().monotonic);
        let mut state = |seconds: u64| {
            check.pass(&handle, 1_000 + seconds, began + Duration::from_secs(seconds)).unwrap();
            handle.agent_counts().unwrap()[0].state
        };
        assert_eq!((state(SILENT_S), state(SILENT_S + 4)), (AgentState::Online, AgentState::Online));
        assert_eq!(state(SILENT_S + 5), AgentState::Silent);
        store.commit(&[received("gw", &status(1))], 2_000).unwrap();
        assert_eq!(handle.agent_counts().unwrap()[0].state, AgentState::Online);
    }
}
