//! People, sessions, tokens and links.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use crate::{AuditFilter, Limits, LinkTarget, NewToken, StoreHandle};
use lapwing_people::{HashedPassword, IDLE_S, LINK_S, MAX_PEOPLE, MAX_SESSIONS, MAX_TOKENS, Role, SESSION_S};

const NOW_S: u64 = 2_000_000;

fn store<T: TestStore>() -> (T, StoreHandle) {
    let folder = T::new();
    let handle = folder.open(Limits::default()).handle().unwrap();
    (folder, handle)
}

fn hashed(text: &str) -> HashedPassword {
    HashedPassword(text.to_owned())
}

/// Adds a person whose password is `NAME's`.
fn add(handle: &StoreHandle, name: &str, role: Role) {
    let link = [name.as_bytes()[0]; 32];
    handle.add_person(name, role, &link, "root", NOW_S).unwrap();
    handle.use_link(&link, name, &hashed(&format!("{name}'s")), NOW_S).unwrap();
}

fn sign_in(handle: &StoreHandle, name: &str, secret: u8, now_s: u64) -> bool {
    handle.open_session(name, &hashed(&format!("{name}'s")), &[secret; 32], name, now_s).unwrap()
}

fn is_signed_in(handle: &StoreHandle, secret: u8, now_s: u64) -> bool {
    handle.session(&[secret; 32], now_s).unwrap().is_some()
}

fn token<'a>(secret: &'a [u8; 32], person: &'a str, role: Role) -> NewToken<'a> {
    NewToken { secret, person, label: "backup", role, until_s: NOW_S + 1_000 }
}

pub fn the_first_person_comes_by_a_link_that_works_once<T: TestStore>() {
    let (_folder, handle) = store::<T>();
    assert!(!handle.has_people().unwrap());
    assert!(handle.add_first_link(&[1; 32], NOW_S).unwrap());
    assert!(handle.add_first_link(&[2; 32], NOW_S).unwrap());
    assert_eq!(handle.link(&[1; 32], NOW_S).unwrap(), None, "replaced by the next start");
    assert_eq!(handle.link(&[2; 32], NOW_S).unwrap(), Some(LinkTarget::First));
    assert_eq!(handle.link(&[2; 32], NOW_S + LINK_S).unwrap(), None);
    let late = handle.use_link(&[2; 32], "ann", &hashed("x"), NOW_S + LINK_S).unwrap_err().to_string();
    assert!(late.contains("this link was used or has ended"), "{late}");
    handle.use_link(&[2; 32], "ann", &hashed("x"), NOW_S + 1).unwrap();
    handle.use_link(&[2; 32], "eve", &hashed("y"), NOW_S + 2).unwrap_err();
    let ann = handle.person("ann", NOW_S).unwrap();
    assert_eq!((ann.role, ann.has_password, ann.who.as_str()), (Role::Administrator, true, "ann (link)"));
    assert_eq!(handle.password("ann").unwrap(), Some(hashed("x")));
    assert!(!handle.add_first_link(&[3; 32], NOW_S).unwrap(), "there is a person");
    assert_eq!(handle.link(&[3; 32], NOW_S).unwrap(), None);
    // The command line was faster than the link.
    handle.remove_person("ann", "root", NOW_S).unwrap();
    assert!(handle.add_first_link(&[4; 32], NOW_S).unwrap());
    handle.add_person("bob", Role::Administrator, &[5; 32], "root", NOW_S).unwrap();
    handle.use_link(&[4; 32], "eve", &hashed("y"), NOW_S).unwrap_err();
    assert!(handle.people(NOW_S).unwrap().iter().all(|person| person.name == "bob"));
}

pub fn people_are_added_changed_and_removed_but_not_the_last_administrator<T: TestStore>() {
    let (_folder, handle) = store::<T>();
    add(&handle, "ann", Role::Administrator);
    handle.add_person("ann", Role::Viewer, &[9; 32], "root", NOW_S).unwrap_err();
    handle.add_person("bob", Role::Viewer, &[9; 32], "ann", NOW_S).unwrap();
    assert_eq!(handle.link(&[9; 32], NOW_S).unwrap(), Some(LinkTarget::Person("bob".into())));
    handle.use_link(&[9; 32], "ann", &hashed("y"), NOW_S).unwrap_err();
    assert_eq!(handle.password("ann").unwrap(), Some(hashed("ann's")), "a link is for its person");
    assert_eq!((handle.password("bob").unwrap(), handle.password("eve").unwrap()), (None, None));
    for error in [
        handle.set_role("ann", Role::Operator, "ann", NOW_S).unwrap_err(),
        handle.remove_person("ann", "ann", NOW_S).unwrap_err(),
    ] {
        assert!(error.to_string().contains("`ann` is the last administrator"), "{error}");
    }
    handle.set_role("bob", Role::Administrator, "ann", NOW_S).unwrap();
    handle.set_role("ann", Role::Operator, "bob", NOW_S).unwrap();
    let roles: Vec<_> = handle.people(NOW_S).unwrap().into_iter().map(|person| (person.name, person.role)).collect();
    assert_eq!(roles, [("ann".to_owned(), Role::Operator), ("bob".to_owned(), Role::Administrator)]);
    handle.remove_person("ann", "bob", NOW_S).unwrap();
    assert!(handle.person("ann", NOW_S).unwrap_err().to_string().contains("no person `ann`"));
    handle.set_role("ann", Role::Viewer, "bob", NOW_S).unwrap_err();
    handle.reset_person("ann", &[1; 32], "bob", NOW_S).unwrap_err();
    handle.set_password("ann", &hashed("x"), "bob", NOW_S).unwrap_err();
    handle.remove_person("bob", "root", NOW_S).unwrap();
    assert!(!handle.has_people().unwrap(), "the last person may go");
    assert_eq!(handle.link(&[9; 32], NOW_S).unwrap(), None, "with the links");
}

pub fn a_session_ends_by_time_password_role_reset_and_removal<T: TestStore>() {
    let (_folder, handle) = store::<T>();
    add(&handle, "ann", Role::Administrator);
    add(&handle, "bob", Role::Viewer);
    assert!(sign_in(&handle, "bob", 1, NOW_S) && sign_in(&handle, "ann", 200, NOW_S));
    let found = handle.session(&[1; 32], NOW_S).unwrap().unwrap();
    assert_eq!((found.person.as_str(), found.role, found.used_s), ("bob", Role::Viewer, NOW_S));
    assert!(is_signed_in(&handle, 1, NOW_S + IDLE_S - 1) && !is_signed_in(&handle, 1, NOW_S + IDLE_S));
    let mut now_s = NOW_S;
    while now_s < NOW_S + SESSION_S - IDLE_S {
        now_s += IDLE_S / 2;
        handle.touch_session(&[1; 32], now_s).unwrap();
    }
    handle.touch_session(&[1; 32], NOW_S + SESSION_S - 1).unwrap();
    assert!(is_signed_in(&handle, 1, NOW_S + SESSION_S - 1) && !is_signed_in(&handle, 1, NOW_S + SESSION_S));
    let changes: [(&str, &dyn Fn()); 3] = [
        ("password", &|| handle.set_password("bob", &hashed("bob's"), "bob", NOW_S).unwrap()),
        ("role", &|| handle.set_role("bob", Role::Operator, "ann", NOW_S).unwrap()),
        ("logout", &|| [2, 3].iter().for_each(|it| handle.end_session(&[*it; 32], "bob", NOW_S).unwrap())),
    ];
    for (name, change) in changes {
        assert!(sign_in(&handle, "bob", 2, NOW_S) && sign_in(&handle, "bob", 3, NOW_S), "{name}");
        change();
        assert!(!is_signed_in(&handle, 2, NOW_S) && !is_signed_in(&handle, 3, NOW_S), "{name}");
    }
    assert!(sign_in(&handle, "bob", 2, NOW_S));
    handle.reset_person("bob", &[7; 32], "ann", NOW_S).unwrap();
    assert!(!is_signed_in(&handle, 2, NOW_S) && !sign_in(&handle, "bob", 3, NOW_S), "the old password is void");
    handle.use_link(&[7; 32], "bob", &hashed("bob's"), NOW_S).unwrap();
    assert!(sign_in(&handle, "bob", 2, NOW_S));
    handle.remove_person("bob", "ann", NOW_S).unwrap();
    assert!(!is_signed_in(&handle, 2, NOW_S) && is_signed_in(&handle, 200, NOW_S), "of others they stay");
}

pub fn a_session_begins_only_with_the_password_that_was_verified<T: TestStore>() {
    let (_folder, handle) = store::<T>();
    add(&handle, "ann", Role::Administrator);
    let open = |name: &str, text: &str| handle.open_session(name, &hashed(text), &[1; 32], name, NOW_S).unwrap();
    assert!(!open("ann", "an older one") && !open("eve", "ann's") && !is_signed_in(&handle, 1, NOW_S));
    assert!(open("ann", "ann's"));
}

pub fn the_session_that_was_used_least_recently_ends_beyond_the_limit<T: TestStore>() {
    let (_folder, handle) = store::<T>();
    add(&handle, "ann", Role::Administrator);
    let most = MAX_SESSIONS as u8;
    for secret in 1..=most {
        assert!(sign_in(&handle, "ann", secret, NOW_S + u64::from(secret)));
    }
    handle.touch_session(&[1; 32], NOW_S + 100).unwrap();
    assert!(sign_in(&handle, "ann", most + 1, NOW_S + 101));
    assert!(is_signed_in(&handle, 1, NOW_S + 101) && !is_signed_in(&handle, 2, NOW_S + 101));
    assert_eq!(handle.person("ann", NOW_S + 101).unwrap().sessions, u64::from(MAX_SESSIONS));
    assert_eq!(handle.person("ann", NOW_S + 101 + IDLE_S).unwrap().sessions, 0);
}

pub fn a_restored_store_has_no_sessions_and_no_links<T: TestStore>() {
    let (_folder, handle) = store::<T>();
    add(&handle, "ann", Role::Administrator);
    handle.add_person("bob", Role::Viewer, &[9; 32], "ann", NOW_S).unwrap();
    assert!(sign_in(&handle, "ann", 1, NOW_S));
    handle.settle_restored(7).unwrap();
    assert!(!is_signed_in(&handle, 1, NOW_S) && handle.link(&[9; 32], NOW_S).unwrap().is_none());
    assert!(sign_in(&handle, "ann", 2, NOW_S), "people and passwords are those of the backup");
}

pub fn a_token_has_the_lower_role_and_ends<T: TestStore>() {
    let (_folder, handle) = store::<T>();
    add(&handle, "ann", Role::Administrator);
    add(&handle, "bob", Role::Operator);
    let id = handle.add_api_token(&token(&[1; 32], "bob", Role::Operator), "bob", NOW_S).unwrap();
    let other = handle.add_api_token(&token(&[2; 32], "ann", Role::Viewer), "ann", NOW_S).unwrap();
    let role = |secret: u8, now_s| handle.api_token(&[secret; 32], now_s).unwrap().map(|token| token.role);
    assert_eq!((role(1, NOW_S), role(2, NOW_S), role(3, NOW_S)), (Some(Role::Operator), Some(Role::Viewer), None));
    handle.set_role("bob", Role::Viewer, "ann", NOW_S).unwrap();
    assert_eq!(role(1, NOW_S), Some(Role::Viewer), "not more than its person");
    handle.touch_api_token(id, NOW_S + 60).unwrap();
    let listed = handle.api_tokens(None, NOW_S).unwrap();
    assert_eq!(listed.iter().map(|token| (token.id, token.used_s)).collect::<Vec<_>>(), [(other, 0), (id, NOW_S + 60)]);
    assert_eq!(handle.api_tokens(Some("ann"), NOW_S).unwrap().len(), 1);
    assert_eq!((role(1, NOW_S + 999), role(1, NOW_S + 1_000)), (Some(Role::Viewer), None), "it has ended");
    handle.end_api_token(other, Some("bob"), "bob", NOW_S).unwrap_err();
    handle.end_api_token(id, Some("bob"), "bob", NOW_S).unwrap();
    let again = handle.end_api_token(id, None, "ann", NOW_S).unwrap_err().to_string();
    assert!(again.contains(&format!("no token {id}")), "{again}");
    assert_eq!(role(1, NOW_S), None, "revoked");
    let next = handle.add_api_token(&token(&[3; 32], "bob", Role::Viewer), "bob", NOW_S).unwrap();
    assert!(next > other, "numbers are not used again");
    handle.remove_person("bob", "ann", NOW_S).unwrap();
    assert_eq!((role(3, NOW_S), role(2, NOW_S)), (None, Some(Role::Viewer)));
    handle.add_api_token(&token(&[4; 32], "bob", Role::Viewer), "bob", NOW_S).unwrap_err();
}

pub fn people_and_tokens_are_limited<T: TestStore>() {
    let (folder, handle) = store::<T>();
    add(&handle, "ann", Role::Administrator);
    for secret in 0..MAX_TOKENS as u8 {
        handle.add_api_token(&token(&[secret; 32], "ann", Role::Viewer), "ann", NOW_S).unwrap();
    }
    let new = token(&[100; 32], "ann", Role::Viewer);
    let error = handle.add_api_token(&new, "ann", NOW_S).unwrap_err().to_string();
    assert!(error.contains("`ann` has 20 tokens already"), "{error}");
    // Tokens that have ended do not count, and are deleted.
    handle.add_api_token(&NewToken { until_s: NOW_S + 9_000, ..new }, "ann", NOW_S + 1_000).unwrap();
    assert_eq!(handle.api_tokens(None, 0).unwrap().len(), 1);
    let rows = (1..MAX_PEOPLE).map(|number| format!("('p{number}', 'viewer', 1, 'root')")).collect::<Vec<_>>();
    folder.execute(&format!("INSERT INTO people (name, role, created_s, who) VALUES {}", rows.join(", ")));
    let error = handle.add_person("bob", Role::Viewer, &[9; 32], "ann", NOW_S).unwrap_err().to_string();
    assert!(error.contains("1000 people already"), "{error}");
}

pub fn every_change_of_people_is_recorded<T: TestStore>() {
    let (_folder, handle) = store::<T>();
    add(&handle, "ann", Role::Administrator);
    handle.add_person("bob", Role::Viewer, &[9; 32], "ann (page)", NOW_S).unwrap();
    handle.add_person("bob", Role::Viewer, &[9; 32], "ann (page)", NOW_S).unwrap_err();
    handle.set_role("bob", Role::Operator, "ann (page)", NOW_S).unwrap();
    handle.reset_person("bob", &[8; 32], "root", NOW_S).unwrap();
    sign_in(&handle, "ann", 1, NOW_S);
    handle.end_session(&[1; 32], "ann (page)", NOW_S).unwrap();
    handle.end_session(&[1; 32], "ann (page)", NOW_S).unwrap();
    let id = handle.add_api_token(&token(&[2; 32], "ann", Role::Viewer), "ann (page)", NOW_S).unwrap();
    handle.end_api_token(id, None, "ann (page)", NOW_S).unwrap();
    handle.remove_person("bob", "ann (page)", NOW_S).unwrap();
    let filter = AuditFilter { limit: 99, ..AuditFilter::default() };
    let mut records = handle.audit(&filter).unwrap().records;
    records.reverse();
    let lines: Vec<_> =
        records.iter().map(|it| format!("{}: {} {} {}", it.who, it.action, it.object, it.detail)).collect();
    let expected = [
        "root: add-person ann administrator".to_owned(),
        "ann (link): change-password ann ".into(),
        "ann (page): add-person bob viewer".into(),
        "ann (page): change-role bob operator; before: viewer".into(),
        "root: reset-password bob ".into(),
        "ann: sign-in ann ".into(),
        "ann (page): sign-out ann ".into(),
        format!("ann (page): create-api-token api token {id} of ann, viewer: backup"),
        format!("ann (page): end-api-token api token {id} of ann"),
        "ann (page): remove-person bob operator".into(),
    ];
    assert_eq!(lines, expected);
    assert_eq!(handle.check_audit(None).unwrap().problems, Vec::<String>::new());
}
