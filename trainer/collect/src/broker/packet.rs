//! Bytes of an MQTT 5 client → one packet, with every length, flag, identifier and text checked.
//!
//! Section numbers are those of the OASIS standard MQTT Version 5.0. The decoder allocates only what it returns, at most
//! the packet's own size.

use super::properties::{self, Seen};
use super::reader::Reader;

/// First bytes of a packet: type and flags, and up to four bytes of length (§2.1.4).
const LENGTH_BYTES: usize = 4;

/// Why the broker closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} (reason code {code:#04x})")]
pub(super) struct Illegal {
    /// Reason code of the CONNACK or DISCONNECT packet (§2.4).
    pub(super) code: u8,
    /// What is wrong.
    pub(super) what: &'static str,
}

pub(super) const fn illegal(code: u8, what: &'static str) -> Illegal {
    Illegal { code, what }
}

pub(super) const fn malformed(what: &'static str) -> Illegal {
    illegal(code::MALFORMED, what)
}

/// Reason codes (§2.4).
pub(super) mod code {
    pub(in super::super) const SUCCESS: u8 = 0x00;
    pub(in super::super) const NO_SUBSCRIPTION: u8 = 0x11;
    pub(in super::super) const MALFORMED: u8 = 0x81;
    pub(in super::super) const PROTOCOL_ERROR: u8 = 0x82;
    pub(in super::super) const UNSUPPORTED_VERSION: u8 = 0x84;
    pub(in super::super) const BAD_CLIENT_ID: u8 = 0x85;
    pub(in super::super) const NOT_AUTHORIZED: u8 = 0x87;
    pub(in super::super) const BAD_AUTHENTICATION: u8 = 0x8C;
    pub(in super::super) const KEEP_ALIVE: u8 = 0x8D;
    pub(in super::super) const TAKEN_OVER: u8 = 0x8E;
    pub(in super::super) const BAD_FILTER: u8 = 0x8F;
    pub(in super::super) const BAD_TOPIC: u8 = 0x90;
    pub(in super::super) const NO_ALIAS: u8 = 0x94;
    pub(in super::super) const TOO_LARGE: u8 = 0x95;
    pub(in super::super) const QUOTA: u8 = 0x97;
    pub(in super::super) const NO_QOS_2: u8 = 0x9B;
    pub(in super::super) const NO_SHARED: u8 = 0x9E;
    pub(in super::super) const RATE_EXCEEDED: u8 = 0x9F;
    pub(in super::super) const NO_SUBSCRIPTION_ID: u8 = 0xA1;
}

/// A packet from a client. Packets that only a server sends, and those of QoS 2, are illegal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClientPacket {
    Connect(Connect),
    Publish(Publish),
    Subscribe {
        packet: u16,
        filters: Vec<Subscription>,
    },
    Unsubscribe {
        packet: u16,
        filters: Vec<String>,
    },
    Ping,
    Disconnect {
        /// Publish the last will nevertheless (§3.14.2.1).
        with_will: bool,
    },
}

/// CONNECT (§3.1). The broker has no passwords, so it ignores user name and password; with TLS, also the client identifier.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Connect {
    /// May be empty: the broker then assigns one.
    pub(super) client: String,
    /// Seconds; 0 disables it.
    pub(super) keep_alive_s: u16,
    /// Largest packet that the client accepts, bytes.
    pub(super) packet_bytes: u32,
    pub(super) will: Option<Publish>,
}

/// PUBLISH (§3.3). The broker forwards topic and payload, not the properties.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Publish {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) retain: bool,
    /// Packet identifier of QoS 1.
    pub(super) packet: Option<u16>,
}

/// One filter of a SUBSCRIBE packet (§3.8.3). The granted QoS is 0.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Subscription {
    pub(super) filter: String,
    pub(super) no_local: bool,
    /// 0: send retained messages, 1: only for a new subscription, 2: do not send them.
    pub(super) retain_handling: u8,
}

/// First byte and length of a packet, and where its body begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    first: u8,
    pub(super) begin: usize,
    pub(super) end: usize,
}

/// Reads the header at the start of `bytes`; `None` if more bytes are needed.
///
/// # Errors
/// When type or flags are illegal, or the packet is longer than `limit` bytes.
pub(super) fn header(bytes: &[u8], limit: usize) -> Result<Option<Header>, Illegal> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let (kind, flags) = (first >> 4, first & 0x0f);
    // A broker rejects the packets of servers, of QoS 2 and of enhanced authentication by their first byte.
    let expected = match kind {
        3 => flags,
        1 | 12 | 14 => 0,
        8 | 10 => 2,
        _ => return Err(illegal(code::PROTOCOL_ERROR, "packet type that a client may not send here")),
    };
    if flags != expected {
        return Err(malformed("illegal flags of a packet"));
    }
    let mut length = 0;
    for (at, byte) in rest.iter().take(LENGTH_BYTES).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let begin = at + 2;
            if begin + length > limit {
                return Err(illegal(code::TOO_LARGE, "packet above the maximum size"));
            }
            return Ok(Some(Header { first, begin, end: begin + length }));
        }
    }
    if rest.len() >= LENGTH_BYTES { Err(malformed("illegal packet length")) } else { Ok(None) }
}

/// Decodes the body of a packet, from `begin` to `end` of its header.
///
/// # Errors
/// When the body is illegal, or has bytes left over.
pub(super) fn decode(header: Header, body: &[u8]) -> Result<ClientPacket, Illegal> {
    let mut reader = Reader::new(body);
    let packet = match header.first >> 4 {
        1 => ClientPacket::Connect(connect(&mut reader)?),
        3 => ClientPacket::Publish(publish(header.first, &mut reader)?),
        8 => subscribe(&mut reader)?,
        10 => unsubscribe(&mut reader)?,
        12 => ClientPacket::Ping,
        _ => disconnect(&mut reader)?,
    };
    if reader.is_empty() { Ok(packet) } else { Err(malformed("bytes after the end of a packet")) }
}

fn connect(reader: &mut Reader<'_>) -> Result<Connect, Illegal> {
    if reader.text()? != "MQTT" || reader.byte()? != 5 {
        return Err(illegal(code::UNSUPPORTED_VERSION, "not MQTT version 5"));
    }
    let flags = reader.byte()?;
    let (has_will, will_qos, retain) = (flags & 0x04 != 0, (flags >> 3) & 3, flags & 0x20 != 0);
    if flags & 1 != 0 || will_qos == 3 || (!has_will && (will_qos != 0 || retain)) {
        return Err(malformed("illegal flags of CONNECT"));
    }
    let keep_alive_s = reader.u16()?;
    let mut seen = Seen::default();
    properties::read(reader, &properties::CONNECT, &mut seen)?;
    let client = reader.text()?.to_owned();
    let will = has_will.then(|| will(reader, retain, will_qos)).transpose()?;
    // User name and password.
    for flag in [0x80, 0x40] {
        if flags & flag != 0 {
            reader.bytes()?;
        }
    }
    Ok(Connect { client, keep_alive_s, packet_bytes: seen.packet_bytes.unwrap_or(u32::MAX), will })
}

fn will(reader: &mut Reader<'_>, retain: bool, qos: u8) -> Result<Publish, Illegal> {
    if qos > 1 {
        return Err(illegal(code::NO_QOS_2, "last will at QoS 2"));
    }
    properties::read(reader, &properties::WILL, &mut Seen::default())?;
    let topic = reader.text()?.to_owned();
    Ok(Publish { topic, payload: reader.bytes()?.to_vec(), retain, packet: None })
}

fn publish(first: u8, reader: &mut Reader<'_>) -> Result<Publish, Illegal> {
    let (is_repeated, qos, retain) = (first & 8 != 0, (first >> 1) & 3, first & 1 != 0);
    match qos {
        0 if is_repeated => return Err(malformed("DUP flag at QoS 0")),
        2 => return Err(illegal(code::NO_QOS_2, "publication at QoS 2")),
        3 => return Err(malformed("publication at QoS 3")),
        _ => {}
    }
    let topic = reader.text()?;
    let packet = (qos == 1).then(|| packet_identifier(reader)).transpose()?;
    properties::read(reader, &properties::PUBLISH, &mut Seen::default())?;
    if topic.is_empty() || topic.contains(['+', '#']) {
        return Err(illegal(code::BAD_TOPIC, "illegal topic of a publication"));
    }
    Ok(Publish { topic: topic.to_owned(), payload: reader.rest().to_vec(), retain, packet })
}

fn packet_identifier(reader: &mut Reader<'_>) -> Result<u16, Illegal> {
    match reader.u16()? {
        0 => Err(malformed("packet identifier 0")),
        packet => Ok(packet),
    }
}

fn subscribe(reader: &mut Reader<'_>) -> Result<ClientPacket, Illegal> {
    let packet = packet_identifier(reader)?;
    properties::read(reader, &properties::SUBSCRIBE, &mut Seen::default())?;
    let mut filters = Vec::new();
    while !reader.is_empty() {
        let filter = reader.text()?.to_owned();
        let options = reader.byte()?;
        let (no_local, retain_handling) = (options & 4 != 0, (options >> 4) & 3);
        if options & 0xc0 != 0 || options & 3 == 3 || retain_handling == 3 {
            return Err(malformed("illegal options of a subscription"));
        }
        filters.push(Subscription { filter, no_local, retain_handling });
    }
    at_least_one(&filters)?;
    Ok(ClientPacket::Subscribe { packet, filters })
}

fn unsubscribe(reader: &mut Reader<'_>) -> Result<ClientPacket, Illegal> {
    let packet = packet_identifier(reader)?;
    properties::read(reader, &properties::UNSUBSCRIBE, &mut Seen::default())?;
    let mut filters = Vec::new();
    while !reader.is_empty() {
        filters.push(reader.text()?.to_owned());
    }
    at_least_one(&filters)?;
    Ok(ClientPacket::Unsubscribe { packet, filters })
}

fn at_least_one<T>(filters: &[T]) -> Result<(), Illegal> {
    if filters.is_empty() { Err(illegal(code::PROTOCOL_ERROR, "no filter")) } else { Ok(()) }
}

fn disconnect(reader: &mut Reader<'_>) -> Result<ClientPacket, Illegal> {
    if reader.is_empty() {
        return Ok(ClientPacket::Disconnect { with_will: false });
    }
    let with_will = reader.byte()? != code::SUCCESS;
    if !reader.is_empty() {
        properties::read(reader, &properties::DISCONNECT, &mut Seen::default())?;
    }
    Ok(ClientPacket::Disconnect { with_will })
}
