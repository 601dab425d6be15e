//! Errors that prevent live capture from starting.

use crate::filter::FilterError;
use std::io;

/// Why live capture cannot start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum LiveError {
    /// Opening a packet socket failed.
    #[error("cannot open a packet socket: {0}; this needs root or CAP_NET_RAW, and a kernel with CONFIG_PACKET")]
    Socket(io::Error),
    /// The kernel rejected the filter.
    #[error(
        "the kernel rejected the filter: {0}; compile a tcpdump program for an interface of the same link type \
         (tcpdump -i INTERFACE -ddd EXPRESSION)"
    )]
    Filter(io::Error),
    /// The filter is invalid.
    #[error(transparent)]
    Exclusion(#[from] FilterError),
    /// The decoder does not support this type of interface.
    #[error(
        "interface {name} has hardware type {hardware}, which is not supported: expected Ethernet (1), loopback (772), \
         raw IP (519), a tunnel (768, 769, 776, 65534) or PPP (512)"
    )]
    Hardware {
        name: String,
        /// ARPHRD number.
        hardware: u16,
    },
    /// No interface, or too many.
    #[error("{0} interfaces given; expected 1 to {max}", max = crate::INTERFACES)]
    Interfaces(usize),
    /// The ring size is out of range.
    #[error(
        "ring size of {bytes} bytes is out of range; expected {min} to {max}",
        min = crate::RING_BYTES.start(),
        max = crate::RING_BYTES.end()
    )]
    Ring { bytes: usize },
    /// The interface counters cannot be read.
    #[error("cannot read /proc/net/dev: {0}")]
    Counters(io::Error),
}
