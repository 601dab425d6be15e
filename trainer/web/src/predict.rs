//! Feature rows → predictions of a saved model: `POST /api/v1/predict` and `GET /api/v1/model`.
//!
//! Size of a request body, rows of a batch, time to receive it and concurrent batches are limited; the error states the
//! limit.

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use lapwing_models::{InferenceError, Model, Prediction, RowError, json_table};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

/// Limits of the prediction API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiLimits {
    /// Largest request body, bytes.
    pub body_bytes: usize,
    /// Most rows in a batch.
    pub rows: usize,
    /// Most rows in a batch with `explain`.
    pub explained_rows: usize,
    /// Time to receive a request body.
    pub receive: Duration,
    /// Concurrent batches; more are rejected with status 503.
    pub at_once: usize,
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self { body_bytes: 8 << 20, rows: 10_000, explained_rows: 100, receive: Duration::from_secs(30), at_once: 4 }
    }
}

/// Rows to classify.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    /// One object per row, with a value for every feature of the model; null for a missing value.
    #[schema(value_type = Vec<Object>)]
    pub(crate) rows: Vec<Map<String, serde_json::Value>>,
    /// Also return the suspicious features of each row.
    #[serde(default)]
    pub(crate) explain: bool,
}

/// Predictions for a batch.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Answer {
    /// Score above which a row is an attack.
    pub(crate) threshold: f32,
    /// SHA-256 of the training data.
    pub(crate) data_sha256: String,
    /// One per row, in the order of the rows.
    pub(crate) predictions: Vec<Prediction>,
}

/// An error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// `schema`, `json`, `body`, `too-large`, `too-slow`, `busy`, `no-model`, `query`, `missing`, `unknown` (no one has signed
    /// in), `forbidden`, `refused`, `wait`, `store` or `failed`.
    pub(crate) code: String,
    /// Description of the error, for people.
    pub(crate) message: String,
    /// Row of the batch, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) row: Option<u64>,
    /// Column of the row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<String>,
    /// Value or type that was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) found: Option<String>,
    /// Value or type that was expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected: Option<String>,
}

/// Description of the model.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct About {
    /// Method.
    pub(crate) method: String,
    /// Format of the training data.
    pub(crate) kind: String,
    /// SHA-256 of the training data.
    pub(crate) data_sha256: String,
    /// Class names; the first is benign.
    pub(crate) classes: Vec<String>,
    /// Score above which a row is an attack.
    pub(crate) threshold: f32,
    /// Features required in every row.
    pub(crate) features: Vec<AboutFeature>,
}

/// A feature of the model.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct AboutFeature {
    /// Name.
    pub(crate) name: String,
    /// `number` or `text`.
    #[serde(rename = "type")]
    pub(crate) of: String,
}

pub(crate) struct Shared {
    model: Option<Arc<Model>>,
    limits: ApiLimits,
    permits: Semaphore,
}

impl Shared {
    pub(crate) fn new(model: Option<Arc<Model>>, limits: ApiLimits) -> Self {
        Self { model, limits, permits: Semaphore::new(limits.at_once) }
    }

    fn model(&self) -> Result<&Arc<Model>, Rejection> {
        let message = "no model loaded; start `serve` with --predict-model FILE";
        self.model.as_ref().ok_or_else(|| reject(StatusCode::NOT_FOUND, "no-model", message.into()))
    }
}

type Rejection = (StatusCode, Json<Box<Problem>>);

fn reject(status: StatusCode, code: &str, message: String) -> Rejection {
    let problem = Problem { code: code.into(), message, ..Problem::default() };
    (status, Json(Box::new(problem)))
}

fn invalid_row(error: RowError) -> Rejection {
    let message = error.to_string();
    let non_empty = |text: String| (!text.is_empty()).then_some(text);
    let problem = Problem {
        code: "schema".into(),
        message,
        row: (error.row > 0).then_some(error.row),
        column: non_empty(error.column),
        found: non_empty(error.found),
        expected: non_empty(error.expected),
    };
    (StatusCode::UNPROCESSABLE_ENTITY, Json(Box::new(problem)))
}

/// Classifies a batch of rows.
#[utoipa::path(
    post,
    path = "/api/v1/predict",
    request_body = Batch,
    responses(
        (status = 200, description = "One prediction per row.", body = Answer),
        (status = 400, description = "The body is not valid JSON of this form.", body = Problem),
        (status = 404, description = "No model is loaded.", body = Problem),
        (status = 408, description = "The body did not arrive in time.", body = Problem),
        (status = 413, description = "Too many bytes or rows.", body = Problem),
        (status = 422, description = "A row does not match the model; the error names row, column, found and expected value.", body = Problem),
        (status = 503, description = "Too many concurrent batches; try again.", body = Problem),
    )
)]
pub(crate) async fn predict(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    match classify(&shared, request).await {
        Ok(answer) => Json(answer).into_response(),
        Err(rejection) => rejection.into_response(),
    }
}

async fn classify(shared: &Arc<Shared>, request: Request<Body>) -> Result<Answer, Rejection> {
    let (limits, model) = (shared.limits, Arc::clone(shared.model()?));
    let permit = shared.permits.try_acquire().map_err(|_| {
        let message = format!("{} batches are already running; try again", limits.at_once);
        reject(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
    })?;
    let batch = receive(request, limits).await?;
    // Inference uses the CPU, so it runs outside the threads that serve connections.
    let predicted = tokio::task::spawn_blocking(move || answer(&model, &batch)).await;
    drop(permit);
    let failed = |_| reject(StatusCode::INTERNAL_SERVER_ERROR, "failed", "the model failed on these rows".into());
    predicted.map_err(failed)?
}

/// Reads and parses a request body within the limits.
async fn receive(request: Request<Body>, limits: ApiLimits) -> Result<Batch, Rejection> {
    let too_slow = |_| {
        let message = format!("the body did not arrive within {} s", limits.receive.as_secs());
        reject(StatusCode::REQUEST_TIMEOUT, "too-slow", message)
    };
    let too_large = |message| reject(StatusCode::PAYLOAD_TOO_LARGE, "too-large", message);
    let body = tokio::time::timeout(limits.receive, to_bytes(request.into_body(), limits.body_bytes)).await;
    let body = body
        .map_err(too_slow)?
        .map_err(|_| too_large(format!("the body is incomplete or has more than {} bytes", limits.body_bytes)))?;
    let batch: Batch = serde_json::from_slice(&body).map_err(|error| {
        let message = format!("{error}; expected {{\"rows\": [{{\"feature\": value, …}}, …], \"explain\": false}}");
        reject(StatusCode::BAD_REQUEST, "json", message)
    })?;
    let (most, with) = if batch.explain { (limits.explained_rows, " with explain") } else { (limits.rows, "") };
    let rows = batch.rows.len();
    if rows > most {
        return Err(too_large(format!("{rows} rows, expected at most {most} in one batch{with}")));
    }
    Ok(batch)
}

fn answer(model: &Model, batch: &Batch) -> Result<Answer, Rejection> {
    let predictions = if batch.rows.is_empty() {
        Vec::new()
    } else {
        let table = json_table(model, &batch.rows).map_err(invalid_row)?;
        let failed = |error: InferenceError| reject(StatusCode::UNPROCESSABLE_ENTITY, "schema", error.to_string());
        model.predict(&table, batch.explain).map_err(failed)?
    };
    Ok(Answer { threshold: model.threshold, data_sha256: model.data_sha256.clone(), predictions })
}

/// Describes the model and the features that it needs.
#[utoipa::path(
    get,
    path = "/api/v1/model",
    responses(
        (status = 200, description = "The model.", body = About),
        (status = 404, description = "No model is loaded.", body = Problem),
    )
)]
pub(crate) async fn about(State(shared): State<Arc<Shared>>) -> Response {
    match shared.model() {
        Ok(model) => Json(About::new(model)).into_response(),
        Err(rejection) => rejection.into_response(),
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
