//! What can be wrong with a capture, where, and what was expected.

use super::window::WINDOW_LIMIT_BYTES;
use std::fmt;
use std::io;
use thiserror::Error;

/// What is wrong with a capture and where.
#[derive(Debug, Error)]
#[error("{file}{}: {problem}", Place(*offset))]
pub struct CaptureError {
    /// Path as it was given, or "standard input"; "(unpacked)" follows where the offset counts unpacked bytes.
    pub file: String,
    /// Byte at which the offending record begins, where the problem has a place.
    pub offset: Option<u64>,
    /// What is wrong.
    #[source]
    pub problem: Problem,
}

struct Place(Option<u64>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |offset| write!(f, ", byte {offset}"))
    }
}

/// What is wrong with a capture.
#[derive(Debug, Error)]
pub enum Problem {
    /// The file cannot be opened.
    #[error("cannot be opened: {0}")]
    Open(io::Error),
    /// The file cannot be read on, or its gzip data is damaged.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// The file is no capture.
    #[error("not a capture file: expected pcap or pcapng, plain or in gzip, but this is {0}")]
    NotACapture(String),
    /// A pcap file whose frames begin in a way that we cannot read.
    #[error(
        "link type {0} is not supported: expected Ethernet (1), raw IP (101), Linux cooked (113, 276) or BSD loopback \
         (0, 108); record it again on an interface of such a type"
    )]
    UnknownLinkType(u16),
    /// A record longer than the window may grow.
    #[error("record of {octets} bytes: expected at most {WINDOW_LIMIT_BYTES}; the file is damaged from here on")]
    RecordTooLong {
        /// Length that the record's header states.
        octets: u64,
    },
    /// A pcapng block that contradicts itself or the section.
    #[error("damaged pcapng block: expected {0}")]
    BadBlock(&'static str),
}
