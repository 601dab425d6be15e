//! Queries → JSON: `GET /api/v1/agents`, `/alerts`, `/releases`, `/campaigns`, `/incidents`, `/groups`, `/audit`,
//! `/identities`, `/brokers`, `/process`.

use super::Shared;
use super::params::{AgentQuery, AlertQuery, AuditQuery, CampaignQuery, IdentityQuery, IncidentQuery};
use super::queries::{AgentList, AlertList, AuditList, Fleet, IdentityList, IncidentList, ReleaseList};
use super::views::brokers::BrokerList;
use super::views::campaigns::CampaignList;
use super::views::groups::GroupList;
use super::views::incidents::IncidentDetails;
use super::views::releases::ReleaseDetails;
use crate::predict::Problem;
pub(crate) use crate::request_error::RequestError;
use axum::extract::{Path, Query, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Json, Response};
use lapwing_campaigns::view::CampaignReport;
use lapwing_fleet::ProcessState;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::sync::Arc;

/// Parses a query string.
pub(crate) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, RequestError> {
    // The library's prefix does not help the reader.
    let invalid = |error: axum::extract::rejection::QueryRejection| {
        let text = error.body_text();
        RequestError::Query(text.trim_start_matches("Failed to deserialize query string: ").to_owned())
    };
    Query::try_from_uri(uri).map(|Query(parameters)| parameters).map_err(invalid)
}

pub(crate) fn fleet(shared: &Shared) -> Result<&Fleet, RequestError> {
    let missing = || RequestError::Missing("no store; start `serve` with --store FILE".into());
    shared.fleet.as_ref().ok_or_else(missing)
}

pub(crate) async fn json<T: Serialize>(answer: impl Future<Output = Result<T, RequestError>>) -> Response {
    answer.await.map_or_else(IntoResponse::into_response, |value| Json(value).into_response())
}

/// Lists agents; those with problems come first.
#[utoipa::path(
    get,
    path = "/api/v1/agents",
    params(AgentQuery),
    responses(
        (status = 200, description = "Agents.", body = AgentList),
        (status = 400, description = "A parameter is unknown or invalid.", body = Problem),
        (status = 404, description = "The server has no store.", body = Problem),
        (status = 503, description = "Too many concurrent queries; try again.", body = Problem),
    )
)]
pub(crate) async fn agents(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    json(async { Ok(fleet(&shared)?.agents(&query::<AgentQuery>(&uri)?).await?) }).await
}

/// Lists alert episodes, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/alerts",
    params(AlertQuery),
    responses(
        (status = 200, description = "Alerts.", body = AlertList),
        (status = 400, description = "A parameter is unknown or invalid.", body = Problem),
        (status = 404, description = "The server has no store.", body = Problem),
        (status = 503, description = "Too many concurrent queries; try again.", body = Problem),
    )
)]
pub(crate) async fn alerts(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    json(async { Ok(fleet(&shared)?.alerts(&query::<AlertQuery>(&uri)?).await?) }).await
}

/// Lists incidents, newest first: alerts of several sites that belong together.
#[utoipa::path(
    get,
    path = "/api/v1/incidents",
    params(IncidentQuery),
    responses(
        (status = 200, description = "Incidents.", body = IncidentList),
        (status = 400, description = "A parameter is unknown or invalid.", body = Problem),
        (status = 404, description = "The server has no store.", body = Problem),
        (status = 503, description = "Too many concurrent queries; try again.", body = Problem),
    )
)]
pub(crate) async fn incidents(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    json(async { Ok(fleet(&shared)?.incidents(&query::<IncidentQuery>(&uri)?).await?) }).await
}

/// One incident with its sites, alerts and notes.
#[utoipa::path(
    get,
    path = "/api/v1/incidents/{id}",
    params(("id" = i64, Path, description = "Number of the incident.")),
    responses(
        (status = 200, description = "The incident.", body = IncidentDetails),
        (status = 404, description = "No such incident, or the server has no store.", body = Problem),
        (status = 503, description = "Too many concurrent queries; try again.", body = Problem),
    )
)]
pub(crate) async fn incident(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    json(async { find_incident(&shared, &id).await }).await
}

/// The incident with the number in a path.
pub(crate) async fn find_incident(shared: &Shared, id: &str) -> Result<IncidentDetails, RequestError> {
    let missing = || RequestError::Missing("No such incident, or it was deleted with its alerts.".into());
    let number: i64 = id.parse().map_err(|_| missing())?;
    fleet(shared)?.incident(number).await?.ok_or_else(missing)
}

/// Lists releases, newest first, with the number of agents that run them, and drift since the newest.
#[utoipa::path(
    get,
    path = "/api/v1/releases",
    responses(
        (status = 200, description = "Releases.", body = ReleaseList),
        (status = 404, description = "The server has no store.", body = Problem),
        (status = 503, description = "Too many concurrent queries; try again.", body = Problem),
    )
)]
pub(crate) async fn releases(State(shared): State<Arc<Shared>>) -> Response {
    json(async { Ok(fleet(&shared)?.releases().await?) }).await
}

/// One release: where it is, what the gate before publication found, and its campaigns.
#[utoipa::path(
    get,
    path = "/api/v1/releases/{group}/{version}",
    params(("group" = String, Path, description = "Group."), ("version" = u64, Path, description = "Version.")),
    responses(
        (status = 200, description = "Release.", body = ReleaseDetails),
        (status = 404, description = "There is no such release, or the server has no store.", body = Problem),
        (status = 503, description = "Too many concurrent queries; try again.", body = Problem),
    )
)]
pub(crate) async fn release(
    State(shared): State<Arc<Shared>>,
    Path((group, version)): Path<(String, String)>,
) -> Response {
    let missing = || RequestError::Missing(format!("Group {group} has no release {version}."));
    json(async { fleet(&shared)?.release(&group, version.parse().map_err(|_| missing())?).await?.ok_or_else(missing) })
        .await
}

/// Lists campaigns, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/campaigns",
    params(CampaignQuery),
    responses(
        (status = 200, description = "Campaigns.", body = CampaignList),
        (status = 400, description = "A parameter is unknown or invalid.", body = Problem),
        (status = 404, description = "The server has no store.", body = Problem),
        (status = 503, description = "Too many concurrent queries; try again.", body = Problem),
    )
)]
pub(crate) async fn campaigns(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    json(async { Ok(fleet(&shared)?.campaigns(&query::<CampaignQuery>(&uri)?).await?) }).await
}

/// One campaign: waves, gates, agents and changes, in the form of `lapwing-trainer rollout status --json`.
#[utoipa::path(
    get,
    path = "/api/v1/campaigns/{id}",
    params(("id" = i64, Path, description = "Number of the campaign.")),
    responses(
        (status = 200, description = "Campaign.", body = CampaignReport),
        (status = 404, description = "There is no such campaign, or the server has no store.", body = Problem),
        (status = 503, description = "Too many concurrent queries; try again.", body = Problem),
    )
)]
pub(crate) async fn campaign(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    let missing = || RequestError::Missing(format!("There is no campaign {id}."));
    json(async { fleet(&shared)?.campaign(id.parse().map_err(|_| missing())?).await?.ok_or_else(missing) }).await
}

/// Lists the groups of agents by name.
#[utoipa::path(
    get,
    path = "/api/v1/groups",
    responses(
        (status = 200, description = "Groups that agents report, or that the trainer serves.", body = GroupList),
        (status = 404, description = "The server has no store.", body = Problem),
        (status = 503, description = "Too many concurrent queries; try again.", body = Problem),
    )
)]
pub(crate) async fn groups(State(shared): State<Arc<Shared>>) -> Response {
    json(async { Ok(fleet(&shared)?.groups().await?) }).await
}

/// Lists who changed what, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    params(AuditQuery),
    responses(
        (status = 200, description = "Entries of the audit log.", body = AuditList),
        (status = 400, description = "A parameter is unknown or invalid.", body = Problem),
        (status = 404, description = "The server has no store.", body = Problem),
        (status = 503, description = "Too many concurrent queries; try again.", body = Problem),
    )
)]
pub(crate) async fn audit(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    json(async { Ok(fleet(&shared)?.audit(&query::<AuditQuery>(&uri)?).await?) }).await
}

/// Lists the brokers that the trainer reads, in the order of its configuration.
#[utoipa::path(
    get,
    path = "/api/v1/brokers",
    responses((status = 200, description = "Links to brokers; none in a process that does not collect.", body = BrokerList))
)]
pub(crate) async fn brokers(State(shared): State<Arc<Shared>>) -> Response {
    Json(BrokerList { brokers: shared.brokers() }).into_response()
}

/// Roles of the process that answers, the leases that it holds, and its problems.
#[utoipa::path(
    get,
    path = "/api/v1/process",
    responses((status = 200, description = "Roles, leases and problems.", body = ProcessState))
)]
pub(crate) async fn process(State(shared): State<Arc<Shared>>) -> Response {
    Json(shared.process()).into_response()
}

/// Lists the identities of enrolled agents by name.
#[utoipa::path(
    get,
    path = "/api/v1/identities",
    params(IdentityQuery),
    responses(
        (status = 200, description = "Identities.", body = IdentityList),
        (status = 400, description = "A parameter is unknown or invalid.", body = Problem),
        (status = 404, description = "The server has no store.", body = Problem),
        (status = 503, description = "Too many concurrent queries; try again.", body = Problem),
    )
)]
pub(crate) async fn identities(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    json(async { Ok(fleet(&shared)?.identities(&query::<IdentityQuery>(&uri)?).await?) }).await
}
