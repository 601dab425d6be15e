//! Counters of the collector, of its links and of this server → `/metrics` in Prometheus' text format (0.0.4), and a list for the
//! overview.

use super::Shared;
use super::views::{brokers, campaigns, identities, incidents, process};
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A counter since the start of the server, or a present size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Name, words separated by `_`.
    pub name: &'static str,
    /// What it counts, one line.
    pub text: &'static str,
    /// Value now.
    pub value: u64,
    /// A present size, which may also decrease.
    pub is_gauge: bool,
}

/// Reads the counters of another part of the program.
#[derive(Clone)]
pub struct CounterSource(Arc<dyn Fn() -> Vec<Counter> + Send + Sync>);

impl CounterSource {
    /// A source that calls `read` for every request.
    pub fn new(read: impl Fn() -> Vec<Counter> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }
}

/// Counters of this server. Browsers and scrapers fill them.
#[derive(Debug, Default)]
pub(crate) struct HttpCounts {
    /// Connections accepted.
    pub(crate) connections: AtomicU64,
    /// Connections closed at once: too many from one address.
    pub(crate) refused: AtomicU64,
    /// Connections closed by a limit on time.
    pub(crate) cut: AtomicU64,
    /// Connections that ended with another error.
    pub(crate) broken: AtomicU64,
    /// Passwords that were wrong, or of unknown names.
    pub(crate) wrong_passwords: AtomicU64,
    /// Attempts to sign in that a limit refused.
    pub(crate) limited: AtomicU64,
    /// Responses with a status from 400 to 499.
    rejected: AtomicU64,
    /// Responses with a status from 500 on.
    failed: AtomicU64,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl HttpCounts {
    fn named(&self) -> [Counter; 8] {
        [
            ("http_connections", "HTTP connections accepted.", &self.connections),
            ("http_connections_refused", "HTTP connections closed: too many from one address.", &self.refused),
            ("http_connections_cut", "HTTP connections closed: idle, too slow or too old.", &self.cut),
            ("http_connections_broken", "HTTP connections that ended with another error.", &self.broken),
            ("sign_ins_failed", "Passwords that were wrong, or of unknown names.", &self.wrong_passwords),
            ("sign_ins_limited", "Attempts to sign in that were refused: too many.", &self.limited),
            ("http_requests_rejected", "HTTP requests answered with a status from 400 to 499.", &self.rejected),
            ("http_requests_failed", "HTTP requests answered with a status from 500 on.", &self.failed),
        ]
        .map(|(name, text, value)| Counter {
            name,
            text,
            value: value.load(Ordering::Relaxed),
            is_gauge: false,
        })
    }
}

/// Counts requests that were not served.
pub(crate) async fn count_responses(
    State(counts): State<Arc<HttpCounts>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    if response.status().is_client_error() {
        count(&counts.rejected);
    }
    if response.status().is_server_error() {
        count(&counts.failed);
    }
    response
}

/// The collector's counters, if it runs here, then those of this server.
pub(crate) fn all(shared: &Shared) -> Vec<Counter> {
    let mut counters = shared.counters.as_ref().map_or_else(Vec::new, |source| (source.0)());
    counters.extend(shared.http.named());
    counters
}

/// `/metrics`.
pub(crate) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let mut out = text(&all(&shared));
    brokers::metrics(&shared.brokers(), &mut out);
    process::metrics(&shared.process(), &mut out);
    // While the store cannot be read, the other metrics remain.
    if let Some(fleet) = &shared.fleet
        && let Ok(counts) = fleet.identity_counts().await
    {
        identities::metrics(&counts, &mut out);
    }
    if let Some(fleet) = &shared.fleet
        && let Ok(measured) = fleet.measured_campaigns().await
    {
        campaigns::metrics(&measured, &mut out);
    }
    if let Some(fleet) = &shared.fleet
        && let Ok(numbers) = fleet.incident_numbers().await
    {
        incidents::metrics(&numbers, &mut out);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], out).into_response()
}

fn text(counters: &[Counter]) -> String {
    let mut out = String::new();
    for Counter { name, text, value, is_gauge } in counters {
        let (ending, kind) = if *is_gauge { ("", "gauge") } else { ("_total", "counter") };
        let name = format!("lapwing_trainer_{name}{ending}");
        // Writing to a string does not fail.
        let _ = writeln!(out, "# HELP {name} {text}\n# TYPE {name} {kind}\n{name} {value}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::ConnectionLimits;
    use crate::testing::fetch;
    use crate::{Site, WebServer};
    use lapwing_store::testing::Folder;
    use lapwing_store::{Limits, Store};
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    /// Requests of `/metrics` until a wait fails.
    const TRIES: usize = 10_000;

    #[test]
    fn each_counter_has_a_description_a_type_and_its_value() {
        let counter = Counter { name: "illegal", text: "Connections closed.", value: 7, is_gauge: false };
        let expected = "# HELP lapwing_trainer_illegal_total Connections closed.\n\
                        # TYPE lapwing_trainer_illegal_total counter\nlapwing_trainer_illegal_total 7\n";
        assert_eq!(text(&[counter]), expected);
        let gauge = Counter { name: "segments", text: "Segments.", value: 3, is_gauge: true };
        let expected = "# HELP lapwing_trainer_segments Segments.\n# TYPE lapwing_trainer_segments gauge\n\
                        lapwing_trainer_segments 3\n";
        assert_eq!(text(&[gauge]), expected);
    }

    #[test]
    fn all_counters_are_at_metrics_and_those_above_0_on_the_overview() {
        let folder = Folder::new();
        let store = Store::open(folder.store(), Limits::default()).unwrap();
        let counter = |name, value| Counter { name, text: "A test.", value, is_gauge: false };
        let read = move || vec![counter("filters_refused", 12_345), counter("takeovers", 0)];
        let site =
            Site { store: Some(folder.store().into()), counters: Some(CounterSource::new(read)), ..Site::default() };
        let server = WebServer::start(site, "127.0.0.1:0".parse().unwrap()).unwrap();
        let page = |path| fetch(server.address, "GET", path, "localhost", "");
        assert_eq!(page("/nothing").0, 404);
        let metrics = page("/metrics").2;
        for line in ["filters_refused_total 12345\n", "takeovers_total 0\n", "http_requests_rejected_total 1\n"] {
            assert!(metrics.contains(&format!("\nlapwing_trainer_{line}")), "{line}: {metrics}");
        }
        let overview = page("/").2;
        let row = "<th scope=\"row\">filters refused</th><td class=\"number\">12\u{2009}345</td><td>A test.</td>";
        assert!(overview.contains(row) && !overview.contains(">takeovers<"), "{overview}");
        server.stop().unwrap();
        store.close().unwrap();
    }

    #[test]
    fn connections_that_are_too_slow_or_send_no_http_are_counted() {
        let limits = ConnectionLimits { head: Duration::from_millis(50), ..ConnectionLimits::default() };
        let server = WebServer::with_limits(Site::default(), "127.0.0.1:0".parse().unwrap(), limits).unwrap();
        for request in ["GET / HTTP/1.1\r\nHost: loc", "no HTTP\r\n\r\n"] {
            let mut stream = TcpStream::connect(server.address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            // The server closes the connection.
            let _ = stream.read_to_end(&mut Vec::new());
        }
        let lines = ["http_connections_cut_total 1\n", "http_connections_broken_total 1\n"];
        let is_counted = |_| {
            let metrics = fetch(server.address, "GET", "/metrics", "localhost", "").2;
            lines.iter().all(|line| metrics.contains(&format!("\nlapwing_trainer_{line}")))
        };
        assert!((0..TRIES).any(is_counted));
        server.stop().unwrap();
    }
}
