//! Messages that `Store::commit` stores per second, and bytes that it writes for them: the numbers in docs/measurements.md.
//!
//! `cargo run --release -p lapwing-store --features testing --example ingest -- FOLDER [ALERT_EVERY] [EPISODE_MESSAGES]`
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a measurement")]

use lapwing_shared::features::FEATURES;
use lapwing_shared::messages::{AlertState, Body, Message};
use lapwing_store::testing::{alert, received, samples};
use lapwing_store::{Limits, Received, Store};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const AGENTS: u64 = 1_000;
const BATCH: u64 = 2_000;
const BATCHES: u64 = 150;

/// Bytes that this process has written to disk.
fn written() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

fn message(number: u64, alert_every: u64, episode_messages: u64) -> Message {
    if !number.is_multiple_of(alert_every) {
        let mut message = samples(1, number, &[(number, false)]);
        let Body::Samples(samples) = &mut message.body else { unreachable!() };
        samples.rows[0].features = (0..FEATURES).map(|index| (index as u64 * number % 997) as f32).collect();
        return message;
    }
    let count = number / alert_every;
    let (episode, place) = (count / episode_messages, count % episode_messages);
    let state = match place {
        0 => AlertState::Opened,
        _ if place + 1 == episode_messages => AlertState::Closed,
        _ => AlertState::Updated,
    };
    alert(1, number, episode, state, (1_000 + episode, 1_000 + number))
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap());
    let mut number = || arguments.next().map_or(10, |text| text.parse().unwrap());
    let (alert_every, episode_messages): (u64, u64) = (number(), number());
    let mut store = Store::open(folder.join("ingest.sqlite"), Limits::default()).unwrap();
    let (mut spent, mut bytes, before) = (Duration::ZERO, 0, written());
    for batch in 0..BATCHES {
        let of = |index: u64| {
            let at = batch * BATCH + index;
            let (agent, number) = (at % AGENTS, at / AGENTS + 1);
            received(&format!("gateway-{agent}"), &message(number, alert_every, episode_messages))
        };
        let messages: Vec<Received> = (0..BATCH).map(of).collect();
        bytes += messages.iter().map(|received| received.payload.len() as u64).sum::<u64>();
        let began = Instant::now();
        let done = store.commit(&messages, 1_700_000_000 + batch).unwrap();
        spent += began.elapsed();
        assert_eq!(done.stored, BATCH);
    }
    store.close().unwrap();
    let rate = (BATCHES * BATCH) as f64 / spent.as_secs_f64();
    let amplification = (written() - before) as f64 / bytes as f64;
    println!("{rate:.0} messages/s, {amplification:.2} bytes written per payload byte");
}
