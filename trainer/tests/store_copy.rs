//! `lapwing-trainer store copy`, killed again and again.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use lapwing_shared::messages::AlertState;
use lapwing_store::testing::{Folder, alert, problems, received, samples};
use lapwing_store::{EpisodeFilter, Limits, Store, StoreHandle};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Alerts and sample batches of the store: many pages.
const MESSAGES: u64 = 12_000;

fn fill(path: &Path) {
    let mut store = Store::open(path, Limits::default()).unwrap();
    let message = |number: u64| {
        let agent = format!("gw-{}", number % 50);
        if number.is_multiple_of(2) {
            return received(&agent, &samples(1, number, &[(number, false)]));
        }
        received(&agent, &alert(1, number, number / 4, AlertState::Opened, (number, number + 1)))
    };
    for first in (1..=MESSAGES).step_by(2_000) {
        let batch: Vec<_> = (first..first + 2_000).map(message).collect();
        assert_eq!(store.commit(&batch, 5).unwrap().duplicates, 0);
    }
}

/// Starts a copy, kills it after N lines of output, and returns true if it ended before.
fn copy(from: &Path, to: &Path, lines: usize) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lapwing-trainer"));
    command.args(["store", "copy", "--from"]).arg(from).arg("--to").arg(to);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap()).lines();
    let read = output.take(lines).map(Result::unwrap).count();
    if read < lines {
        assert!(child.wait().unwrap().success());
        return true;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    false
}

#[test]
fn a_copy_that_is_killed_again_and_again_ends_complete() {
    let (old, new) = (Folder::new(), Folder::new());
    fill(&old.store());
    let mut kills = 0;
    // The later runs get further: what they have copied remains.
    while !copy(&old.store(), &new.store(), 1 + kills) {
        kills += 1;
        assert!(kills < 100, "the copy does not end");
    }
    assert!(kills > 5, "{kills} kills");
    let [old, new] = [old.store(), new.store()].map(|path| StoreHandle::open(path).unwrap());
    assert_eq!(problems(&new), Vec::<String>::new());
    assert_eq!(new.message_counts().unwrap(), [MESSAGES / 2, MESSAGES / 2, 0]);
    let filter = EpisodeFilter { limit: 500, ..EpisodeFilter::default() };
    assert_eq!(new.episodes(&filter).unwrap(), old.episodes(&filter).unwrap());
    assert_eq!(new.agents().unwrap(), old.agents().unwrap());
}
