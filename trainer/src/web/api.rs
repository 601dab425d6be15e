//! `GET /api/v1/agents`, `/alerts`, `/releases`: what the pages show, as JSON; and the document of the whole API.

use super::Shared;
use super::drift::{DriftColumn, DriftView};
use super::fleet::{AgentList, AlertList, Counts, Fleet, ReleaseList};
use super::query::{AgentQuery, AlertQuery};
use super::reader::ReadError;
use super::releases::ReleaseView;
use super::views::{AgentView, AlertView, HealthView, PeerView, ReasonView, ReleaseState, UpdateView};
use crate::predict::api as predict;
use crate::predict::api::Problem;
use crate::predict::{Prediction, Suspicious};
use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Json, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::sync::Arc;
use utoipa::OpenApi;

/// The document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Lapwing trainer",
        description = "Shows the fleet, and judges flow rows with a saved model. It changes nothing."
    ),
    paths(predict::predict, predict::about, agents, alerts, releases),
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
        DriftView,
        DriftColumn
    ))
)]
pub struct Document;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The query string.
    #[error("{0}")]
    Query(String),
    /// Nothing of that name.
    #[error("{0}")]
    Missing(String),
    /// The store.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A page.
    #[error(transparent)]
    Page(#[from] lapwing_report::ReportError),
}

impl Refusal {
    /// Status and short word.
    pub(super) fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Query(_) => (StatusCode::BAD_REQUEST, "query"),
            Self::Missing(_) => (StatusCode::NOT_FOUND, "missing"),
            Self::Read(ReadError::Busy) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Read(_) => (StatusCode::INTERNAL_SERVER_ERROR, "store"),
            Self::Page(_) => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code) = self.status();
        if status.is_server_error() {
            tracing::warn!(error = %self, "a question over HTTP has no answer");
        }
        let problem = Problem { code: code.into(), message: self.to_string(), ..Problem::default() };
        (status, Json(problem)).into_response()
    }
}

/// Reads a query string.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Refusal> {
    // The library's own word adds nothing that a person could use.
    let wrong = |error: axum::extract::rejection::QueryRejection| {
        let told = error.body_text();
        Refusal::Query(told.trim_start_matches("Failed to deserialize query string: ").to_owned())
    };
    Query::try_from_uri(uri).map(|Query(found)| found).map_err(wrong)
}

/// The fleet, where this server has a store.
pub(super) fn fleet(shared: &Shared) -> Result<&Fleet, Refusal> {
    let missing = || Refusal::Missing("this server has no store; start serve with --store FILE to see a fleet".into());
    shared.fleet.as_ref().ok_or_else(missing)
}

async fn json<T: Serialize>(answer: impl Future<Output = Result<T, Refusal>>) -> Response {
    answer.await.map_or_else(IntoResponse::into_response, |found| Json(found).into_response())
}

/// Lists agents, the most troubling first.
#[utoipa::path(
    get,
    path = "/api/v1/agents",
    params(AgentQuery),
    responses(
        (status = 200, description = "Agents.", body = AgentList),
        (status = 400, description = "A parameter is unknown or wrong.", body = Problem),
        (status = 404, description = "This server has no store.", body = Problem),
        (status = 503, description = "Too many questions at once; try again.", body = Problem),
    )
)]
pub(super) async fn agents(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    json(async { Ok(fleet(&shared)?.agents(&query::<AgentQuery>(&uri)?).await?) }).await
}

/// Lists alert episodes, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/alerts",
    params(AlertQuery),
    responses(
        (status = 200, description = "Alerts.", body = AlertList),
        (status = 400, description = "A parameter is unknown or wrong.", body = Problem),
        (status = 404, description = "This server has no store.", body = Problem),
        (status = 503, description = "Too many questions at once; try again.", body = Problem),
    )
)]
pub(super) async fn alerts(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    json(async { Ok(fleet(&shared)?.alerts(&query::<AlertQuery>(&uri)?).await?) }).await
}

/// Lists releases, newest first, with who runs them, and drift since the newest.
#[utoipa::path(
    get,
    path = "/api/v1/releases",
    responses(
        (status = 200, description = "Releases.", body = ReleaseList),
        (status = 404, description = "This server has no store.", body = Problem),
        (status = 503, description = "Too many questions at once; try again.", body = Problem),
    )
)]
pub(super) async fn releases(State(shared): State<Arc<Shared>>) -> Response {
    json(async { Ok(fleet(&shared)?.releases().await?) }).await
}
