//! Store and saved model → dashboard, JSON API, actions and predictions over HTTP.
//!
//! The server renders every page completely: no scripts, nothing from other hosts, and one cookie, that of a session. Forms work
//! without scripts. The number of rows, messages, concurrent queries and connections is bounded. Templates escape all text that
//! agents and people sent. [`Login`] says who may see and do what.
#![forbid(unsafe_code)]

mod access;
#[cfg(test)]
mod access_tests;
mod actions;
mod addresses;
mod api;
mod api_actions;
#[cfg(test)]
mod campaign_action_tests;
mod campaign_actions;
mod check;
mod counters;
mod drift;
mod forms;
mod guard;
pub mod openapi;
mod pages;
mod params;
pub mod predict;
mod queries;
mod request_error;
mod routes;
pub mod server;
mod tls;
mod store_reader;
mod views;

#[cfg(test)]
mod broker_tests;
#[cfg(test)]
mod campaign_tests;
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

pub use access::Login;
pub use counters::{Counter, CounterSource};
pub use server::{ServerError, WebServer};
pub use tls::{TlsError, WebTls};

use access::Gate;
use axum::Router;
use axum::middleware::from_fn_with_state;
use counters::{HttpCounts, count_responses};
use guard::{Hosts, guard};
use lapwing_fleet::campaign::Plan;
use lapwing_fleet::{BrokerLink, ProcessState};
use lapwing_models::Model;
use lapwing_store::StoreUrl;
use predict::ApiLimits;
use queries::Fleet;
use std::net::SocketAddr;
use std::sync::Arc;

/// State of the link to each broker.
pub type Brokers = Arc<dyn Fn() -> Vec<BrokerLink> + Send + Sync>;

/// Roles of the process and the leases that it holds.
pub type Process = Arc<dyn Fn() -> ProcessState + Send + Sync>;

/// How campaigns of a group begin.
#[derive(Clone, Debug, Default)]
pub struct GroupPlan {
    /// The plan of its configuration.
    pub plan: Plan,
    /// Attacks are replayed before a campaign.
    pub has_gate: bool,
}

/// The plan of a group, or why it cannot be read.
pub type Plans = Arc<dyn Fn(&str) -> Result<GroupPlan, String> + Send + Sync>;

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
    /// Reads the plan for campaigns of a group; `None`: the default plan, without a gate.
    pub plans: Option<Plans>,
    /// Who may sign in, and how.
    pub login: Login,
    /// Certificate and key; `None`: without TLS.
    pub tls: Option<Arc<WebTls>>,
}

/// State of the dashboard and JSON handlers.
pub(crate) struct Shared {
    pub(crate) gate: Arc<Gate>,
    pub(crate) plans: Option<Plans>,
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
    let gate = Gate::new(site.store.as_ref(), &site.login, address);
    let shared = Arc::new(Shared {
        gate: Arc::clone(&gate),
        plans: site.plans,
        fleet: site.store.as_ref().map(|store| Fleet::new(store, site.ending_s)),
        min_rows: site.min_rows,
        brokers: site.brokers,
        process: site.process,
        counters: site.counters,
        http: Arc::clone(&http),
    });
    routes::router(routes::routes(site.model, site.limits), &gate)
        .with_state(shared)
        .layer(from_fn_with_state((Hosts::new(address, &site.names), gate), guard))
        .layer(from_fn_with_state(http, count_responses))
}
