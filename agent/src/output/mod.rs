//! Results of a run → flow records and feature vectors as CSV, alerts as JSON lines, a summary.

pub mod alerts;
pub(crate) mod features;
pub(crate) mod records;
pub mod summary;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Buffer of a file, bytes.
const BUFFER_BYTES: usize = 64 * 1024;

/// A file that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}")]
#[expect(missing_docs, reason = "the messages document the fields")]
pub struct OutputError {
    pub path: PathBuf,
    pub source: io::Error,
}

/// A buffered file, or standard output for `-`.
pub struct Sink {
    path: PathBuf,
    writer: BufWriter<Box<dyn Write + Send>>,
}

impl Sink {
    /// Creates or truncates the file.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(path: &Path) -> Result<Self, OutputError> {
        let file: Box<dyn Write + Send> = match path.to_str() {
            Some("-") => Box::new(io::stdout()),
            _ => Box::new(File::create(path).map_err(|source| OutputError { path: path.to_owned(), source })?),
        };
        Ok(Self { path: path.to_owned(), writer: BufWriter::with_capacity(BUFFER_BYTES, file) })
    }

    /// Lets `write` write to the buffer.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), OutputError> {
        write(&mut self.writer).map_err(|source| OutputError { path: self.path.clone(), source })
    }

    /// Flushes the buffer.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush(&mut self) -> Result<(), OutputError> {
        self.write(|writer| writer.flush())
    }
}

/// Displays a protocol's name in lower case, or its number.
pub(crate) struct Protocol(pub lapwing_shared::packet::Network, pub u8);

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use lapwing_shared::packet::Network;
        let name = match (self.0, self.1) {
            (Network::Arp, _) => "arp",
            (Network::Other, _) => "other",
            (_, 1) => "icmp",
            (_, 6) => "tcp",
            (_, 17) => "udp",
            (_, 58) => "icmpv6",
            (_, number) => return write!(f, "{number}"),
        };
        f.write_str(name)
    }
}

/// Displays an address; in MAC notation for flows that are neither IP nor ARP.
pub(crate) struct FieldAddress(pub lapwing_shared::packet::Network, pub lapwing_shared::units::Address);

impl std::fmt::Display for FieldAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 != lapwing_shared::packet::Network::Other {
            return self.1.fmt(f);
        }
        for (index, octet) in self.1.0[10..].iter().enumerate() {
            write!(f, "{}{octet:02x}", if index == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}
