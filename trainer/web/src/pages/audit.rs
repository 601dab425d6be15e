//! The audit log → its pages, `/audit`.

use super::layout::Layout;
use super::page;
use crate::Shared;
use crate::api::{fleet, query};
use crate::params::{AuditQuery, with_parameter};
use askama::Template;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use lapwing_common::format::when;
use lapwing_store::AuditRecord;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    layout: Layout,
    lines: Vec<Line>,
    empty: &'static str,
    next: Option<String>,
}

/// An entry with its time as text.
struct Line {
    at: String,
    entry: AuditRecord,
}

/// `/audit`.
pub(crate) async fn audit(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    page(async {
        let parameters: AuditQuery = query(&uri)?;
        let list = fleet(&shared)?.audit(&parameters).await?;
        let text = uri.query().unwrap_or_default();
        let is_filtered = parameters.since.is_some() || parameters.before.is_some();
        Ok(AuditPage {
            layout: Layout::new("Audit", "/audit", parameters.refresh(), text),
            lines: list.entries.into_iter().map(|entry| Line { at: when(entry.at_s), entry }).collect(),
            empty: if is_filtered { "No entries match." } else { "No actions yet." },
            next: list.next.map(|next| with_parameter(text, "before", &next.to_string())),
        })
    })
    .await
}
