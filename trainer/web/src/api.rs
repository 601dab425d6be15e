//! Queries → JSON: `GET /api/v1/agents`, `/alerts`, `/releases`, `/groups`, `/audit`, `/identities`,
//! `/incidents`, `/brokers`, `/process`, and the OpenAPI document of the whole API.

use super::Shared;
use super::drift::{DriftColumn, DriftView};
use super::params::{AgentQuery, AlertQuery, AuditQuery, IdentityQuery, IncidentQuery};
use super::queries::{AgentList, AlertList, AuditList, Counts, Fleet, IdentityList, IncidentList, ReleaseList};
use super::store_reader::ReadError;
use super::views::agents::{AgentView, HealthView, ReleaseState, UpdateView};
use super::views::alerts::{AlertView, PeerView, ReasonView};
use super::views::brokers::BrokerList;
use super::views::campaigns::CampaignView;
use super::views::groups::{GroupList, GroupView};
use super::views::identities::IdentityView;
use super::views::incidents::{IncidentDetails, IncidentView, MemberView, NoteView, SiteView};
use super::views::releases::{ReleaseView, WaitingView};
use crate::predict::{self, Problem};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Json, Response};
use lapwing_fleet::incident::{IncidentState, Rule, Severity, Verdict};
use lapwing_fleet::{AuditRecord, BrokerLink, GroupProblem, IdentityCounts, LeaseState, ProcessState};
use lapwing_models::{Prediction, Suspicious};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::sync::Arc;
use utoipa::OpenApi;

/// The OpenAPI document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Lapwing trainer",
        description = "Lists agents, alerts and releases of the fleet, and classifies flow rows with a saved model. Read-only."
    ),
    paths(
        predict::predict,
        predict::about,
        agents,
        alerts,
        incidents,
        incident,
        releases,
        groups,
        audit,
        identities,
        brokers,
        process
    ),
    components(schemas(
        predict::Batch,
        predict::Answer,
        Prediction,
        Suspicious,
        Problem,
        predict::About,
        predict::AboutFeature,
        AgentList,
        Counts,
        AgentView,
        HealthView,
        UpdateView,
        ReleaseState,
        AlertList,
        AlertView,
        PeerView,
        ReasonView,
        ReleaseList,
        ReleaseView,
        WaitingView,
        CampaignView,
        DriftView,
        DriftColumn,
        BrokerList,
        BrokerLink,
        ProcessState,
        GroupList,
        GroupView,
        GroupProblem,
        AuditList,
        AuditRecord,
        IdentityList,
        IdentityView,
        IdentityCounts,
        IncidentList,
        IncidentView,
        IncidentDetails,
        SiteView,
        MemberView,
        NoteView,
        Rule,
        IncidentState,
        Verdict,
        Severity,
        LeaseState
    ))
)]
pub struct Document;

#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("{0}")]
    Query(String),
    /// No such agent, alert, release or page.
    #[error("{0}")]
    Missing(String),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Chart(#[from] lapwing_report::ReportError),
}

impl RequestError {
    /// HTTP status, and `code` of the JSON error.
    pub(crate) fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Query(_) => (StatusCode::BAD_REQUEST, "query"),
            Self::Missing(_) => (StatusCode::NOT_FOUND, "missing"),
            Self::Read(ReadError::Busy) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Read(_) => (StatusCode::INTERNAL_SERVER_ERROR, "store"),
            Self::Chart(_) => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
        }
    }
}

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        let (status, code) = self.status();
        if status.is_server_error() {
            tracing::warn!(error = %self, "HTTP request failed");
        }
        let problem = Problem { code: code.into(), message: self.to_string(), ..Problem::default() };
        (status, Json(problem)).into_response()
    }
}

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

async fn json<T: Serialize>(answer: impl Future<Output = Result<T, RequestError>>) -> Response {
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
