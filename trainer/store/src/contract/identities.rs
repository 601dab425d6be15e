//! Tokens and identities.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use crate::testing::name;
use crate::traits::IdentityFilter;
use crate::{AuditFilter, Limits, StoreHandle};
use lapwing_fleet::{Claim, Decision, Identity, IdentityCounts, IdentityState, TokenTerms};
use lapwing_shared::enrolment::Refusal;

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

pub fn identities_are_counted_by_state_and_by_the_ends_of_their_certificates<T: TestStore>() {
    let folder = T::new();
    let handle = handle(&folder);
    assert_eq!(handle.identity_counts(NOW_S).unwrap(), IdentityCounts::default());
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
    let counts = handle.identity_counts(now_s).unwrap();
    assert_eq!(counts, IdentityCounts { waiting: 1, accepted: 3, revoked: 1, ending: 1, ended: 1 });
    let filter = IdentityFilter { ends_before_s: Some(now_s + 60 * day_s), limit: 9, ..IdentityFilter::default() };
    let names: Vec<String> = handle.identities(&filter).unwrap().into_iter().map(|identity| identity.name).collect();
    assert_eq!(names, ["over", "soon"]);
}
