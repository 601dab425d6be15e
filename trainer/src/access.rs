//! Identities → the access list of a broker: what agents and the trainer may publish and read, and who is revoked.

use lapwing_fleet::{Identity, IdentityState};
use lapwing_shared::messages::topics::{Kind, ROOT};
use lapwing_shared::release::name::{NAME_RULE, parse_name};
use lapwing_store::StoreHandle;
use lapwing_store::traits::IdentityFilter;
use std::fmt::Write;

/// Identities that one query lists.
const PAGE: u32 = 1_000;
/// User name of the trainer without another choice.
pub(crate) const DEFAULT_TRAINER: &str = "_trainer";

/// A user name that no agent can have.
pub(crate) fn trainer_name(text: &str) -> Result<String, String> {
    let is_plain = |name: &str| parse_name(name).is_some();
    match text.strip_prefix('_') {
        Some(name) if is_plain(name) => Ok(text.to_owned()),
        _ => Err(format!("expected `_` and a name; {NAME_RULE}")),
    }
}

/// All identities in a state, page by page.
pub(crate) fn all_identities(handle: &StoreHandle, state: Option<IdentityState>) -> anyhow::Result<Vec<Identity>> {
    let mut all: Vec<Identity> = Vec::new();
    loop {
        let after = all.last().map(|identity| identity.name.clone());
        let page = handle.identities(&IdentityFilter { state, after, limit: PAGE, ..IdentityFilter::default() })?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// The access list. Revoked agents come first: mosquitto uses the first line that denies.
pub(crate) fn acl(revoked: &[Identity], trainer: &str, now_s: u64) -> String {
    let mut lines = String::new();
    // Writing to a String cannot fail.
    for identity in revoked.iter().filter(|identity| now_s < identity.until_s) {
        let _ = writeln!(lines, "user {}\ntopic deny #\n", identity.name);
    }
    let _ = writeln!(lines, "user {trainer}\ntopic read {ROOT}/agent/#\ntopic readwrite {ROOT}/group/#");
    let _ = writeln!(lines, "topic readwrite {ROOT}/artifact/#");
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_to_agent()) {
        let _ = writeln!(lines, "topic write {ROOT}/agent/+/{}", kind.as_str());
    }
    lines.push('\n');
    for kind in Kind::ALL {
        let access = if kind.is_to_agent() { "read" } else { "write" };
        let _ = writeln!(lines, "pattern {access} {ROOT}/agent/%u/{}", kind.as_str());
    }
    let _ = writeln!(lines, "pattern read {ROOT}/group/+/release\npattern read {ROOT}/artifact/+/+");
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revoked(name: &str, until_s: u64) -> Identity {
        Identity {
            id: 1,
            name: name.into(),
            fingerprint: [1; 32],
            group: "home".into(),
            state: IdentityState::Revoked,
            issued: 1,
            until_s,
            enrolled_s: 1,
            who: "eve".into(),
        }
    }

    #[test]
    fn revoked_agents_are_denied_until_their_certificates_end() {
        let list = acl(&[revoked("attic", 2_000), revoked("cellar", 1_000)], "_trainer", 1_000);
        assert!(list.starts_with("user attic\ntopic deny #\n"), "{list}");
        assert!(!list.contains("cellar"));
    }

    #[test]
    fn the_trainers_name_is_none_that_an_agent_can_have() {
        assert_eq!(trainer_name("_trainer").as_deref(), Ok("_trainer"));
        assert!(parse_name("_trainer").is_none());
        for name in ["lapwing-trainer", "_", "_a b", "_a\ntopic write #", ""] {
            assert!(trainer_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn an_agent_writes_its_own_topics_and_reads_releases() {
        let list = acl(&[], "_trainer", 0);
        assert_eq!(list.matches("pattern write lapwing/v1/agent/%u/").count(), Kind::ALL.len() - 2);
        for line in [
            "pattern write lapwing/v1/agent/%u/status/json",
            "pattern read lapwing/v1/agent/%u/ack",
            "pattern read lapwing/v1/agent/%u/identity/set",
        ] {
            assert!(list.lines().any(|found| found == line), "{list}");
        }
        assert!(list.contains("pattern read lapwing/v1/group/+/release\n"));
    }
}
