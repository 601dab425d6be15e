//! Releases that the store knows and those that agents run → who runs which, and where each comes from.

use super::views::{AgentView, ReleaseState};
use crate::store::ReleaseLine;
use serde::Serialize;
use std::collections::HashMap;
use utoipa::ToSchema;

/// One release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReleaseView {
    /// Group that it is for.
    pub group: String,
    /// Version.
    pub version: u64,
    /// When it was made, seconds since the epoch; nothing where this trainer did not make it.
    pub made_s: Option<u64>,
    /// Why it was made, or that this trainer did not make it.
    pub origin: String,
    /// Agents that keep it.
    pub confirmed_by: u64,
    /// Agents that have it on trial.
    pub on_trial_at: u64,
    /// Agents whose newest report says that they refused it or rolled it back.
    pub failed_at: u64,
    /// Path of its model card here; nothing where there is none.
    pub card: Option<String>,
}

/// Releases that this trainer made, and those that its agents run and it did not make, newest first; `limit` at the most.
pub(super) fn releases(made: &[ReleaseLine], agents: &[AgentView], limit: usize) -> Vec<ReleaseView> {
    let mut views: HashMap<(String, u64), ReleaseView> =
        made.iter().map(|line| ((line.group.clone(), line.version), made_here(line))).collect();
    for agent in agents {
        let mut view = |version: u64, count: fn(&mut ReleaseView)| {
            if version > 0 {
                let key = (agent.group.clone(), version);
                count(views.entry(key).or_insert_with_key(|(group, version)| made_elsewhere(group, *version)));
            }
        };
        match agent.release_state {
            ReleaseState::Trial => view(agent.release, |view| view.on_trial_at += 1),
            _ => view(agent.release, |view| view.confirmed_by += 1),
        }
        if matches!(agent.release_state, ReleaseState::Refused | ReleaseState::RolledBack) {
            view(agent.update.as_ref().map_or(0, |update| update.release), |view| view.failed_at += 1);
        }
    }
    let mut views: Vec<ReleaseView> = views.into_values().collect();
    views.sort_by(|a, b| b.version.cmp(&a.version).then_with(|| a.group.cmp(&b.group)));
    views.sort_by_key(|view| std::cmp::Reverse(view.made_s));
    views.truncate(limit);
    views
}

fn made_here(line: &ReleaseLine) -> ReleaseView {
    let card = line.file.with_extension("card.html").is_file();
    ReleaseView {
        made_s: Some(line.made_s),
        origin: line.reason.clone().unwrap_or_else(|| "made by this trainer".into()),
        card: card.then(|| format!("/releases/{}/{}/card", line.group, line.version)),
        ..made_elsewhere(&line.group, line.version)
    }
}

fn made_elsewhere(group: &str, version: u64) -> ReleaseView {
    ReleaseView {
        group: group.into(),
        version,
        made_s: None,
        origin: "not made by this trainer".into(),
        confirmed_by: 0,
        on_trial_at: 0,
        failed_at: 0,
        card: None,
    }
}
