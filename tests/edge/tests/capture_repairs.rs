//! Capture files with unusual headers, padding or fields out of range → the same frames as without, and counters.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use flate2::Compression;
use flate2::write::GzEncoder;
use lapwing_agent::capture::{FileSource, PacketSource};
use lapwing_shared::features::FeatureVector;
use lapwing_shared::features::meter::{Meter, MeterConfig};
use lapwing_shared::flow::record::FlowRecord;
use lapwing_shared::units::Timestamp;
use std::io::{Cursor, Write};

const START_S: u32 = 1_700_000_000;
const CLIENT: [u8; 4] = [192, 168, 1, 10];
const SERVER: [u8; 4] = [203, 0, 113, 5];

/// An Ethernet frame with a TCP segment; `up` from the client to port 8883 of the server.
fn tcp(up: bool, flags: u8, payload: &[u8]) -> Vec<u8> {
    let ports = [[0x9c, 0x40], [0x22, 0xb3]];
    let (hosts, ports) = if up { ([CLIENT, SERVER], ports) } else { ([SERVER, CLIENT], [ports[1], ports[0]]) };
    let length = (40 + payload.len() as u16).to_be_bytes();
    let ip = [0x45, 0, length[0], length[1], 0, 1, 0, 0, 64, 6, 0, 0];
    let rest = [0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0x20, 0, 0, 0, 0, 0];
    [&[2; 12][..], &[8, 0], &ip, &hosts.concat(), &ports.concat(), &rest, payload].concat()
}

/// A file header and records of (seconds after [`START_S`], fraction, wire length or the captured one, frame).
struct Writer {
    big: bool,
    modified: bool,
    bytes: Vec<u8>,
}

impl Writer {
    fn new(magic: u32, big: bool) -> Self {
        let mut writer = Self { big, modified: magic == 0xa1b2_cd34, bytes: Vec::new() };
        let version = if big { 0x0002_0004 } else { 0x0004_0002 };
        writer.words(&[magic, version, 0, 0, 65_535, 1]);
        writer
    }

    fn words(&mut self, words: &[u32]) {
        let big = self.big;
        self.bytes.extend(words.iter().flat_map(|word| if big { word.to_be_bytes() } else { word.to_le_bytes() }));
    }

    fn record(mut self, second: u32, ticks: u32, wire: Option<u32>, frame: &[u8]) -> Self {
        let captured = frame.len() as u32;
        self.words(&[START_S + second, ticks, captured, wire.unwrap_or(captured)]);
        if self.modified {
            self.bytes.extend([0; 8]);
        }
        self.bytes.extend(frame);
        self
    }
}

fn open(bytes: &[u8]) -> FileSource {
    FileSource::from_reader("made", Box::new(Cursor::new(bytes.to_vec()))).unwrap()
}

/// Times and wire lengths of all frames, and the number of repaired records.
fn frames(bytes: &[u8]) -> (Vec<(Timestamp, u32)>, u64) {
    let (mut source, mut frames) = (open(bytes), Vec::new());
    while let Some(frame) = source.next_frame().unwrap() {
        frames.push((frame.timestamp, frame.wire_octets));
    }
    assert!(source.truncation().is_none());
    (frames, source.repaired())
}

/// The records of a capture by the fast path and by the general one, which must agree.
fn records(bytes: &[u8]) -> Vec<FlowRecord> {
    let run = |fast: bool| {
        let (mut source, mut meter, mut records) = (open(bytes), Meter::new(&MeterConfig::default()), Vec::new());
        let mut sink = |record: &FlowRecord, _: &FeatureVector| records.push(*record);
        loop {
            if fast {
                source.meter_buffered(&mut meter, &mut sink, Timestamp::EPOCH..Timestamp::MAX);
            }
            let Some(frame) = source.next_frame().unwrap() else { break };
            meter.frame(frame.link, frame.timestamp, frame.data, frame.wire_octets, &mut sink);
        }
        meter.flush(&mut sink);
        records
    };
    let records = run(true);
    assert_eq!(records, run(false));
    records
}

#[test]
fn the_modified_format_is_read_in_both_byte_orders() {
    let frame = tcp(true, 2, b"");
    for big in [false, true] {
        for (magic, nanos) in [(0xa1b2_cd34, 1000), (0xa1b2_c3d4, 1000), (0xa1b2_3c4d, 1)] {
            let written = (0..3).fold(Writer::new(magic, big), |file, second| file.record(second, 5, None, &frame));
            let (read, repaired) = frames(&written.bytes);
            let expected: Vec<_> = (0..3)
                .map(|second| (Timestamp::from_nanos(u64::from(START_S + second) * 1_000_000_000 + 5 * nanos), 54))
                .collect();
            assert_eq!((read, repaired), (expected, 0), "{magic:x}, big {big}");
        }
    }
}

#[test]
fn a_fraction_of_a_second_out_of_range_is_replaced_and_counted() {
    // The first record's microseconds are 8,915,240; the others are in range.
    let sent = [
        (0, 8_915_240, tcp(true, 0x02, b"")),
        (0, 200_000, tcp(false, 0x12, b"")),
        (0, 300_000, tcp(true, 0x10, b"")),
        (1, 0, tcp(true, 0x18, b"aaaaaaaaaa")),
        (2, 0, tcp(false, 0x18, b"bbbbbbbbbb")),
        (4, 0, tcp(true, 0x10, b"")),
    ];
    for big in [false, true] {
        let add =
            |file: Writer, (second, ticks, frame): &(u32, u32, Vec<u8>)| file.record(*second, *ticks, None, frame);
        let file = sent.iter().fold(Writer::new(0xa1b2_c3d4, big), add);
        assert_eq!(frames(&file.bytes).1, 1);
        let [record] = records(&file.bytes)[..] else { panic!("one flow expected") };
        assert_eq!((record.packets(), record.end), (6, Timestamp::from_secs(u64::from(START_S) + 4)));
        let duration_s = record.duration().as_secs_f64();
        assert!((3.0..=3.8).contains(&duration_s) && record.handshake.is_some(), "{duration_s} s");
    }
}

#[test]
fn a_wire_length_beyond_every_frame_is_replaced_and_counted() {
    let frame = tcp(true, 2, b"");
    let file = Writer::new(0xa1b2_c3d4, false)
        .record(0, 0, Some(u32::MAX), &frame)
        .record(1, 0, Some(600_000), &frame)
        .record(2, 0, Some(1), &frame);
    let (read, repaired) = frames(&file.bytes);
    let lengths: Vec<u32> = read.iter().map(|(_, wire)| *wire).collect();
    assert_eq!((lengths, repaired), (vec![54, 600_000, 1], 1), "the decoder raises a length below the captured one");
    assert_eq!(records(&file.bytes)[0].forward.frame_octets, 54 + 600_000 + 54);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn zeros_after_a_gzip_member_are_ignored() {
    let frame = tcp(true, 2, b"");
    let plain = Writer::new(0xa1b2_c3d4, false).record(0, 0, None, &frame).record(1, 0, None, &frame).bytes;
    let (first, second) = plain.split_at(50);
    let expected = frames(&plain);
    for padding in [0, 1, 512, 100_000] {
        let zeros = vec![0; padding];
        for packed in [
            [gzip(&plain), zeros.clone()].concat(),
            [gzip(first), zeros.clone(), gzip(second)].concat(),
            [gzip(first), gzip(second), zeros].concat(),
        ] {
            assert_eq!(frames(&packed), expected, "{padding} zeros");
        }
    }
    let mut garbage = open(&[gzip(&plain), vec![0, 0], vec![7; 32]].concat());
    let mut read = || -> Result<u32, _> {
        let mut frames = 0;
        while garbage.next_frame()?.is_some() {
            frames += 1;
        }
        Ok(frames)
    };
    let error: lapwing_agent::capture::CaptureError = read().unwrap_err();
    assert!(error.to_string().contains("cannot be read"), "{error}");
}
