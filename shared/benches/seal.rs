//! Time of seals beside that of encoding and decoding what they seal.
//!
//! `cargo bench -p lapwing-shared --bench seal --profile dev` prints the table; `… -- seal PASSES` or `encode PASSES` works on
//! an alert PASSES times, for counting instructions.

use lapwing_shared::features::FEATURES;
use lapwing_shared::messages::sealed::SealKey;
use lapwing_shared::messages::{
    AddressForm, Alert, AlertState, Body, Health, MESSAGE_BYTES, Message, Peer, Reason, Role, RowHosts, SampleRow,
    Samples,
};
use lapwing_shared::units::{Address, Timestamp};
use std::hint::black_box;
use std::time::Instant;

const PASSES: u32 = 2_000;
const ROUNDS: usize = 30;
const TOPIC: &str = "lapwing/v1/agent/OpenWrt-5f0c12ab/alert";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match &arguments[..] {
        [word, passes] if word == "seal" => {
            (0..passes.parse().expect("a number of passes")).for_each(|_| sealed(&encoded(&alert(3))));
        }
        [word, passes] if word == "encode" => {
            (0..passes.parse().expect("a number of passes")).for_each(|_| drop(black_box(encoded(&alert(3)))));
        }
        _ => table(),
    }
}

fn table() {
    println!("bytes, and µs to encode, seal, open and decode, and for a collector to derive the key");
    let health = Body::Health(Health::default());
    for (name, body) in [("health", health), ("alert", alert(0)), ("alert with rows", alert(3)), ("samples", samples())]
    {
        let payload = encoded(&body);
        let seal = key().seal(TOPIC, &payload);
        let whole = [&seal[..], &payload].concat();
        let times = [
            best(|| drop(black_box(encoded(&body)))),
            best(|| sealed(&payload)),
            best(|| {
                let _ = black_box(key().open(TOPIC, &whole));
            }),
            best(|| drop(black_box(Message::decode(&payload)))),
            best(|| {
                black_box(SealKey::derive(&[1; 32], black_box(&[2; 32])));
            }),
        ];
        let [encode, seal, open, decode, derive] = times.map(|seconds| seconds * 1e6 / f64::from(PASSES));
        println!("{name:16} {:5}  {encode:6.2} {seal:6.2} {open:6.2} {decode:6.2} {derive:6.2}", payload.len());
    }
}

fn best(work: impl Fn()) -> f64 {
    let round = || {
        #[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
        let begin = Instant::now();
        (0..PASSES).for_each(|_| work());
        begin.elapsed().as_secs_f64()
    };
    (0..ROUNDS).map(|_| round()).fold(f64::MAX, f64::min)
}

fn key() -> SealKey {
    SealKey::from_bytes(black_box([7; 32]))
}

fn sealed(payload: &[u8]) {
    black_box(key().seal(TOPIC, payload));
}

fn encoded(body: &Body) -> Vec<u8> {
    let message = Message { run: 1_790_000_000, number: 300, sent_s: 1_790_000_000, body: body.clone() };
    message.encode(&mut [0; MESSAGE_BYTES]).expect("a valid message").to_vec()
}

fn alert(rows: usize) -> Body {
    let peer = Peer { address: Address::from_v4([192, 0, 2, 1]), flows: 40 };
    let reason = Reason { feature: 7, value: 900.0, normal_low: 0.0, normal_high: 40.0, share_permille: 310 };
    Body::Alert(Alert {
        episode: 1,
        state: AlertState::Updated,
        host: Address::from_v4([10, 0, 0, 1]),
        role: Role::Source,
        since: Timestamp::from_secs(1_790_000_000),
        at: Timestamp::from_secs(1_790_000_060),
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
        rows: (0..rows).map(|_| [1.5; FEATURES]).collect(),
        release: 3,
    })
}

fn samples() -> Body {
    let row = |_| SampleRow {
        at: Timestamp::from_secs(1_790_000_000),
        features: (0..FEATURES).map(|place| place as f32).collect(),
        score: Some(1_234),
        in_episode: false,
        hosts: RowHosts { source: 1, target: 2 },
    };
    Body::Samples(Samples { schema: [9; 32], flows_seen: 5_000, rows: (0..32).map(row).collect() })
}
