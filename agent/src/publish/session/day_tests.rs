//! 24 hours of a gateway with a simulated clock: the outbox stays bounded, and little is written to the disk.

use super::*;
use crate::disk::counted::Counted;
use crate::disk::power::PowerDisk;
use crate::outbox::{Limits, OutboxCounts};
use crate::output::alerts::test_alert;
use crate::report::SharedReport;
use crate::update::halver::Halvers;
use lapwing_shared::features::FEATURES;
use lapwing_shared::messages::{Acknowledgement, Health, Message, RowHosts, SAMPLE_ROWS, SampleRow, Samples};
use lapwing_shared::release::manifest::CHUNK_BYTES;
use lapwing_shared::release::testing::{artifact_bytes, manifest, signed, terms};
use lapwing_shared::release::trial::TrialVerdict;
use lapwing_shared::units::Timestamp;
use std::ops::Range;

type Test = Session<Counted<PowerDisk>, Halvers>;

const HOUR_S: u64 = 3600;
/// Morning of a recent day, seconds since the epoch.
const BEGIN_S: u64 = 1_790_000_000;

fn samples() -> Samples {
    let row = SampleRow {
        at: Timestamp::from_secs(BEGIN_S),
        features: std::iter::repeat_n(1.5, FEATURES).collect(),
        score: Some(900),
        in_episode: false,
        hosts: RowHosts { source: 1, target: 2 },
    };
    Samples { schema: [0; 32], flows_seen: 900, rows: std::iter::repeat_n(row, SAMPLE_ROWS).collect() }
}

/// Plays broker and trainer: serves a release and acknowledges messages.
fn answer(session: &mut Test, now_ms: u64, received: &mut Vec<u64>) {
    let acks = agent_topic(&"gw-1".try_into().unwrap(), Kind::Ack);
    while let Some(action) = session.next_action() {
        match action {
            Action::Subscribe(topic) => {
                if let Some(Topic::Chunk(_, number)) = Topic::parse(&topic) {
                    let artifact = artifact_bytes();
                    let chunk = artifact.chunks(CHUNK_BYTES as usize).nth(number as usize).unwrap();
                    session.message(&topic, chunk, now_ms, None);
                }
            }
            Action::Publish { id: Some((run, number)), payload, .. } => {
                if let Ok(Message { body: Body::Alert(alert), .. }) = Message::decode(&payload) {
                    received.push(alert.episode);
                }
                let also = [number].into_iter().collect();
                let mut room = [0; 1024];
                let ack = Acknowledgement { run, up_to: 0, also }.encode(&mut room).unwrap().to_vec();
                session.message(&acks, &ack, now_ms, None);
            }
            _ => {}
        }
    }
}

struct Day {
    report: SharedReport,
    received: Vec<u64>,
    alerts: u64,
    most_waiting: u32,
    counts: OutboxCounts,
}

/// Health every 10 s, 32 rows every 5 minutes, an alert every `alert_s`, a release in the first hour; no broker during
/// `outage`.
fn day(outage: Range<u64>, alert_s: u64, limits: Limits) -> Day {
    let report = SharedReport::default();
    let disk = Counted::new(PowerDisk::default(), report.clone());
    let (store, _) = Store::open(disk.clone(), terms());
    let outbox = Outbox::new(1, limits, Some(disk));
    let mut session = Session::start("gw-1".try_into().unwrap(), Delivery::EndToEnd, Halvers, store, outbox);
    let mut alerts = 0;
    let (mut received, mut most_waiting) = (Vec::new(), 0);
    session.connected(0);
    for second in 0..24 * HOUR_S {
        let (now_ms, now_s) = (second * 1000, Some(BEGIN_S + second));
        if second == outage.start {
            session.disconnected();
        } else if second == outage.end {
            session.connected(now_ms);
        }
        if second == HOUR_S / 2 {
            session.message("lapwing/v1/group/home/release", &signed(&manifest(1), 1), now_ms, None);
        } else if second == HOUR_S {
            session.handle_pipeline(
                FromPipeline::TrialVerdict { version: 1, verdict: TrialVerdict::Confirm },
                now_ms,
                now_s,
            );
        }
        if second % 10 == 0 {
            session.handle_pipeline(FromPipeline::Health(Health::default()), now_ms, now_s);
        }
        if second % 300 == 0 {
            session.handle_pipeline(FromPipeline::Samples(samples()), now_ms, now_s);
        }
        if second % alert_s == alert_s / 2 {
            alerts += 1;
            let alert = test_alert(Timestamp::from_secs(BEGIN_S + second), alerts);
            session.handle_pipeline(FromPipeline::Alert(alert), now_ms, now_s);
        }
        session.tick(now_ms, now_s);
        most_waiting = most_waiting.max(session.outbox().counts().waiting);
        if !outage.contains(&second) {
            answer(&mut session, now_ms, &mut received);
        }
    }
    session.finish();
    assert_eq!(session.in_use(), (1, false));
    Day { report, received, alerts, most_waiting, counts: session.outbox().counts() }
}

#[test]
fn a_six_hour_outage_loses_no_alert_and_writes_little() {
    let day = day(8 * HOUR_S..14 * HOUR_S, 600, Limits::default());
    let mut received = day.received;
    received.sort_unstable();
    received.dedup();
    assert_eq!(received, (1..=day.alerts).collect::<Vec<_>>());
    assert_eq!(day.counts.dropped_alerts, 0);
    assert!(day.most_waiting <= 6 * 12 + 6 * 6 + 4, "{} messages waited", day.most_waiting);
    let (octets, syncs) = (day.report.snapshot().disk_octets, day.report.snapshot().disk_syncs);
    println!("{octets} octets written, {syncs} syncs");
    assert!((80_000..300_000).contains(&octets), "{octets}: the release alone is 70,000");
    assert!(syncs < 24 * 60, "{syncs}: not once a minute");
}

#[test]
fn a_long_outage_stays_within_the_outbox_and_counts_dropped_messages() {
    let limits = Limits { bytes: 64 * 1024, messages: 200 };
    let day = day(2 * HOUR_S..23 * HOUR_S, 60, limits);
    assert_eq!(day.most_waiting, 200);
    assert!(day.counts.dropped_alerts > 500 && day.counts.dropped_telemetry > 200, "{:?}", day.counts);
    let received: std::collections::BTreeSet<_> = day.received.iter().collect();
    let lost = day.alerts - received.len() as u64;
    assert_eq!(lost, day.counts.dropped_alerts, "every alert arrived or was counted as dropped");
    let octets = day.report.snapshot().disk_octets;
    println!("{octets} octets written");
    assert!(octets < 1_000_000, "{octets}");
}
