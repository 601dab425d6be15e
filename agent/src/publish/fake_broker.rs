//! A broker on the loopback that sends what a test says, to see what the agent makes of it.

use super::client::{Connection, TlsFiles, run};
use super::session::Session;
use super::session::seal::Seal;
use super::{FromPipeline, ToPipeline};
use crate::disk::power::PowerDisk;
use crate::outbox::{Delivery, Limits, Outbox};
use crate::report::{Report, SharedReport};
use crate::update::halver::{Halver, Halvers};
use crate::update::store::Store;
use lapwing_shared::release::testing::terms;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;
use tokio::sync::mpsc;

/// Longest wait for the agent.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The broker, and the agent `gw-1` that connects to it.
pub(super) struct FakeBroker {
    listener: TcpListener,
    pub(super) to_network: mpsc::Sender<FromPipeline>,
    pub(super) report: SharedReport,
    _installs: Receiver<ToPipeline<Halver>>,
}

/// One connection of the agent.
pub(super) struct Peer(TcpStream);

impl FakeBroker {
    pub(super) fn start(delivery: Delivery) -> Self {
        Self::start_with(delivery, None)
    }

    /// As [`FakeBroker::start`]; the agent may have a key.
    pub(super) fn start_with(delivery: Delivery, seal: Option<Seal>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("mqtt://{}", listener.local_addr().unwrap()).parse().unwrap();
        let (store, _) = Store::open(PowerDisk::default(), terms());
        let outbox = Outbox::new(1, Limits::default(), None);
        let session = Session::start("gw-1".try_into().unwrap(), delivery, Halvers, store, outbox).with_seal(seal);
        let report = SharedReport::default();
        let connection =
            Connection::new(vec![url], "gw-1".to_owned(), &TlsFiles::default(), 1).unwrap().with_report(report.clone());
        let (to_network, from_pipeline) = mpsc::channel(16);
        let (to_pipeline, installs) = sync_channel(2);
        std::thread::spawn(move || run(session, &connection, from_pipeline, to_pipeline));
        Self { listener, to_network, report, _installs: installs }
    }

    /// The agent's next connection.
    pub(super) fn connection(&self) -> Peer {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Peer(stream)
    }

    /// Accepts the agent's next connection with these properties.
    pub(super) fn accepted(&self, properties: &[u8]) -> Peer {
        let mut peer = self.connection();
        peer.connect();
        peer.send(&[&[0x20, properties.len() as u8 + 3, 0, 0, properties.len() as u8], properties].concat());
        peer
    }

    /// Waits until the report is as expected.
    #[track_caller]
    pub(super) fn until(&self, what: &str, is_expected: impl Fn(&Report) -> bool) -> Report {
        let begin = crate::clock::monotonic_ms();
        loop {
            let report = self.report.snapshot();
            if is_expected(&report) {
                return report;
            }
            let waited_ms = crate::clock::monotonic_ms() - begin;
            assert!(u128::from(waited_ms) < PATIENCE.as_millis(), "no {what}: {report:?}");
            std::thread::yield_now();
        }
    }
}

impl Peer {
    pub(super) fn send(&mut self, bytes: &[u8]) {
        // The agent may have closed the connection for an earlier packet.
        let _ = self.0.write_all(bytes);
    }

    /// The next packet: its first byte and its body; `None` at the end of the connection.
    pub(super) fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.byte()?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = usize::from(self.byte()?);
            length |= (byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).ok()?;
        Some((first, body))
    }

    fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        match self.0.read_exact(&mut byte) {
            Ok(()) => Some(byte[0]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("the agent sent nothing"),
            Err(_) => None,
        }
    }

    /// The flags of the agent's CONNECT.
    pub(super) fn connect(&mut self) -> u8 {
        let (first, body) = self.packet().unwrap();
        assert_eq!((first, &body[..7]), (0x10, &[0, 4, b'M', b'Q', b'T', b'T', 5][..]));
        body[7]
    }

    /// The next publication: first byte, topic, identifier (0 at QoS 0) and payload. Grants subscriptions before it.
    pub(super) fn publication(&mut self) -> Option<(u8, String, u16, Vec<u8>)> {
        loop {
            let (first, body) = self.packet()?;
            match first >> 4 {
                3 => {
                    let end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                    let topic = String::from_utf8(body[2..end].to_vec()).unwrap();
                    let has_identifier = first & 6 != 0;
                    let identifier = if has_identifier { u16::from_be_bytes([body[end], body[end + 1]]) } else { 0 };
                    let start = if has_identifier { end + 3 } else { end + 1 };
                    return Some((first, topic, identifier, body[start..].to_vec()));
                }
                8 => self.send(&[0x90, 4, body[0], body[1], 0, 1]),
                12 => self.send(&[0xd0, 0]),
                _ => {}
            }
        }
    }

    /// The next publication on a topic that ends like this; answers those at QoS 1 with `reason`.
    pub(super) fn publication_on(&mut self, ending: &str, reason: u8) -> Vec<u8> {
        loop {
            let (_, topic, identifier, payload) = self.publication().expect("the connection continues");
            if identifier != 0 {
                let [high, low] = identifier.to_be_bytes();
                self.send(&[0x40, 3, high, low, reason]);
            }
            if topic.ends_with(ending) {
                return payload;
            }
        }
    }

    /// Reads to the end of the connection; returns the reason of the agent's DISCONNECT, if it sent one.
    pub(super) fn ending(&mut self) -> Option<u8> {
        let mut reason = None;
        while let Some((first, body)) = self.packet() {
            if first == 0xe0 {
                reason = body.first().copied();
            }
        }
        reason
    }
}
