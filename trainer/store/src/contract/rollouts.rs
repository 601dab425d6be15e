//! Rollouts that no campaign makes.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use crate::traits::StoredRollout;
use crate::{Limits, Store};
use lapwing_fleet::campaign::{Campaign, Outcome, Plan, ROWS_PER_DAY, Standing, Terms};
use lapwing_shared::rollout::message::{ROLLOUT_BYTES, Rollout};

fn rollout(serial: u64, base: u64) -> Rollout {
    let standing = Standing { agents: 1, rows_per_day: ROWS_PER_DAY, reported: 0, now_s: 1_700_000_000 };
    Rollout { serial, ..standing.first("home".try_into().unwrap(), base, 3_600) }
}

fn stored(rollout: &Rollout) -> StoredRollout {
    let mut room = [0; ROLLOUT_BYTES];
    let body = rollout.encode(&mut room).unwrap().to_vec();
    StoredRollout { group: "home".into(), serial: rollout.serial, body, issued_s: rollout.issued_s, campaign: 0 }
}

pub fn a_rollout_without_campaign_follows_the_newest_one_of_its_group<T: TestStore>() {
    let folder = T::new();
    let _writer: Store = folder.open(Limits::default());
    let (first, second) = (folder.handle(), folder.handle());
    assert_eq!(first.newest_rollout("home").unwrap(), None);
    assert!(first.add_rollout(&rollout(7, 3)).unwrap());
    assert!(!second.add_rollout(&rollout(7, 4)).unwrap() && !second.add_rollout(&rollout(6, 4)).unwrap());
    assert_eq!(second.newest_rollout("home").unwrap(), Some(stored(&rollout(7, 3))));
    assert!(second.add_rollout(&rollout(9, 3)).unwrap());
    assert_eq!(first.newest_rollout("home").unwrap(), Some(stored(&rollout(9, 3))));
    assert_eq!(first.newest_rollout("shop").unwrap(), None);
    let error = first.add_rollout(&rollout(0, 3)).unwrap_err().to_string();
    assert!(error.contains("group home") && error.contains("serial"), "{error}");
}

pub fn an_open_campaign_alone_makes_the_rollouts_of_its_group<T: TestStore>() {
    let folder = T::new();
    let _writer: Store = folder.open(Limits::default());
    let handle = folder.handle();
    assert!(handle.add_rollout(&rollout(1, 3)).unwrap());
    let terms =
        Terms { version: 4, plan: Plan::default(), salt: [0; 8], made_by: "ann".into(), rollout: rollout(1, 3) };
    let campaign = Campaign::draft(terms, 1_700_000_000).unwrap();
    let draft = Outcome { campaign, transitions: Vec::new(), findings: Vec::new(), effects: Vec::new() };
    assert!(handle.add_campaign(&draft, None, 1_700_000_000).unwrap().is_some());
    assert!(!handle.add_rollout(&rollout(2, 3)).unwrap());
    assert_eq!(handle.newest_rollout("home").unwrap().unwrap().serial, 1);
}
