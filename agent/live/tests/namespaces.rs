//! Live capture against the real kernel, in network namespaces that the tests make: each test runs itself again under
//! `unshare --net`. Without root, `ip` or `tcpdump` the tests report a skip.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
use lapwing_capture::{FileSource, PacketSource};
use lapwing_live::filter::Filter;
use lapwing_live::steady::Reading;
use lapwing_live::{InterfaceReport, Link, LiveOptions, LiveSource};
use lapwing_shared::features::FeatureVector;
use lapwing_shared::features::meter::{Meter, MeterConfig};
use lapwing_shared::flow::record::FlowRecord;
use lapwing_shared::units::Timestamp;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const SNAPLEN: u32 = 512;
/// Attempts of a wait for the kernel; each takes at most 200 ms.
const TRIES: usize = 100;

/// Runs `test` in a separate network namespace.
fn in_namespace(name: &str, tools: &[&str], test: fn()) {
    if std::env::var_os("LAPWING_NAMESPACE").is_some() {
        return test();
    }
    let works = |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if let Some(tool) = tools.iter().find(|tool| !works(Command::new(tool).arg("--version"))) {
        return lapwing_skips::skip(&format!("no {tool}"));
    }
    let can = Command::new("unshare").args(["--net", "true"]).status().is_ok_and(|status| status.success());
    if !can {
        return lapwing_skips::skip("network namespaces need root and unshare");
    }
    let mut inside = Command::new("unshare");
    inside.arg("--net").arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]);
    let status = inside.env("LAPWING_NAMESPACE", "1").status().unwrap();
    assert!(status.success(), "{name} failed in its namespace");
}

#[track_caller]
fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split_whitespace()).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// Creates a veth pair, with IPv6 disabled so that the kernel sends no packets of its own.
fn wire() {
    ip("link add va type veth peer name vb");
    for name in ["va", "vb"] {
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1").unwrap();
        ip(&format!("link set {name} up"));
    }
}

#[expect(clippy::disallowed_methods, reason = "the kernel's clocks are what is tested")]
fn clock() -> Reading {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    Reading { wall, monotonic: START.get_or_init(Instant::now).elapsed().as_nanos() as u64 }
}

fn options(interfaces: &[&str], exclusions: &[&str]) -> LiveOptions {
    let exclusions: Vec<_> = exclusions.iter().map(|text| text.parse().unwrap()).collect();
    LiveOptions {
        interfaces: interfaces.iter().map(|name| (*name).to_owned()).collect(),
        promiscuous: true,
        ring_bytes: 4 << 20,
        filter: Filter::new(&exclusions, SNAPLEN).unwrap(),
        clock,
        floor: Timestamp::EPOCH,
    }
}

fn open(options: &LiveOptions) -> (LiveSource, Arc<AtomicBool>) {
    let stop = Arc::new(AtomicBool::new(false));
    (LiveSource::open(options, Arc::clone(&stop)).unwrap(), stop)
}

struct Sender {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Sender {
    fn new(interface: &str, capture: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lapwing-send"))
            .args([interface, "file"])
            .arg(capture)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self { child, output }
    }

    fn send(&mut self) -> usize {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().strip_prefix("sent ").unwrap().parse().unwrap()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

/// Meters packets; collects each record and its features as text.
struct Records {
    meter: Meter,
    lines: Vec<String>,
    packets: usize,
}

impl Records {
    fn new() -> Self {
        Self { meter: Meter::new(&MeterConfig::default()), lines: Vec::new(), packets: 0 }
    }

    /// Meters `packets` packets; stops early if the stream ends or no packet arrives for [`TRIES`] attempts.
    fn take(&mut self, source: &mut impl PacketSource, packets: usize) {
        let Self { meter, lines, packets: seen } = self;
        let mut sink = |record: &FlowRecord, row: &FeatureVector| lines.push(format!("{record:?} {row:?}"));
        let mut silent = 0;
        while *seen < packets && silent < TRIES {
            match source.next_frame().unwrap() {
                Some(frame) => {
                    (*seen, silent) = (*seen + 1, 0);
                    meter.frame(frame.link, frame.timestamp, frame.data, frame.wire_octets, &mut sink);
                }
                None => match source.quiet_until() {
                    Some(_) => silent += 1,
                    None => break,
                },
            }
        }
    }

    fn end(mut self) -> (Vec<String>, u64) {
        let Self { meter, lines, .. } = &mut self;
        meter.flush(&mut |record: &FlowRecord, row: &FeatureVector| lines.push(format!("{record:?} {row:?}")));
        let refused = meter.refusals().total();
        (self.lines, refused)
    }
}

/// Writes frames to a capture file.
fn write_capture(path: &Path, frames: &[Vec<u8>]) {
    let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
    for (index, frame) in frames.iter().enumerate() {
        for number in [1_700_000_000, index as u32, frame.len() as u32, frame.len() as u32] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(frame);
    }
    std::fs::write(path, bytes).unwrap();
}

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/captures/demo.pcap")
}

/// Writes each frame of the demo capture three times: untagged, with one VLAN tag, and with two. The kernel removes one
/// tag. Returns the file and its frame count.
fn tagged(folder: &Path) -> (PathBuf, usize) {
    let mut source = FileSource::open(&demo()).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = source.next_frame().unwrap() {
        let tags: [&[u8]; 3] = [&[], &[0x81, 0, 0x20, 5], &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 9]];
        frames.extend(tags.map(|tags| [&frame.data[..12], tags, &frame.data[12..]].concat()));
    }
    let path = folder.join("tagged.pcap");
    write_capture(&path, &frames);
    (path, frames.len())
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("lapwing-live-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn live_capture_and_replay_of_tcpdump_give_identical_records() {
    in_namespace("live_capture_and_replay_of_tcpdump_give_identical_records", &["ip", "tcpdump"], || {
        wire();
        let folder = folder("same");
        let (capture, frames) = tagged(&folder);
        let mut sender = Sender::new("va", &capture);
        let (mut live, _) = open(&options(&["vb"], &[]));
        let written = folder.join("tcpdump.pcap");
        let mut tcpdump = Command::new("tcpdump")
            .args([
                "--time-stamp-precision=nano",
                "--immediate-mode",
                "-U",
                "-Z",
                "root",
                "-s",
                "2048",
                "-i",
                "vb",
                "-B",
                "32768",
            ])
            .args(["-c", &frames.to_string(), "-w"])
            .arg(&written)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut messages = BufReader::new(tcpdump.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(messages.read_line(&mut line).unwrap() > 0, "tcpdump did not start");
        }
        assert_eq!(sender.send(), frames);
        let mut captured = Records::new();
        captured.take(&mut live, frames);
        assert_eq!(captured.packets, frames);
        let exited = (0..TRIES).any(|_| live.next_frame().unwrap().is_none() && tcpdump.try_wait().unwrap().is_some());
        if !exited {
            tcpdump.kill().unwrap();
        }
        assert!(exited, "tcpdump did not receive every packet");
        let mut replayed = Records::new();
        replayed.take(&mut FileSource::open(&written).unwrap(), usize::MAX);
        let ((captured, captured_refusals), (replayed, replayed_refusals)) = (captured.end(), replayed.end());
        assert_eq!(captured_refusals, replayed_refusals);
        assert!(captured.len() > 300, "{} records", captured.len());
        for vlan in ["vlan: 5", "vlan: 9"] {
            assert!(captured.iter().any(|line| line.contains(vlan)), "no record with {vlan}");
        }
        for (index, (captured, replayed)) in captured.iter().zip(&replayed).enumerate() {
            assert_eq!(captured, replayed, "record {index}");
        }
        assert_eq!(captured.len(), replayed.len());
        std::fs::remove_dir_all(folder).unwrap();
    });
}

/// Reads from the source until its first interface meets the condition; discards packets.
fn until(live: &mut LiveSource, what: &str, condition: impl Fn(&InterfaceReport) -> bool) {
    for _ in 0..TRIES {
        if condition(&live.shared().interfaces()[0]) {
            return;
        }
        while live.next_frame().unwrap().is_some() {}
    }
    panic!("{what} did not happen: {:?}", live.shared().interfaces());
}

#[test]
fn capture_resumes_when_a_lost_interface_returns() {
    in_namespace("capture_resumes_when_a_lost_interface_returns", &["ip"], || {
        let folder = folder("loss");
        let (capture, frames) = tagged(&folder);
        // The interface does not exist yet.
        let (mut live, _) = open(&options(&["vb"], &[]));
        assert_eq!(live.shared().interfaces()[0].link, Link::Absent);
        for (round, leave) in ["link set vb down", "link delete vb", "link delete va"].iter().enumerate() {
            if round != 1 {
                wire();
            } else {
                ip("link set vb up");
            }
            until(&mut live, "link up", |report| report.link == Link::Up);
            let mut sender = Sender::new("va", &capture);
            assert_eq!(sender.send(), frames);
            let mut captured = Records::new();
            captured.take(&mut live, frames);
            assert_eq!(captured.packets, frames, "round {round}");
            drop(sender);
            ip(leave);
            until(&mut live, "link loss", |report| report.link != Link::Up && report.losses == round as u64 + 1);
        }
        std::fs::remove_dir_all(folder).unwrap();
    });
}

#[test]
fn packets_beyond_the_rings_capacity_are_counted_as_dropped() {
    in_namespace("packets_beyond_the_rings_capacity_are_counted_as_dropped", &["ip"], || {
        wire();
        let folder = folder("drops");
        let (capture, frames) = tagged(&folder);
        let (mut live, _) = open(&LiveOptions { ring_bytes: 128 * 1024, ..options(&["vb"], &[]) });
        let mut sender = Sender::new("va", &capture);
        for _ in 0..3 {
            assert_eq!(sender.send(), frames);
        }
        let mut read = 0;
        let mut report = InterfaceReport::default();
        for _ in 0..TRIES {
            while live.next_frame().unwrap().is_some() {
                read += 1;
            }
            report = live.shared().interfaces().remove(0);
            if report.packets + report.dropped == 3 * frames as u64 {
                break;
            }
        }
        assert!(report.dropped > 0 && read > 0, "{report:?}");
        assert_eq!((report.packets, report.packets + report.dropped), (read, 3 * frames as u64));
        assert!(report.moved_octets > report.octets, "{report:?}");
        std::fs::remove_dir_all(folder).unwrap();
    });
}

#[test]
fn excluded_packets_are_not_captured_with_or_without_a_tag() {
    in_namespace("excluded_packets_are_not_captured_with_or_without_a_tag", &["ip"], || {
        wire();
        let folder = folder("filter");
        let (capture, frames) = tagged(&folder);
        let is_dns = |data: &[u8], tags: usize| {
            let port = |at: usize| data.get(at + tags..at + tags + 2) == Some(&[0, 53]);
            data.get(12 + tags..15 + tags) == Some(&[8, 0, 0x45]) && data[23 + tags] == 17 && (port(34) || port(36))
        };
        let mut source = FileSource::open(&demo()).unwrap();
        let mut excluded = 0;
        while let Some(frame) = source.next_frame().unwrap() {
            // The kernel removes one tag; the filter does not match a frame with two.
            excluded += if is_dns(frame.data, 0) { 2 } else { 0 };
        }
        assert!(excluded > 0);
        let (mut live, stop) = open(&options(&["vb"], &["udp port 53"]));
        assert_eq!(Sender::new("va", &capture).send(), frames);
        let mut captured = Records::new();
        captured.take(&mut live, frames - excluded);
        assert_eq!(captured.packets, frames - excluded);
        assert!(live.next_frame().unwrap().is_none() && live.quiet_until().is_some(), "an unexpected packet");
        stop.store(true, Ordering::Relaxed);
        assert!(live.next_frame().unwrap().is_none() && live.quiet_until().is_none(), "the stream did not end");
        std::fs::remove_dir_all(folder).unwrap();
    });
}

#[test]
fn two_interfaces_form_one_stream_with_loopback_packets_once() {
    in_namespace("two_interfaces_form_one_stream_with_loopback_packets_once", &["ip"], || {
        wire();
        ip("link set lo up");
        let folder = folder("two");
        let (capture, frames) = tagged(&folder);
        let (mut live, _) = open(&options(&["vb", "lo"], &[]));
        assert_eq!(Sender::new("va", &capture).send(), frames);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(b"once", "127.0.0.1:9").unwrap();
        let (mut by_interface, mut silent, mut newest) = ([0, 0], 0, Timestamp::EPOCH);
        while silent < 3 {
            match live.next_frame().unwrap() {
                Some(frame) => {
                    by_interface[usize::from(frame.interface)] += 1;
                    newest = newest.max(frame.timestamp);
                }
                None => silent += 1,
            }
        }
        // On loopback: the datagram, and the ICMP "port unreachable".
        assert_eq!(by_interface, [frames, 2]);
        assert!(newest.as_secs() > 1_700_000_000);
        std::fs::remove_dir_all(folder).unwrap();
    });
}
