//! Scans that hide their ports in fragments and extension headers → flows with those ports, and an alert of their own.
use crate::batch::PacketCounters;
use crate::capture::{CaptureError, FileSource};
use crate::output::summary::Reasons;
use crate::pipeline::{self, Change, Control, Options, WhenBehind};
use crate::sampler::Sampler;
use crate::scoring::{Files, Installed, Listener, Scoring, ScoringCounters};
use lapwing_shared::features::meter::{Meter, MeterConfig};
use lapwing_shared::flow::record::FlowRecord;
use lapwing_shared::messages::{Alert, AlertState, Role, Samples};
use lapwing_shared::packet::Concealment;
use lapwing_shared::release::trial::TrialVerdict;
use lapwing_shared::units::{Address, Nanos};
use lapwing_shared::verdict::tracker::EvidenceTracker;
use std::collections::BTreeSet;
use std::io::Cursor;
use std::sync::mpsc::{Sender, channel};

const SCANNER: [u8; 4] = [192, 168, 1, 66];
const TARGET: [u8; 4] = [192, 168, 1, 20];

/// A TCP header with SYN from port 40000.
fn syn(port: u16) -> Vec<u8> {
    let mut header = vec![0x9c, 0x40, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0x20, 0, 0, 0, 0, 0];
    header[2..4].copy_from_slice(&port.to_be_bytes());
    header
}

fn ipv4(identification: u16, place: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0];
    packet[2..4].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
    packet[4..6].copy_from_slice(&identification.to_be_bytes());
    packet[6..8].copy_from_slice(&place.to_be_bytes());
    [&packet[..], &SCANNER, &TARGET, payload].concat()
}

fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = [0x60, 0, 0, 0, 0, 0, next_header, 64];
    header[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    let address = |last: u8| [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    [&header[..], &address(66), &address(20), payload].concat()
}

/// A classic pcap of raw IP packets, ten a second, captured up to `snaplen` octets.
fn capture(packets: &[Vec<u8>], snaplen: usize) -> Vec<u8> {
    let header = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101];
    let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    for (number, packet) in (0_u32..).zip(packets) {
        let captured = packet.len().min(snaplen);
        let record = [1_700_000_000 + number / 10, number % 10 * 100_000, captured as u32, packet.len() as u32];
        bytes.extend(record.iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(&packet[..captured]);
    }
    bytes
}

fn source(bytes: Vec<u8>) -> FileSource {
    FileSource::from_reader("made", Box::new(Cursor::new(bytes))).unwrap()
}

/// The records of a capture, and its meter.
fn metered(bytes: Vec<u8>) -> (Vec<FlowRecord>, Meter) {
    use crate::capture::PacketSource;
    let (mut source, mut meter, mut records) = (source(bytes), Meter::new(&MeterConfig::default()), Vec::new());
    let mut sink = |record: &FlowRecord, _: &lapwing_shared::features::FeatureVector| records.push(*record);
    while let Some(frame) = source.next_frame().unwrap() {
        meter.frame(frame.link, frame.timestamp, frame.data, frame.wire_octets, &mut sink);
    }
    meter.flush(&mut sink);
    (records, meter)
}

fn ports(records: &[FlowRecord]) -> BTreeSet<u16> {
    records.iter().map(|record| record.destination_port).collect()
}

struct Collector(Sender<Alert>);

impl Listener for Collector {
    fn alert(&mut self, alert: Box<Alert>) {
        self.0.send(*alert).unwrap();
    }

    fn samples(&mut self, _: Samples) {}

    fn trial(&mut self, _: u64, _: TrialVerdict) {}
}

struct NoControl;

impl Control for NoControl {
    fn next_change(&mut self) -> Option<Change> {
        None
    }

    fn retire(&mut self, _: Installed) {}

    fn progress(&mut self, _: &PacketCounters, _: ScoringCounters) {}
}

/// The alerts of an agent without a release, and its counters.
fn alerts(bytes: Vec<u8>) -> (Vec<Alert>, ScoringCounters) {
    let (sender, received) = channel();
    let scoring = Scoring::new(
        1.0,
        EvidenceTracker::new(64, 1),
        Sampler::new(0, Nanos::from_secs(60), 1),
        Files::default(),
        Collector(sender),
    );
    let options = Options { realtime: false, when_behind: WhenBehind::Wait, stop: &|| false, shed: None };
    let mut sources = std::iter::once(Ok::<_, CaptureError>(source(bytes)));
    let mut meter = Meter::new(&MeterConfig::default());
    let outcome = pipeline::run(&mut sources, &mut meter, scoring, NoControl, options, &mut |_| {});
    outcome.result.unwrap();
    let counters = outcome.scoring.as_ref().unwrap().counters();
    drop(outcome.scoring);
    (received.try_iter().collect(), counters)
}

/// The kinds of opened alerts with their host's role.
fn opened(alerts: &[Alert]) -> Vec<(Concealment, Role)> {
    let opened = alerts.iter().filter(|alert| alert.state == AlertState::Opened);
    opened.map(|alert| (Concealment::of(alert).unwrap(), alert.role)).collect()
}

fn tiny_fragment_scan() -> Vec<Vec<u8>> {
    let probe = |port: u16| {
        let header = syn(port);
        [ipv4(port, 0x2000, &header[..8]), ipv4(port, 1, &header[8..])]
    };
    (1..=400).flat_map(probe).collect()
}

fn destination_options(next: u8, octets: usize) -> Vec<u8> {
    let mut header = vec![0; octets];
    (header[0], header[1], header[2], header[3]) = (next, (octets / 8 - 1) as u8, 1, (octets - 4).min(255) as u8);
    header
}

#[test]
fn a_scan_with_tiny_first_fragments_is_metered_port_by_port_and_raises_an_alert() {
    let capture = capture(&tiny_fragment_scan(), 512);
    let (records, meter) = metered(capture.clone());
    assert_eq!((records.len(), ports(&records).len()), (400, 400));
    assert!(records.iter().all(|record| record.source == Address::from_v4(SCANNER) && record.packets() == 2));
    assert_eq!(meter.refusals().total(), 0);
    assert_eq!(Reasons::new(meter.irregular()).list(), [("header_beyond_datagram", 800)]);
    let (alerts, counters) = alerts(capture);
    let tiny = Concealment::TinyFragments;
    assert_eq!(opened(&alerts), [(tiny, Role::Source), (tiny, Role::Target)]);
    assert_eq!(alerts[0].host, Address::from_v4(SCANNER));
    assert_eq!((counters.concealment.episodes, alerts.last().unwrap().state), (2, AlertState::Closed));
    assert!(alerts.iter().all(|alert| alert.release == 0), "it needs no release");
}

#[test]
fn a_scan_behind_many_extension_headers_is_metered_port_by_port_and_raises_an_alert() {
    let chain = [destination_options(60, 8).repeat(8), destination_options(6, 8)].concat();
    let scan: Vec<_> = (1..=100).map(|port| ipv6(60, &[&chain[..], &syn(port)].concat())).collect();
    let capture = capture(&scan, 512);
    let (records, _) = metered(capture.clone());
    assert_eq!((records.len(), ports(&records).len()), (100, 100));
    assert!(records.iter().all(|record| record.protocol == 6 && record.forward.syn == 1));
    let kind = Concealment::ExtensionHeaders;
    assert_eq!(opened(&alerts(capture).0), [(kind, Role::Source), (kind, Role::Target)]);
}

#[test]
fn an_extension_header_longer_than_the_snaplen_is_metered_without_ports_and_raises_an_alert() {
    let options = destination_options(6, 512);
    let scan: Vec<_> = (1..=100).map(|port| ipv6(60, &[&options[..], &syn(port)].concat())).collect();
    let capture = capture(&scan, 512);
    let (records, meter) = metered(capture.clone());
    assert_eq!(records.iter().map(FlowRecord::packets).sum::<u64>(), 100);
    assert_eq!(ports(&records), [0].into());
    assert_eq!(Reasons::new(meter.irregular()).list(), [("too_many_extensions", 100)]);
    let kind = Concealment::ExtensionHeaders;
    assert_eq!(opened(&alerts(capture).0), [(kind, Role::Source), (kind, Role::Target)]);
}

#[test]
fn packets_that_only_the_snaplen_cuts_raise_no_alert() {
    let ordinary: Vec<_> = (1..=400).map(|port| ipv4(port, 0, &syn(port))).collect();
    let (records, meter) = metered(capture(&ordinary, 30));
    assert_eq!((records.len(), ports(&records).len(), meter.irregular().total()), (400, 400, 400));
    assert_eq!(meter.irregular_hosts().packets(&Address::from_v4(SCANNER), true), 400, "counted for their host");
    assert!(alerts(capture(&ordinary, 30)).0.is_empty());
}

#[test]
fn a_few_irregular_packets_raise_no_alert() {
    let scan = tiny_fragment_scan();
    assert!(alerts(capture(&scan[..3], 512)).0.is_empty());
    assert_eq!(alerts(capture(&scan[..4], 512)).1.concealment.episodes, 2);
}
