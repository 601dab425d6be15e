//! The highest confirmed version of a group, and the highest floor of its manifests ↔ files of 8 octets on storage that outlasts
//! a reboot, for gateways whose state folder does not. Without them a reboot would let in an older signed release.
//!
//! A file is replaced once for each higher number.

use crate::disk::{AnyDisk, Disk};
use lapwing_shared::release::manifest::Name;
use std::fmt;
use std::io::{self, ErrorKind};

/// Start of the name of the file with the highest floor; the group follows.
pub const FLOOR: &str = "floor-";
/// Start of the name of the file with the highest confirmed version; the group follows.
pub const PREFIX: &str = "highest-";
/// Length of the file: a little-endian number.
const BYTES: usize = 8;

/// The file.
pub struct Highest {
    disk: AnyDisk,
    path: String,
    stored: u64,
}

impl fmt::Debug for Highest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.path, self.stored)
    }
}

impl Highest {
    /// Reads the group's file whose name begins with `prefix`; a missing one counts as 0. A damaged one does too, and is returned as an error.
    pub fn open(mut disk: AnyDisk, prefix: &str, group: &Name) -> (Self, Option<io::Error>) {
        let path = format!("{prefix}{group}");
        let read = disk.read(&path, BYTES).and_then(|bytes| match bytes.as_deref().map(<[u8; BYTES]>::try_from) {
            None => Ok(0),
            Some(Ok(bytes)) => Ok(u64::from_le_bytes(bytes)),
            Some(Err(_)) => Err(io::Error::new(ErrorKind::InvalidData, "expected 8 octets")),
        });
        let (stored, error) = match read {
            Ok(stored) => (stored, None),
            Err(error) => (0, Some(error)),
        };
        (Self { disk, path, stored }, error)
    }

    /// Name of the file.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The stored version; 0 if the file is missing or damaged.
    pub fn stored(&self) -> u64 {
        self.stored
    }

    /// Stores a higher version; a lower one changes nothing.
    ///
    /// # Errors
    /// A disk error; the old version then stays.
    pub fn raise(&mut self, version: u64) -> io::Result<()> {
        if version <= self.stored {
            return Ok(());
        }
        self.disk.replace(&self.path, &version.to_le_bytes())?;
        self.stored = version;
        Ok(())
    }
}
