//! The outbox at its limits, over restarts and with torn writes.

use super::*;
use crate::disk::power::{Cut, PowerDisk};
use lapwing_shared::messages::{Health, Samples, Update, UpdateStep};
use lapwing_shared::units::Timestamp;

fn update(release: u64) -> Body {
    Body::Update(Update { release, step: UpdateStep::Confirmed })
}

fn samples() -> Body {
    Body::Samples(Samples { schema: [0; 32], flows_seen: 1, rows: heapless::Vec::new() })
}

fn alert(episode: u64) -> Body {
    use lapwing_shared::messages::{AddressForm, Alert, AlertState, Role};
    use lapwing_shared::units::Address;
    Body::Alert(Alert {
        episode,
        state: AlertState::Opened,
        host: Address::default(),
        role: Role::Source,
        since: Timestamp::EPOCH,
        at: Timestamp::EPOCH,
        evidence_nats: 1.0,
        peak_nats: 1.0,
        limit_nats: 1.0,
        flows: 1,
        odd_flows: 1,
        peers: heapless::Vec::new(),
        service_port: 0,
        reasons: heapless::Vec::new(),
        resembles: None,
        addresses: AddressForm::Plain,
        rows: heapless::Vec::new(),
        release: 1,
    })
}

fn outbox(messages: usize) -> Outbox<PowerDisk> {
    Outbox::new(7, Limits { bytes: 100_000, messages }, None)
}

fn sent(outbox: &mut Outbox<PowerDisk>, now_ms: u64) -> Vec<u64> {
    std::iter::from_fn(|| outbox.next_to_send(now_ms)).map(|outgoing| outgoing.id.1).collect()
}

fn ack(run: u64, up_to: u64, also: &[u64]) -> Acknowledgement {
    Acknowledgement { run, up_to, also: heapless::Vec::from_slice(also).unwrap() }
}

#[test]
fn messages_leave_only_when_acknowledged() {
    let mut outbox = outbox(100);
    (1..=4).for_each(|release| outbox.push(update(release), 0).unwrap());
    assert_eq!(sent(&mut outbox, 0), [1, 2, 3, 4]);
    assert!(sent(&mut outbox, RESEND_MS - 1).is_empty());
    outbox.acknowledged(&ack(6, 4, &[]));
    outbox.acknowledged(&ack(7, 1, &[3]));
    assert_eq!((outbox.counts().waiting, sent(&mut outbox, RESEND_MS)), (2, vec![2, 4]));
    outbox.disconnected();
    assert_eq!(sent(&mut outbox, RESEND_MS), [2, 4]);
    outbox.delivered((7, 2));
    outbox.delivered((7, 4));
    assert_eq!(outbox.counts().waiting, 0);
}

#[test]
fn a_full_outbox_drops_the_oldest_telemetry_before_any_alert() {
    let mut outbox = outbox(4);
    for body in [samples(), alert(1), update(1), alert(2), alert(3), alert(4), samples(), alert(5)] {
        outbox.push(body, 0).unwrap();
    }
    let counts = outbox.counts();
    assert_eq!((counts.dropped_telemetry, counts.dropped_alerts, counts.waiting), (3, 1, 4));
    let episodes: Vec<u64> = std::iter::from_fn(|| outbox.next_to_send(0))
        .filter_map(|outgoing| if let Body::Alert(alert) = outgoing.message.body { Some(alert.episode) } else { None })
        .collect();
    assert_eq!(episodes, [2, 3, 4, 5]);
}

#[test]
fn dropped_numbers_that_were_never_sent_leave_no_gap() {
    let mut outbox = outbox(3);
    (1..=9).for_each(|release| outbox.push(update(release), 0).unwrap());
    let mut numbers = sent(&mut outbox, 0);
    numbers.sort_unstable();
    assert!(numbers.iter().all(|number| *number <= 4), "{numbers:?}");
}

#[test]
fn messages_in_flight_are_not_dropped() {
    let mut outbox = outbox(2);
    outbox.push(update(1), 0).unwrap();
    outbox.push(update(2), 0).unwrap();
    assert_eq!(sent(&mut outbox, 0), [1, 2]);
    outbox.push(alert(1), 0).unwrap();
    assert_eq!((outbox.counts().waiting, outbox.counts().dropped_alerts), (2, 1));
}

#[test]
fn the_limit_in_bytes_holds() {
    let mut outbox = Outbox::<PowerDisk>::new(7, Limits { bytes: 500, messages: 1000 }, None);
    (1..=200).for_each(|release| outbox.push(update(release), 0).unwrap());
    assert!(outbox.bytes <= 500 && outbox.counts().dropped_telemetry > 100);
}

#[test]
fn the_window_is_bounded_and_only_the_newest_health_waits() {
    let mut outbox = outbox(1000);
    (0..100).for_each(|release| outbox.push(update(release), 0).unwrap());
    outbox.push(Body::Health(Health { packets: 1, ..Health::default() }), 0).unwrap();
    outbox.push(Body::Health(Health { packets: 2, ..Health::default() }), 0).unwrap();
    let first = outbox.next_to_send(0).unwrap();
    assert!(matches!(first.message.body, Body::Health(Health { packets: 2, .. })));
    assert_eq!((first.id.1, sent(&mut outbox, 0).len()), (0, WINDOW));
}

fn stored(disk: PowerDisk) -> Outbox<PowerDisk> {
    Outbox::new(1, Limits { bytes: 1000, messages: 100 }, Some(disk))
}

fn disk(outbox: Outbox<PowerDisk>) -> PowerDisk {
    outbox.journal.unwrap().into_disk()
}

#[test]
fn a_journal_brings_back_what_was_not_acknowledged() {
    let mut first = stored(PowerDisk::default());
    (1..=3).for_each(|episode| first.push(alert(episode), 0).unwrap());
    assert_eq!(sent(&mut first, 0), [1, 2, 3]);
    first.acknowledged(&ack(1, 1, &[]));
    first.flush();
    let mut second = stored(disk(first).after(Cut::NothingPending));
    assert_eq!((second.run(), second.counts().waiting), (2, 2));
    second.push(alert(4), 0).unwrap();
    let ids: Vec<MessageId> = std::iter::from_fn(|| second.next_to_send(0)).map(|outgoing| outgoing.id).collect();
    assert_eq!(ids, [(1, 2), (1, 3), (2, 1)]);
}

#[test]
fn a_power_cut_while_flushing_loses_only_the_last_batch() {
    for cut in [Cut::NothingPending, Cut::TornFiles] {
        for left in 0..12 {
            let mut outbox = stored(PowerDisk::default());
            (1..=3).for_each(|episode| outbox.push(alert(episode), 0).unwrap());
            outbox.flush();
            let mut outbox = stored(PowerDisk { left: Some(left), ..disk(outbox) });
            (4..=5).for_each(|episode| outbox.push(alert(episode), 0).unwrap());
            outbox.flush();
            let errors = outbox.counts().disk_errors;
            let after = stored(disk(outbox).after(cut));
            let waiting = after.counts().waiting;
            assert!((3..=5).contains(&waiting), "{cut:?} after {left}: {waiting}");
            assert!(errors > 0 || waiting == 5, "{cut:?} after {left}: {waiting}");
        }
    }
}

#[test]
fn a_full_segment_is_rewritten_without_messages_that_left() {
    let mut outbox = stored(PowerDisk::default());
    for round in 0..100 {
        outbox.push(alert(round), 0).unwrap();
        let ids: Vec<MessageId> = std::iter::from_fn(|| outbox.next_to_send(0)).map(|outgoing| outgoing.id).collect();
        outbox.flush();
        ids.into_iter().for_each(|id| outbox.delivered(id));
    }
    let disk = disk(outbox);
    assert!(disk.used() <= 2100 && disk.files().len() <= 2, "{} {:?}", disk.used(), disk.files());
}

/// This number of alerts, sent and in the journal, all acknowledged but the newest.
fn sent_and_acknowledged(alerts: u64) -> Outbox<PowerDisk> {
    let mut outbox = roomy(PowerDisk::default());
    for number in 1..=alerts {
        outbox.push(alert(number), 0).unwrap();
        assert_eq!(sent(&mut outbox, 0), [number]);
        assert!(outbox.flush().is_none());
        outbox.acknowledged(&ack(1, number - 1, &[]));
    }
    outbox
}

fn roomy(disk: PowerDisk) -> Outbox<PowerDisk> {
    Outbox::new(1, Limits { bytes: 100_000, messages: 1000 }, Some(disk))
}

fn waiting(outbox: &Outbox<PowerDisk>) -> Vec<u64> {
    outbox.entries().map(|entry| entry.id.1).collect()
}

#[test]
fn no_acknowledged_message_returns_after_an_orderly_stop() {
    for alerts in [1, 2, 40, 200] {
        let mut first = sent_and_acknowledged(alerts);
        assert!(first.finish().is_none());
        assert_eq!(waiting(&roomy(disk(first))), [alerts]);
    }
}

#[test]
fn a_power_cut_brings_back_a_bounded_number_of_acknowledged_messages() {
    let repeated = (2..200).map(|alerts| {
        let after = waiting(&roomy(disk(sent_and_acknowledged(alerts)).after(Cut::NothingPending)));
        assert_eq!(after.last(), Some(&alerts));
        after.len() - 1
    });
    assert_eq!(repeated.max(), Some(WINDOW), "as many as leave before the journal is rewritten");
}

#[test]
fn a_full_disk_is_counted_and_messages_wait_in_memory() {
    let mut outbox = stored(PowerDisk { room: Some(10), ..PowerDisk::default() });
    outbox.push(alert(1), 0).unwrap();
    outbox.flush();
    assert_eq!((outbox.counts().disk_errors, outbox.counts().waiting), (1, 1));
}

#[test]
fn run_numbers_increase_over_restarts_and_lost_files() {
    let mut disk = PowerDisk::default();
    let mut runs = vec![next_run(&mut disk, None).0, next_run(&mut disk, None).0, next_run(&mut disk, Some(500)).0];
    runs.push(next_run(&mut disk, None).0);
    disk.damage("run", Vec::clear);
    runs.push(next_run(&mut disk, Some(502)).0);
    assert_eq!(runs, [1, 2, 500, 501, 502]);
    let mut full = PowerDisk { room: Some(0), ..PowerDisk::default() };
    assert!(next_run(&mut full, None).1.is_some());
}

#[test]
fn setting_the_clock_corrects_waiting_alerts_but_not_sent_ones() {
    let mut outbox = outbox(100);
    outbox.push(alert(1), 0).unwrap();
    assert_eq!(sent(&mut outbox, 0), [1]);
    outbox.push(alert(2), 0).unwrap();
    outbox.push(alert(3), 1_800_000_000).unwrap();
    assert_eq!(outbox.correct_times(5_000_000_000, 1_900_000_000), 1);
    outbox.disconnected();
    let times: Vec<_> = std::iter::from_fn(|| outbox.next_to_send(0))
        .map(|outgoing| {
            let Body::Alert(alert) = outgoing.message.body else { panic!("an alert") };
            (alert.episode, alert.at.as_secs(), alert.since.as_secs(), outgoing.message.sent_s)
        })
        .collect();
    assert_eq!(times, [(1, 0, 0, 0), (2, 5, 5, 1_900_000_000), (3, 0, 0, 1_800_000_000)]);
    assert_eq!(outbox.correct_times(5_000_000_000, 1_900_000_000), 0, "nothing is corrected twice");
}

#[test]
fn samples_are_not_written_to_the_disk() {
    let mut first = stored(PowerDisk::default());
    [samples(), alert(1), samples()].into_iter().for_each(|body| first.push(body, 0).unwrap());
    assert!(first.flush().is_none());
    let mut second = stored(disk(first).after(Cut::NothingPending));
    assert_eq!(sent(&mut second, 0), [2], "only the alert returns");
}

#[test]
fn refused_messages_wait_and_do_not_hold_up_other_kinds() {
    let mut outbox = outbox(1000);
    (0..100).for_each(|_| outbox.push(samples(), 0).unwrap());
    assert_eq!(sent(&mut outbox, 0).len(), WINDOW);
    (1..=WINDOW as u64).for_each(|number| outbox.refused((7, number), 0));
    outbox.push(alert(1), 0).unwrap();
    outbox.push(update(1), 0).unwrap();
    assert_eq!(sent(&mut outbox, 0), [101, 102]);
    assert_eq!(outbox.counts().waiting, 102);
    assert!(sent(&mut outbox, REFUSED_MS - 1).is_empty());
    assert_eq!(sent(&mut outbox, REFUSED_MS)[..3], [101, 1, 2], "sent again after the wait");
}

#[test]
fn refused_messages_are_dropped_before_others_and_counted() {
    let mut outbox = outbox(2);
    outbox.push(alert(1), 0).unwrap();
    outbox.push(alert(2), 0).unwrap();
    sent(&mut outbox, 0);
    outbox.refused((7, 1), 0);
    outbox.push(alert(3), 0).unwrap();
    let counts = outbox.counts();
    assert_eq!((counts.dropped_alerts, counts.waiting), (1, 2));
    outbox.disconnected();
    assert_eq!(sent(&mut outbox, 0), [2, 3]);
}

fn full_samples() -> Body {
    use lapwing_shared::features::FEATURES;
    use lapwing_shared::messages::{RowHosts, SAMPLE_ROWS, SampleRow};
    let row = |second| {
        SampleRow::new(Timestamp::from_secs(second), &[1.5; FEATURES], None, false, RowHosts { source: 1, target: 2 })
    };
    Body::Samples(Samples { schema: [3; 32], flows_seen: 905, rows: (0..SAMPLE_ROWS as u64).map(row).collect() })
}

#[test]
fn samples_are_split_until_they_fit_and_keep_their_rows_and_weight() {
    let mut outbox = outbox(100);
    outbox.set_payload_limit(2000);
    outbox.push(full_samples(), 5).unwrap();
    let (mut rows, mut weight, mut numbers) = (Vec::new(), 0, Vec::new());
    while let Some(outgoing) = outbox.next_to_send(0) {
        assert!(outgoing.payload.len() <= 2000 && outgoing.message.sent_s == 5);
        let Body::Samples(samples) = outgoing.message.body else { panic!() };
        weight += samples.flows_seen;
        rows.extend(samples.rows.iter().map(|row| row.at.as_secs()));
        numbers.push(outgoing.id.1);
    }
    rows.sort_unstable();
    numbers.sort_unstable();
    assert_eq!((rows, weight), ((0..32).collect::<Vec<_>>(), 905));
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "each part has a number of its own");
    assert_eq!((outbox.counts().left_out, outbox.counts().dropped_telemetry), (0, 0));
}

#[test]
fn an_alert_loses_its_rows_where_the_broker_has_no_room_for_them() {
    let mut outbox = outbox(100);
    outbox.set_payload_limit(200);
    let Body::Alert(mut with_rows) = alert(1) else { panic!() };
    while with_rows.rows.push([1.5; lapwing_shared::features::FEATURES]).is_ok() {}
    outbox.push(Body::Alert(with_rows), 0).unwrap();
    let outgoing = outbox.next_to_send(0).unwrap();
    assert_eq!((outgoing.message.body, outgoing.id), (alert(1), (7, 1)));
    assert!(outgoing.payload.len() <= 200 && outbox.counts().left_out == 1);
}

#[test]
fn what_cannot_be_cut_waits_for_another_broker_or_is_dropped_and_counted() {
    let mut outbox = outbox(100);
    outbox.set_payload_limit(10);
    outbox.push(alert(1), 0).unwrap();
    outbox.push(full_samples(), 0).unwrap();
    outbox.push(Body::Health(Health::default()), 0).unwrap();
    assert!(sent(&mut outbox, 0).is_empty() && sent(&mut outbox, RESEND_MS).is_empty());
    let counts = outbox.counts();
    assert_eq!((counts.waiting, counts.dropped_telemetry, counts.left_out), (1, 33, 34));
    outbox.disconnected();
    outbox.set_payload_limit(usize::MAX);
    assert_eq!(sent(&mut outbox, 0), [1]);
}

#[test]
fn alerts_that_a_run_with_plain_addresses_left_are_protected_before_they_are_sent() {
    use lapwing_shared::messages::AddressForm;
    use lapwing_shared::privacy::{AddressKey, Protection};
    let limits = Limits { bytes: 100_000, messages: 100 };
    let mut before = Outbox::new(1, limits, Some(PowerDisk::default()));
    before.push(alert(1), 5).unwrap();
    before.push(update(2), 5).unwrap();
    before.finish();
    let mut outbox = Outbox::new(2, limits, Some(disk(before).after(Cut::NothingPending)));
    outbox.protect(&Protection::hidden(AddressKey::new([1; 32])));
    assert_eq!(outbox.bytes, outbox.entries().map(|entry| entry.payload.len()).sum::<usize>());
    let Body::Alert(sent) = outbox.next_to_send(0).unwrap().message.body else { panic!("alerts first") };
    assert_eq!(sent.addresses, AddressForm::Hidden);
    assert_ne!(sent.host, lapwing_shared::units::Address::default());
    assert!(outbox.finish().is_none());
    let again = Outbox::new(3, limits, Some(disk(outbox).after(Cut::NothingPending)));
    let stored = again.entries().next().unwrap();
    let Body::Alert(stored) = Message::decode(&stored.payload).unwrap().body else { panic!("alerts first") };
    assert_eq!((stored.host, stored.addresses), (sent.host, sent.addresses), "the journal, too");
}
