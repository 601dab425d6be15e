//! What a person or a script reads of a run: flow records and feature vectors as CSV, alerts as JSON lines, a summary.

pub mod alerts;
pub mod features;
pub mod records;
pub mod summary;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Bytes gathered before a file is written to.
const BUFFER_BYTES: usize = 64 * 1024;

/// A file that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}")]
pub struct OutputError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// A buffered file, or standard output for `-`.
pub struct Sink {
    path: PathBuf,
    writer: BufWriter<Box<dyn Write + Send>>,
}

impl Sink {
    /// Creates or empties the file.
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

    /// Writes what `write` writes.
    ///
    /// # Errors
    /// When the file cannot take it.
    pub fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), OutputError> {
        write(&mut self.writer).map_err(|source| OutputError { path: self.path.clone(), source })
    }

    /// Hands everything gathered to the operating system.
    ///
    /// # Errors
    /// When the file cannot take it.
    pub fn flush(&mut self) -> Result<(), OutputError> {
        self.write(|writer| writer.flush())
    }
}

/// Lower-case text of a protocol number, or the number.
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

/// A field address: MAC notation for flows that are neither IP nor ARP.
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
