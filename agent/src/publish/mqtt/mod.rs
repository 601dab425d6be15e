//! The part of MQTT 5 that an agent uses: packets ↔ bytes, reason codes → text, and the connection.
//!
//! An agent publishes and subscribes at QoS 0 and 1, keeps no session, and allows neither topic aliases nor QoS 2.
//! Whatever else a broker sends is a protocol error that ends the connection, before anything of it is stored.
//! Section numbers are those of the OASIS standard, version 5.0.

pub(super) mod decode;
pub(super) mod encode;
pub(super) mod reason;
pub(super) mod socket;
#[cfg(test)]
mod tests;
