//! The link to one broker → its state and counters, which any thread can read.

use super::counts::Count;
use lapwing_fleet::BrokerLink;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Longest reason of a failure, characters.
const REASON_CHARS: usize = 200;

/// State of one link.
#[derive(Debug, Default)]
pub struct LinkState {
    /// URL without the login.
    broker: String,
    is_external: bool,
    connected: AtomicBool,
    /// Connections, including reconnections.
    pub connections: Count,
    /// Failed attempts to connect, and connections that ended.
    pub failures: Count,
    /// Publications read from this broker.
    pub received: Count,
    /// Acknowledgements sent through this broker.
    pub acknowledgements: Count,
    /// Publications that this broker refused.
    pub refusals: Count,
    /// Times that this broker lacked parts of the current release, which were then published.
    pub refills: Count,
    /// Times that it lacked them again afterwards.
    pub releases_missing: Count,
    /// Parts of the current release that this broker lacked when it was last checked.
    missing: AtomicU64,
    /// Retained publications without an answer.
    unanswered: AtomicU64,
    /// Reason of the last failure; `None` while connected.
    failure: Mutex<Option<String>>,
}

impl LinkState {
    /// Of a broker that is not connected yet; `url` may contain a login, which is left out.
    pub fn new(url: &str) -> Self {
        Self { broker: without_login(url), is_external: true, ..Self::default() }
    }

    /// Of the embedded broker.
    pub(super) fn embedded(address: SocketAddr, tls: Option<SocketAddr>) -> Self {
        let tls = tls.map(|tls| format!(", TLS {tls}")).unwrap_or_default();
        let state = Self { broker: format!("embedded, {address}{tls}"), ..Self::default() };
        state.connected();
        state
    }

    /// True of a broker that may lose what was published, and must be checked.
    pub fn is_external(&self) -> bool {
        self.is_external
    }

    /// The URL without the login.
    pub fn broker(&self) -> &str {
        &self.broker
    }

    /// True while there is a connection.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// The broker accepted a connection.
    pub fn connected(&self) {
        self.connections.add(1);
        self.connected.store(true, Ordering::Relaxed);
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Keeps the reason of a failure; true if it differs from the last one.
    pub(super) fn failed(&self, reason: String) -> bool {
        let reason: String = reason.chars().take(REASON_CHARS).collect();
        let mut last = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let is_other = last.as_ref() != Some(&reason);
        *last = Some(reason);
        is_other
    }

    /// An attempt failed, or the connection ended; returns whether there was one.
    pub fn disconnected(&self) -> bool {
        self.failures.add(1);
        self.connected.swap(false, Ordering::Relaxed)
    }

    /// Result of a check.
    pub fn set_missing(&self, parts: usize) {
        self.missing.store(parts as u64, Ordering::Relaxed);
    }

    /// Retained publications that the broker has not answered.
    pub fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }

    pub(super) fn asked(&self) {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn answered(&self) {
        let less = |unanswered: u64| Some(unanswered.saturating_sub(1));
        // Never fails: the closure always returns a value.
        let _ = self.unanswered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// The client has dropped what it had not sent.
    pub(super) fn forgotten(&self) {
        self.unanswered.store(0, Ordering::Relaxed);
    }

    /// Values now; not all of the same moment.
    pub fn snapshot(&self) -> BrokerLink {
        BrokerLink {
            broker: self.broker.clone(),
            connected: self.is_connected(),
            connections: self.connections.get(),
            failures: self.failures.get(),
            received: self.received.get(),
            acknowledgements: self.acknowledgements.get(),
            refusals: self.refusals.get(),
            refills: self.refills.get(),
            releases_missing: self.releases_missing.get(),
            missing_parts: self.missing.load(Ordering::Relaxed),
            failure: self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

fn without_login(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://{place}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_broker_has_no_login() {
        for (url, shown) in [
            ("mqtt://me:p@ss@host:1884", "mqtt://host:1884"),
            ("mqtts://host", "mqtts://host"),
            ("127.0.0.1:1883", "127.0.0.1:1883"),
        ] {
            assert_eq!(LinkState::new(url).broker(), shown);
        }
    }

    #[test]
    fn the_reason_of_a_failure_stays_until_there_is_a_connection() {
        let state = LinkState::new("mqtt://host");
        assert!(state.failed("refused".into()) && !state.failed("refused".into()) && state.failed("timeout".into()));
        assert_eq!(state.snapshot().failure.as_deref(), Some("timeout"));
        assert!(state.failed("x".repeat(999)));
        assert_eq!(state.snapshot().failure.map(|reason| reason.len()), Some(REASON_CHARS));
        state.connected();
        assert_eq!(state.snapshot().failure, None);
    }

    #[test]
    fn answers_never_outnumber_requests() {
        let state = LinkState::new("mqtt://host");
        state.asked();
        state.answered();
        state.answered();
        assert_eq!(state.unanswered(), 0);
    }
}
