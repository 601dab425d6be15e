//! Request → rejection of plain HTTP from the network, foreign host names, and changes from other sites; response →
//! security headers.
//!
//! A page of another site can make its name resolve to the address of this server (DNS rebinding) and then read it with
//! its user's browser; its requests have that site's name in `Host`. Therefore the server answers only to the address it
//! listens on and to the names that the operator configured; on the loopback, also to the loopback's other names. A server
//! on all addresses answers to any address: a name is needed for rebinding.

use crate::access::{Claim, Gate, Peer, claim};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// No scripts, no frames, nothing from other hosts; forms go to this server only.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// Answer to a peer that reaches the server over the network without TLS.
const PLAIN: &str = "this address accepts plain HTTP from the proxies in http.trusted-proxies only; open the page through the \
                     proxy, or add your proxy's address there\n";

/// Host names that the server answers to.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    address: IpAddr,
    names: Arc<[String]>,
}

impl Hosts {
    pub(crate) fn new(address: SocketAddr, names: &[String]) -> Self {
        let names = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { address: address.ip(), names }
    }

    fn accepts(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let name = match host.rsplit_once(':') {
            // In an IPv6 address without a port the last colon is inside the brackets.
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host.as_str(),
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let is_own = |asked: IpAddr| match self.address {
            own if own.is_unspecified() => true,
            own if own.is_loopback() => asked.is_loopback(),
            own => asked == own,
        };
        let is_local = self.address.is_loopback() || self.address.is_unspecified();
        (name == "localhost" && is_local)
            || bare.parse().is_ok_and(is_own)
            || self.names.iter().any(|allowed| allowed == name)
    }
}

/// Rejects requests in plain text from the network, those for foreign host names, and those of other sites that would change
/// something, and adds the security headers to every response.
pub(crate) async fn guard(
    State((hosts, gate)): State<(Hosts, Arc<Gate>)>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let is_answered = request.extensions().get::<Peer>().is_some_and(|peer| gate.answers(peer));
    let mut hosts_sent = request.headers().get_all(header::HOST).iter();
    let host = hosts_sent.next().and_then(|host| host.to_str().ok());
    let accepted = host.is_some_and(|host| hosts.accepts(host)) && hosts_sent.next().is_none();
    let is_foreign = claim(request.method(), request.headers()) == Claim::Foreign;
    let mut response = match (is_answered, accepted, is_foreign) {
        (false, ..) => (StatusCode::FORBIDDEN, PLAIN).into_response(),
        (true, true, false) => next.run(request).await,
        (true, true, true) => (StatusCode::FORBIDDEN, "a page of another site sent this request\n").into_response(),
        (true, false, _) => {
            let message = "unknown host name; open this server by its address, or start it with --http-name NAME\n";
            (StatusCode::MISDIRECTED_REQUEST, message).into_response()
        }
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        // With `no-referrer`, browsers send `Origin: null` with the forms of this server.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // A model card has its own, stricter policy.
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_server_accepts_loopback_and_configured_names_only() {
        let hosts = Hosts::new("127.0.0.1:8480".parse().unwrap(), &["Fleet.Example".into()]);
        for accepted in
            ["localhost", "localhost:8480", "127.0.0.1:8480", "127.0.0.2", "[::1]", "[::1]:8480", "fleet.example:80"]
        {
            assert!(hosts.accepts(accepted), "{accepted}");
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
            assert!(!hosts.accepts(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_server_on_the_network_accepts_its_addresses_and_configured_names_only() {
        let accepts =
            |address: &str, host: &str| Hosts::new(address.parse().unwrap(), &["fleet.example".into()]).accepts(host);
        for foreign in ["evil.example", "evil.example:8480", "192.0.2.2", "127.0.0.1", "localhost", ""] {
            assert!(!accepts("192.0.2.1:8480", foreign), "{foreign}");
        }
        for own in ["192.0.2.1", "192.0.2.1:8480", "fleet.example", "FLEET.example:80"] {
            assert!(accepts("192.0.2.1:8480", own), "{own}");
        }
        assert!(accepts("[2001:db8::1]:80", "[2001:db8::1]:80") && !accepts("[2001:db8::1]:80", "[2001:db8::2]"));
        for any in ["0.0.0.0:8480", "[::]:8480"] {
            assert!(accepts(any, "192.0.2.7:8480") && accepts(any, "localhost") && accepts(any, "[2001:db8::9]"));
            assert!(!accepts(any, "evil.example") && !accepts(any, "192.0.2.7.evil.example") && !accepts(any, ""));
        }
    }
}
