//! Message numbers → realistic sample batches and alerts. Only the number differs, so that encoding is cheap.

use lapwing_shared::features::FEATURES;
use lapwing_shared::messages::topics::Kind;
use lapwing_shared::messages::{
    AddressForm, Alert, AlertState, Body, MESSAGE_BYTES, Message, Peer, Reason, Role, RowHosts, SampleRow, Samples,
};
use lapwing_shared::units::{Address, Timestamp};

/// Makes the messages of one agent.
pub(crate) struct Maker {
    run: u64,
    alert_every: u64,
    samples: Body,
    alert: Body,
    buffer: Vec<u8>,
}

impl Maker {
    /// For this run of an agent; `rows` per sample message, and every `alert_every`-th message is an alert.
    pub(crate) fn new(run: u64, rows: usize, alert_every: u64, agent: u32) -> Self {
        let mut random = fastrand::Rng::with_seed(agent.into());
        let row = |_| SampleRow {
            at: Timestamp::from_secs(1_700_000_000),
            features: (0..FEATURES).map(|_| random.f32() * 1_000.0).collect(),
            score: Some(1_234),
            in_episode: false,
            hosts: RowHosts { source: 1, target: 2 },
        };
        let rows = (0..rows).map(row).collect();
        let samples = Body::Samples(Samples { schema: [9; 32], flows_seen: 5_000, rows });
        Self { run, alert_every, samples, alert: alert(agent), buffer: vec![0; MESSAGE_BYTES] }
    }

    /// Kind and bytes of a message; a number always gives the same message.
    pub(crate) fn make(&mut self, number: u64) -> (Kind, &[u8]) {
        let is_alert = number.is_multiple_of(self.alert_every);
        let (kind, slot) = if is_alert { (Kind::Alert, &mut self.alert) } else { (Kind::Sample, &mut self.samples) };
        let body = std::mem::replace(slot, Body::Health(lapwing_shared::messages::Health::default()));
        let message = Message { run: self.run, number, sent_s: 1_700_000_000, body };
        let bytes = message.encode(&mut self.buffer).map_or(0, <[u8]>::len);
        *slot = message.body;
        (kind, &self.buffer[..bytes])
    }
}

impl Maker {
    /// Bytes of a health report.
    pub(crate) fn health(&mut self) -> &[u8] {
        let body = Body::Health(lapwing_shared::messages::Health::default());
        let message = Message { run: self.run, number: 0, sent_s: 1_700_000_000, body };
        message.encode(&mut self.buffer).map_or(&[], |bytes| bytes)
    }
}

fn alert(agent: u32) -> Body {
    let [_, b, c, d] = agent.to_be_bytes();
    let peer = Peer { address: Address::from_v4([192, 0, 2, d]), flows: 40 };
    let reason = Reason { feature: 7, value: 900.0, normal_low: 0.0, normal_high: 40.0, share_permille: 310 };
    Body::Alert(Alert {
        episode: 1,
        state: AlertState::Updated,
        host: Address::from_v4([10, b, c, d]),
        role: Role::Source,
        since: Timestamp::from_secs(1_700_000_000),
        at: Timestamp::from_secs(1_700_000_060),
        evidence_nats: 41.0,
        peak_nats: 44.0,
        limit_nats: 30.0,
        flows: 120,
        odd_flows: 90,
        peers: (0..4).map(|_| peer).collect(),
        service_port: 23,
        reasons: (0..5).map(|_| reason).collect(),
        resembles: None,
        addresses: AddressForm::Plain,
        rows: heapless::Vec::new(),
        release: 3,
    })
}
