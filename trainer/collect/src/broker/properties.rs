//! Properties of a packet (MQTT 5 §2.2.2) → the one that the broker uses; the others are checked and skipped.

use super::packet::{Illegal, code, illegal, malformed};
use super::reader::Reader;

const USER: u8 = 0x26;
const SUBSCRIPTION_ID: u8 = 0x0B;
const AUTHENTICATION_METHOD: u8 = 0x15;
const RECEIVE_MAXIMUM: u8 = 0x21;
const TOPIC_ALIAS: u8 = 0x23;
const PACKET_BYTES: u8 = 0x27;

/// Properties that a client may send in each packet.
pub(super) const CONNECT: [u8; 9] =
    [0x11, AUTHENTICATION_METHOD, 0x16, 0x17, 0x19, RECEIVE_MAXIMUM, 0x22, USER, PACKET_BYTES];
pub(super) const WILL: [u8; 7] = [0x01, 0x02, 0x03, 0x08, 0x09, 0x18, USER];
pub(super) const PUBLISH: [u8; 7] = [0x01, 0x02, 0x03, 0x08, 0x09, TOPIC_ALIAS, USER];
pub(super) const SUBSCRIBE: [u8; 2] = [SUBSCRIPTION_ID, USER];
pub(super) const UNSUBSCRIBE: [u8; 1] = [USER];
pub(super) const DISCONNECT: [u8; 3] = [0x11, 0x1F, USER];

/// What the properties of a packet contain.
#[derive(Default)]
pub(super) struct Seen {
    /// Properties that occurred; each may occur once, except user properties.
    once: u64,
    /// Largest packet that the client accepts.
    pub(super) packet_bytes: Option<u32>,
}

/// Reads the properties of a packet.
///
/// # Errors
/// When a property is not allowed in the packet, occurs twice, has an illegal value, or needs a function that the broker
/// does not have: topic aliases, subscription identifiers, enhanced authentication.
pub(super) fn read(reader: &mut Reader<'_>, allowed: &[u8], seen: &mut Seen) -> Result<(), Illegal> {
    let length = reader.length()?;
    let mut reader = Reader::new(reader.take(length)?);
    while !reader.is_empty() {
        let property = reader.byte()?;
        if !allowed.contains(&property) {
            return Err(malformed("property that the packet may not have"));
        }
        let bit = 1 << property;
        let is_repeated = seen.once & bit != 0;
        seen.once |= bit;
        if property != USER && is_repeated {
            return Err(illegal(code::PROTOCOL_ERROR, "property that occurs twice"));
        }
        value(&mut reader, property, seen)?;
    }
    Ok(())
}

fn value(reader: &mut Reader<'_>, property: u8, seen: &mut Seen) -> Result<(), Illegal> {
    let zero = || illegal(code::PROTOCOL_ERROR, "property with the value 0");
    match property {
        // Flags: payload format, request problem information, request response information.
        0x01 | 0x17 | 0x19 if reader.byte()? > 1 => {
            return Err(illegal(code::PROTOCOL_ERROR, "property that is no flag"));
        }
        0x01 | 0x17 | 0x19 => {}
        RECEIVE_MAXIMUM if reader.u16()? == 0 => return Err(zero()),
        RECEIVE_MAXIMUM => {}
        0x22 => {
            reader.u16()?;
        }
        PACKET_BYTES => match reader.u32()? {
            0 => return Err(zero()),
            bytes => seen.packet_bytes = Some(bytes),
        },
        0x02 | 0x11 | 0x18 => {
            reader.u32()?;
        }
        0x03 | 0x08 | 0x1F => {
            reader.text()?;
        }
        0x09 | 0x16 => {
            reader.bytes()?;
        }
        USER => {
            reader.text()?;
            reader.text()?;
        }
        TOPIC_ALIAS => return Err(illegal(code::NO_ALIAS, "topic alias, though the broker allows none")),
        SUBSCRIPTION_ID => {
            return Err(illegal(code::NO_SUBSCRIPTION_ID, "subscription identifier, which the broker lacks"));
        }
        AUTHENTICATION_METHOD => return Err(illegal(code::BAD_AUTHENTICATION, "enhanced authentication")),
        _ => return Err(malformed("unknown property")),
    }
    Ok(())
}
