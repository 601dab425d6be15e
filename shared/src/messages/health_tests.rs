//! Golden bytes of health reports, and rejected extensions.

use super::*;
use crate::rollout::message::Channel;

#[test]
fn health_encodes_to_its_golden_bytes() {
    check_golden(&health(), "01 07 00 80e2cfaa06 02 0a0b0c0d0e0f10 1112131415161718 020102 19 1a 01 e807 01");
}

#[test]
fn counters_of_the_detector_are_appended_to_the_bytes_of_health() {
    let plain = hex(&encoded(&health()));
    let mut message = health();
    let Body::Health(body) = &mut message.body else { unreachable!() };
    body.detector = DetectorCounters { episodes_held_back: 1, episodes_folded: 0x0203, ..DetectorCounters::default() };
    let golden = format!("02{}03 0100000000000000 0000000000000000 0302000000000000", &plain[2..]);
    check_golden(&message, &golden);
    let bytes = encoded(&message);
    let count = bytes.len() - 25;
    for (place, value) in [(count, 0), (count, 2), (count, 4), (bytes.len() - 7, 0)] {
        let mut changed = bytes.clone();
        changed[place] = value;
        let is_zero_at_the_end = place != count;
        changed[bytes.len() - 8] = if is_zero_at_the_end { 0 } else { changed[bytes.len() - 8] };
        assert_eq!(Message::decode(&changed), Err(MessageError::Frame(FrameError::Malformed)), "{place}: {value}");
    }
}

/// A health report with a release, and its words behind the counters.
pub(super) fn release_health() -> (Message, &'static str) {
    let mut message = health();
    let Body::Health(body) = &mut message.body else { unreachable!() };
    body.release = ReleaseHealth {
        version: 3,
        rows: 300,
        anomalous: 2,
        surprise: [150, 75, 40, 20, 8, 4, 2, 1],
        cpu_ms: 1_000,
        packets: 5_000,
        rss_kib: 4_096,
        starts: 2,
        serial: 7,
        root_version: 1,
        channel: Channel::Early,
        is_held: true,
    };
    (message, "03 ac02 02 96014b28140804 0201 e807 8827 8020 02 07 01 00 01 80 00000000000000")
}

#[test]
fn the_release_is_appended_to_the_counters_of_health() {
    let plain = hex(&encoded(&health()));
    let (mut message, words) = release_health();
    check_golden(&message, &format!("02{}0c {} {words}", &plain[2..], "00".repeat(64)));
    let Body::Health(body) = &mut message.body else { unreachable!() };
    body.detector.rejected_acknowledgements = 9;
    check_golden(&message, &format!("02{}0c {} 0900000000000000 {words}", &plain[2..], "00".repeat(56)));
}

#[test]
fn words_of_a_newer_agent_are_ignored_and_an_invalid_release_is_rejected() {
    let (message, _) = release_health();
    let bytes = encoded(&message);
    let count = bytes.len() - 12 * 8 - 1;
    let mut newer = bytes.clone();
    newer[count] = 13;
    newer.extend([1; 8]);
    assert_eq!(Message::decode(&newer).as_ref(), Ok(&message));
    let mut cut = bytes[..bytes.len() - 16].to_vec();
    cut[count] = 10;
    assert_eq!(Message::decode(&cut), Err(MessageError::Frame(FrameError::Malformed)));
    // Channel 3.
    let mut unknown = bytes;
    let channel = unknown.len() - 10;
    unknown[channel] = 3;
    assert_eq!(Message::decode(&unknown), Err(MessageError::Frame(FrameError::Malformed)));
}

#[test]
fn the_device_follows_the_release_and_the_end_mark_follows_both() {
    let plain = hex(&encoded(&health()));
    let (mut message, words) = release_health();
    let Body::Health(body) = &mut message.body else { unreachable!() };
    body.device = DeviceHealth {
        target: "aarch64-unknown-linux-musl".try_into().unwrap(),
        alerts_per_1000_days: 500,
        assignment: 7,
    };
    let target = hex(b"aarch64-unknown-linux-musl");
    // 24 bytes of the release without its end mark, then 1 + 26 + 2 + 1 and the end mark.
    let release = words.strip_suffix(" 80 00000000000000").unwrap();
    let golden = format!("02{}0f {} {release} 1a{target} f403 07 80 00", &plain[2..], "00".repeat(64));
    check_golden(&message, &golden);
}
