//! Store and saved model → dashboard, JSON API and predictions over HTTP. Read-only.
//!
//! The server renders every page completely: no scripts, no cookies, nothing from other hosts. The number of rows,
//! messages, concurrent queries and connections is bounded. Templates escape all text that agents sent.
#![forbid(unsafe_code)]

mod addresses;
pub mod api;
mod counters;
mod drift;
mod guard;
mod pages;
mod params;
pub mod predict;
mod queries;
pub mod server;
mod store_reader;
mod views;

#[cfg(test)]
mod broker_tests;
#[cfg(test)]
mod incident_tests;
#[cfg(test)]
mod large_fleet_tests;
#[cfg(test)]
mod page_speed_tests;
#[cfg(test)]
mod limit_tests;
#[cfg(test)]
mod list_tests;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use counters::{Counter, CounterSource};
pub use server::{ServerError, WebServer};

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::Json;
use axum::routing::get;
use counters::{HttpCounts, count_responses};
use guard::{Hosts, guard};
use lapwing_fleet::{BrokerLink, ProcessState};
use lapwing_models::Model;
use lapwing_store::StoreUrl;
use predict::ApiLimits;
use queries::Fleet;
use std::net::SocketAddr;
use std::sync::Arc;
use utoipa::OpenApi;

/// State of the link to each broker.
pub type Brokers = Arc<dyn Fn() -> Vec<BrokerLink> + Send + Sync>;

/// Roles of the process and the leases that it holds.
pub type Process = Arc<dyn Fn() -> ProcessState + Send + Sync>;

/// What to serve.
#[derive(Clone, Default)]
pub struct Site {
    /// Store of the fleet; `None` disables the dashboard and its JSON.
    pub store: Option<StoreUrl>,
    /// Model for predictions; `None` disables them.
    pub model: Option<Arc<Model>>,
    /// Limits of the prediction API.
    pub limits: ApiLimits,
    /// Feature rows needed for the first release; pages without a release show it.
    pub min_rows: u64,
    /// Certificates of agents that end within this time, seconds, are counted and shown: they should have been renewed.
    pub ending_s: u64,
    /// Reads the state of the link to each broker; `None` if the process has none.
    pub brokers: Option<Brokers>,
    /// Reads roles and leases; `None` if the process has none.
    pub process: Option<Process>,
    /// Host names to answer to, besides the address that the server listens on.
    pub names: Vec<String>,
    /// Counters of the collector, if it runs in this program.
    pub counters: Option<CounterSource>,
}

/// State of the dashboard and JSON handlers.
pub(crate) struct Shared {
    fleet: Option<Fleet>,
    min_rows: u64,
    brokers: Option<Brokers>,
    process: Option<Process>,
    counters: Option<CounterSource>,
    http: Arc<HttpCounts>,
}

impl Shared {
    fn brokers(&self) -> Vec<BrokerLink> {
        self.brokers.as_ref().map_or_else(Vec::new, |brokers| brokers())
    }
}

impl Shared {
    fn process(&self) -> ProcessState {
        self.process.as_ref().map_or_else(ProcessState::default, |process| process())
    }
}

/// Every route, behind the guard.
fn router(site: Site, address: SocketAddr, http: Arc<HttpCounts>) -> Router {
    let shared = Arc::new(Shared {
        fleet: site.store.as_ref().map(|store| Fleet::new(store, site.ending_s)),
        min_rows: site.min_rows,
        brokers: site.brokers,
        process: site.process,
        counters: site.counters,
        http: Arc::clone(&http),
    });
    Router::new()
        .route("/", get(pages::overview::overview))
        .route("/agents", get(pages::agents::agents))
        .route("/agents/{name}", get(pages::agents::agent))
        .route("/alerts", get(pages::alerts::alerts))
        .route("/alerts/{agent}/{episode}", get(pages::alerts::alert))
        .route("/incidents", get(pages::incidents::incidents))
        .route("/incidents/{id}", get(pages::incidents::incident))
        .route("/releases", get(pages::releases::releases))
        .route("/releases/{group}/{version}/card", get(pages::releases::card))
        .route("/audit", get(pages::audit::audit))
        .route("/identities", get(pages::identities::identities))
        .route("/metrics", get(counters::metrics))
        .route("/style.css", get(pages::style))
        .route("/api/v1/agents", get(api::agents))
        .route("/api/v1/alerts", get(api::alerts))
        .route("/api/v1/incidents", get(api::incidents))
        .route("/api/v1/incidents/{id}", get(api::incident))
        .route("/api/v1/releases", get(api::releases))
        .route("/api/v1/groups", get(api::groups))
        .route("/api/v1/audit", get(api::audit))
        .route("/api/v1/identities", get(api::identities))
        .route("/api/v1/brokers", get(api::brokers))
        .route("/api/v1/process", get(api::process))
        .route("/api/v1/openapi.json", get(async || Json(api::Document::openapi())))
        .fallback(pages::not_found)
        .with_state(shared)
        .merge(predict::router(site.model, site.limits))
        .layer(from_fn_with_state(Hosts::new(address, &site.names), guard))
        .layer(from_fn_with_state(http, count_responses))
}
