//! Capture problem → error with file, offset and expectation.

use super::window::WINDOW_LIMIT_BYTES;
use std::fmt;
use std::io;
use thiserror::Error;

/// Error in a capture, with its location.
#[derive(Debug, Error)]
#[error("{file}{}: {problem}", Location(*offset))]
#[expect(missing_docs, reason = "the messages document the fields")]
pub struct CaptureError {
    /// Path as given, or "standard input"; followed by "(unpacked)" if the offset counts decompressed bytes.
    pub file: String,
    /// Offset of the record concerned, bytes.
    pub offset: Option<u64>,
    #[source]
    pub problem: Problem,
}

struct Location(Option<u64>);

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |offset| write!(f, ", byte {offset}"))
    }
}

/// Problem with a capture.
#[derive(Debug, Error)]
pub enum Problem {
    /// The file cannot be opened.
    #[error("cannot be opened: {0}")]
    Open(io::Error),
    /// The file cannot be read, or its gzip data is damaged.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// The file is not a capture.
    #[error("not a capture file: expected pcap or pcapng, plain or gzip, but this is {0}")]
    NotACapture(String),
    /// A pcap file with an unsupported link type.
    #[error(
        "link type {0} is not supported: expected Ethernet (1), raw IP (101), Linux cooked (113, 276) or BSD loopback \
         (0, 108); record on an interface of a supported type"
    )]
    UnknownLinkType(u16),
    /// A record longer than the window limit.
    #[error("record of {octets} bytes: expected at most {WINDOW_LIMIT_BYTES}; the file is damaged from here on")]
    RecordTooLong {
        /// Length in the record header.
        octets: u64,
    },
    /// An inconsistent pcapng block.
    #[error("damaged pcapng block: expected {0}")]
    BadBlock(&'static str),
}
