//! Bytes from the broker → packets, or the protocol error that ends the connection.

use super::reason;

/// A packet that a broker may send to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// The answer to CONNECT.
    ConnAck(ConnAck),
    /// A message.
    Publish {
        /// Topic.
        topic: String,
        /// Payload.
        payload: Vec<u8>,
        /// Identifier to acknowledge, at QoS 1.
        identifier: Option<u16>,
    },
    /// The answer to PUBLISH.
    PubAck {
        /// Identifier of the publication.
        identifier: u16,
        /// Reason code; 0x80 or more is a refusal.
        reason: u8,
    },
    /// The answer to SUBSCRIBE.
    SubAck {
        /// Identifier of the subscription.
        identifier: u16,
        /// Reason code; 0x80 or more is a refusal, below that the granted QoS.
        reason: u8,
    },
    /// The answer to UNSUBSCRIBE, whatever its reason code: the agent ignores messages that it did not ask for.
    UnsubAck {
        /// Identifier of the request.
        identifier: u16,
    },
    /// The answer to PINGREQ.
    PingResp,
    /// The broker ends the connection.
    Disconnect(Goodbye),
}

/// Why a broker refuses or ends a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Goodbye {
    /// Reason code.
    pub(crate) reason: u8,
    /// The broker's own text, shortened to [`TEXT_CHARACTERS`].
    pub(crate) text: Option<String>,
    /// The server to use instead, shortened likewise.
    pub(crate) reference: Option<String>,
}

/// Content of a CONNACK packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnAck {
    /// Reason code 0: accepted.
    pub(crate) goodbye: Goodbye,
    /// What the broker supports.
    pub(crate) limits: BrokerLimits,
    /// Keep-alive that the broker requires, seconds; 0 turns it off.
    pub(crate) keep_alive_s: Option<u16>,
}

/// What a broker supports (§3.2.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BrokerLimits {
    /// Publications at QoS 1 without an answer.
    pub(crate) receive_maximum: u16,
    /// Largest packet, bytes.
    pub(crate) packet_bytes: Option<u32>,
    /// QoS 1; otherwise only QoS 0.
    pub(crate) acknowledges: bool,
    /// Retained messages.
    pub(crate) retains: bool,
}

impl Default for BrokerLimits {
    fn default() -> Self {
        Self { receive_maximum: u16::MAX, packet_bytes: None, acknowledges: true, retains: true }
    }
}

/// Longest text of a broker that the agent keeps, characters: a hostile one could fill log and status.
const TEXT_CHARACTERS: usize = 120;

/// The broker violates the protocol, or uses a part of it that the agent did not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolError {
    /// A packet ends within a field, or has bytes after the last one.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// A packet is longer than the agent allows.
    #[error("a packet of {bytes} bytes, although this agent allows {limit}")]
    TooLong {
        /// Its remaining length, bytes.
        bytes: usize,
        /// The limit that CONNECT named, bytes.
        limit: usize,
    },
    /// A packet that a broker must not send to this agent, or not at this time.
    #[error("an unexpected packet: {0}")]
    Unexpected(&'static str),
    /// A topic alias (§3.3.2.3.4).
    #[error("a topic alias, although this agent allows none")]
    Alias,
    /// A message at QoS 2 or 3.
    #[error("a message at QoS {0}, although this agent subscribes at QoS 1")]
    Qos(u8),
    /// A property out of range.
    #[error("{0} = 0 in the answer to CONNECT")]
    Zero(&'static str),
    /// An answer to a request that was not made.
    #[error("an answer to request {0}, which was not made")]
    Unsolicited(u16),
}

impl ProtocolError {
    /// The reason code for the DISCONNECT that answers it.
    pub(crate) fn reason(&self) -> u8 {
        match self {
            Self::Malformed(_) => reason::MALFORMED_PACKET,
            Self::TooLong { .. } => reason::PACKET_TOO_LARGE,
            Self::Alias => reason::TOPIC_ALIAS_INVALID,
            Self::Qos(_) => reason::QOS_NOT_SUPPORTED,
            Self::Unexpected(_) | Self::Zero(_) | Self::Unsolicited(_) => reason::PROTOCOL_ERROR,
        }
    }
}

/// The first packet in `bytes` and its length, `None` if it is incomplete. `limit` bounds a whole packet, bytes.
pub(crate) fn next(bytes: &[u8], limit: usize) -> Result<Option<(Incoming, usize)>, ProtocolError> {
    let Some((first, rest)) = bytes.split_first() else { return Ok(None) };
    let mut rest = Fields { rest, packet: "length" };
    let Ok(remaining) = rest.variable() else {
        // Four bytes with the continuation bit are an error, fewer are an incomplete length.
        return if bytes.len() > 4 { Err(ProtocolError::Malformed("length")) } else { Ok(None) };
    };
    let head = bytes.len() - rest.rest.len();
    if head + remaining > limit {
        return Err(ProtocolError::TooLong { bytes: head + remaining, limit });
    }
    let Some(body) = rest.rest.get(..remaining) else { return Ok(None) };
    Ok(Some((packet(*first, body)?, head + remaining)))
}

fn packet(first: u8, body: &[u8]) -> Result<Incoming, ProtocolError> {
    let fields = |packet| Fields { rest: body, packet };
    // Besides PUBLISH every packet has fixed flags (§2.1.3).
    let unexpected = match (first >> 4, first & 0x0f) {
        (2, 0) => return connack(fields("CONNACK")),
        (3, flags) => return publish(flags, fields("PUBLISH")),
        (4, 0) => {
            let (identifier, reason) = answer(fields("PUBACK"))?;
            return Ok(Incoming::PubAck { identifier, reason });
        }
        (9, 0) => return suback(fields("SUBACK")),
        (11, 0) => return Ok(Incoming::UnsubAck { identifier: fields("UNSUBACK").number16()? }),
        (13, 0) if body.is_empty() => return Ok(Incoming::PingResp),
        (14, 0) => return disconnect(fields("DISCONNECT")),
        (5..=7, _) => "an answer to a message at QoS 2",
        (15, _) => "AUTH",
        _ => "of a type or with flags that a broker does not send",
    };
    Err(ProtocolError::Unexpected(unexpected))
}

fn connack(mut fields: Fields<'_>) -> Result<Incoming, ProtocolError> {
    let session_present = fields.byte()?;
    let mut ack = ConnAck {
        goodbye: Goodbye { reason: fields.byte()?, ..Goodbye::default() },
        limits: BrokerLimits::default(),
        keep_alive_s: None,
    };
    if fields.rest.is_empty() {
        // The form of MQTT 3, which has no properties; its reason 1 refuses the version (3.1.1 §3.2.2.3).
        ack.goodbye.reason = if ack.goodbye.reason == 1 { reason::UNSUPPORTED_VERSION } else { ack.goodbye.reason };
        return Ok(Incoming::ConnAck(ack));
    }
    if session_present != 0 {
        return Err(ProtocolError::Unexpected("CONNACK with a session, although this agent starts without one"));
    }
    let mut zero = None;
    fields.properties(|property| match property {
        Property::Number(19, seconds) => ack.keep_alive_s = u16::try_from(seconds).ok(),
        Property::Number(33 | 39, 0) => zero = Some("receive or packet size maximum"),
        Property::Number(33, count) => ack.limits.receive_maximum = count as u16,
        Property::Number(36, qos) => ack.limits.acknowledges = qos > 0,
        Property::Number(37, available) => ack.limits.retains = available > 0,
        Property::Number(39, bytes) => ack.limits.packet_bytes = Some(bytes),
        other => ack.goodbye.note(&other),
    })?;
    zero.map_or(Ok(Incoming::ConnAck(ack)), |name| Err(ProtocolError::Zero(name)))
}

fn publish(flags: u8, mut fields: Fields<'_>) -> Result<Incoming, ProtocolError> {
    let qos = flags >> 1 & 3;
    if qos > 1 {
        return Err(ProtocolError::Qos(qos));
    }
    let topic = std::str::from_utf8(fields.text()?).map_err(|_| ProtocolError::Malformed("topic"))?;
    let identifier = (qos == 1).then(|| fields.number16()).transpose()?;
    let mut alias = false;
    fields.properties(|property| alias |= matches!(property, Property::Number(35, _)))?;
    if alias {
        return Err(ProtocolError::Alias);
    }
    if topic.is_empty() || identifier == Some(0) {
        return Err(ProtocolError::Malformed("PUBLISH"));
    }
    Ok(Incoming::Publish { topic: topic.to_owned(), payload: fields.rest.to_vec(), identifier })
}

/// Identifier and reason code; reason and properties may be missing (§3.4.2.1).
fn answer(mut fields: Fields<'_>) -> Result<(u16, u8), ProtocolError> {
    let identifier = fields.number16()?;
    let reason = if fields.rest.is_empty() { 0 } else { fields.byte()? };
    Ok((identifier, reason))
}

fn suback(mut fields: Fields<'_>) -> Result<Incoming, ProtocolError> {
    let identifier = fields.number16()?;
    fields.properties(|_| ())?;
    let reason = fields.byte()?;
    // The agent subscribes to one filter at a time.
    if fields.rest.is_empty() { Ok(Incoming::SubAck { identifier, reason }) } else { Err(fields.malformed()) }
}

fn disconnect(mut fields: Fields<'_>) -> Result<Incoming, ProtocolError> {
    let mut goodbye = Goodbye::default();
    if !fields.rest.is_empty() {
        goodbye.reason = fields.byte()?;
    }
    if !fields.rest.is_empty() {
        fields.properties(|property| goodbye.note(&property))?;
    }
    Ok(Incoming::Disconnect(goodbye))
}

impl Goodbye {
    fn note(&mut self, property: &Property<'_>) {
        let short = |bytes: &[u8]| Some(String::from_utf8_lossy(bytes).chars().take(TEXT_CHARACTERS).collect());
        match property {
            Property::Text(31, text) => self.text = short(text),
            Property::Text(28, text) => self.reference = short(text),
            _ => {}
        }
    }
}

/// A property: its number (§2.2.2.2) and value.
enum Property<'a> {
    Number(u8, u32),
    Text(u8, &'a [u8]),
}

/// The unread rest of a packet.
struct Fields<'a> {
    rest: &'a [u8],
    packet: &'static str,
}

impl<'a> Fields<'a> {
    fn malformed(&self) -> ProtocolError {
        ProtocolError::Malformed(self.packet)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], ProtocolError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(self.malformed())?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<u32, ProtocolError> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    fn byte(&mut self) -> Result<u8, ProtocolError> {
        Ok(self.number(1)? as u8)
    }

    fn number16(&mut self) -> Result<u16, ProtocolError> {
        Ok(self.number(2)? as u16)
    }

    /// A variable byte integer (§1.5.5): at most four bytes.
    fn variable(&mut self) -> Result<usize, ProtocolError> {
        let mut number = 0;
        for shift in [0, 7, 14, 21] {
            let byte = usize::from(self.byte()?);
            number |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.malformed())
    }

    fn text(&mut self) -> Result<&'a [u8], ProtocolError> {
        let length = self.number16()?;
        self.take(usize::from(length))
    }

    /// Reads all properties, and passes on those with one value.
    fn properties(&mut self, mut each: impl FnMut(Property<'a>)) -> Result<(), ProtocolError> {
        let length = self.variable()?;
        let mut inner = Fields { rest: self.take(length)?, packet: self.packet };
        while !inner.rest.is_empty() {
            let number = inner.byte()?;
            match number {
                1 | 23 | 25 | 36 | 37 | 40 | 41 | 42 => each(Property::Number(number, inner.number(1)?)),
                19 | 33 | 34 | 35 => each(Property::Number(number, inner.number(2)?)),
                2 | 17 | 24 | 39 => each(Property::Number(number, inner.number(4)?)),
                11 => each(Property::Number(number, inner.variable()? as u32)),
                3 | 8 | 9 | 18 | 21 | 22 | 26 | 28 | 31 => each(Property::Text(number, inner.text()?)),
                38 => {
                    inner.text()?;
                    inner.text()?;
                }
                _ => return Err(self.malformed()),
            }
        }
        Ok(())
    }
}
