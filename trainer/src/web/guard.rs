//! What stands before every route: whose page may ask, and what a browser may do with an answer.
//!
//! A page of another site can have its name resolve to this machine (DNS rebinding) and then read what listens on the
//! loopback; its requests carry that site's name in `Host`. So a server on the loopback answers to names of the
//! loopback only, and to those that the operator gives.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// No script, no frame, nothing from elsewhere; forms ask only this server.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// Names that requests may ask for.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    loopback: bool,
    names: Arc<[String]>,
}

impl Hosts {
    pub(super) fn new(address: SocketAddr, names: &[String]) -> Self {
        let names = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { loopback: address.ip().is_loopback(), names }
    }

    /// True for a `Host` that this server answers to.
    fn knows(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let name = match host.rsplit_once(':') {
            // The last colon of a bare IPv6 address is inside of its brackets.
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host.as_str(),
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        if !self.loopback {
            return true;
        }
        name == "localhost"
            || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            || self.names.iter().any(|known| known == name)
    }
}

/// Refuses foreign names, and gives every answer its headers.
pub(super) async fn guard(State(hosts): State<Hosts>, request: Request<Body>, next: Next) -> Response {
    let mut named = request.headers().get_all(header::HOST).iter();
    let host = named.next().and_then(|host| host.to_str().ok());
    let known = host.is_some_and(|host| hosts.knows(host)) && named.next().is_none();
    let mut response = if known {
        next.run(request).await
    } else {
        let told =
            "this server does not answer to that name; open it as localhost, or start it with --http-name NAME\n";
        (StatusCode::MISDIRECTED_REQUEST, told).into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // A model card brings a stricter one of its own.
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_the_loopback_only_its_names_and_given_ones_are_known() {
        let hosts = Hosts::new("127.0.0.1:8480".parse().unwrap(), &["Fleet.Example".into()]);
        for known in
            ["localhost", "localhost:8480", "127.0.0.1:8480", "127.0.0.2", "[::1]", "[::1]:8480", "fleet.example:80"]
        {
            assert!(hosts.knows(known), "{known}");
        }
        for foreign in [
            "",
            "evil.example",
            "evil.example:8480",
            "127.0.0.1.evil.example",
            "localhost.evil",
            "10.0.0.1",
            "[::2]:8480",
        ] {
            assert!(!hosts.knows(foreign), "{foreign}");
        }
        assert!(Hosts::new("0.0.0.0:8480".parse().unwrap(), &[]).knows("anything"));
    }
}
