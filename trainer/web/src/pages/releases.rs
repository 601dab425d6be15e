//! Releases and drift → the release list, `/releases`, and model cards.

use super::campaigns::release_href;
use super::layout::Layout;
use super::path_segment;
use super::{Fact, MAKE_RELEASE, error_page, page, shell_word};
use crate::Shared;
use crate::api::{RequestError, fleet, query};
use crate::drift::{DriftColumn, DriftView};
use crate::params::AgentQuery;
use crate::views::campaigns::CampaignLine;
use crate::views::groups::GroupView;
use crate::views::releases::{ReleaseDetails, ReleaseView, WaitingView};
use crate::views::standing::Standing;
use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderName, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use lapwing_common::format::{count, value, when};
use lapwing_people::Permission;
use std::sync::Arc;

/// Largest model card, bytes.
const CARD_BYTES: u64 = 16 << 20;
/// A card contains its own styles; everything else is forbidden.
const CARD_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'";

#[derive(Template)]
#[template(path = "releases.html")]
struct ReleasesPage {
    layout: Layout,
    releases: Vec<ReleaseView>,
    waiting: Vec<WaitingView>,
    campaigns: Vec<CampaignLine>,
    min_rows: String,
    make_release: &'static str,
    drift: Option<DriftView>,
    /// Empty for a fleet of one group.
    groups: Vec<GroupView>,
}

/// `/releases`.
pub(crate) async fn releases(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    page(async {
        let parameters: AgentQuery = query(&uri)?;
        let list = fleet(&shared)?.releases().await?;
        let groups = fleet(&shared)?.groups().await?.groups;
        Ok(ReleasesPage {
            layout: Layout::new("Releases", "/releases", parameters.refresh(), uri.query().unwrap_or_default()),
            releases: list.releases,
            waiting: list.waiting,
            campaigns: list.campaigns,
            min_rows: count(shared.min_rows),
            make_release: MAKE_RELEASE,
            drift: list.drift,
            groups: if groups.len() > 1 { groups } else { Vec::new() },
        })
    })
    .await
}

#[derive(Template)]
#[template(path = "release.html")]
struct ReleasePage {
    layout: Layout,
    details: ReleaseDetails,
    class: &'static str,
    /// Why it was withdrawn, or stopped.
    reason: Option<String>,
    facts: Vec<Fact>,
    card: Option<String>,
    commands: String,
    /// Path on which a campaign is started.
    start: Option<String>,
}

/// `/releases/{group}/{version}`.
pub(crate) async fn release(
    State(shared): State<Arc<Shared>>,
    Path((group, version)): Path<(String, String)>,
    uri: Uri,
) -> Response {
    page(async {
        let parameters: AgentQuery = query(&uri)?;
        let missing = || RequestError::Missing(format!("Group {group} has no release {version}."));
        let details =
            fleet(&shared)?.release(&group, version.parse().map_err(|_| missing())?).await?.ok_or_else(missing)?;
        let title = format!("Release {version} of {group}");
        let layout = Layout::new(&title, "/releases", parameters.refresh(), uri.query().unwrap_or_default());
        Ok(ReleasePage::new(layout, details))
    })
    .await
}

impl ReleasePage {
    fn new(layout: Layout, details: ReleaseDetails) -> Self {
        let (made, origin) = match (&details.release, &details.held) {
            (Some(release), _) => (release.made(), release.origin.clone()),
            (None, Some(held)) => (format!("{} UTC", when(held.made_s)), held.origin.clone()),
            (None, None) => ("–".into(), "–".into()),
        };
        let mut facts = vec![("created", made), ("reason", origin)];
        facts.extend(details.release.as_ref().map(|release| ("agents", release.run_by())));
        let (group, version) = (shell_word(&details.group), details.version);
        let commands = match &details.held {
            Some(held) if held.is_waiting() => {
                let approve = format!("lapwing-trainer approve {version} --group {group}");
                format!("{approve}\n{approve} --reject")
            }
            _ if details.standing == Some(Standing::Next) => {
                format!("lapwing-trainer rollout start --version {version} --group {group}")
            }
            _ => String::new(),
        };
        let may_start = details.standing == Some(Standing::Next) && layout.may(Permission::StartCampaign);
        let start = may_start.then(|| format!("/campaigns/{}/start/{version}", path_segment(&details.group)));
        Self {
            layout,
            start,
            class: match details.standing {
                Some(Standing::Current) => "online",
                Some(Standing::Campaign) => "kind",
                Some(Standing::Withdrawn) => "open",
                None => "degraded",
                Some(Standing::Next | Standing::Replaced) => "",
            },
            reason: details.campaigns.first().and_then(|last| last.reason.clone()),
            card: details.release.as_ref().and_then(|release| release.card.clone()),
            facts,
            details,
            commands,
        }
    }

    /// Where it is, in a few words.
    fn place(&self) -> String {
        let held = self.details.held.as_ref();
        let place = self.details.place.clone();
        place.or_else(|| held.map(|held| held.state.to_owned())).unwrap_or_default()
    }
}

/// `/releases/{group}/{version}/card`: the model card stored next to the release file.
pub(crate) async fn card(State(shared): State<Arc<Shared>>, Path((group, version)): Path<(String, u64)>) -> Response {
    let card = async {
        let missing = || RequestError::Missing(format!("Release {version} of group {group} has no model card."));
        let path = fleet(&shared)?.card(&group, version).await?.ok_or_else(missing)?;
        let readable = std::fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() <= CARD_BYTES);
        if !readable {
            return Err(missing());
        }
        let text = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await;
        text.ok().and_then(Result::ok).ok_or_else(missing)
    };
    match card.await {
        Ok(text) => {
            let policy: (HeaderName, &str) = (header::CONTENT_SECURITY_POLICY, CARD_POLICY);
            ([policy], Html(text)).into_response()
        }
        Err(error) => error_page(&error),
    }
}

// Texts for the templates.
impl WaitingView {
    pub(super) fn href(&self) -> String {
        release_href(&self.group, self.version)
    }
}

impl ReleaseView {
    pub(super) fn href(&self) -> String {
        release_href(&self.group, self.version)
    }

    pub(super) fn made(&self) -> String {
        self.made_s.map_or_else(|| "–".into(), |made| format!("{} UTC", when(made)))
    }

    pub(super) fn run_by(&self) -> String {
        let mut text = format!("{} confirmed", count(self.confirmed_by));
        if self.on_trial_at > 0 {
            text += &format!(", {} on trial", count(self.on_trial_at));
        }
        if self.failed_at > 0 {
            text += &format!(", {} refused or rolled back", count(self.failed_at));
        }
        text
    }
}

impl GroupView {
    pub(super) fn agents_text(&self) -> String {
        count(self.agents)
    }

    pub(super) fn new_rows_text(&self) -> String {
        self.new_rows.map_or_else(|| "not served by this trainer".into(), count)
    }

    pub(super) fn release_text(&self) -> String {
        self.release.map_or_else(|| "none".into(), |release| release.to_string())
    }
}

impl DriftView {
    pub(super) fn measured(&self) -> String {
        when(self.measured_s)
    }

    pub(super) fn threshold_text(&self) -> String {
        self.threshold.map_or_else(String::new, value)
    }
}

impl DriftColumn {
    pub(super) fn distance(&self) -> String {
        value(self.ratio)
    }

    pub(super) fn median_before(&self) -> String {
        value(self.reference_median)
    }

    pub(super) fn median_since(&self) -> String {
        value(self.present_median)
    }
}
