//! Golden bytes of every message kind, and rejected payloads.
//!
//! The golden bytes were checked by hand against postcard's wire format; they change only together with
//! [`MESSAGE_VERSION`].

use super::*;
use crate::messages::{
    AlertState, DetectorCounters, DeviceHealth, Health, Peer, ReleaseHealth, Role, RowHosts, SAMPLE_ROWS, SampleRow,
    Update, UpdateStep,
};
use crate::units::{Address, Timestamp};
use heapless::Vec as Fixed;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

#[path = "health_tests.rs"]
mod health_tests;

fn message(number: u64, body: Body) -> Message {
    Message { run: 7, number, sent_s: 1_700_000_000, body }
}

fn alert() -> Message {
    let reason = Reason { feature: 3, value: 1.5, normal_low: 0.0, normal_high: 2.0, share_permille: 640 };
    let peer = Peer { address: Address::from_v4([192, 0, 2, 1]), flows: 300 };
    message(
        1,
        Body::Alert(Alert {
            episode: 5 << 32 | 1,
            state: AlertState::Updated,
            host: Address::from_v4([10, 0, 0, 9]),
            role: Role::Target,
            since: Timestamp::from_nanos(1),
            at: Timestamp::from_nanos(128),
            evidence_nats: 20.0,
            peak_nats: 21.0,
            limit_nats: 12.0,
            flows: 400,
            odd_flows: 399,
            peers: Fixed::from_slice(&[peer]).unwrap(),
            service_port: 22,
            reasons: Fixed::from_slice(&[reason]).unwrap(),
            resembles: Some("ssh".try_into().unwrap()),
            release: 2,
            addresses: AddressForm::Plain,
            rows: Fixed::new(),
        }),
    )
}

/// The same alert with rows.
fn alert_with(rows: &[[f32; FEATURES]]) -> Message {
    let mut message = alert();
    let Body::Alert(alert) = &mut message.body else { unreachable!() };
    alert.rows = Fixed::from_slice(rows).unwrap();
    message
}

fn row(features: usize, value: f32) -> SampleRow {
    let features = Fixed::from_slice(&vec![value; features]).unwrap();
    SampleRow { at: Timestamp::from_nanos(9), features, score: Some(130), in_episode: true, hosts: RowHosts::default() }
}

fn row_of(source: u32, target: u32) -> SampleRow {
    SampleRow { hosts: RowHosts { source, target }, ..row(FEATURES, 1.5) }
}

fn samples(rows: &[SampleRow]) -> Message {
    message(2, Body::Samples(Samples { schema: [0xab; 32], flows_seen: 1000, rows: Fixed::from_slice(rows).unwrap() }))
}

fn health() -> Message {
    message(
        0,
        Body::Health(Health {
            at: Timestamp::from_nanos(10),
            uptime_s: 11,
            packets: 12,
            octets: 13,
            refused: 14,
            kernel_drops: 15,
            flows: 16,
            flow_evictions: 17,
            host_evictions: 18,
            scored: 19,
            unscored: 20,
            alerts: 21,
            outbox_dropped_alerts: 22,
            outbox_dropped_telemetry: 23,
            outbox_waiting: 24,
            refused_by_reason: Fixed::from_slice(&[1, 2]).unwrap(),
            seen_octets: 25,
            moved_octets: 26,
            coverage_degraded: true,
            sampled_permille: 1000,
            clock_set: true,
            detector: DetectorCounters::default(),
            release: ReleaseHealth::default(),
            device: DeviceHealth::default(),
        }),
    )
}

fn status() -> Message {
    message(
        0,
        Body::Status(Status {
            online: true,
            group: "home".try_into().unwrap(),
            agent_version: "0.1.0".try_into().unwrap(),
            engine: "int8".try_into().unwrap(),
            release: 3,
            on_trial: false,
            schema: [0xcd; 32],
        }),
    )
}

fn update(step: UpdateStep) -> Message {
    message(3, Body::Update(Update { release: 4, step }))
}

fn encoded(message: &Message) -> Vec<u8> {
    message.encode(&mut vec![0; MESSAGE_BYTES]).unwrap().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    use core::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[track_caller]
fn check_golden(message: &Message, golden: &str) {
    let bytes = encoded(message);
    assert_eq!(hex(&bytes), golden.replace([' ', '\n'], ""));
    assert_eq!(Message::decode(&bytes).as_ref(), Ok(message));
}

#[test]
fn an_alert_encodes_to_its_golden_bytes() {
    let bytes = "01 07 01 80e2cfaa06 00 8180808050 01 00000000000000000000ffff0a000009 01 01 8001 0000a041 0000a841
        00004041 9003 8f03 01 00000000000000000000ffffc0000201 ac02 16 01 03 0000c03f 00000000 00000040 8005 01 03 737368
        02";
    check_golden(&alert(), bytes);
}

#[test]
fn rows_are_appended_to_the_bytes_of_an_alert() {
    let without = hex(&encoded(&alert()));
    let schema = "41bc2fdb3960516aca8aae7138fef92e7a0db2dd91fadbd77951c8897c477fd0";
    let (first, second) = ("0000c03f".repeat(FEATURES), "000080bf".repeat(FEATURES));
    let golden = format!("02{}{schema}02{first}{second}", &without[2..]);
    check_golden(&alert_with(&[[1.5; FEATURES], [-1.0; FEATURES]]), &golden);
}

#[test]
fn an_alert_with_pseudonyms_has_a_version_of_its_own() {
    let without = hex(&encoded(&alert()));
    for (code, form) in [(0_u32, "00000000"), (0x0403_0201, "01020304")] {
        let mut message = alert();
        let Body::Alert(content) = &mut message.body else { unreachable!() };
        content.addresses = AddressForm::from_code(Some(code));
        check_golden(&message, &format!("03{}{form}", &without[2..]));
        let mut message = alert_with(&[[1.5; FEATURES]]);
        let with_rows = hex(&encoded(&message));
        let Body::Alert(content) = &mut message.body else { unreachable!() };
        content.addresses = AddressForm::from_code(Some(code));
        let rows = &with_rows[without.len()..];
        check_golden(&message, &format!("03{}{form}{rows}", &without[2..]));
    }
    let mut bytes = encoded(&health());
    bytes[0] = PSEUDONYM_VERSION;
    let expected = FrameError::Version { found: PSEUDONYM_VERSION, expected: MESSAGE_VERSION };
    bytes.extend([0; 4]);
    assert_eq!(Message::decode(&bytes), Err(expected.into()), "only alerts have it");
    let mut bytes = encoded(&alert());
    bytes[0] = PSEUDONYM_VERSION;
    for cut in 0..4 {
        assert_eq!(Message::decode(&bytes), Err(FrameError::Malformed.into()), "{cut} bytes of the form");
        bytes.push(0);
    }
    assert!(Message::decode(&bytes).is_ok());
}

#[test]
fn an_alert_with_rows_fits_1000_bytes_and_a_wrong_count_is_rejected() {
    let mut bytes = encoded(&alert_with(&[[f32::MAX; FEATURES]; 3]));
    assert!(bytes.len() < 1_000, "{}", bytes.len());
    let count = encoded(&alert()).len() + 32;
    for wrong in [0, 1, 2, 4, 255] {
        bytes[count] = wrong;
        assert_eq!(Message::decode(&bytes), Err(MessageError::Frame(FrameError::Malformed)), "{wrong} rows");
    }
    bytes[count] = 3;
    assert!(Message::decode(&bytes).is_ok());
    bytes[count - 1] ^= 1;
    let Ok(Message { body: Body::Alert(alert), .. }) = Message::decode(&bytes) else { panic!() };
    assert!(alert.rows.is_empty(), "another schema");
}

#[test]
fn samples_encode_to_their_golden_bytes() {
    let (schema, row_values) = ("ab".repeat(32), "0000c03f".repeat(FEATURES));
    let bytes = format!("01 07 02 80e2cfaa06 01 {schema} e807 01 09 30 {row_values} 01 8201 01");
    check_golden(&samples(&[row(FEATURES, 1.5)]), &bytes);
}

#[test]
fn hosts_are_appended_to_the_bytes_of_samples() {
    let plain = hex(&encoded(&samples(&[row(FEATURES, 1.5), row(FEATURES, 1.5)])));
    let golden = format!("02{}01000000 00000000 04030201 ffffffff", &plain[2..]);
    let with_hosts = samples(&[row_of(1, 0), row_of(0x0102_0304, u32::MAX)]);
    check_golden(&with_hosts, &golden);
    let mut bytes = encoded(&with_hosts);
    let end = bytes.len();
    bytes[end - 16..].fill(0);
    assert_eq!(Message::decode(&bytes), Err(MessageError::Frame(FrameError::Malformed)), "all hosts 0");
}

#[test]
fn a_status_encodes_to_its_golden_bytes() {
    let bytes = format!("01 07 00 80e2cfaa06 03 01 04686f6d65 05302e312e30 04696e7438 03 00 {}", "cd".repeat(32));
    check_golden(&status(), &bytes);
}

#[test]
fn an_update_encodes_to_its_golden_bytes() {
    check_golden(&update(UpdateStep::Confirmed), "01 07 03 80e2cfaa06 04 04 03");
    check_golden(&update(UpdateStep::RolledBack("bad".try_into().unwrap())), "01 07 03 80e2cfaa06 04 04 05 03626164");
}

#[test]
fn an_acknowledgement_encodes_to_its_golden_bytes() {
    let ack = Acknowledgement { run: 7, up_to: 300, also: Fixed::from_slice(&[302, 305]).unwrap() };
    let mut room = [0; ACKNOWLEDGEMENT_BYTES];
    let bytes = ack.encode(&mut room).unwrap();
    assert_eq!(hex(bytes), "0107ac0202ae02b102");
    assert_eq!(Acknowledgement::decode(bytes).as_ref(), Ok(&ack));
}

#[test]
fn an_acknowledgement_covers_exactly_its_numbers() {
    let ack = Acknowledgement { run: 7, up_to: 3, also: Fixed::from_slice(&[5]).unwrap() };
    let covered: Vec<u64> = (1..8).filter(|number| ack.covers(7, *number)).collect();
    assert_eq!(covered, [1, 2, 3, 5]);
    assert!(!ack.covers(6, 1));
}

#[test]
fn the_largest_acknowledgement_fits_its_stated_size() {
    let also = Fixed::from_slice(&[u64::MAX; 64]).unwrap();
    let ack = Acknowledgement { run: u64::MAX, up_to: u64::MAX, also };
    assert_eq!(ack.encode(&mut [0; ACKNOWLEDGEMENT_BYTES]).unwrap().len(), ACKNOWLEDGEMENT_BYTES);
}

#[test]
fn a_full_batch_of_samples_fits_a_payload() {
    let rows = vec![SampleRow { hosts: row_of(1, 2).hosts, ..row(FEATURES, f32::MAX) }; SAMPLE_ROWS];
    assert!(encoded(&samples(&rows)).len() < 8 * 1024);
}

#[test]
fn a_truncated_message_is_rejected() {
    let rows = alert_with(&[[1.0; FEATURES]]);
    let hosts = samples(&[row_of(1, 2)]);
    let mut counters = health();
    let Body::Health(body) = &mut counters.body else { unreachable!() };
    body.detector.flooding_sources = 9;
    let plain = [alert(), samples(&[row(FEATURES, 1.0)]), health(), status(), update(UpdateStep::Trial)];
    for message in plain.into_iter().chain([rows, hosts, counters, health_tests::release_health().0]) {
        let bytes = encoded(&message);
        assert_eq!(Message::decode(&[]), Err(MessageError::Frame(FrameError::Empty)));
        for cut in 1..bytes.len() {
            assert_eq!(Message::decode(&bytes[..cut]), Err(MessageError::Frame(FrameError::Malformed)), "cut at {cut}");
        }
    }
}

#[test]
fn wrong_version_trailing_and_overlong_bytes_are_rejected() {
    let mut bytes = encoded(&status());
    bytes.push(0);
    assert_eq!(Message::decode(&bytes), Err(MessageError::Frame(FrameError::Trailing { bytes: 1 })));
    bytes[0] = 2;
    let error = Message::decode(&bytes).unwrap_err();
    assert_eq!(error, MessageError::Frame(FrameError::Version { found: 2, expected: 1 }));
    assert_eq!(format!("{error}"), "message: format version 2, expected 1");
    bytes.resize(MESSAGE_BYTES + 1, 0);
    let error = FrameError::TooLong { bytes: MESSAGE_BYTES + 1, limit: MESSAGE_BYTES };
    assert_eq!(Message::decode(&bytes), Err(MessageError::Frame(error)));
}

#[test]
fn no_single_byte_change_panics_the_decoder() {
    for message in [
        alert(),
        alert_with(&[[1.0; FEATURES]]),
        samples(&[row(FEATURES, 1.0)]),
        samples(&[row_of(1, 2), row_of(0, 0)]),
        status(),
        health_tests::release_health().0,
        update(UpdateStep::Refused("no".try_into().unwrap())),
    ] {
        let bytes = encoded(&message);
        for place in 0..bytes.len() {
            for value in [0, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[place] = value;
                if let Ok(read) = Message::decode(&changed) {
                    assert!(read.encode(&mut vec![0; MESSAGE_BYTES]).is_ok());
                }
            }
        }
    }
}

#[test]
fn a_row_of_the_wrong_width_is_rejected_both_ways() {
    let short = samples(&[row(FEATURES, 1.0), row(FEATURES - 1, 1.0)]);
    let error = MessageError::FeatureCount { row: 1, found: FEATURES - 1 };
    assert_eq!(short.encode(&mut vec![0; MESSAGE_BYTES]), Err(error));
    let mut room = vec![0; MESSAGE_BYTES];
    let unchecked = framing::encode(MESSAGE_VERSION, &short, &mut room).unwrap();
    assert_eq!(Message::decode(unchecked), Err(error));
}

#[test]
fn non_finite_numbers_are_rejected() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = samples(&[row(FEATURES, value)]).encode(&mut vec![0; MESSAGE_BYTES]).unwrap_err();
        assert_eq!(error, MessageError::NotFinite { field: "samples.rows.features" });
        let mut message = alert();
        let Body::Alert(alert) = &mut message.body else { unreachable!() };
        alert.peak_nats = value;
        let error = message.encode(&mut vec![0; MESSAGE_BYTES]).unwrap_err();
        assert_eq!(error, MessageError::NotFinite { field: "alert.peak_nats" });
        let error = alert_with(&[[value; FEATURES]]).encode(&mut vec![0; MESSAGE_BYTES]).unwrap_err();
        assert_eq!(error, MessageError::NotFinite { field: "alert.rows" });
    }
}

#[test]
fn fields_out_of_range_are_rejected() {
    let change = |change: fn(&mut Alert)| {
        let mut message = alert();
        let Body::Alert(alert) = &mut message.body else { unreachable!() };
        change(alert);
        match message.encode(&mut vec![0; MESSAGE_BYTES]) {
            Err(MessageError::Field { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(change(|alert| alert.reasons[0].feature = FEATURES as u8), "alert.reasons.feature");
    assert_eq!(change(|alert| alert.reasons[0].share_permille = 1001), "alert.reasons.share_permille");
    assert_eq!(change(|alert| alert.resembles = Some("a b".try_into().unwrap())), "alert.resembles");
    let mut message = status();
    let Body::Status(status) = &mut message.body else { unreachable!() };
    status.group.clear();
    assert!(matches!(message.encode(&mut [0; 128]), Err(MessageError::Field { field: "status.group", .. })));
}
