//! MQTT 5 packets that a test writes and reads itself, over any connection.

use super::PATIENCE;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Mutex};

/// Reason code of a publication without subscribers.
const NO_SUBSCRIBERS: u8 = 0x10;

/// A string with its length.
pub fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

/// First byte, length and body.
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut length = body.len();
    while length > 0x7f {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    [&out, body].concat()
}

/// CONNECT with a client identifier.
pub fn connect(client: &str) -> Vec<u8> {
    packet(0x10, &[&text("MQTT")[..], &[5, 2, 0, 60, 0], &text(client)].concat())
}

/// CONNECT with a user name and a password.
pub fn connect_as(client: &str, user: &str) -> Vec<u8> {
    packet(0x10, &[&text("MQTT")[..], &[5, 0xC2, 0, 60, 0], &text(client), &text(user), &text("secret")].concat())
}

/// CONNECT with a retained last will.
pub fn connect_with_will(client: &str, topic: &str) -> Vec<u8> {
    packet(0x10, &[&text("MQTT")[..], &[5, 0x26, 0, 60, 0], &text(client), &[0], &text(topic), &text("will")].concat())
}

/// PUBLISH at QoS 1, `first` being 0x32, or 0x33 with the retain flag.
pub fn publish(first: u8, topic: &str, payload: &[u8]) -> Vec<u8> {
    packet(first, &[&text(topic)[..], &[0, 1], &[0], payload].concat())
}

/// SUBSCRIBE at QoS 1.
pub fn subscribe(filter: &str) -> Vec<u8> {
    packet(0x82, &[&[0, 5, 0][..], &text(filter), &[1]].concat())
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// Keeps what is sent.
struct Recording {
    stream: TcpStream,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Read for Recording {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.read(into)
    }
}

impl Write for Recording {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.stream.write(bytes)?;
        self.sent.lock().unwrap().extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A connection of raw packets.
pub struct RawClient(Box<dyn Stream>);

impl RawClient {
    /// Connects to a port of the loopback without TLS.
    ///
    /// # Panics
    /// When nothing listens.
    pub fn plain(port: u16) -> Self {
        Self(Box::new(tcp(port)))
    }

    /// Connects with TLS; the handshake happens with the first packet.
    ///
    /// # Panics
    /// When nothing listens.
    pub fn with_tls(port: u16, config: &Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        Self(Box::new(StreamOwned::new(connection, tcp(port))))
    }

    /// The same, with a copy of all bytes that it sends.
    ///
    /// # Panics
    /// When nothing listens.
    pub fn recorded(port: u16, config: &Arc<ClientConfig>) -> (Arc<Mutex<Vec<u8>>>, Self) {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        let stream = Recording { stream: tcp(port), sent: Arc::clone(&sent) };
        (sent, Self(Box::new(StreamOwned::new(connection, stream))))
    }

    /// Everything that arrives until the connection ends.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.0.read_to_end(&mut bytes);
        bytes
    }

    /// Sends a packet; false if the connection has ended.
    pub fn send(&mut self, packet: &[u8]) -> bool {
        self.0.write_all(packet).and_then(|()| self.0.flush()).is_ok()
    }

    /// The next packet: first byte and body; `None` at the end of the connection, however it ends.
    ///
    /// # Panics
    /// When nothing arrives.
    pub fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.byte()?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
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
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                panic!("no packet within {} s", PATIENCE.as_secs())
            }
            Err(_) => None,
        }
    }

    /// The next packet of this type.
    fn receive_type(&mut self, wanted: u8) -> Option<Vec<u8>> {
        loop {
            let (first, body) = self.receive()?;
            if first & 0xF0 == wanted {
                return Some(body);
            }
        }
    }

    /// Sends CONNECT; the reason code and the properties of the answer, `None` if the connection ends without one.
    pub fn connect(&mut self, packet: &[u8]) -> Option<(u8, Vec<u8>)> {
        self.send(packet);
        let body = self.receive_type(0x20)?;
        Some((*body.get(1)?, body.get(2..)?.to_vec()))
    }

    /// Publishes at QoS 1; the reason code of the answer, 0 also if there is no subscriber.
    pub fn publish(&mut self, first: u8, topic: &str, payload: &[u8]) -> Option<u8> {
        self.send(&publish(first, topic, payload));
        let body = self.receive_type(0x40)?;
        Some(body.get(2).copied().filter(|code| *code != NO_SUBSCRIBERS).unwrap_or(0))
    }

    /// Subscribes; the reason code of the answer.
    pub fn subscribe(&mut self, filter: &str) -> Option<u8> {
        self.send(&subscribe(filter));
        self.receive_type(0x90)?.last().copied()
    }

    /// Topic and payload of the next publication, and whether it was retained; publications of QoS 1 are confirmed.
    pub fn publication(&mut self) -> Option<(String, Vec<u8>, bool)> {
        loop {
            let (first, body) = self.receive()?;
            if first & 0xF0 != 0x30 {
                continue;
            }
            let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
            let topic = String::from_utf8(body[2..2 + length].to_vec()).unwrap();
            let mut rest = &body[2 + length..];
            if first & 0x06 != 0 {
                self.send(&packet(0x40, &rest[..2]));
                rest = &rest[2..];
            }
            // No properties are expected but a length below 128.
            let payload = rest[1 + usize::from(rest[0])..].to_vec();
            return Some((topic, payload, first & 1 == 1));
        }
    }

    /// Reads until the connection ends; the reason code of a DISCONNECT or CONNACK.
    pub fn end(&mut self) -> Option<u8> {
        let mut code = None;
        while let Some((first, body)) = self.receive() {
            code = match first {
                0xE0 => body.first().copied(),
                0x20 => body.get(1).copied(),
                _ => code,
            };
        }
        code
    }
}

fn tcp(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}
