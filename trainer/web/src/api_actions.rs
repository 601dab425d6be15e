//! Actions of the API: what pages do with forms, with JSON. Each needs an API token.

pub(crate) mod people;

use crate::Shared;
use crate::access::Known;
use crate::actions::{self, decide_identity};
use crate::api::{RequestError, fleet, json, query};
use crate::campaign_actions::{self, CampaignAction, Wanted, decide_campaign};
use crate::forms::json_body;
use crate::pages::alerts::parse_label;
use crate::params::ExportQuery;
use crate::predict::Problem;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use lapwing_campaigns::decisions::Reach;
use lapwing_fleet::{AuditRecord, IdentityState, export_line};
use lapwing_shared::release::digest::Hex;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Lines of an export, at most.
pub(crate) const EXPORTED: u32 = 10_000;

/// A label of an alert.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LabelBody {
    /// `benign` or `attack`.
    pub(crate) label: String,
}

/// The identity that a decision is about.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentityBody {
    /// Its whole fingerprint, as listed.
    pub(crate) fingerprint: String,
}

/// A decision about a campaign.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecisionBody {
    /// `pause`, `resume`, `approve`, `refuse`, `withdraw` or `stop`, as the route allows.
    pub(crate) decision: String,
}

/// What a decision was about.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DecisionView {
    /// Number of the campaign.
    id: i64,
    /// Its release.
    version: u64,
    /// The release that agents go back to.
    base: u64,
    /// Agents that ran its release.
    running: usize,
    /// Those of them that were offline.
    offline: usize,
}

/// A campaign to start.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartBody {
    /// Version of the release.
    pub(crate) version: u64,
    /// End the group's open campaign. Default: false.
    #[serde(default)]
    pub(crate) supersede: bool,
}

/// A campaign that was started, or waits for approval.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StartView {
    /// Its number.
    id: i64,
}

/// What a check of the audit log found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditCheckView {
    /// Stored entries.
    entries: u64,
    /// Number of the oldest one, 0 without entries.
    oldest: u64,
    /// Number of the newest one.
    newest: u64,
    /// Its hash: keep it elsewhere and look for it later.
    sha256: String,
    /// What was changed or removed; empty if nothing was.
    problems: Vec<String>,
}

fn done(result: Result<(), RequestError>) -> Response {
    result.map_or_else(IntoResponse::into_response, |()| StatusCode::NO_CONTENT.into_response())
}

/// Labels an alert.
#[utoipa::path(
    post,
    path = "/api/v1/alerts/{agent}/{episode}/label",
    params(("agent" = String, Path, description = "Name of the agent."), ("episode" = u64, Path, description = "Number of the episode.")),
    request_body = LabelBody,
    security(("token" = [])),
    responses(
        (status = 204, description = "The alert is labelled."),
        (status = 400, description = "The body is invalid.", body = Problem),
        (status = 403, description = "Needs the role operator.", body = Problem),
        (status = 404, description = "No such alert.", body = Problem),
    )
)]
pub(crate) async fn label(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    Path(place): Path<(String, u64)>,
    request: Request<Body>,
) -> Response {
    let work = async {
        let LabelBody { label } = json_body(request).await?;
        actions::label(&shared, &known, place, parse_label(&label)?).await
    };
    done(work.await)
}

async fn decide(
    shared: &Shared,
    known: &Known,
    name: String,
    state: IdentityState,
    request: Request<Body>,
) -> Response {
    let work = async {
        let IdentityBody { fingerprint } = json_body(request).await?;
        decide_identity(shared, known, (name, fingerprint), state).await
    };
    done(work.await)
}

/// Accepts an agent that waits.
#[utoipa::path(
    post,
    path = "/api/v1/identities/{name}/accept",
    params(("name" = String, Path, description = "Name of the agent.")),
    request_body = IdentityBody,
    security(("token" = [])),
    responses(
        (status = 204, description = "The agent is accepted."),
        (status = 400, description = "The body is invalid.", body = Problem),
        (status = 403, description = "Needs the role administrator.", body = Problem),
        (status = 404, description = "No such identity.", body = Problem),
        (status = 409, description = "The identity has another key or state.", body = Problem),
    )
)]
pub(crate) async fn accept(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Response {
    decide(&shared, &known, name, IdentityState::Accepted, request).await
}

/// Revokes an identity, for good.
#[utoipa::path(
    post,
    path = "/api/v1/identities/{name}/revoke",
    params(("name" = String, Path, description = "Name of the agent.")),
    request_body = IdentityBody,
    security(("token" = [])),
    responses(
        (status = 204, description = "The identity is revoked."),
        (status = 400, description = "The body is invalid.", body = Problem),
        (status = 403, description = "Needs the role administrator.", body = Problem),
        (status = 404, description = "No such identity.", body = Problem),
        (status = 409, description = "The identity has another key or state.", body = Problem),
    )
)]
pub(crate) async fn revoke(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Response {
    decide(&shared, &known, name, IdentityState::Revoked, request).await
}

async fn decide_about(
    shared: &Shared,
    known: &Known,
    group: String,
    action: CampaignAction,
    request: Request<Body>,
) -> Response {
    json(async {
        let DecisionBody { decision } = json_body(request).await?;
        let reach = decide_campaign(shared, known, (group, action.parse(&decision)?), None).await?;
        let Reach { id, version, base, running, offline, .. } = reach;
        Ok(DecisionView { id, version, base, running, offline })
    })
    .await
}

/// Lets no other agent begin; `decision` is `pause`.
#[utoipa::path(
    post,
    path = "/api/v1/campaigns/{group}/pause",
    params(("group" = String, Path, description = "Group.")),
    request_body = DecisionBody,
    security(("token" = [])),
    responses(
        (status = 200, description = "What the decision was about.", body = DecisionView),
        (status = 400, description = "The body is invalid.", body = Problem),
        (status = 403, description = "Needs the role operator.", body = Problem),
        (status = 404, description = "The group has no open campaign.", body = Problem),
        (status = 409, description = "The campaign does not allow it.", body = Problem),
    )
)]
pub(crate) async fn pause_campaign(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    Path(group): Path<String>,
    request: Request<Body>,
) -> Response {
    decide_about(&shared, &known, group, CampaignAction::Pause, request).await
}

/// Continues a paused campaign; `decision` is `resume`.
#[utoipa::path(
    post,
    path = "/api/v1/campaigns/{group}/resume",
    params(("group" = String, Path, description = "Group.")),
    request_body = DecisionBody,
    security(("token" = [])),
    responses(
        (status = 200, description = "What the decision was about.", body = DecisionView),
        (status = 400, description = "The body is invalid.", body = Problem),
        (status = 403, description = "Needs the role administrator.", body = Problem),
        (status = 404, description = "The group has no open campaign.", body = Problem),
        (status = 409, description = "The campaign does not allow it.", body = Problem),
    )
)]
pub(crate) async fn resume_campaign(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    Path(group): Path<String>,
    request: Request<Body>,
) -> Response {
    decide_about(&shared, &known, group, CampaignAction::Resume, request).await
}

/// Approves a campaign that waits, or refuses it; `decision` is `approve` or `refuse`.
#[utoipa::path(
    post,
    path = "/api/v1/campaigns/{group}/approve",
    params(("group" = String, Path, description = "Group.")),
    request_body = DecisionBody,
    security(("token" = [])),
    responses(
        (status = 200, description = "What the decision was about.", body = DecisionView),
        (status = 400, description = "The body is invalid.", body = Problem),
        (status = 403, description = "Needs the role administrator.", body = Problem),
        (status = 404, description = "The group has no open campaign.", body = Problem),
        (status = 409, description = "The campaign does not allow it.", body = Problem),
    )
)]
pub(crate) async fn approve_campaign(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    Path(group): Path<String>,
    request: Request<Body>,
) -> Response {
    decide_about(&shared, &known, group, CampaignAction::Approve, request).await
}

/// Ends a campaign; `decision` is `withdraw` (agents go back) or `stop` (agents keep the release).
#[utoipa::path(
    post,
    path = "/api/v1/campaigns/{group}/abort",
    params(("group" = String, Path, description = "Group.")),
    request_body = DecisionBody,
    security(("token" = [])),
    responses(
        (status = 200, description = "What the decision was about.", body = DecisionView),
        (status = 400, description = "The body is invalid.", body = Problem),
        (status = 403, description = "Needs the role operator.", body = Problem),
        (status = 404, description = "The group has no open campaign.", body = Problem),
        (status = 409, description = "The campaign does not allow it.", body = Problem),
    )
)]
pub(crate) async fn abort_campaign(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    Path(group): Path<String>,
    request: Request<Body>,
) -> Response {
    decide_about(&shared, &known, group, CampaignAction::Abort, request).await
}

/// Starts a campaign with the plan of the group's configuration.
#[utoipa::path(
    post,
    path = "/api/v1/campaigns/{group}/start",
    params(("group" = String, Path, description = "Group.")),
    request_body = StartBody,
    security(("token" = [])),
    responses(
        (status = 200, description = "The campaign.", body = StartView),
        (status = 400, description = "The body is invalid.", body = Problem),
        (status = 403, description = "Needs the role administrator.", body = Problem),
        (status = 404, description = "The group has no such release.", body = Problem),
        (status = 409, description = "The campaign is not possible.", body = Problem),
    )
)]
pub(crate) async fn start_campaign(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    Path(group): Path<String>,
    request: Request<Body>,
) -> Response {
    json(async {
        let StartBody { version, supersede } = json_body(request).await?;
        let id = campaign_actions::start_campaign(&shared, &known, Wanted { group, version, supersede }).await?;
        Ok(StartView { id })
    })
    .await
}

fn lines(records: &[AuditRecord]) -> Result<String, RequestError> {
    let line = |record| export_line(record).map_err(|error| RequestError::Refused(error.to_string()));
    records.iter().map(|record| Ok(line(record)? + "\n")).collect()
}

/// Exports at most 10,000 entries of the audit log, oldest first, one JSON object a line, each with its hash.
#[utoipa::path(
    get,
    path = "/api/v1/audit/export",
    params(ExportQuery),
    security(("token" = [])),
    responses(
        (status = 200, description = "Entries; fewer than 10,000 are the last ones.", body = String, content_type = "application/x-ndjson"),
        (status = 400, description = "A parameter is unknown or invalid.", body = Problem),
        (status = 404, description = "The server has no store.", body = Problem),
    )
)]
pub(crate) async fn export(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    let work = async {
        let ExportQuery { after } = query(&uri)?;
        lines(&fleet(&shared)?.audit_after(after.unwrap_or(0), EXPORTED).await?)
    };
    match work.await {
        Ok(text) => ([(header::CONTENT_TYPE, "application/x-ndjson")], text).into_response(),
        Err(error) => error.json(),
    }
}

/// Checks that no entry of the audit log was changed or removed.
#[utoipa::path(
    get,
    path = "/api/v1/audit/verify",
    security(("token" = [])),
    responses(
        (status = 200, description = "What the check found.", body = AuditCheckView),
        (status = 404, description = "The server has no store.", body = Problem),
    )
)]
pub(crate) async fn verify(State(shared): State<Arc<Shared>>) -> Response {
    json(async {
        let found = fleet(&shared)?.check_audit().await?;
        let (entries, oldest, newest) = (found.entries, found.oldest, found.newest);
        let (sha256, problems) = (Hex(&newest.sha256).to_string(), found.problems);
        Ok(AuditCheckView { entries, oldest, newest: newest.number, sha256, problems })
    })
    .await
}
