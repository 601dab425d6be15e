//! Why a request fails → status, page or JSON.

use crate::predict::Problem;
use crate::store_reader::ReadError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use lapwing_store::{PersonError, StoreError};

#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("{0}")]
    Query(String),
    /// No such agent, alert, release or page.
    #[error("{0}")]
    Missing(String),
    /// A form, or the body of a request, that cannot be read.
    #[error("{0}")]
    Body(String),
    #[error("a body of more than {0} bytes")]
    Large(usize),
    #[error("the body did not arrive within {0} s")]
    Slow(u64),
    /// No one has signed in.
    #[error("sign in, or send an API token: `Authorization: Bearer lw_…`")]
    Unknown,
    /// The proxy named no one, or no one who is in the store.
    #[error(
        "the proxy names no person whom this server has; add one with `lapwing-trainer people add NAME --role ROLE`, or \
         send an API token: `Authorization: Bearer lw_…`"
    )]
    Unlisted,
    #[error("{0}")]
    Forbidden(String),
    /// Too many attempts.
    #[error("too many attempts; try again in {0} s")]
    Wait(u64),
    /// The state of what is to be changed does not allow it.
    #[error("{0}")]
    Refused(String),
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
            Self::Body(_) => (StatusCode::BAD_REQUEST, "body"),
            Self::Large(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            Self::Slow(_) => (StatusCode::REQUEST_TIMEOUT, "too-slow"),
            Self::Unknown | Self::Unlisted => (StatusCode::UNAUTHORIZED, "unknown"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::Wait(_) => (StatusCode::TOO_MANY_REQUESTS, "wait"),
            Self::Refused(_) => (StatusCode::CONFLICT, "refused"),
            Self::Read(ReadError::Store(
                StoreError::Missing { .. } | StoreError::Person(PersonError::Missing(_) | PersonError::NoToken(_)),
            )) => (StatusCode::NOT_FOUND, "missing"),
            Self::Read(ReadError::Store(StoreError::Person(_))) => (StatusCode::CONFLICT, "refused"),
            Self::Read(ReadError::Busy) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Read(_) => (StatusCode::INTERNAL_SERVER_ERROR, "store"),
            Self::Chart(_) => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
        }
    }
}

impl RequestError {
    /// The response of a route of the API.
    pub(crate) fn json(&self) -> Response {
        let (status, code) = self.status();
        if status.is_server_error() {
            tracing::warn!(error = %self, "HTTP request failed");
        }
        let problem = Problem { code: code.into(), message: self.to_string(), ..Problem::default() };
        self.with_headers((status, Json(problem)).into_response())
    }

    /// Adds when to try again.
    pub(crate) fn with_headers(&self, mut response: Response) -> Response {
        if let Self::Wait(wait_s) = self {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*wait_s));
        }
        response
    }
}

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        self.json()
    }
}
