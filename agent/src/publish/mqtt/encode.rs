//! Requests of the agent → bytes of MQTT 5 packets.

/// Type of a packet in the upper half of its first byte, with the flags that §2.1.3 fixes.
const CONNECT: u8 = 0x10;
const PUBLISH: u8 = 0x30;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const UNSUBSCRIBE: u8 = 0xa2;
const PINGREQ: u8 = 0xc0;
const DISCONNECT: u8 = 0xe0;

/// Property: largest packet that the sender accepts (§3.1.2.11.4).
const MAXIMUM_PACKET_SIZE: u8 = 39;

/// The last will: the message that the broker publishes when the connection ends.
#[derive(Clone, Debug)]
pub(crate) struct Will {
    /// Topic.
    pub(crate) topic: String,
    /// Payload.
    pub(crate) payload: Vec<u8>,
    /// QoS 1, else 0.
    pub(crate) acknowledged: bool,
    /// Retained by the broker.
    pub(crate) retain: bool,
}

/// Content of a CONNECT packet.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    /// Client identifier.
    pub(crate) client_id: String,
    /// Keep-alive, seconds.
    pub(crate) keep_alive_s: u16,
    /// Largest packet that the agent accepts, bytes.
    pub(crate) packet_bytes: u32,
    /// User and password; an empty one is not sent.
    pub(crate) login: Option<(String, String)>,
    /// The last will.
    pub(crate) will: Option<Will>,
}

/// CONNECT with clean start.
pub(crate) fn connect(connect: &Connect) -> Vec<u8> {
    let (user, password) = connect.login.clone().unwrap_or_default();
    let mut flags = 0x02;
    if let Some(will) = &connect.will {
        flags |= 0x04 | u8::from(will.acknowledged) << 3 | u8::from(will.retain) << 5;
    }
    flags |= u8::from(!password.is_empty()) << 6 | u8::from(!user.is_empty()) << 7;
    let mut body = Vec::new();
    text(&mut body, b"MQTT");
    body.extend([5, flags]);
    body.extend(connect.keep_alive_s.to_be_bytes());
    body.extend([5, MAXIMUM_PACKET_SIZE]);
    body.extend(connect.packet_bytes.to_be_bytes());
    text(&mut body, connect.client_id.as_bytes());
    if let Some(will) = &connect.will {
        body.push(0);
        text(&mut body, will.topic.as_bytes());
        text(&mut body, &will.payload);
    }
    for part in [&user, &password].into_iter().filter(|part| !part.is_empty()) {
        text(&mut body, part.as_bytes());
    }
    packet(CONNECT, &[&body])
}

/// PUBLISH at QoS 1 with an identifier, at QoS 0 without.
pub(crate) fn publish(topic: &str, payload: &[u8], retain: bool, identifier: Option<u16>) -> Vec<u8> {
    let mut head = Vec::new();
    text(&mut head, topic.as_bytes());
    head.extend(identifier.iter().flat_map(|identifier| identifier.to_be_bytes()));
    // No properties.
    head.push(0);
    packet(PUBLISH | u8::from(retain) | u8::from(identifier.is_some()) << 1, &[&head, payload])
}

/// Bytes of a PUBLISH packet at QoS 1 besides its payload, at most.
pub(crate) fn publish_overhead(topic: &str) -> usize {
    1 + 4 + 2 + topic.len() + 2 + 1
}

/// SUBSCRIBE to one filter at QoS 1.
pub(crate) fn subscribe(filter: &str, identifier: u16) -> Vec<u8> {
    let mut body = identified(identifier);
    text(&mut body, filter.as_bytes());
    body.push(1);
    packet(SUBSCRIBE, &[&body])
}

/// UNSUBSCRIBE from one filter.
pub(crate) fn unsubscribe(filter: &str, identifier: u16) -> Vec<u8> {
    let mut body = identified(identifier);
    text(&mut body, filter.as_bytes());
    packet(UNSUBSCRIBE, &[&body])
}

/// PUBACK with success.
pub(crate) fn puback(identifier: u16) -> Vec<u8> {
    packet(PUBACK, &[&identifier.to_be_bytes()])
}

/// PINGREQ.
pub(crate) fn pingreq() -> Vec<u8> {
    packet(PINGREQ, &[])
}

/// DISCONNECT; after a reason of 0x80 or more the broker publishes the last will.
pub(crate) fn disconnect(reason: u8) -> Vec<u8> {
    packet(DISCONNECT, &[&[reason]])
}

/// Identifier and no properties.
fn identified(identifier: u16) -> Vec<u8> {
    let [high, low] = identifier.to_be_bytes();
    vec![high, low, 0]
}

/// Every text of an agent is shorter than 64 KiB: a name, a topic, part of a URL, or a message of at most 60 KiB.
fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u16).to_be_bytes());
    out.extend(bytes);
}

fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut remaining: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(remaining + 5);
    out.push(first);
    loop {
        let more = remaining > 0x7f;
        out.push((remaining & 0x7f) as u8 | u8::from(more) << 7);
        remaining >>= 7;
        if !more {
            break;
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}
