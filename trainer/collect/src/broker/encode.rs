//! Packets of the broker → bytes (MQTT 5 §3).

/// Largest value of a variable byte integer of one, two and three bytes.
const LENGTHS: [usize; 3] = [127, 16_383, 2_097_151];

fn packet(out: &mut Vec<u8>, first: u8, parts: &[&[u8]]) {
    let mut length: usize = parts.iter().map(|part| part.len()).sum();
    out.push(first);
    loop {
        let byte = (length & 0x7f) as u8;
        length >>= 7;
        out.push(if length > 0 { byte | 0x80 } else { byte });
        if length == 0 {
            break;
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// CONNACK without a session. Properties: session expiry 0, maximum QoS 1, no subscription identifiers, no shared
/// subscriptions, the largest packet, and on demand a client identifier and a keep-alive.
pub(super) fn connack(code: u8, packet_bytes: u32, client: Option<&str>, keep_alive_s: Option<u16>) -> Vec<u8> {
    let mut properties = vec![0x11, 0, 0, 0, 0, 0x24, 1, 0x29, 0, 0x2A, 0, 0x27];
    properties.extend_from_slice(&packet_bytes.to_be_bytes());
    if let Some(client) = client {
        properties.push(0x12);
        properties.extend_from_slice(&(client.len() as u16).to_be_bytes());
        properties.extend_from_slice(client.as_bytes());
    }
    if let Some(seconds) = keep_alive_s {
        properties.push(0x13);
        properties.extend_from_slice(&seconds.to_be_bytes());
    }
    let mut out = Vec::new();
    // The broker assigns only short identifiers, so the length of the properties fits into one byte.
    packet(&mut out, 0x20, &[&[0, code, properties.len() as u8], &properties]);
    out
}

pub(super) fn puback(identifier: u16, code: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let [high, low] = identifier.to_be_bytes();
    match code {
        0 => packet(&mut out, 0x40, &[&[high, low]]),
        code => packet(&mut out, 0x40, &[&[high, low, code]]),
    }
    out
}

pub(super) fn suback(identifier: u16, codes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    packet(&mut out, 0x90, &[&identifier.to_be_bytes(), &[0], codes]);
    out
}

pub(super) fn unsuback(identifier: u16, codes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    packet(&mut out, 0xB0, &[&identifier.to_be_bytes(), &[0], codes]);
    out
}

pub(super) fn pingresp() -> Vec<u8> {
    vec![0xD0, 0]
}

pub(super) fn disconnect(code: u8) -> Vec<u8> {
    vec![0xE0, 1, code]
}

/// Appends a PUBLISH packet of QoS 0.
pub(super) fn publish(out: &mut Vec<u8>, topic: &str, payload: &[u8], retain: bool) {
    let length = (topic.len() as u16).to_be_bytes();
    packet(out, 0x30 | u8::from(retain), &[&length, topic.as_bytes(), &[0], payload]);
}

/// Size of that packet.
pub(super) fn publish_bytes(topic: &str, payload: &[u8]) -> usize {
    let body = 3 + topic.len() + payload.len();
    2 + LENGTHS.iter().filter(|limit| body > **limit).count() + body
}
