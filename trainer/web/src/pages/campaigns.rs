//! Campaigns → their list, `/campaigns`, and a page for each, `/campaigns/ID`.

use super::filters;
use super::layout::Layout;
use super::{Fact, page, path_segment, shell_word};
use crate::Shared;
use crate::api::{RequestError, fleet, query};
use crate::params::{CampaignChoice, CampaignQuery, with_parameter};
use crate::views::campaigns::CampaignLine;
use askama::Template;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use lapwing_campaigns::figures::{number, share};
use lapwing_campaigns::history::{Change, cause};
use lapwing_campaigns::view::{CampaignReport, CampaignView, NamedAgent, StageView, WaveView};
use lapwing_common::format::{count, when};
use lapwing_fleet::campaign::gates::{Finding, Verdict};
use lapwing_fleet::campaign::{AgentStage, CampaignState, WaveState};
use lapwing_people::Permission;
use std::sync::Arc;

/// Changes on the page of a campaign; older ones are counted.
const CHANGES: usize = 50;
const NO_CAMPAIGNS: &str = "No campaigns yet. `lapwing-trainer rollout plan --version N` shows what one would do; \
                            campaigns need a rollout key (docs/rollouts.md).";

#[derive(Template)]
#[template(path = "campaigns.html")]
struct CampaignsPage {
    layout: Layout,
    group: String,
    is_open_only: bool,
    campaigns: Vec<CampaignLine>,
    empty: &'static str,
    next: Option<String>,
}

/// `/campaigns`.
pub(crate) async fn campaigns(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    page(async {
        let parameters: CampaignQuery = query(&uri)?;
        let list = fleet(&shared)?.campaigns(&parameters).await?;
        let text = uri.query().unwrap_or_default();
        let is_open_only = parameters.state == Some(CampaignChoice::Open);
        let is_filtered = is_open_only || parameters.group.is_some() || parameters.before.is_some();
        Ok(CampaignsPage {
            layout: Layout::new("Campaigns", "/campaigns", parameters.refresh(), text),
            campaigns: list.campaigns,
            empty: if is_filtered { "No campaigns match these filters." } else { NO_CAMPAIGNS },
            next: list.next.map(|next| with_parameter(text, "before", &next.to_string())),
            group: parameters.group.unwrap_or_default(),
            is_open_only,
        })
    })
    .await
}

/// One wave in the table.
struct WaveRow {
    number: usize,
    /// Agents that it includes, also in percent of the group, and those of them that are done.
    agents: u32,
    reached_percent: f64,
    done_percent: f64,
    state: &'static str,
    class: &'static str,
    times: String,
    /// Confirmed and needed agents of the current wave.
    confirmed: Option<String>,
    soak: String,
    /// Share of the soak that has passed.
    soaked: Option<f64>,
    deadline: Option<String>,
}

/// One gate in the table.
struct GateRow {
    name: &'static str,
    result: &'static str,
    class: &'static str,
    own: String,
    control: String,
    threshold: String,
    text: String,
    missing: Option<String>,
}

/// Agents in one stage.
struct StageRow {
    name: &'static str,
    class: &'static str,
    agents: String,
    named: Vec<(String, NamedAgent)>,
    more: Option<String>,
}

#[derive(Template)]
#[template(path = "campaign.html")]
struct CampaignPage {
    layout: Layout,
    version: u64,
    group: String,
    state: &'static str,
    class: &'static str,
    lead: String,
    release_href: String,
    facts: Vec<Fact>,
    waves: Vec<WaveRow>,
    stages: Vec<StageRow>,
    set_aside: Vec<(String, String)>,
    more_set_aside: usize,
    gates: Vec<GateRow>,
    gates_note: &'static str,
    /// With their times as text.
    changes: Vec<(String, Change)>,
    older_changes: usize,
    commands: Option<String>,
    /// Path and name of each action that the caller may take.
    actions: Vec<(String, &'static str)>,
}

/// `/campaigns/{id}`.
pub(crate) async fn campaign(State(shared): State<Arc<Shared>>, Path(id): Path<String>, uri: Uri) -> Response {
    page(async {
        let parameters: CampaignQuery = query(&uri)?;
        let missing = || RequestError::Missing(format!("There is no campaign {id}."));
        let report = fleet(&shared)?.campaign(id.parse().map_err(|_| missing())?).await?.ok_or_else(missing)?;
        let title = format!("Release {} of {}", report.campaign.version, report.group);
        let layout = Layout::new(&title, "/campaigns", parameters.refresh(), uri.query().unwrap_or_default());
        Ok(CampaignPage::new(layout, report))
    })
    .await
}

impl CampaignPage {
    fn new(layout: Layout, report: CampaignReport) -> Self {
        let CampaignReport { group, at_s, campaign, changes } = report;
        let older_changes = changes.len().saturating_sub(CHANGES);
        let lead = lead(&changes);
        let changes = changes.into_iter().take(CHANGES).map(|change| (when(change.at_s), change)).collect();
        let is_running = campaign.state == CampaignState::Running;
        let actions = actions(&layout, &group, campaign.state);
        Self {
            layout,
            version: campaign.version,
            state: campaign.state.as_str(),
            class: campaign_class(campaign.state),
            lead,
            release_href: release_href(&group, campaign.version),
            facts: facts(&campaign),
            waves: campaign.waves.iter().map(|wave| wave_row(&campaign, wave, at_s)).collect(),
            gates_note: if is_running { "Results now." } else { "Last results, from when the campaign ran." },
            gates: campaign.gates.iter().map(gate_row).collect(),
            commands: commands(&group, campaign.state),
            actions,
            more_set_aside: campaign.set_aside_total - campaign.set_aside.len(),
            set_aside: campaign.set_aside.into_iter().map(|agent| (agent_href(&agent), agent)).collect(),
            stages: campaign.stages.into_iter().map(stage_row).collect(),
            group,
            changes,
            older_changes,
        }
    }
}

/// Why the campaign is in its state.
fn lead(changes: &[Change]) -> String {
    let Some(change) = cause(changes) else { return "It has not been submitted.".into() };
    let by = change.who.as_ref().map(|who| format!(", by {who}")).unwrap_or_default();
    let wave = change.wave.map(|(wave, state)| format!("wave {wave} {}: ", state.as_str())).unwrap_or_default();
    format!("{} UTC{by}, {wave}{}.", when(change.at_s), change.why)
}

fn facts(campaign: &CampaignView) -> Vec<Fact> {
    let CampaignView { tally, made_by, agents, fit, last, .. } = campaign;
    let mut facts = vec![("created", format!("{} UTC by {made_by}", when(campaign.made_s)))];
    facts.extend(campaign.approved_by.as_ref().map(|who| ("approved by", who.clone())));
    if campaign.base != campaign.version {
        facts.push(("rest of the group", format!("release {}", campaign.base)));
    }
    facts.push((
        "agents",
        format!("{} take part, {} of them fit for the first waves", number_of(*agents), number_of(*fit)),
    ));
    if *last > 0 {
        facts.push(("without a rollout", format!("{}, when the campaign is completed", number_of(*last))));
    }
    facts.push((
        "agents so far",
        format!(
            "{} reached, {} tried, {} confirmed, {} on the release",
            count(tally.reached.into()),
            count(tally.tried.into()),
            count(tally.confirmed.into()),
            count(tally.on_version.into())
        ),
    ));
    facts
}

fn number_of(agents: usize) -> String {
    count(agents as u64)
}

fn wave_row(campaign: &CampaignView, wave: &WaveView, now_s: u64) -> WaveRow {
    let WaveView { number, agents, state, soak_hours, began_s, soaking_s, ended_s, deadline_s } = wave;
    let is_current = matches!(*state, "delivering" | "soaking");
    let percent = |agents: u32| f64::from(agents) / campaign.agents.max(1) as f64 * 100.0;
    let done = match *state {
        "passed" => *agents,
        "waiting" => 0,
        _ => campaign.tally.confirmed.min(*agents),
    };
    let soaked_s = soaking_s.map(|since_s| ended_s.unwrap_or(now_s).saturating_sub(since_s));
    let hours = |seconds: u64| seconds as f64 / 3_600.0;
    let soak = match soaked_s {
        _ if *soak_hours == 0 => "none".into(),
        Some(soaked_s) => format!("{:.1} of {soak_hours} h", hours(soaked_s)),
        None => format!("{soak_hours} h"),
    };
    let times = match (began_s, ended_s) {
        (Some(began_s), Some(ended_s)) => format!("{} to {}", when(*began_s), when(*ended_s)),
        (Some(began_s), None) => format!("since {}", when(*began_s)),
        (None, _) => String::new(),
    };
    WaveRow {
        number: *number,
        agents: *agents,
        reached_percent: percent(*agents).min(100.0),
        done_percent: percent(done).min(100.0),
        state,
        class: wave_class(state),
        times,
        confirmed: (is_current && campaign.state == CampaignState::Running)
            .then(|| format!("{} confirmed, {} needed", done, campaign.tally.needed)),
        soaked: soaked_s.filter(|_| *state == "soaking").map(|soaked_s| soak_share(hours(soaked_s), *soak_hours)),
        soak,
        deadline: deadline_s.filter(|_| is_current).map(when),
    }
}

fn soak_share(hours: f64, soak_hours: u32) -> f64 {
    (hours / f64::from(soak_hours.max(1))).min(1.0)
}

fn gate_row(finding: &Finding) -> GateRow {
    let none = || "–".to_owned();
    GateRow {
        name: finding.gate.as_str(),
        result: finding.verdict.as_str(),
        class: match finding.verdict {
            Verdict::Pass => "online",
            Verdict::Fail => "open",
            Verdict::Undecided(_) => "degraded",
        },
        own: share(finding.numerator, finding.denominator).unwrap_or_else(none),
        control: share(finding.control_numerator, finding.control_denominator).unwrap_or_else(none),
        threshold: number(finding.threshold),
        text: finding.text.clone(),
        missing: finding.verdict.missing().map(str::to_owned),
    }
}

fn stage_row(stage: StageView) -> StageRow {
    let StageView { stage, agents, named } = stage;
    let more = agents - named.len();
    StageRow {
        name: stage.as_str(),
        class: match stage {
            AgentStage::NotBack | AgentStage::Refused | AgentStage::RolledBack | AgentStage::Silent => "open",
            AgentStage::Confirmed | AgentStage::Back => "online",
            AgentStage::Held => "degraded",
            _ => "",
        },
        agents: number_of(agents),
        more: (more > 0 && !named.is_empty()).then(|| number_of(more)),
        named: named.into_iter().map(|named| (agent_href(&named.agent), named)).collect(),
    }
}

/// What a person can do now.
fn actions(layout: &Layout, group: &str, state: CampaignState) -> Vec<(String, &'static str)> {
    let all: &[(&str, &str, Permission)] = match state {
        CampaignState::Waiting => &[("approve", "Approve or refuse", Permission::ApproveCampaign)],
        CampaignState::Running => {
            &[("pause", "Pause", Permission::PauseCampaign), ("abort", "Abort", Permission::AbortCampaign)]
        }
        CampaignState::Paused => {
            &[("resume", "Resume", Permission::ResumeCampaign), ("abort", "Abort", Permission::AbortCampaign)]
        }
        _ => &[],
    };
    let may = all.iter().filter(|(.., needed)| layout.may(*needed));
    may.map(|(action, name, _)| (format!("/campaigns/{}/{action}", path_segment(group)), *name)).collect()
}

fn commands(group: &str, state: CampaignState) -> Option<String> {
    let actions: &[&str] = match state {
        CampaignState::Waiting => &["approve", "approve --refuse"],
        CampaignState::Running => &["pause", "abort --withdraw", "abort --stop"],
        CampaignState::Paused => &["resume", "abort --withdraw", "abort --stop"],
        _ => return None,
    };
    let command = |action: &&str| format!("lapwing-trainer rollout {action} --group {}", shell_word(group));
    Some(actions.iter().map(command).collect::<Vec<_>>().join("\n"))
}

fn agent_href(name: &str) -> String {
    format!("/agents/{}", path_segment(name))
}

/// Path of a release's page.
pub(super) fn release_href(group: &str, version: u64) -> String {
    format!("/releases/{}/{version}", path_segment(group))
}

/// Class of the mark of a campaign's state.
fn campaign_class(state: CampaignState) -> &'static str {
    match state {
        CampaignState::Running => "kind",
        CampaignState::Completed => "online",
        CampaignState::Waiting | CampaignState::Paused => "degraded",
        CampaignState::Aborting | CampaignState::Aborted => "open",
        CampaignState::Draft | CampaignState::Superseded | CampaignState::Refused => "",
    }
}

fn wave_class(state: &str) -> &'static str {
    match WaveState::parse(state) {
        Some(WaveState::Delivering | WaveState::Soaking) => "kind",
        Some(WaveState::Passed) => "online",
        Some(WaveState::Failed) => "open",
        Some(WaveState::Undecided) => "degraded",
        None => "",
    }
}

// Texts for the templates.
impl CampaignLine {
    pub(super) fn class(&self) -> &'static str {
        campaign_class(self.state)
    }

    pub(super) fn href(&self) -> String {
        format!("/campaigns/{}", self.id)
    }

    pub(super) fn reason_text(&self) -> &str {
        self.reason.as_deref().unwrap_or("–")
    }

    pub(super) fn changed(&self) -> String {
        format!("{} UTC", when(self.changed_s.unwrap_or(self.made_s)))
    }

    pub(super) fn made(&self) -> String {
        format!("{} UTC", when(self.made_s))
    }
}
