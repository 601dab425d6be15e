//! Stored releases and running releases → releases with origin and number of agents.

use super::campaigns::CampaignLine;
use super::standing::Standing;
use lapwing_fleet::HeldState;
use lapwing_store::{AgentCount, HeldRelease, Release};
use serde::Serialize;
use std::collections::HashMap;
use utoipa::ToSchema;

/// A release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ReleaseView {
    /// Group.
    pub(crate) group: String,
    /// Version.
    pub(crate) version: u64,
    /// Time of creation, seconds since the epoch; null if this trainer did not create it.
    pub(crate) made_s: Option<u64>,
    /// Why it was created, or `not made by this trainer`.
    pub(crate) origin: String,
    /// Agents that run it after its trial.
    pub(crate) confirmed_by: u64,
    /// Agents that have it on trial.
    pub(crate) on_trial_at: u64,
    /// Agents that refused it or rolled it back, according to their latest update report.
    pub(crate) failed_at: u64,
    /// Where it is: the group's release, in a campaign, withdrawn, without an open campaign, or replaced by a newer one.
    pub(crate) place: String,
    /// Path of its model card on this server; null without one.
    pub(crate) card: Option<String>,
}

/// A release that the gate holds back until an operator approves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct WaitingView {
    /// Group.
    pub(crate) group: String,
    /// Version.
    pub(crate) version: u64,
    /// Time of creation, seconds since the epoch.
    pub(crate) made_s: u64,
    /// Why it was created.
    pub(crate) origin: String,
    /// Why it is held back.
    pub(crate) findings: Vec<String>,
}

impl From<HeldRelease> for WaitingView {
    fn from(held: HeldRelease) -> Self {
        let HeldRelease { group, version, made_s, reason, findings, .. } = held;
        Self { group, version, made_s, origin: reason, findings: findings.lines().map(str::to_owned).collect() }
    }
}

/// What the gate before publication found about a release that it held back, and the decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct HeldView {
    /// `waiting`, `approved`, `published`, `rejected` or `superseded`.
    pub(crate) state: &'static str,
    /// Why it was held back.
    pub(crate) findings: Vec<String>,
    /// Who decided; null while it waits.
    pub(crate) who: Option<String>,
    /// Time of creation of the release, seconds since the epoch.
    pub(crate) made_s: u64,
    /// Why the release was created.
    pub(crate) origin: String,
}

impl From<HeldRelease> for HeldView {
    fn from(held: HeldRelease) -> Self {
        let HeldRelease { made_s, reason, findings, state, who, .. } = held;
        let findings = findings.lines().map(str::to_owned).collect();
        Self { state: state.as_str(), findings, who, made_s, origin: reason }
    }
}

impl HeldView {
    pub(crate) fn is_waiting(&self) -> bool {
        self.state == HeldState::Waiting.as_str()
    }
}

/// A release and its way through the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ReleaseDetails {
    /// Group.
    pub(crate) group: String,
    /// Version.
    pub(crate) version: u64,
    /// Where it is; null if it was not published.
    pub(crate) standing: Option<Standing>,
    /// The same in words.
    pub(crate) place: Option<String>,
    /// The release; null if it was not published.
    pub(crate) release: Option<ReleaseView>,
    /// What the gate before publication found; null if it did not hold the release back.
    pub(crate) held: Option<HeldView>,
    /// Its campaigns, newest first, at most 20.
    pub(crate) campaigns: Vec<CampaignLine>,
}

/// At most `limit` releases made by this trainer or run by its agents, newest first.
pub(crate) fn list_releases(made: &[Release], agents: &[AgentCount], limit: usize) -> Vec<ReleaseView> {
    let mut views: HashMap<(String, u64), ReleaseView> =
        made.iter().map(|stored| ((stored.group.clone(), stored.version), made_here(stored))).collect();
    for AgentCount { group, release, on_trial, failed_release, agents, .. } in agents {
        let mut add = |version: u64, count: fn(&mut ReleaseView) -> &mut u64| {
            if version > 0 {
                let view = views.entry((group.clone(), version));
                *count(view.or_insert_with_key(|(group, version)| made_elsewhere(group, *version))) += agents;
            }
        };
        match on_trial {
            true => add(*release, |view| &mut view.on_trial_at),
            false => add(*release, |view| &mut view.confirmed_by),
        }
        add(*failed_release, |view| &mut view.failed_at);
    }
    let mut views: Vec<ReleaseView> = views.into_values().collect();
    views.sort_by(|a, b| b.version.cmp(&a.version).then_with(|| a.group.cmp(&b.group)));
    views.sort_by_key(|view| std::cmp::Reverse(view.made_s));
    views.truncate(limit);
    views
}

fn made_here(stored: &Release) -> ReleaseView {
    let card = stored.file.with_extension("card.html").is_file();
    ReleaseView {
        made_s: Some(stored.made_s),
        origin: stored.reason.clone().unwrap_or_else(|| "made by this trainer".into()),
        card: card.then(|| format!("/releases/{}/{}/card", stored.group, stored.version)),
        ..made_elsewhere(&stored.group, stored.version)
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
        place: String::new(),
        card: None,
    }
}
