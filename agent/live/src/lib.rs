//! Packets of live interfaces: AF_PACKET sockets with TPACKET_V3 rings, as a [`lapwing_capture::PacketSource`].
//!
//! What `tcpdump -w` would have written and `replay` would have read, this gives at once, with the same octets, times,
//! lengths and VLAN tags; only the snaplen is smaller, because no more than headers is needed. Nothing is allocated for
//! a packet. `sys` is the one module with `unsafe`: system calls and the shared mapping. Miri cannot run it, since it
//! has neither packet sockets nor memory that a kernel writes to; therefore all that interprets what the kernel wrote is
//! in `block`, which is safe code over a slice and is tested with blocks that lie.

mod block;
pub mod counters;
mod error;
pub mod filter;
mod interface;
mod source;
pub mod steady;
#[expect(unsafe_code, reason = "system calls and the ring that the kernel shares")]
mod sys;

pub use error::LiveError;
pub use interface::{InterfaceReport, Link};
pub use source::{LiveOptions, LiveSource, Shared};

/// What this process may do, and how much it takes: calls that only the system has.
pub mod rights {
    pub use crate::sys::{
        become_user, cpu_ms, drop_capabilities, is_root, keep_capabilities, no_new_privileges, raise_ambient, set_nice,
    };
}

/// Interfaces of one source.
pub const INTERFACES: usize = 8;
/// Bytes of one interface's ring.
pub const RING_BYTES: std::ops::RangeInclusive<usize> = 128 * 1024..=256 * 1024 * 1024;
/// Octets that are captured of a packet.
pub const SNAPLEN: std::ops::RangeInclusive<u32> = 96..=32_768;
