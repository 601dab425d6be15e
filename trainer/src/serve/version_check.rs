//! Versions that agents report, against those that the server knows. A server that was restored from an older state, or from
//! nothing, would otherwise make releases that agents refuse, or give two releases the same version.

use super::ReleaseDir;
use super::learner::Group;
use super::roles::Role;
use lapwing_fleet::GroupProblem;
use lapwing_store::{Counter, HighestVersion, StoreError, StoreHandle};
use std::time::{Duration, Instant};

/// Interval between two checks.
const INTERVAL: Duration = Duration::from_secs(60);

/// The last check.
#[derive(Default)]
pub(super) struct VersionCheck {
    at: Option<Instant>,
    problems: Vec<GroupProblem>,
}

/// The highest version of a group that the server knows without its agents, and what its store and agents have.
pub(super) fn known_versions(
    handle: &StoreHandle,
    group: &str,
    releases: &ReleaseDir,
) -> Result<(u64, HighestVersion), StoreError> {
    let highest = handle.highest_version(group)?;
    let on_disk = releases.versions().last().copied().unwrap_or(0);
    let floor = handle.counter(Counter::ReleaseVersionFloor)?;
    Ok((highest.stored.max(on_disk).max(floor), highest))
}

impl VersionCheck {
    /// Checks the groups' versions once a minute, and logs problems that are new.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn pass(&mut self, handle: &StoreHandle, groups: &[Group], now: Instant) -> Result<(), StoreError> {
        if self.at.is_some_and(|at| now.saturating_duration_since(at) < INTERVAL) {
            return Ok(());
        }
        self.at = Some(now);
        let mut problems = Vec::new();
        for Group { settings, releases, .. } in groups {
            let (own, highest) = known_versions(handle, &settings.group, releases)?;
            let (role, group) = (Role::Train.as_str(), settings.group.clone());
            problems.extend(problem(own, &highest).map(|problem| GroupProblem { role, group, problem }));
        }
        for GroupProblem { group, problem, .. } in problems.iter().filter(|problem| !self.problems.contains(problem)) {
            tracing::warn!(group, problem, "agents report unexpected versions");
        }
        self.problems = problems;
        Ok(())
    }

    /// What was found.
    pub(super) fn problems(&self) -> impl Iterator<Item = GroupProblem> {
        self.problems.iter().cloned()
    }
}

/// What the agents' versions show.
fn problem(own: u64, highest: &HighestVersion) -> Option<String> {
    let HighestVersion { reported, agent, ignored, .. } = highest;
    if *reported > own {
        let (agent, next) = (agent.as_deref().unwrap_or_default(), reported.saturating_add(1));
        return Some(format!(
            "agent {agent} has confirmed or reported release version {reported}, the server knows none above {own}: it was \
             restored from an older state. The next release is version {next}; older ones are refused"
        ));
    }
    (*ignored > 0).then(|| {
        format!(
            "{ignored} agents report release versions far above those of the others, which do not count for the next \
             release; check these agents with `lapwing-trainer agents`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_was_restored_from_an_older_state_is_a_problem_until_its_next_release() {
        let highest = HighestVersion { stored: 3, reported: 57, agent: Some("gw-1".into()), ignored: 0 };
        let text = problem(12, &highest).unwrap();
        assert!(text.contains("agent gw-1") && text.contains("version 57") && text.contains("above 12"), "{text}");
        assert!(text.contains("The next release is version 58"), "{text}");
        assert_eq!(problem(57, &highest), None);
        let forged = HighestVersion { reported: 3, ignored: 2, ..highest };
        assert!(problem(12, &forged).unwrap().starts_with("2 agents report"));
    }
}
