//! Keys with which releases and rollouts are signed, against the newest root document: agents refuse what it does not allow.

use super::roles::Role;
use lapwing_fleet::GroupProblem;
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_shared::release::root::{Purpose, RootDocument, SignedRoot};
use lapwing_shared::release::signature::TrustedKey;
use lapwing_store::{StoreError, StoreHandle};
use std::path::Path;
use std::time::{Duration, Instant};

/// Interval between two checks.
const INTERVAL: Duration = Duration::from_secs(60);
/// A key is reported this time before its end, seconds.
const WARNING_S: u64 = 60 * 86_400;

/// A key that a group uses.
#[derive(Clone, Copy)]
pub(super) struct KeyOf<'a> {
    pub(super) group: &'a str,
    pub(super) path: &'a Path,
}

/// The last check.
pub(super) struct KeyCheck {
    role: Role,
    purpose: Purpose,
    at: Option<Instant>,
    problems: Vec<GroupProblem>,
}

impl KeyCheck {
    /// Of keys for this purpose, which the role uses.
    pub(super) fn new(role: Role, purpose: Purpose) -> Self {
        Self { role, purpose, at: None, problems: Vec::new() }
    }

    /// Checks the groups' keys once a minute, and logs problems that are new.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn pass<'a>(
        &mut self,
        handle: &StoreHandle,
        keys: impl IntoIterator<Item = KeyOf<'a>>,
        now_s: u64,
        now: Instant,
    ) -> Result<(), StoreError> {
        if self.at.is_some_and(|at| now.saturating_duration_since(at) < INTERVAL) {
            return Ok(());
        }
        self.at = Some(now);
        let root = handle.newest_root()?;
        let root = root.and_then(|root| SignedRoot::decode(&root.bytes).ok()?.first_trusted().ok());
        let mut problems = Vec::new();
        for KeyOf { group, path } in keys {
            let Some(root) = &root else { continue };
            let newest = handle.releases(group, 1)?.first().map_or(0, |release| release.version);
            // A key that cannot be read fails what needs it, which reports it.
            let Ok(key) = ReleaseKey::load(path).and_then(|key| key.public()) else { continue };
            let next = if self.purpose == Purpose::Release { newest.saturating_add(1) } else { newest };
            let found = problem(root, &key, &Use { purpose: self.purpose, group, next }, now_s);
            let (role, group) = (self.role.as_str(), group.to_owned());
            problems.extend(found.map(|problem| GroupProblem { role, group, problem }));
        }
        for GroupProblem { group, problem, .. } in problems.iter().filter(|problem| !self.problems.contains(problem)) {
            let purpose = self.purpose;
            tracing::warn!(group, problem, %purpose, "a key needs attention");
        }
        self.problems = problems;
        Ok(())
    }

    /// What was found.
    pub(super) fn problems(&self) -> impl Iterator<Item = GroupProblem> {
        self.problems.iter().cloned()
    }
}

/// What a key signs.
struct Use<'a> {
    purpose: Purpose,
    group: &'a str,
    /// Highest version that it signs or names next.
    next: u64,
}

/// Why agents refuse what a key signs, or soon will.
fn problem(root: &RootDocument, key: &TrustedKey, used: &Use<'_>, now_s: u64) -> Option<String> {
    let (id, version, signed) = (key.id(), root.version, used.purpose);
    let named = root.grant(id).filter(|grant| grant.public == key.public() && grant.purpose == used.purpose);
    let Some(grant) = named else {
        return Some(format!("root document {version} does not have key {id} for {signed}; agents refuse them"));
    };
    if grant.group.as_ref().is_some_and(|own| own.as_str() != used.group) {
        return Some(format!("root document {version} has key {id} for another group; agents refuse its {signed}"));
    }
    if grant.ceiling != 0 && used.next > grant.ceiling {
        let ceiling = grant.ceiling;
        return Some(format!(
            "key {id} signs versions up to {ceiling}; raise it with `lapwing-trainer keys add --ceiling`"
        ));
    }
    let until_s = [grant.until_s, root.expires_s].into_iter().filter(|until_s| *until_s != 0).min()?;
    match until_s.checked_sub(now_s) {
        None | Some(0) => Some(format!("key {id} or root document {version} has ended; agents refuse new {signed}")),
        Some(left_s) if left_s < WARNING_S => {
            Some(format!("key {id} or root document {version} ends in {} days", left_s / 86_400))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::release::testing::{root, trusted};

    const NOW_S: u64 = 1_750_000_000;

    fn found(change: impl FnOnce(&mut RootDocument)) -> String {
        let mut root = root(4);
        change(&mut root);
        let key = trusted("k1", 1).iter().next().unwrap().clone();
        problem(&root, &key, &Use { purpose: Purpose::Release, group: "home", next: 7 }, NOW_S).unwrap_or_default()
    }

    #[test]
    fn a_key_for_rollouts_needs_that_purpose() {
        let mut root = root(4);
        let key = trusted("k1", 1).iter().next().unwrap().clone();
        let used = Use { purpose: Purpose::Rollout, group: "home", next: 7 };
        let error = problem(&root, &key, &used, NOW_S).unwrap();
        assert_eq!(error, "root document 4 does not have key k1 for rollouts; agents refuse them");
        root.keys[0].purpose = Purpose::Rollout;
        assert_eq!(problem(&root, &key, &used, NOW_S), None);
        root.keys[0].group = Some("work".try_into().unwrap());
        assert!(problem(&root, &key, &used, NOW_S).unwrap().contains("another group; agents refuse its rollouts"));
    }

    #[test]
    fn a_key_that_agents_refuse_or_soon_will_is_named() {
        assert_eq!(found(|_| ()), "");
        assert!(found(|root| root.keys.clear()).contains("root document 4 does not have key k1"));
        assert!(found(|root| root.keys[0].public = [7; 32]).contains("does not have key k1"));
        assert!(found(|root| root.keys[0].purpose = Purpose::Rollout).contains("for releases"));
        assert!(found(|root| root.keys[0].group = Some("work".try_into().unwrap())).contains("another group"));
        assert!(found(|root| root.keys[0].ceiling = 6).contains("up to 6"));
        assert_eq!(found(|root| root.keys[0].ceiling = 7), "");
        assert!(found(|root| root.keys[0].until_s = NOW_S).contains("has ended"));
        assert!(found(|root| root.expires_s = NOW_S + 59 * 86_400).contains("ends in 59 days"));
        assert_eq!(found(|root| root.expires_s = NOW_S + 60 * 86_400), "");
    }
}
