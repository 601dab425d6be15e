//! Tokens and identities.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use crate::testing::{SCHEMA, alert, name, received, samples, status};
use crate::traits::IdentityFilter;
use crate::{AuditFilter, Limits, StoreHandle};
use lapwing_fleet::{Claim, Decision, Identity, IdentityCounts, IdentityState, TokenTerms};
use lapwing_shared::enrolment::Refusal;
use lapwing_shared::messages::AlertState;

const NOW_S: u64 = 1_000_000;
const YEAR_S: u64 = 365 * 86_400;

fn terms() -> TokenTerms {
    TokenTerms {
        group: "home".into(),
        name: None,
        uses: 2,
        until_s: NOW_S + 60,
        must_be_accepted: false,
        replaces: false,
        who: "operator".into(),
    }
}

fn claim(agent: &str, key: u8, token: Option<u32>) -> Claim {
    Claim { token, name: name(agent), fingerprint: [key; 32] }
}

fn handle<T: TestStore>(folder: &T) -> StoreHandle {
    folder.open(Limits::default()).handle().unwrap()
}

fn refused(handle: &StoreHandle, claim: &Claim, now_s: u64) -> Refusal {
    match handle.enrol(claim, YEAR_S, now_s).unwrap() {
        (Decision::Refuse(refusal), None) => refusal,
        other => panic!("{other:?}"),
    }
}

fn enrolled(handle: &StoreHandle, claim: &Claim, now_s: u64) -> Identity {
    handle.enrol(claim, YEAR_S, now_s).unwrap().1.unwrap()
}

pub fn a_token_is_used_once_for_each_key<T: TestStore>() {
    let folder = T::new();
    let handle = handle(&folder);
    let token = handle.add_token(&[5; 16], &terms(), NOW_S).unwrap();
    let stored = handle.token(token).unwrap().unwrap();
    assert_eq!((stored.secret, stored.used, stored.terms), ([5; 16], 0, terms()));
    assert_eq!(handle.token(token + 1).unwrap(), None);
    let first = enrolled(&handle, &claim("attic", 1, Some(token)), NOW_S);
    assert_eq!((first.state, first.issued, first.until_s), (IdentityState::Accepted, 1, NOW_S + YEAR_S));
    assert_eq!((first.name.as_str(), first.group.as_str(), first.enrolled_s), ("attic", "home", NOW_S));
    // The response was lost: the same key asks again, and no use is counted.
    let again = enrolled(&handle, &claim("attic", 1, Some(token)), NOW_S + 1);
    assert_eq!((again.id, again.issued, handle.token(token).unwrap().unwrap().used), (first.id, 2, 1));
    assert_eq!(refused(&handle, &claim("attic", 2, Some(token)), NOW_S), Refusal::NameTaken);
    enrolled(&handle, &claim("cellar", 2, Some(token)), NOW_S);
    assert_eq!(refused(&handle, &claim("garage", 3, Some(token)), NOW_S), Refusal::TokenUsed);
    assert_eq!(refused(&handle, &claim("garage", 3, Some(token)), NOW_S + 60), Refusal::TokenEnded);
    assert_eq!(refused(&handle, &claim("garage", 3, None), NOW_S), Refusal::UnknownKey);
    let renewed = enrolled(&handle, &claim("attic", 1, None), NOW_S + 2 * YEAR_S);
    assert_eq!((renewed.issued, renewed.until_s), (3, NOW_S + 3 * YEAR_S), "a known key needs no token");
}

pub fn an_operator_accepts_revokes_and_renames_what_a_list_showed<T: TestStore>() {
    let folder = T::new();
    let handle = handle(&folder);
    let terms = TokenTerms { must_be_accepted: true, uses: 9, ..terms() };
    let token = handle.add_token(&[5; 16], &terms, NOW_S).unwrap();
    for (agent, key) in [("c", 3), ("a", 1), ("b", 2)] {
        let (decision, identity) = handle.enrol(&claim(agent, key, Some(token)), YEAR_S, NOW_S).unwrap();
        assert_eq!(decision, Decision::Create(IdentityState::Waiting));
        assert_eq!(identity.map(|identity| (identity.state, identity.issued)), Some((IdentityState::Waiting, 0)));
    }
    let names = |state, after: Option<&str>, limit| {
        let after = after.map(str::to_owned);
        let filter = IdentityFilter { state, after, limit, ..IdentityFilter::default() };
        handle.identities(&filter).unwrap().into_iter().map(|identity| identity.name).collect::<Vec<_>>()
    };
    assert_eq!(names(Some(IdentityState::Waiting), None, 2), ["a", "b"]);
    assert_eq!(names(None, Some("b"), 9), ["c"]);
    let listed = handle.identity("a").unwrap();
    assert!(matches!(handle.enrol(&claim("a", 1, Some(token)), YEAR_S, NOW_S).unwrap().0, Decision::Wait));
    handle.set_identity_state(&listed, IdentityState::Accepted, "eve", NOW_S).unwrap();
    assert!(handle.set_identity_state(&listed, IdentityState::Accepted, "eve", NOW_S).is_err(), "it has changed");
    let accepted = enrolled(&handle, &claim("a", 1, None), NOW_S);
    assert_eq!((accepted.issued, accepted.who.as_str()), (1, "eve"));
    let error = |name: &str, new: &str| handle.rename_identity(name, new, "eve", NOW_S).unwrap_err().to_string();
    assert!(error("a", "attic").contains("cannot become"), "its certificate has the name");
    assert!(error("b", "c").contains("another identity") && error("z", "y").contains("identity `z`"));
    handle.rename_identity("b", "attic", "eve", NOW_S).unwrap();
    assert_eq!(refused(&handle, &claim("b", 2, Some(token)), NOW_S), Refusal::OtherName(name("attic")));
    let listed = handle.identity("a").unwrap();
    handle.set_identity_state(&listed, IdentityState::Revoked, "eve", NOW_S).unwrap();
    assert_eq!(refused(&handle, &claim("a", 1, None), NOW_S), Refusal::Revoked);
    assert!(error("a", "z").contains("cannot become"), "which would lift the revocation");
    let revoked = handle.identity("a").unwrap();
    assert!(handle.set_identity_state(&revoked, IdentityState::Accepted, "eve", NOW_S).is_err(), "for good");
    let page = handle.audit(&AuditFilter { limit: 10, ..AuditFilter::default() }).unwrap();
    let actions: Vec<String> =
        page.records.iter().map(|entry| format!("{}: {} {}", entry.who, entry.action, entry.object)).collect();
    let expected = ["eve: revoke-identity a", "eve: rename-identity b", "eve: accept-identity a"];
    assert_eq!(actions, [&expected[..], &["operator: create-token token 1"]].concat(), "only what was done");
}

pub fn a_reader_finds_every_change_of_an_identity_by_its_revision<T: TestStore>() {
    let folder = T::new();
    let handle = handle(&folder);
    let terms = TokenTerms { must_be_accepted: true, uses: 9, ..terms() };
    let token = handle.add_token(&[5; 16], &terms, NOW_S).unwrap();
    let mut seen = 0;
    let mut changed = || {
        let rows = handle.changed_identities(seen, 9).unwrap();
        assert!(rows.iter().all(|(revision, _)| *revision > seen) && rows.is_sorted_by_key(|(revision, _)| *revision));
        seen = rows.last().map_or(seen, |(revision, _)| *revision);
        rows.into_iter().map(|(_, identity)| (identity.name, identity.state, identity.issued)).collect::<Vec<_>>()
    };
    let of = |name: &str, state, issued| vec![(name.to_owned(), state, issued)];
    for (agent, key) in [("a", 1), ("b", 2)] {
        handle.enrol(&claim(agent, key, Some(token)), YEAR_S, NOW_S).unwrap();
    }
    assert_eq!(changed().len(), 2);
    assert_eq!(changed(), []);
    handle.rename_identity("a", "attic", "eve", NOW_S).unwrap();
    assert_eq!(changed(), of("attic", IdentityState::Waiting, 0));
    handle.set_identity_state(&handle.identity("attic").unwrap(), IdentityState::Accepted, "eve", NOW_S).unwrap();
    assert_eq!(changed(), of("attic", IdentityState::Accepted, 0));
    enrolled(&handle, &claim("attic", 1, None), NOW_S);
    assert_eq!(changed(), of("attic", IdentityState::Accepted, 1));
    let replaces = TokenTerms { name: Some("attic".into()), replaces: true, must_be_accepted: false, ..terms };
    let token = handle.add_token(&[6; 16], &replaces, NOW_S).unwrap();
    enrolled(&handle, &claim("attic", 7, Some(token)), NOW_S);
    assert_eq!(changed(), of("attic", IdentityState::Accepted, 2));
    handle.set_identity_state(&handle.identity("attic").unwrap(), IdentityState::Revoked, "eve", NOW_S).unwrap();
    assert_eq!(changed(), of("attic", IdentityState::Revoked, 2));
    assert_eq!(handle.changed_identities(0, 1).unwrap()[0].1.name, "b", "a limit returns the earliest changes");
}

pub fn a_token_replaces_the_key_of_its_name<T: TestStore>() {
    let folder = T::new();
    let handle = handle(&folder);
    let token = handle.add_token(&[5; 16], &terms(), NOW_S).unwrap();
    let first = enrolled(&handle, &claim("attic", 1, Some(token)), NOW_S);
    let terms = TokenTerms { name: Some("attic".into()), uses: 1, replaces: true, group: "shop".into(), ..terms() };
    let replacing = handle.add_token(&[6; 16], &terms, NOW_S).unwrap();
    let second = enrolled(&handle, &claim("attic", 2, Some(replacing)), NOW_S + 1);
    assert_eq!((second.id, second.issued, second.group.as_str()), (first.id, 2, "shop"));
    assert_eq!(refused(&handle, &claim("attic", 1, None), NOW_S), Refusal::UnknownKey);
}

pub fn tokens_end_and_are_forgotten<T: TestStore>() {
    let folder = T::new();
    let handle = handle(&folder);
    let first = handle.add_token(&[5; 16], &terms(), NOW_S).unwrap();
    let second = handle.add_token(&[6; 16], &terms(), NOW_S).unwrap();
    let ids = |now_s| handle.tokens(now_s).unwrap().into_iter().map(|token| token.id).collect::<Vec<_>>();
    assert_eq!(ids(NOW_S), [second, first]);
    handle.end_token(second, "eve", NOW_S).unwrap();
    assert!(handle.end_token(second, "eve", NOW_S).is_err(), "it has ended");
    assert_eq!((ids(NOW_S), ids(NOW_S + 60)), (vec![first], vec![]));
    assert_eq!(refused(&handle, &claim("attic", 1, Some(second)), NOW_S), Refusal::TokenEnded);
    let later_s = NOW_S + 365 * 86_400;
    let third = handle.add_token(&[7; 16], &TokenTerms { until_s: later_s + 1, ..terms() }, later_s).unwrap();
    assert!(third > second && handle.token(first).unwrap().is_none());
}

/// Times of the rows that train, and the number of excluded ones of revoked keys.
fn trained(handle: &StoreHandle) -> (Vec<u64>, u64) {
    let mut rows = handle.training_rows(&SCHEMA).unwrap();
    let times = rows.by_ref().map(|row| row.unwrap().at.as_secs()).collect();
    (times, rows.summary().revoked)
}

pub fn rows_of_a_revoked_agent_do_not_train_and_its_episodes_stay<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let handle = store.handle().unwrap();
    let token = handle.add_token(&[5; 16], &terms(), NOW_S).unwrap();
    enrolled(&handle, &claim("attic", 1, Some(token)), NOW_S);
    let batch = [
        received("attic", &samples(1, 1, &[(1000, false)])),
        received("attic", &alert(1, 2, 77, AlertState::Closed, (1000, 1020))),
        received("loft", &samples(1, 1, &[(2000, false)])),
    ];
    store.commit(&batch, 5).unwrap();
    assert_eq!((trained(&handle), handle.unlabelled().unwrap().episodes), ((vec![1000, 2000], 0), 1));
    handle.set_identity_state(&handle.identity("attic").unwrap(), IdentityState::Revoked, "eve", NOW_S).unwrap();
    assert_eq!((trained(&handle), handle.unlabelled().unwrap().episodes), ((vec![2000], 1), 0));
    assert_eq!(handle.message_counts().unwrap(), [1, 2, 0], "alerts and samples stay");
    // After the end of its certificate, another key gets the name.
    let later_s = NOW_S + YEAR_S;
    let replaces = TokenTerms { name: Some("attic".into()), replaces: true, until_s: later_s + 60, ..terms() };
    let token = handle.add_token(&[6; 16], &replaces, later_s).unwrap();
    enrolled(&handle, &claim("attic", 7, Some(token)), later_s);
    store.commit(&[received("attic", &samples(2, 1, &[(3000, false)]))], 6).unwrap();
    assert_eq!(trained(&handle), (vec![2000, 3000], 1), "rows of the revoked key never train");
    // Another replacement, of a key that was not revoked, keeps its rows.
    let token = handle.add_token(&[7; 16], &replaces, later_s).unwrap();
    enrolled(&handle, &claim("attic", 8, Some(token)), later_s);
    store.commit(&[received("attic", &samples(3, 1, &[(4000, false)]))], 7).unwrap();
    assert_eq!(trained(&handle), (vec![2000, 3000, 4000], 1));
}

pub fn a_secret_of_seals_is_stored_once_and_the_previous_one_is_kept<T: TestStore>() {
    let folder = T::new();
    let handle = handle(&folder);
    assert_eq!(handle.seal_secrets().unwrap(), [[0; 32]; 0]);
    assert_eq!(handle.begin_seals(&[1; 32]).unwrap(), [1; 32]);
    assert_eq!(handle.begin_seals(&[2; 32]).unwrap(), [1; 32], "another process was first");
    handle.replace_seals(&[3; 32], "eve", NOW_S).unwrap();
    assert_eq!(handle.seal_secrets().unwrap(), [[3; 32], [1; 32]]);
    handle.replace_seals(&[4; 32], "eve", NOW_S).unwrap();
    assert_eq!(handle.seal_secrets().unwrap(), [[4; 32], [3; 32]]);
    let entries = handle.audit(&AuditFilter { limit: 9, ..AuditFilter::default() }).unwrap().records;
    let actions: Vec<_> = entries.iter().map(|entry| (entry.who.as_str(), entry.action.as_str())).collect();
    assert_eq!(actions, [("eve", "replace-seals"); 2]);
}

pub fn agents_show_that_their_identity_was_revoked<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let handle = store.handle().unwrap();
    store.commit(&["attic", "cellar"].map(|agent| received(agent, &status(1))), NOW_S).unwrap();
    let token = handle.add_token(&[5; 16], &TokenTerms { uses: 9, ..terms() }, NOW_S).unwrap();
    for (key, agent) in [(1, "attic"), (2, "cellar")] {
        handle.enrol(&claim(agent, key, Some(token)), YEAR_S, NOW_S).unwrap();
    }
    handle.set_identity_state(&handle.identity("attic").unwrap(), IdentityState::Revoked, "eve", NOW_S).unwrap();
    let listed: Vec<_> = handle.agents().unwrap().into_iter().map(|agent| (agent.name, agent.revoked)).collect();
    assert_eq!(listed, [("attic".to_owned(), true), ("cellar".to_owned(), false)]);
    let row = handle.agent_row("attic").unwrap().unwrap();
    assert!(row.line.revoked && row.line.status.unwrap().online && row.open_alerts == 0);
    store.close().unwrap();
}

pub fn identities_are_counted_by_state_and_by_the_ends_of_their_certificates<T: TestStore>() {
    let folder = T::new();
    let handle = handle(&folder);
    assert_eq!(handle.identity_counts(NOW_S, 60).unwrap(), IdentityCounts::default());
    let token = handle.add_token(&[5; 16], &TokenTerms { uses: 9, ..terms() }, NOW_S).unwrap();
    let day_s = 86_400;
    for (key, (agent, life_s)) in
        [("soon", 30 * day_s), ("later", YEAR_S), ("over", 60), ("gone", YEAR_S)].iter().enumerate()
    {
        handle.enrol(&claim(agent, key as u8, Some(token)), *life_s, NOW_S).unwrap();
    }
    let accept = TokenTerms { must_be_accepted: true, ..terms() };
    let accepting = handle.add_token(&[6; 16], &accept, NOW_S).unwrap();
    handle.enrol(&claim("new", 9, Some(accepting)), YEAR_S, NOW_S).unwrap();
    handle.set_identity_state(&handle.identity("gone").unwrap(), IdentityState::Revoked, "eve", NOW_S).unwrap();
    let now_s = NOW_S + 60;
    for (days, ending) in [(60, 1), (20, 0)] {
        let counts = handle.identity_counts(now_s, days * day_s).unwrap();
        assert_eq!(counts, IdentityCounts { waiting: 1, accepted: 3, revoked: 1, ending, ended: 1 });
    }
    let filter = IdentityFilter { ends_before_s: Some(now_s + 60 * day_s), limit: 9, ..IdentityFilter::default() };
    let names: Vec<String> = handle.identities(&filter).unwrap().into_iter().map(|identity| identity.name).collect();
    assert_eq!(names, ["over", "soon"]);
}
