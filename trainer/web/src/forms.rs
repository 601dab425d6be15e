//! Body of a request → a form, or JSON, within limits.

use crate::api::RequestError;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::timeout;

/// Longest body of an action, bytes.
pub(crate) const BODY_BYTES: usize = 16 << 10;
/// Time to receive it.
const RECEIVE: Duration = Duration::from_secs(10);
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

async fn receive(request: Request<Body>, expected: &str) -> Result<Vec<u8>, RequestError> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(expected) {
        return Err(RequestError::Body(format!("a body of another type, expected {expected}")));
    }
    let body = timeout(RECEIVE, to_bytes(request.into_body(), BODY_BYTES)).await;
    let body = body.map_err(|_| RequestError::Slow(RECEIVE.as_secs()))?;
    body.map(Vec::from).map_err(|_| RequestError::Large(BODY_BYTES))
}

/// Reads the form of a page.
///
/// # Errors
/// When it is too long, too slow, or not such a form.
pub(crate) async fn form<T: DeserializeOwned>(request: Request<Body>) -> Result<T, RequestError> {
    let body = receive(request, FORM).await?;
    serde_urlencoded::from_bytes(&body).map_err(|error| RequestError::Body(error.to_string()))
}

/// Reads the body of a request of the API.
///
/// # Errors
/// When it is too long, too slow, or not such JSON.
pub(crate) async fn json_body<T: DeserializeOwned>(request: Request<Body>) -> Result<T, RequestError> {
    let body = receive(request, JSON).await?;
    serde_json::from_slice(&body).map_err(|error| RequestError::Body(error.to_string()))
}
