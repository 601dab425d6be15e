//! Capture files built byte by byte → their frames, or an error with file, offset and expectation.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use flate2::Compression;
use flate2::write::GzEncoder;
use lapwing_agent::capture::{CaptureError, FileSource, PacketSource, Problem, WINDOW_LIMIT_BYTES};
use lapwing_shared::packet::{LinkType, Refusal};
use std::io::{self, Cursor, Read, Write};
use std::path::Path;

/// A stream that returns one byte at a time, like a slow pipe.
struct Drip(Cursor<Vec<u8>>);

impl Read for Drip {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(1);
        self.0.read(&mut buffer[..room])
    }
}

/// Writes capture files in one byte order.
#[derive(Clone, Copy)]
struct Order {
    big: bool,
}

const LITTLE: Order = Order { big: false };
const BIG: Order = Order { big: true };

impl Order {
    fn u16(self, value: u16) -> [u8; 2] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn u32s(self, values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|value| self.u32(*value)).collect()
    }

    fn i64(self, value: i64) -> [u8; 8] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn pcap(self, magic: u32, network: u32) -> Vec<u8> {
        [&self.u32(magic)[..], &self.u16(2), &self.u16(4), &self.u32s(&[0, 0, 65_535, network])].concat()
    }

    fn record(self, seconds: u32, ticks: u32, data: &[u8], wire: u32) -> Vec<u8> {
        [&self.u32s(&[seconds, ticks, data.len() as u32, wire])[..], data].concat()
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let mut padded = body.to_vec();
        padded.resize(body.len().next_multiple_of(4), 0);
        let length = self.u32(12 + padded.len() as u32);
        [&self.u32(kind)[..], &length, &padded, &length].concat()
    }

    fn section(self) -> Vec<u8> {
        self.block(0x0a0d_0d0a, &[&self.u32(0x1a2b_3c4d)[..], &self.u16(1), &[0, 0], &[0xff; 8]].concat())
    }

    fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut padded = value.to_vec();
        padded.resize(value.len().next_multiple_of(4), 0);
        [&self.u16(code)[..], &self.u16(value.len() as u16), &padded].concat()
    }

    fn interface(self, link: u16, snaplen: u32, options: &[u8]) -> Vec<u8> {
        self.block(1, &[&self.u16(link)[..], &[0, 0], &self.u32(snaplen), options].concat())
    }

    fn enhanced(self, interface: u32, ticks: u64, data: &[u8], options: &[u8]) -> Vec<u8> {
        let octets = data.len() as u32;
        let mut body = self.u32s(&[interface, (ticks >> 32) as u32, ticks as u32, octets, octets]);
        body.extend(data);
        body.resize(body.len().next_multiple_of(4), 0);
        self.block(6, &[&body[..], options].concat())
    }
}

/// Link type, nanoseconds, captured octets, octets on the wire, and interface of a frame.
type Seen = (LinkType, u64, Vec<u8>, u32, u16);

fn open(bytes: &[u8]) -> Result<FileSource, CaptureError> {
    FileSource::from_reader("test.pcap", Box::new(Cursor::new(bytes.to_vec())))
}

/// Frames up to the end or the first error.
fn frames(source: &mut FileSource) -> (Vec<Seen>, Option<CaptureError>) {
    let mut all = Vec::new();
    loop {
        match source.next_frame() {
            Ok(Some(f)) => all.push((f.link, f.timestamp.as_nanos(), f.data.to_vec(), f.wire_octets, f.interface)),
            Ok(None) => return (all, None),
            Err(error) => return (all, Some(error)),
        }
    }
}

fn all_frames(bytes: &[u8]) -> Vec<Seen> {
    let mut source = open(bytes).unwrap();
    let (all, error) = frames(&mut source);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(source.truncation(), None);
    all
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn error_at_start(bytes: &[u8]) -> String {
    open(bytes).err().expect("an error").to_string()
}

#[test]
fn pcap_is_read_in_both_byte_orders_and_both_time_resolutions() {
    for order in [LITTLE, BIG] {
        for (magic, nanos) in [(0xa1b2_c3d4, 1_000), (0xa1b2_3c4d, 1)] {
            let last = order.record(u32::MAX, u32::MAX, b"", 0);
            let file = [order.pcap(magic, 1), order.record(7, 999_999, b"abc", 1500), last].concat();
            // A fraction out of range becomes the last one of its second.
            let end = (u64::from(u32::MAX) + 1) * 1_000_000_000 - nanos;
            let first = (LinkType::Ethernet, 7_000_000_000 + 999_999 * nanos, b"abc".to_vec(), 1500, 0);
            assert_eq!(all_frames(&file), [first, (LinkType::Ethernet, end, vec![], 0, 0)]);
        }
    }
}

#[test]
fn a_declared_frame_check_sequence_is_removed() {
    let expected = [(LinkType::Ethernet, 0, b"frame".to_vec(), 5, 0)];
    let file = [LITTLE.pcap(0xa1b2_c3d4, 0x2400_0001), LITTLE.record(0, 0, b"frameFCS!", 9)].concat();
    assert_eq!(all_frames(&file), expected);
    let interface = LITTLE.interface(1, 0, &LITTLE.option(13, &[4]));
    let file = [LITTLE.section(), interface, LITTLE.enhanced(0, 0, b"frameFCS!", &[])].concat();
    assert_eq!(all_frames(&file), expected);
}

#[test]
fn pcapng_sections_interfaces_clocks_and_old_blocks_are_read() {
    for (order, other) in [(LITTLE, BIG), (BIG, LITTLE)] {
        let shifted = [order.option(9, &[0x80 | 10]), order.option(14, &order.i64(100))].concat();
        let old = [&order.u16(1)[..], &order.u16(0xffff), &order.u32s(&[0, 2048, 3, 9]), b"old"].concat();
        let comment = [order.option(1, b"a comment"), order.option(0, b"")].concat();
        let file = [
            order.section(),
            order.block(0x0bad_cafe, b"an unknown block"),
            order.interface(101, 6, &order.option(9, &[9])),
            order.interface(113, 0, &shifted),
            order.enhanced(0, 1_700_000_000_000_000_001, b"raw", &[]),
            order.block(2, &old),
            order.block(3, &[&order.u32(60)[..], b"simple"].concat()),
            order.enhanced(0, 5, b"note", &comment),
            other.section(),
            other.interface(1, 0, &[]),
            other.enhanced(0, 2_000_000, b"next", &[]),
        ];
        let expected = [
            (LinkType::RawIp, 1_700_000_000_000_000_001, b"raw".to_vec(), 3, 0),
            (LinkType::LinuxSll, 102_000_000_000, b"old".to_vec(), 9, 1),
            (LinkType::RawIp, 102_000_000_000, b"simple".to_vec(), 60, 0),
            (LinkType::RawIp, 5, b"note".to_vec(), 4, 0),
            (LinkType::Ethernet, 2_000_000_000, b"next".to_vec(), 4, 0),
        ];
        assert_eq!(all_frames(&file.concat()), expected);
    }
}

#[test]
fn gzip_is_unpacked_for_any_file_name_and_from_slow_streams() {
    let plain = [LITTLE.pcap(0xa1b2_c3d4, 101), LITTLE.record(1, 2, b"packet", 6)].concat();
    let expected = [(LinkType::RawIp, 1_000_002_000, b"packet".to_vec(), 6, 0)];
    let two_members = [gzip(&plain[..30]), gzip(&plain[30..])].concat();
    for bytes in [plain.clone(), gzip(&plain), two_members] {
        assert_eq!(all_frames(&bytes), expected);
        let mut slow = FileSource::from_reader("pipe", Box::new(Drip(Cursor::new(bytes)))).unwrap();
        assert_eq!(frames(&mut slow).0, expected);
    }
}

#[test]
fn a_truncated_capture_gives_all_whole_packets_and_the_offset() {
    let records = vec![(LITTLE.record(1, 0, b"one", 3), 1), (LITTLE.record(2, 0, b"second", 6), 1)];
    let blocks = vec![
        (LITTLE.interface(1, 0, &[]), 0),
        (LITTLE.enhanced(0, 0, b"one", &[]), 1),
        (LITTLE.block(0x0bad_cafe, b"unknown"), 0),
        (LITTLE.enhanced(0, 0, b"second", &[]), 1),
    ];
    for (header, parts) in [(LITTLE.pcap(0xa1b2_c3d4, 1), records), (LITTLE.section(), blocks)] {
        let whole = parts.iter().fold(header.clone(), |file, (part, _)| [file, part.clone()].concat());
        assert_eq!(all_frames(&whole).len(), 2);
        for cut in header.len()..whole.len() {
            let (mut begin, mut before) = (header.len(), 0);
            for (part, packets) in &parts {
                if begin + part.len() > cut {
                    break;
                }
                begin += part.len();
                before += packets;
            }
            let mut source = open(&whole[..cut]).unwrap();
            let (all, error) = frames(&mut source);
            assert!(error.is_none(), "{error:?}");
            let place = source.truncation().map(|truncation| truncation.offset);
            assert_eq!((all.len(), place), (before, (cut > begin).then_some(begin as u64)), "cut at {cut}");
            assert!(source.next_frame().unwrap().is_none());
        }
        for cut in 4..header.len() {
            assert!(error_at_start(&whole[..cut]).contains("ends inside its header"), "cut at {cut}");
        }
    }
}

#[test]
fn a_truncated_gzip_file_is_reported_even_between_two_records() {
    let mut plain = LITTLE.pcap(0xa1b2_c3d4, 1);
    let mut state = 1_u32;
    for second in 0..2_000 {
        let mut noise = [0_u8; 100];
        for octet in &mut noise {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *octet = (state >> 24) as u8;
        }
        plain.extend(LITTLE.record(second, 0, &noise, 100));
    }
    let packed = gzip(&plain);
    for (length, frames_read) in [(packed.len() / 2, 500..1_500), (packed.len() - 8, 2_000..2_001)] {
        let mut source = open(&packed[..length]).unwrap();
        let (all, error) = frames(&mut source);
        assert!(error.is_none(), "{error:?}");
        assert!(frames_read.contains(&all.len()), "{} frames", all.len());
        assert!(source.truncation().is_some());
    }
}

#[test]
fn the_error_for_other_files_names_their_format() {
    for (bytes, name) in [
        (&b""[..], "empty"),
        (b"a", "text"),
        (b"time,source,destination\n1,2,3\n", "text"),
        (b"<!DOCTYPE html><title>404</title>", "HTML"),
        (b"\x28\xb5\x2f\xfd\0\0\0\0", "zstd"),
        (b"BZh91AY&SY", "bzip2"),
        (b"PK\x03\x04\0\0", "zip"),
        (b"snoop\0\0\0\0\0\0\x02", "snoop"),
        (&[0; 100], "00 00 00 00 00 00 00 00"),
    ] {
        let plain = error_at_start(bytes);
        assert!(plain.starts_with("test.pcap: not a capture file: expected pcap or pcapng"), "{plain}");
        assert!(plain.contains(name), "{plain}");
        let packed = error_at_start(&gzip(bytes));
        assert!(packed.starts_with("test.pcap (unpacked): not a capture file"), "{packed}");
        assert!(packed.contains(name), "{packed}");
    }
    let damaged = error_at_start(&[0x1f, 0x8b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert!(damaged.contains("cannot be read"), "{damaged}");
    let missing = FileSource::open(Path::new("/nonexistent/x.pcap")).err().expect("an error");
    assert!(missing.to_string().starts_with("/nonexistent/x.pcap: cannot be opened"), "{missing}");
}

#[test]
fn an_unknown_link_type_is_an_error_in_pcap_and_counted_in_pcapng() {
    let error = error_at_start(&LITTLE.pcap(0xa1b2_c3d4, 195));
    assert!(error.contains("link type 195 is not supported: expected Ethernet (1)"), "{error}");
    let file = [
        BIG.section(),
        BIG.interface(195, 0, &[]),
        BIG.interface(1, 0, &[]),
        BIG.enhanced(0, 0, b"zigbee", &[]),
        BIG.enhanced(1, 0, b"ether", &[]),
        BIG.enhanced(0, 0, b"zigbee", &[]),
    ];
    let mut source = open(&file.concat()).unwrap();
    let (all, error) = frames(&mut source);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(all, [(LinkType::Ethernet, 0, b"ether".to_vec(), 5, 1)]);
    assert_eq!(source.refusals().get(Refusal::UnknownLinkType), 2);
}

#[test]
fn a_damaged_record_is_an_error_with_its_offset() {
    let good = LITTLE.record(1, 0, b"good", 4);
    let absurd = [LITTLE.pcap(0xa1b2_c3d4, 1), good, LITTLE.u32s(&[1, 0, 0x7fff_ffff, 4])].concat();
    let mut source = open(&absurd).unwrap();
    let (all, error) = frames(&mut source);
    let error = error.expect("an error");
    assert_eq!((all.len(), error.offset), (1, Some(44)));
    assert!(matches!(error.problem, Problem::RecordTooLong { octets: 2_147_483_663 }), "{error}");
    assert!(error.to_string().starts_with("test.pcap, byte 44: record of 2147483663 bytes: expected at most"));
    assert!(source.next_frame().unwrap().is_none(), "the source has ended");

    let start = [LITTLE.section(), LITTLE.interface(1, 0, &[])].concat();
    let mut wrong_trailer = LITTLE.enhanced(0, 0, b"data", &[]);
    *wrong_trailer.last_mut().unwrap() = 9;
    for (block, expected) in [
        (LITTLE.enhanced(1, 0, b"data", &[]), "an interface that was described before it"),
        (wrong_trailer, "the same length at its end"),
        (LITTLE.block(6, &LITTLE.u32s(&[0, 0, 0, 5, 5, 0])), "a packet that fits into its block"),
        (LITTLE.block(6, b"four"), "room for a packet header"),
        (LITTLE.u32s(&[6, 8, 8]), "a length of at least 12"),
        (LITTLE.u32s(&[6, 33, 33]), "a multiple of four"),
        (LITTLE.u32s(&[6, 1 << 30, 0]), "record of 1073741824 bytes"),
        (LITTLE.block(0x0a0d_0d0a, &[7; 16]), "the byte-order magic"),
        (LITTLE.interface(1, 0, &[]).repeat(1_024), "at most 1024 interfaces"),
    ] {
        let (_, error) = frames(&mut open(&[&start[..], &block].concat()).unwrap());
        let error = error.expect(expected).to_string();
        assert!(error.starts_with("test.pcap, byte ") && error.contains(expected), "{error}");
    }
}

#[test]
fn the_longest_record_is_read_and_longer_unknown_blocks_are_skipped() {
    let data = vec![0x55; WINDOW_LIMIT_BYTES - 16];
    let file = [LITTLE.pcap(0xa1b2_c3d4, 1), LITTLE.record(1, 0, &data, 9), LITTLE.record(2, 0, b"x", 1)].concat();
    let lengths: Vec<_> = all_frames(&file).iter().map(|frame| frame.2.len()).collect();
    assert_eq!(lengths, [data.len(), 1]);
    let long = LITTLE.block(0x0bad_cafe, &vec![1; 5 * WINDOW_LIMIT_BYTES]);
    let file = [LITTLE.section(), long, LITTLE.interface(1, 0, &[]), LITTLE.enhanced(0, 0, b"x", &[])].concat();
    assert_eq!(all_frames(&file).len(), 1);
}

#[test]
fn times_before_the_last_or_after_2106_are_kept_and_saturate() {
    let interface = |code, value: &[u8]| LITTLE.interface(1, 0, &LITTLE.option(code, value));
    let file = [
        LITTLE.section(),
        interface(14, &LITTLE.i64(1 << 33)),
        interface(14, &LITTLE.i64(i64::MIN)),
        interface(9, &[0]),
        LITTLE.enhanced(0, 5_000_000, b"", &[]),
        LITTLE.enhanced(1, 5_000_000, b"", &[]),
        LITTLE.enhanced(2, u64::MAX, b"", &[]),
        LITTLE.enhanced(2, 3, b"", &[]),
    ];
    let times: Vec<_> = all_frames(&file.concat()).iter().map(|frame| frame.1).collect();
    assert_eq!(times, [((1 << 33) + 5) * 1_000_000_000, 0, u64::MAX, 3_000_000_000]);
}
