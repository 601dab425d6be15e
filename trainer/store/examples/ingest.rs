//! Messages that `Store::commit` stores per second, and bytes that it writes for them: the numbers in docs/measurements.md.
//!
//! `cargo run --release -p lapwing-store --features testing,postgres --example ingest -- \
//!  FOLDER|postgres://… [ALERT_EVERY] [EPISODE_MESSAGES] [WRITERS]`
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a measurement")]

use lapwing_shared::features::FEATURES;
use lapwing_shared::messages::{AlertState, Body, Message};
use lapwing_store::testing::{alert, received, samples};
use lapwing_store::{Limits, Received, Store};
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

/// Position in the write-ahead log of a PostgreSQL server, bytes; `None` for an SQLite file.
#[cfg(feature = "postgres")]
fn wal_bytes(place: &str) -> Option<u64> {
    let mut client =
        place.starts_with("postgres").then(|| postgres::Client::connect(place, postgres::NoTls).unwrap())?;
    let text = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint";
    Some(client.query_one(text, &[]).unwrap().get::<_, i64>(0).cast_unsigned())
}

#[cfg(not(feature = "postgres"))]
fn wal_bytes(_: &str) -> Option<u64> {
    None
}

/// Payload bytes of the batches that one writer commits: each `writers`-th from `first` on.
fn write(place: &str, (first, writers): (u64, u64), (alert_every, episode_messages): (u64, u64)) -> (u64, Duration) {
    let mut store = Store::open(std::path::Path::new(place), Limits::default()).unwrap();
    let (mut spent, mut bytes) = (Duration::ZERO, 0);
    for batch in (first..BATCHES).step_by(writers as usize) {
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
    (bytes, spent)
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next().unwrap();
    let mut number = |default| arguments.next().map_or(default, |text| text.parse().unwrap());
    let (messages, writers) = ((number(10), number(10)), number(1));
    let place = if place.starts_with("postgres") { place } else { format!("{place}/ingest.sqlite") };
    drop(Store::open(std::path::Path::new(&place), Limits::default()).unwrap());
    let (before, wal_before, began) = (written(), wal_bytes(&place), Instant::now());
    let done: Vec<(u64, Duration)> = std::thread::scope(|scope| {
        let write = |first| write(&place, (first, writers), messages);
        let threads: Vec<_> = (0..writers).map(|first| scope.spawn(move || write(first))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let bytes: u64 = done.iter().map(|(bytes, _)| bytes).sum();
    // One writer prepares its messages between commits; several prepare theirs while others commit.
    let spent = if writers == 1 { done[0].1 } else { began.elapsed() };
    let rate = (BATCHES * BATCH) as f64 / spent.as_secs_f64();
    let total = wal_bytes(&place).zip(wal_before).map_or(written() - before, |(after, before)| after - before);
    let what = if wal_before.is_some() { "bytes of write-ahead log" } else { "bytes written" };
    println!("{rate:.0} messages/s, {:.2} {what} per payload byte", total as f64 / bytes as f64);
}
