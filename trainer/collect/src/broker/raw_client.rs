//! A broker on loopback, and a client that sends any bytes, for tests.

use super::{BrokerLimits, Counts, Link, start};
use lapwing_common::clock;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

pub(super) const TIMEOUT: Duration = Duration::from_secs(20);

/// A broker with its link.
pub(super) struct Broker {
    pub(super) link: Link,
    address: SocketAddr,
    pub(super) counts: Arc<Counts>,
}

impl Broker {
    pub(super) fn start(limits: BrokerLimits) -> Self {
        let counts = Arc::new(Counts::default());
        let (link, address) = start(([127, 0, 0, 1], 0).into(), limits, Arc::clone(&counts)).unwrap();
        Self { link, address, counts }
    }

    /// Topics of everything that reaches the collector until `last`.
    pub(super) fn collected_until(&mut self, last: &str) -> Vec<String> {
        let mut topics = Vec::new();
        while topics.last().is_none_or(|topic| topic != last) {
            topics.push(self.link.ends.inlet.next(TIMEOUT).unwrap().unwrap_or_else(|| panic!("{topics:?}")).topic);
        }
        topics
    }

    pub(super) fn wait_for(&self, what: &str, condition: impl Fn(&Counts) -> bool) {
        let deadline = clock::after(TIMEOUT);
        while !condition(&self.counts) {
            assert!(clock::monotonic() < deadline, "{what}: {:?}", self.counts.snapshot());
            thread::yield_now();
        }
    }
}

/// A client of raw packets.
pub(super) struct Raw(TcpStream);

pub(super) fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

pub(super) fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut out = vec![first];
    let mut length = body.len();
    while length > 0x7f {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    [out, body].concat()
}

pub(super) fn connect(client: &str) -> Vec<u8> {
    packet(0x10, &[&text("MQTT"), &[5, 2, 0, 60, 0], &text(client)])
}

pub(super) fn publish(first: u8, topic: &str, payload: &[u8]) -> Vec<u8> {
    let identifier: &[u8] = if first & 6 == 0 { &[] } else { &[0, 9] };
    packet(first, &[&text(topic), identifier, &[0], payload])
}

pub(super) fn subscribe(filter: &str) -> Vec<u8> {
    packet(0x82, &[&[0, 5, 0], &text(filter), &[1]])
}

impl Raw {
    pub(super) fn open(broker: &Broker) -> Self {
        let stream = TcpStream::connect(broker.address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self(stream)
    }

    pub(super) fn connect(broker: &Broker, client: &str) -> Self {
        let mut raw = Self::open(broker);
        raw.send(&connect(client));
        let (first, body) = raw.receive().unwrap();
        assert_eq!((first, body[..2].to_vec()), (0x20, vec![0, 0]), "{client}");
        raw
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// The next packet: first byte and body; `None` at the end of the connection.
    pub(super) fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut first = [0];
        match self.0.read(&mut first) {
            Ok(0) => return None,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            read => assert_eq!(read.unwrap(), 1),
        }
        let (mut length, mut shift) = (0, 0);
        loop {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            length |= usize::from(byte[0] & 0x7f) << shift;
            shift += 7;
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        Some((first[0], body))
    }

    /// Reads until the connection ends; the reason code of the last packet.
    pub(super) fn end(&mut self) -> Option<u8> {
        let mut last = None;
        while let Some((first, body)) = self.receive() {
            last = match first {
                0xE0 => body.first().copied(),
                0x20 => body.get(1).copied(),
                _ => last,
            };
        }
        last
    }

    /// The reason code of the next PUBACK.
    pub(super) fn puback(&mut self) -> u8 {
        let (first, body) = self.receive().unwrap();
        assert_eq!((first, &body[..2]), (0x40, [0, 9].as_slice()));
        body.get(2).copied().unwrap_or(0)
    }

    /// Subscribes; the code of the SUBACK.
    pub(super) fn subscribe(&mut self, filter: &str) -> u8 {
        self.send(&subscribe(filter));
        let (first, body) = self.receive().unwrap();
        assert_eq!((first, body.len()), (0x90, 4));
        body[3]
    }

    /// Topic and payload of the next publication, and whether it is sent because of a new subscription.
    pub(super) fn publication(&mut self) -> (String, Vec<u8>, bool) {
        let (first, body) = self.receive().unwrap();
        assert_eq!(first & 0xfe, 0x30);
        let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8(body[2..2 + length].to_vec()).unwrap();
        (topic, body[3 + length..].to_vec(), first & 1 == 1)
    }
}
