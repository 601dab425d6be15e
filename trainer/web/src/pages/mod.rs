//! Queries → HTML pages. Templates escape all text.

pub(crate) mod account;
pub(crate) mod agents;
pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod campaigns;
pub(crate) mod identities;
pub(crate) mod decide;
pub(crate) mod incidents;
mod filters;
mod layout;
pub(crate) mod overview;
pub(crate) mod people;
pub(crate) mod releases;
pub(crate) mod sign_in;

use crate::api::RequestError;
use askama::Template;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use layout::Layout;
use std::future::Future;

const NO_AGENTS: &str = "No agents yet. Start one on a gateway (docs/install.md) with this server as its broker:";
const START_AGENT: &str =
    "lapwing-agent run --interface br-lan --mqtt mqtt://THIS-SERVER:1883 --key site-1.pub --state-dir /var/lib/lapwing";
const MAKE_RELEASE: &str =
    "lapwing-trainer keys new site-1\nlapwing-trainer serve --key site-1.key …\nlapwing-trainer retrain";
const TEST_ALERT: &str =
    "No alerts yet. To test alert delivery end to end, run `lapwing-agent test-alert` on a gateway.";

/// A term and its value in a list of facts.
type Fact = (&'static str, String);

/// Renders the page, or an error page.
pub(crate) async fn page<T: Template>(contents: impl Future<Output = Result<T, RequestError>>) -> Response {
    let failed = |error: askama::Error| RequestError::Missing(format!("cannot render the page: {error}"));
    match contents.await.and_then(|page| page.render().map_err(failed)) {
        Ok(text) => Html(text).into_response(),
        Err(error) => error_page(&error),
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    layout: Layout,
    message: String,
}

pub(crate) fn error_page(error: &RequestError) -> Response {
    let (status, _) = error.status();
    if status.is_server_error() {
        tracing::warn!(%error, "cannot show a page");
    }
    let title = status.canonical_reason().unwrap_or("Error");
    let page = ErrorPage { layout: Layout::new(title, "", None, ""), message: error.to_string() };
    // This template cannot fail.
    error.with_headers((status, Html(page.render().unwrap_or_default())).into_response())
}

/// Any other path.
pub(crate) async fn not_found() -> Response {
    error_page(&RequestError::Missing("This page does not exist.".into()))
}

/// `/style.css`.
pub(crate) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("../../templates/style.css")).into_response()
}

/// Percent-encodes a path segment (RFC 3986, section 2.3).
fn path_segment(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if unreserved(byte) { char::from(byte).into() } else { format!("%{byte:02X}") }).collect()
}

/// Quotes a word for a shell: operators copy these commands, and an agent may have any name.
fn shell_word(text: &str) -> String {
    let safe = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if safe { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn percent(share: f64) -> String {
    format!("{:.0}\u{a0}%", share * 100.0)
}
