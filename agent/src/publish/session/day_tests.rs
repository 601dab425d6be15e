//! A day of a gateway's life on a clock that the test moves: what waits stays bounded, and little is written.

use super::*;
use crate::outbox::Limits;
use crate::output::alerts::test_alert;
use crate::status::Board;
use crate::update::counted::Counted;
use crate::update::halver::Halvers;
use crate::update::power::PowerDisk;
use crate::update::testing::{artifact_bytes, manifest, signed, terms};
use lapwing_shared::features::FEATURES;
use lapwing_shared::messages::{Acknowledgement, Health, RowHosts, SAMPLE_ROWS, SampleRow, Samples};
use lapwing_shared::release::manifest::CHUNK_BYTES;
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

/// Broker and trainer: they retain a release and acknowledge what comes.
fn answer(session: &mut Test, now_ms: u64, taken: &mut Vec<u64>) {
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
                    taken.push(alert.episode);
                }
                let also = [number].into_iter().collect();
                let mut room = [0; 1024];
                let told = Acknowledgement { run, up_to: 0, also }.encode(&mut room).unwrap().to_vec();
                session.message(&acks, &told, now_ms, None);
            }
            _ => {}
        }
    }
}

struct Day {
    board: Board,
    taken: Vec<u64>,
    told: u64,
    most_waiting: u32,
    dropped: (u64, u64),
}

/// Health every 10 s, 32 rows every 5 minutes, an alert every `alert_s`, a release in the first hour; no broker during
/// `outage`.
fn day(outage: Range<u64>, alert_s: u64, limits: Limits) -> Day {
    let board = Board::default();
    let disk = Counted::new(PowerDisk::default(), board.clone());
    let (store, _) = Store::open(disk.clone(), terms());
    let outbox = Outbox::new(1, limits, Some(disk));
    let mut session = Session::start("gw-1".try_into().unwrap(), Delivery::EndToEnd, Halvers, store, outbox);
    let mut told = 0;
    let (mut taken, mut most_waiting) = (Vec::new(), 0);
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
            session.from_pipeline(FromPipeline::TrialVerdict(1, TrialVerdict::Confirm), now_ms, now_s);
        }
        if second % 10 == 0 {
            session.from_pipeline(FromPipeline::Health(Health::default()), now_ms, now_s);
        }
        if second % 300 == 0 {
            session.from_pipeline(FromPipeline::Samples(samples()), now_ms, now_s);
        }
        if second % alert_s == alert_s / 2 {
            told += 1;
            let alert = test_alert(Timestamp::from_secs(BEGIN_S + second), told);
            session.from_pipeline(FromPipeline::Alert(alert), now_ms, now_s);
        }
        session.tick(now_ms, now_s);
        most_waiting = most_waiting.max(session.outbox().counts().waiting);
        if !outage.contains(&second) {
            answer(&mut session, now_ms, &mut taken);
        }
    }
    session.finish();
    assert_eq!(session.in_use(), (1, false));
    let counts = session.outbox().counts();
    Day { board, taken, told, most_waiting, dropped: (counts.dropped_alerts, counts.dropped_telemetry) }
}

#[test]
fn a_day_with_six_hours_without_broker_writes_little_and_loses_no_alert() {
    let day = day(8 * HOUR_S..14 * HOUR_S, 600, Limits::default());
    let mut taken = day.taken;
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken, (1..=day.told).collect::<Vec<_>>());
    assert_eq!(day.dropped.0, 0);
    assert!(day.most_waiting <= 6 * 12 + 6 * 6 + 4, "{} messages waited", day.most_waiting);
    let (octets, syncs) = (day.board.report().disk_octets, day.board.report().disk_syncs);
    println!("{octets} octets written, made durable {syncs} times");
    assert!((80_000..300_000).contains(&octets), "{octets}: the release alone is 70,000");
    assert!(syncs < 24 * 60, "{syncs}: not once a minute");
}

#[test]
fn a_day_of_alerts_without_broker_keeps_to_the_outbox_and_counts_what_went() {
    let limits = Limits { bytes: 64 * 1024, messages: 200 };
    let day = day(2 * HOUR_S..23 * HOUR_S, 60, limits);
    assert_eq!(day.most_waiting, 200);
    assert!(day.dropped.0 > 500 && day.dropped.1 > 200, "{:?}", day.dropped);
    let lost = day.told - { day.taken.iter().collect::<std::collections::BTreeSet<_>>().len() as u64 };
    assert_eq!(lost, day.dropped.0, "every alert came or was counted");
    let octets = day.board.report().disk_octets;
    println!("{octets} octets written");
    assert!(octets < 1_000_000, "{octets}");
}
