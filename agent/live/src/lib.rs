//! Packets of live interfaces: AF_PACKET sockets with TPACKET_V3 rings, as a [`lapwing_capture::PacketSource`].
//!
//! Returns the same octets, times, lengths and VLAN tags as `tcpdump -w` followed by `replay`, but with a smaller
//! snaplen, because only headers are needed. Does not allocate per packet. Only `sys` contains `unsafe`: system calls
//! and the shared mapping. Miri cannot run it (no packet sockets, no memory that a kernel writes to). Therefore `block`
//! interprets what the kernel wrote in safe code over a slice, tested with corrupt blocks.

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

/// The process's privileges, priority and CPU time.
pub mod rights {
    pub use crate::sys::{
        become_user, cpu_ms, drop_capabilities, is_root, keep_capabilities, no_new_privileges, raise_ambient, set_nice,
    };
}

/// Maximum number of interfaces of one source.
pub const INTERFACES: usize = 8;
/// Size of one interface's ring, bytes.
pub const RING_BYTES: std::ops::RangeInclusive<usize> = 128 * 1024..=256 * 1024 * 1024;
/// Octets captured of each packet.
pub const SNAPLEN: std::ops::RangeInclusive<u32> = 96..=32_768;
