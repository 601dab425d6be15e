//! Why live capture cannot begin.

use crate::filter::FilterError;
use std::io;

/// Why live capture cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// No packet socket.
    #[error("cannot open a packet socket: {0}; it needs root or CAP_NET_RAW, and a kernel with CONFIG_PACKET")]
    Socket(io::Error),
    /// The kernel does not take the filter.
    #[error(
        "the kernel refuses the filter: {0}; a tcpdump program must be made for an interface of the same link type"
    )]
    Filter(io::Error),
    /// The filter is wrong.
    #[error(transparent)]
    Exclusion(#[from] FilterError),
    /// An interface of a sort that the decoder does not know.
    #[error(
        "interface {name} has hardware type {hardware}, which is not supported: expected Ethernet (1), loopback (772), \
         raw IP (519), a tunnel (768, 769, 776, 65534) or PPP (512)"
    )]
    Hardware {
        /// The interface.
        name: String,
        /// Its ARPHRD number.
        hardware: u16,
    },
    /// No interface, or too many.
    #[error("{0} interfaces; expected 1 to {max}", max = crate::INTERFACES)]
    Interfaces(usize),
    /// A ring size out of its range.
    #[error("a ring of {bytes} bytes; expected {least} to {most}", least = crate::RING_BYTES.start(), most = crate::RING_BYTES.end())]
    Ring {
        /// What was given.
        bytes: usize,
    },
    /// The interfaces' own counters cannot be read.
    #[error("cannot read /proc/net/dev: {0}")]
    Counters(io::Error),
}
