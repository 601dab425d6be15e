//! An alert as one line of JSON, for people, scripts and home automation.
//!
//! Features have their names, times are seconds since the epoch, so the line can be read without the schema.

use lapwing_shared::features::schema::SCHEMA;
use lapwing_shared::messages::{AddressForm, Alert, AlertState, Peer, Reason, Role};
use lapwing_shared::units::{Address, Timestamp};
use serde::Serialize;

/// Marks a test alert, together with release 0, which no release has.
const TEST: &str = "test";

/// An alert of host 0.0.0.0 to test delivery; `number` becomes its episode.
pub fn test_alert(at: Timestamp, number: u64) -> Alert {
    Alert {
        episode: number,
        state: AlertState::Opened,
        host: Address::from_v4([0; 4]),
        role: Role::Source,
        since: at,
        at,
        evidence_nats: 0.0,
        peak_nats: 0.0,
        limit_nats: 0.0,
        flows: 0,
        odd_flows: 0,
        peers: heapless::Vec::new(),
        service_port: 0,
        reasons: heapless::Vec::new(),
        resembles: TEST.try_into().ok(),
        release: 0,
        addresses: AddressForm::Plain,
        rows: heapless::Vec::new(),
    }
}

/// Whether this is a [`test_alert`].
pub(crate) fn is_test(alert: &Alert) -> bool {
    alert.release == 0 && alert.resembles.as_deref() == Some(TEST)
}

/// Lower-case name of an alert's state.
pub(crate) fn state_name(state: AlertState) -> &'static str {
    match state {
        AlertState::Opened => "opened",
        AlertState::Updated => "updated",
        AlertState::Closed => "closed",
    }
}

/// An alert in its JSON form.
#[derive(Serialize)]
pub(crate) struct AlertJson<'a> {
    episode: u64,
    state: &'static str,
    /// What host and peers are if they are no addresses: `pseudonym` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    addresses: Option<&'static str>,
    /// Identifier of the key of pseudonyms.
    #[serde(skip_serializing_if = "Option::is_none")]
    address_key: Option<String>,
    host: String,
    role: &'static str,
    since_s: f64,
    at_s: f64,
    evidence_nats: f32,
    peak_nats: f32,
    limit_nats: f32,
    flows: u32,
    odd_flows: u32,
    peers: Vec<PeerJson>,
    service_port: u16,
    reasons: Vec<ReasonJson>,
    resembles: Option<&'a str>,
    release: u64,
    test: bool,
}

#[derive(Serialize)]
struct ReasonJson {
    feature: &'static str,
    unit: &'static str,
    value: f32,
    normal_low: f32,
    normal_high: f32,
    share: f32,
}

#[derive(Serialize)]
struct PeerJson {
    address: String,
    flows: u32,
}

impl ReasonJson {
    fn new(reason: &Reason) -> Option<Self> {
        let feature = SCHEMA.get(usize::from(reason.feature))?;
        Some(Self {
            feature: feature.name,
            unit: feature.unit,
            value: reason.value,
            normal_low: reason.normal_low,
            normal_high: reason.normal_high,
            share: f32::from(reason.share_permille) / 1000.0,
        })
    }
}

impl<'a> AlertJson<'a> {
    pub(crate) fn new(alert: &'a Alert) -> Self {
        let seconds = |time: Timestamp| time.as_nanos() as f64 / 1e9;
        let peer = |peer: &Peer| PeerJson { address: alert.named(peer.address).to_string(), flows: peer.flows };
        let form = alert.addresses;
        Self {
            episode: alert.episode,
            state: state_name(alert.state),
            addresses: (form != AddressForm::Plain).then(|| form.name()),
            address_key: form.key().map(|key| key.to_string()),
            host: alert.named(alert.host).to_string(),
            role: if alert.role == Role::Source { "source" } else { "target" },
            since_s: seconds(alert.since),
            at_s: seconds(alert.at),
            evidence_nats: alert.evidence_nats,
            peak_nats: alert.peak_nats,
            limit_nats: alert.limit_nats,
            flows: alert.flows,
            odd_flows: alert.odd_flows,
            peers: alert.peers.iter().map(peer).collect(),
            service_port: alert.service_port,
            reasons: alert.reasons.iter().filter_map(ReasonJson::new).collect(),
            resembles: alert.resembles.as_deref(),
            release: alert.release,
            test: is_test(alert),
        }
    }
}

/// The JSON text, without a line feed.
pub fn to_json(alert: &Alert) -> String {
    // Strings, numbers and lists always have a JSON form.
    serde_json::to_string(&AlertJson::new(alert)).unwrap_or_default()
}
