//! The audit log → its pages, `/audit`.

use super::alerts::input_value;
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
use lapwing_fleet::AuditAction;
use lapwing_store::AuditRecord;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    layout: Layout,
    who: String,
    actions: [AuditAction; AuditAction::ALL.len()],
    action: String,
    since: String,
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
        let AuditQuery { since, who, action, before, .. } = &parameters;
        let is_filtered = since.is_some() || before.is_some() || who.is_some() || action.is_some();
        Ok(AuditPage {
            layout: Layout::new("Audit", "/audit", parameters.refresh(), text),
            who: who.clone().unwrap_or_default(),
            actions: AuditAction::ALL,
            action: action.clone().unwrap_or_default(),
            since: input_value(*since),
            lines: list.entries.into_iter().map(|entry| Line { at: when(entry.at_s), entry }).collect(),
            empty: if is_filtered { "No entries match." } else { "No actions yet." },
            next: list.next.map(|next| with_parameter(text, "before", &next.to_string())),
        })
    })
    .await
}
