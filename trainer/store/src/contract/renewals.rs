//! Requests of running agents for their next certificates.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use crate::testing::name;
use crate::traits::RenewalRow;
use crate::{Limits, RENEWAL_PAUSE_S, StoreHandle};
use lapwing_fleet::{Claim, IdentityState, Renewal, RenewalClaim, TokenTerms};

const NOW_S: u64 = 1_000_000;
const YEAR_S: u64 = 365 * 86_400;

/// A store with identities of these names, whose keys have the numbers 1, 2, …
fn store<T: TestStore>(folder: &T, agents: &[&str]) -> StoreHandle {
    let handle = folder.open(Limits::default()).handle().unwrap();
    let terms = TokenTerms {
        group: "home".into(),
        name: None,
        uses: 9,
        until_s: NOW_S + 60,
        must_be_accepted: false,
        replaces: false,
        who: "operator".into(),
    };
    let token = handle.add_token(&[5; 16], &terms, NOW_S).unwrap();
    for (agent, key) in agents.iter().zip(1..) {
        let claim = Claim { token: Some(token), name: name(agent), fingerprint: [key; 32] };
        handle.enrol(&claim, YEAR_S, NOW_S).unwrap();
    }
    handle
}

fn waiting(handle: &StoreHandle) -> Vec<(String, Vec<u8>)> {
    let rows = handle.waiting_renewals(9).unwrap();
    rows.into_iter().map(|RenewalRow { agent, request, .. }| (agent, request)).collect()
}

pub fn a_request_gets_one_response_which_one_process_takes<T: TestStore>() {
    let folder = T::new();
    let handle = store(&folder, &["attic", "cellar"]);
    assert!(handle.ask_renewal("attic", &[1; 32], b"first", NOW_S).unwrap());
    assert!(!handle.ask_renewal("attic", &[1; 32], b"second", NOW_S + RENEWAL_PAUSE_S - 1).unwrap());
    assert_eq!(waiting(&handle), [("attic".to_owned(), b"first".to_vec())]);
    let row = handle.waiting_renewals(1).unwrap().remove(0);
    assert!(handle.ask_renewal("attic", &[1; 32], b"third", NOW_S + RENEWAL_PAUSE_S).unwrap());
    handle.answer_renewal(&row, b"to the first").unwrap();
    assert_eq!(waiting(&handle), [("attic".to_owned(), b"third".to_vec())], "an answer to what was replaced");
    assert!(handle.ask_renewal("cellar", &[2; 32], b"fourth", NOW_S + 2 * RENEWAL_PAUSE_S).unwrap());
    for row in handle.waiting_renewals(9).unwrap() {
        handle.answer_renewal(&row, format!("to {}", row.agent).as_bytes()).unwrap();
    }
    assert_eq!(waiting(&handle), []);
    assert_eq!(handle.take_renewals(1).unwrap(), [("attic".to_owned(), b"to attic".to_vec())]);
    assert_eq!(handle.take_renewals(9).unwrap(), [("cellar".to_owned(), b"to cellar".to_vec())]);
    assert_eq!(handle.take_renewals(9).unwrap(), []);
    // The clock was ahead when the last request arrived.
    assert!(handle.ask_renewal("attic", &[1; 32], b"fifth", NOW_S).unwrap());
}

pub fn only_accepted_identities_may_ask<T: TestStore>() {
    let folder = T::new();
    let handle = store(&folder, &["attic"]);
    let asks = |agent, key| handle.ask_renewal(agent, &[key; 32], b"x", NOW_S).unwrap();
    assert!(!asks("cellar", 1) && !asks("attic", 2), "another name, another key");
    let attic = handle.identity("attic").unwrap();
    handle.set_identity_state(&attic, IdentityState::Revoked, "eve", NOW_S).unwrap();
    assert!(!asks("attic", 1));
    assert_eq!(waiting(&handle), []);
}

pub fn a_certificate_is_issued_after_half_of_the_life_of_the_last_one<T: TestStore>() {
    let folder = T::new();
    let handle = store(&folder, &["attic"]);
    let first_s = NOW_S + YEAR_S;
    let renew = |until_s, now_s| {
        let claim = RenewalClaim { name: name("attic"), fingerprint: [1; 32], until_s };
        let (decision, identity) = handle.renew(&claim, YEAR_S, now_s).unwrap();
        (decision, identity.map(|identity| (identity.issued, identity.until_s)))
    };
    assert_eq!(renew(first_s, NOW_S + 10), (Renewal::Early, Some((1, first_s))));
    let later_s = NOW_S + YEAR_S * 2 / 3;
    assert_eq!(renew(first_s, later_s), (Renewal::Issue, Some((2, later_s + YEAR_S))));
    // The response was lost, or the request is a replay.
    assert_eq!(renew(first_s, later_s + 60), (Renewal::Repeat, Some((2, later_s + YEAR_S))));
    assert_eq!(handle.identity("attic").unwrap().issued, 2);
}
