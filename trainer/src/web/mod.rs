//! The HTTP side of `serve`: a dashboard of the fleet, the same as JSON, and predictions. It changes nothing.
//!
//! Pages are made here, whole, from what the store says at that moment: no script, no cookie, nothing from elsewhere.
//! Questions are bounded in lines, in messages looked at, in number at once; connections in number and silence. Whatever
//! agents said is escaped where it is written.

pub mod api;
pub mod drift;
pub mod fleet;
mod guard;
mod limited;
mod lines;
mod overview;
mod pages;
pub mod query;
mod reader;
pub mod releases;
pub mod server;
mod shell;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod fleet_tests;
#[cfg(test)]
mod limit_tests;
#[cfg(test)]
mod tests;
pub mod views;

pub use server::{ServerError, WebServer};

use crate::predict::Model;
use crate::predict::api::{self as predict, ApiLimits};
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::Json;
use axum::routing::get;
use fleet::Fleet;
use guard::{Hosts, guard};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use utoipa::OpenApi;

/// What is shown and answered.
#[derive(Clone, Default)]
pub struct Site {
    /// Store of the fleet; without one there is no dashboard.
    pub store: Option<PathBuf>,
    /// Model that judges rows; without one there are no predictions.
    pub model: Option<Arc<Model>>,
    /// Bounds of the predictions.
    pub limits: ApiLimits,
    /// Feature rows from which on a release is made, for the next step that an empty page tells.
    pub min_rows: u64,
    /// Names that it answers to on the loopback, besides the loopback's own.
    pub names: Vec<String>,
}

/// What handlers share.
pub(crate) struct Shared {
    fleet: Option<Fleet>,
    min_rows: u64,
}

/// Every route, behind the guard.
fn router(site: Site, address: SocketAddr) -> Router {
    let shared = Arc::new(Shared { fleet: site.store.as_deref().map(Fleet::new), min_rows: site.min_rows });
    Router::new()
        .route("/", get(overview::overview))
        .route("/agents", get(pages::agents))
        .route("/agents/{name}", get(pages::agent))
        .route("/alerts", get(pages::alerts))
        .route("/alerts/{agent}/{episode}", get(pages::alert))
        .route("/releases", get(pages::releases))
        .route("/releases/{group}/{version}/card", get(pages::card))
        .route("/style.css", get(pages::style))
        .route("/api/v1/agents", get(api::agents))
        .route("/api/v1/alerts", get(api::alerts))
        .route("/api/v1/releases", get(api::releases))
        .route("/api/v1/openapi.json", get(async || Json(api::Document::openapi())))
        .fallback(pages::nothing)
        .with_state(shared)
        .merge(predict::router(site.model, site.limits))
        .layer(from_fn_with_state(Hosts::new(address, &site.names), guard))
}
