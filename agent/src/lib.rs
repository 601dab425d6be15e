//! The agent: packets in, alerts out.
