//! The agent: packets in, alerts out.

pub mod clock;
pub mod outbox;
pub mod publish;
pub mod update;
