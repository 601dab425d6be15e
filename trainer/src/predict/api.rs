//! `POST /api/v1/predict` and `GET /api/v1/model`: the part of the HTTP API that judges rows with a saved model.
//!
//! Bounded: octets of a body, rows of a batch, time to receive it, batches at once. What is over a bound is refused with
//! its limit, and a client may come again.

use super::answer::Prediction;
use super::model::Model;
use super::rows::{RowError, json_table};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

/// Bounds of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiLimits {
    /// Largest body, bytes.
    pub body_bytes: usize,
    /// Most rows of one batch.
    pub rows: usize,
    /// Most rows of one batch whose suspicious features are named.
    pub explained_rows: usize,
    /// Time to receive a body.
    pub receive: Duration,
    /// Batches received or judged at once; more are refused with 503.
    pub at_once: usize,
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self { body_bytes: 8 << 20, rows: 10_000, explained_rows: 100, receive: Duration::from_secs(30), at_once: 4 }
    }
}

/// Rows to judge.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// One object a row: a value for every feature of the model; null where it is missing.
    #[schema(value_type = Vec<Object>)]
    pub rows: Vec<Map<String, serde_json::Value>>,
    /// Name the suspicious features of each row.
    #[serde(default)]
    pub explain: bool,
}

/// Answers to a batch, in its order.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Answer {
    /// Score over which a row is an attack.
    pub threshold: f32,
    /// Digest of the data that the model learned from.
    pub data_sha256: String,
    /// One for each row.
    pub predictions: Vec<Prediction>,
}

/// Why there is no answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// `schema`, `json`, `too-large`, `too-slow`, `busy`, `no-model`, `query`, `missing`, `store` or `failed`.
    pub code: String,
    /// For people.
    pub message: String,
    /// Row of the batch, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    /// Column of that row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
}

/// What the model is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct About {
    /// Method.
    pub method: String,
    /// Kind of the files that it learned from.
    pub kind: String,
    /// Their digest.
    pub data_sha256: String,
    /// Class names; the first is benign.
    pub classes: Vec<String>,
    /// Score over which a row is an attack.
    pub threshold: f32,
    /// Features that every row must have.
    pub features: Vec<AboutFeature>,
}

/// One feature.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AboutFeature {
    /// Name.
    pub name: String,
    /// `number` or `text`.
    #[serde(rename = "type")]
    pub of: String,
}

pub(crate) struct Shared {
    /// Nothing where the server was started without one.
    model: Option<Arc<Model>>,
    limits: ApiLimits,
    places: Semaphore,
}

/// Routes of this part.
pub(crate) fn router(model: Option<Arc<Model>>, limits: ApiLimits) -> Router {
    let shared = Arc::new(Shared { model, limits, places: Semaphore::new(limits.at_once) });
    Router::new().route("/api/v1/predict", post(predict)).route("/api/v1/model", get(about)).with_state(shared)
}

impl Shared {
    fn model(&self) -> Result<&Arc<Model>, Refusal> {
        let told = "this server has no model; start serve with --predict-model FILE";
        self.model.as_ref().ok_or_else(|| refuse(StatusCode::NOT_FOUND, "no-model", told.into()))
    }
}

type Refusal = (StatusCode, Json<Box<Problem>>);

fn refuse(status: StatusCode, code: &str, message: String) -> Refusal {
    let problem = Problem { code: code.into(), message, ..Problem::default() };
    (status, Json(Box::new(problem)))
}

fn wrong_row(error: RowError) -> Refusal {
    let message = error.to_string();
    let known = |text: String| (!text.is_empty()).then_some(text);
    let problem = Problem {
        code: "schema".into(),
        message,
        row: (error.row > 0).then_some(error.row),
        column: known(error.column),
        found: known(error.found),
        expected: known(error.expected),
    };
    (StatusCode::UNPROCESSABLE_ENTITY, Json(Box::new(problem)))
}

/// Judges a batch of rows.
#[utoipa::path(
    post,
    path = "/api/v1/predict",
    request_body = Batch,
    responses(
        (status = 200, description = "One prediction for each row.", body = Answer),
        (status = 400, description = "The body is no such JSON.", body = Problem),
        (status = 404, description = "This server has no model.", body = Problem),
        (status = 408, description = "The body came too slowly.", body = Problem),
        (status = 413, description = "Too many bytes or rows.", body = Problem),
        (status = 422, description = "A row does not fit the model: which, where, what was expected.", body = Problem),
        (status = 503, description = "Too many batches at once; try again.", body = Problem),
    )
)]
pub(crate) async fn predict(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    match judged(&shared, request).await {
        Ok(answer) => Json(answer).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

async fn judged(shared: &Arc<Shared>, request: Request<Body>) -> Result<Answer, Refusal> {
    let (limits, model) = (shared.limits, Arc::clone(shared.model()?));
    let place = shared.places.try_acquire().map_err(|_| {
        let told = format!("{} batches are under way, the most at once; try again", limits.at_once);
        refuse(StatusCode::SERVICE_UNAVAILABLE, "busy", told)
    })?;
    let body = tokio::time::timeout(limits.receive, to_bytes(request.into_body(), limits.body_bytes)).await;
    let too_slow = |_| {
        let told = format!("the body did not arrive within {} s", limits.receive.as_secs());
        refuse(StatusCode::REQUEST_TIMEOUT, "too-slow", told)
    };
    let too_large = |_| {
        let told = format!("the body broke off or has more than {} bytes", limits.body_bytes);
        refuse(StatusCode::PAYLOAD_TOO_LARGE, "too-large", told)
    };
    let body = body.map_err(too_slow)?.map_err(too_large)?;
    let batch: Batch = serde_json::from_slice(&body).map_err(|error| {
        let told = format!("{error}; expected {{\"rows\": [{{\"feature\": value, …}}, …], \"explain\": false}}");
        refuse(StatusCode::BAD_REQUEST, "json", told)
    })?;
    let most = if batch.explain { limits.explained_rows } else { limits.rows };
    if batch.rows.len() > most {
        let told = format!(
            "{} rows, at most {most} in one batch{}",
            batch.rows.len(),
            if batch.explain { " to explain" } else { "" }
        );
        return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, "too-large", told));
    }
    // Judging takes the processor, so it leaves the threads that serve connections alone.
    let worked = tokio::task::spawn_blocking(move || answer(&model, &batch)).await;
    drop(place);
    worked.map_err(|_| refuse(StatusCode::INTERNAL_SERVER_ERROR, "failed", "the model failed on these rows".into()))?
}

fn answer(model: &Model, batch: &Batch) -> Result<Answer, Refusal> {
    let predictions = if batch.rows.is_empty() {
        Vec::new()
    } else {
        let table = json_table(model, &batch.rows).map_err(wrong_row)?;
        let failed = |error: crate::evaluate::EvaluateError| {
            refuse(StatusCode::UNPROCESSABLE_ENTITY, "schema", error.to_string())
        };
        model.predict(&table, batch.explain).map_err(failed)?
    };
    Ok(Answer { threshold: model.threshold, data_sha256: model.data_sha256.clone(), predictions })
}

/// Says what the model is and which features it needs.
#[utoipa::path(
    get,
    path = "/api/v1/model",
    responses(
        (status = 200, description = "The model.", body = About),
        (status = 404, description = "This server has no model.", body = Problem),
    )
)]
pub(crate) async fn about(State(shared): State<Arc<Shared>>) -> Response {
    match shared.model() {
        Ok(model) => Json(About::new(model)).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

impl About {
    fn new(model: &Model) -> Self {
        let feature = |(name, number): &(&str, bool)| AboutFeature {
            name: (*name).into(),
            of: if *number { "number" } else { "text" }.into(),
        };
        Self {
            method: model.plan.method.to_string(),
            kind: model.kind.clone(),
            data_sha256: model.data_sha256.clone(),
            classes: model.classes.clone(),
            threshold: model.threshold,
            features: model.encoder.needs().iter().map(feature).collect(),
        }
    }
}
