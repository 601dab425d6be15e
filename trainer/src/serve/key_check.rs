//! Keys with which releases are signed, against the newest root document: agents refuse what it does not allow.

use super::learner::Group;
use super::roles::Role;
use lapwing_fleet::GroupProblem;
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_shared::release::root::{Purpose, RootDocument, SignedRoot};
use lapwing_shared::release::signature::TrustedKey;
use lapwing_store::{StoreError, StoreHandle};
use std::time::{Duration, Instant};

/// Interval between two checks.
const INTERVAL: Duration = Duration::from_secs(60);
/// A key is reported this time before its end, seconds.
const WARNING_S: u64 = 60 * 86_400;

/// The last check.
#[derive(Default)]
pub(super) struct KeyCheck {
    at: Option<Instant>,
    problems: Vec<GroupProblem>,
}

impl KeyCheck {
    /// Checks the groups' keys once a minute, and logs problems that are new.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn pass(
        &mut self,
        handle: &StoreHandle,
        groups: &[Group],
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
        for settings in groups.iter().map(|group| &group.settings) {
            let (Some(root), Some(path)) = (&root, &settings.key) else { continue };
            let newest = handle.releases(&settings.group, 1)?.first().map_or(0, |release| release.version);
            // A key that cannot be read fails the training, which reports it.
            let Ok(key) = ReleaseKey::load(path).and_then(|key| key.public()) else { continue };
            let (role, group) = (Role::Train.as_str(), settings.group.clone());
            let found = problem(root, &key, &group, newest.saturating_add(1), now_s);
            problems.extend(found.map(|problem| GroupProblem { role, group, problem }));
        }
        for GroupProblem { group, problem, .. } in problems.iter().filter(|problem| !self.problems.contains(problem)) {
            tracing::warn!(group, problem, "the key that signs releases needs attention");
        }
        self.problems = problems;
        Ok(())
    }

    /// What was found.
    pub(super) fn problems(&self) -> impl Iterator<Item = GroupProblem> {
        self.problems.iter().cloned()
    }
}

/// Why agents refuse the version `next` of a group with this key, or soon will.
fn problem(root: &RootDocument, key: &TrustedKey, group: &str, next: u64, now_s: u64) -> Option<String> {
    let (id, version) = (key.id(), root.version);
    let named = root.grant(id).filter(|grant| grant.public == key.public() && grant.purpose == Purpose::Release);
    let Some(grant) = named else {
        return Some(format!("root document {version} does not have key {id} for releases; agents refuse them"));
    };
    if grant.group.as_ref().is_some_and(|own| own.as_str() != group) {
        return Some(format!("root document {version} has key {id} for another group; agents refuse its releases"));
    }
    if grant.ceiling != 0 && next > grant.ceiling {
        let ceiling = grant.ceiling;
        return Some(format!(
            "key {id} signs versions up to {ceiling}; raise it with `lapwing-trainer keys add --ceiling`"
        ));
    }
    let until_s = [grant.until_s, root.expires_s].into_iter().filter(|until_s| *until_s != 0).min()?;
    match until_s.checked_sub(now_s) {
        None | Some(0) => Some(format!("key {id} or root document {version} has ended; agents refuse new releases")),
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
        problem(&root, &key, "home", 7, NOW_S).unwrap_or_default()
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
