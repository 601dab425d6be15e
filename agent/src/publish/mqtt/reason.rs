//! Reason codes of MQTT 5 (§2.4) → names for people.

/// The broker cannot read a packet.
pub(crate) const MALFORMED_PACKET: u8 = 0x81;
/// A packet is not allowed at this time.
pub(crate) const PROTOCOL_ERROR: u8 = 0x82;
/// MQTT 5 is not supported.
pub(crate) const UNSUPPORTED_VERSION: u8 = 0x84;
/// The client identifier is refused.
pub(crate) const CLIENT_IDENTIFIER: u8 = 0x85;
/// Wrong user or password.
pub(crate) const BAD_LOGIN: u8 = 0x86;
/// The access list forbids it.
pub(crate) const NOT_AUTHORIZED: u8 = 0x87;
/// The server does not answer.
pub(crate) const SERVER_UNAVAILABLE: u8 = 0x88;
/// The server is busy.
pub(crate) const SERVER_BUSY: u8 = 0x89;
/// The client is banned.
pub(crate) const BANNED: u8 = 0x8a;
/// Another connection uses the same client identifier.
pub(crate) const SESSION_TAKEN_OVER: u8 = 0x8e;
/// A topic alias above the allowed number.
pub(crate) const TOPIC_ALIAS_INVALID: u8 = 0x94;
/// A packet above the allowed size.
pub(crate) const PACKET_TOO_LARGE: u8 = 0x95;
/// Too many messages per second.
pub(crate) const MESSAGE_RATE: u8 = 0x96;
/// A quota is used up.
pub(crate) const QUOTA_EXCEEDED: u8 = 0x97;
/// Retained messages are not supported.
pub(crate) const RETAIN_NOT_SUPPORTED: u8 = 0x9a;
/// The quality of service is not supported.
pub(crate) const QOS_NOT_SUPPORTED: u8 = 0x9b;
/// Use another server for now.
pub(crate) const USE_ANOTHER_SERVER: u8 = 0x9c;
/// Use another server from now on.
pub(crate) const SERVER_MOVED: u8 = 0x9d;
/// Too many connections per second.
pub(crate) const CONNECTION_RATE: u8 = 0x9f;

/// Code and name, e.g. `not authorized, 0x87`.
pub(crate) fn describe(code: u8) -> String {
    format!("{}, 0x{code:02x}", name(code))
}

/// True if the broker refuses what it answers (§2.4).
pub(crate) const fn is_refusal(code: u8) -> bool {
    code >= 0x80
}

/// True if the next attempt should wait: an earlier one adds to the load, or cannot succeed before a person acts.
pub(crate) const fn asks_for_patience(code: u8) -> bool {
    matches!(
        code,
        SERVER_UNAVAILABLE
            | SERVER_BUSY
            | BANNED
            | SESSION_TAKEN_OVER
            | MESSAGE_RATE
            | QUOTA_EXCEEDED
            | USE_ANOTHER_SERVER
            | SERVER_MOVED
            | CONNECTION_RATE
    )
}

fn name(code: u8) -> &'static str {
    match code {
        0x00 => "normal",
        0x80 => "unspecified error",
        MALFORMED_PACKET => "malformed packet",
        PROTOCOL_ERROR => "protocol error",
        0x83 => "implementation specific error",
        UNSUPPORTED_VERSION => "unsupported protocol version",
        CLIENT_IDENTIFIER => "client identifier not valid",
        BAD_LOGIN => "bad user name or password",
        NOT_AUTHORIZED => "not authorized",
        SERVER_UNAVAILABLE => "server unavailable",
        SERVER_BUSY => "server busy",
        BANNED => "banned",
        0x8b => "server shutting down",
        0x8c => "bad authentication method",
        0x8d => "keep alive timeout",
        SESSION_TAKEN_OVER => "session taken over",
        0x8f => "topic filter invalid",
        0x90 => "topic name invalid",
        0x91 => "packet identifier in use",
        0x93 => "receive maximum exceeded",
        TOPIC_ALIAS_INVALID => "topic alias invalid",
        PACKET_TOO_LARGE => "packet too large",
        MESSAGE_RATE => "message rate too high",
        QUOTA_EXCEEDED => "quota exceeded",
        0x98 => "administrative action",
        0x99 => "payload format invalid",
        RETAIN_NOT_SUPPORTED => "retain not supported",
        QOS_NOT_SUPPORTED => "QoS not supported",
        USE_ANOTHER_SERVER => "use another server",
        SERVER_MOVED => "server moved",
        0x9e => "shared subscriptions not supported",
        CONNECTION_RATE => "connection rate exceeded",
        0xa0 => "maximum connect time",
        0xa1 => "subscription identifiers not supported",
        0xa2 => "wildcard subscriptions not supported",
        _ => "unknown reason",
    }
}
