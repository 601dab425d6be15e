//! The few disk operations that updates and the outbox need, each of which may fail or be the last before a power cut.
//!
//! Paths are relative to the agent's state folder, with `/`. What must survive a power cut goes through
//! [`Disk::replace`]: after it the file has the new content; cut anywhere before, it has the old or the new one, whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// A folder.
pub trait Disk {
    /// Content of a file, nothing where there is none.
    ///
    /// # Errors
    /// `FileTooLarge` beyond `limit` bytes; else the system's.
    fn read(&mut self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>>;

    /// Makes or empties the file and writes it; not yet durable.
    ///
    /// # Errors
    /// The system's.
    fn write(&mut self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Writes at the end of the file, which is made where there is none; not yet durable.
    ///
    /// # Errors
    /// The system's.
    fn append(&mut self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Makes the file's content durable.
    ///
    /// # Errors
    /// The system's.
    fn sync(&mut self, path: &str) -> io::Result<()>;

    /// Renames a file over another; durable after [`Disk::sync_folder`].
    ///
    /// # Errors
    /// The system's.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; no error where there is none.
    ///
    /// # Errors
    /// The system's.
    fn remove(&mut self, path: &str) -> io::Result<()>;

    /// Makes the entries of the folder that holds `path` durable; makes the folder first where there is none.
    ///
    /// # Errors
    /// The system's.
    fn sync_folder(&mut self, path: &str) -> io::Result<()>;

    /// Puts `bytes` in the file's place, whole or not at all, and durably.
    ///
    /// # Errors
    /// The system's; the old content then stays.
    fn replace(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let fresh = format!("{path}.new");
        let written = self.write(&fresh, bytes).and_then(|()| self.sync(&fresh));
        if let Err(error) = written.and_then(|()| self.rename(&fresh, path)) {
            // On a full disk the half-written file takes room that others need.
            let _ = self.remove(&fresh);
            return Err(error);
        }
        self.sync_folder(path)
    }
}

/// A real folder.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// A folder at this place, which is made where there is none.
    ///
    /// # Errors
    /// The system's.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        Ok(Self { root: root.to_owned() })
    }

    fn place(&self, path: &str) -> io::Result<PathBuf> {
        let place = self.root.join(path);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        Ok(place)
    }
}

impl Disk for Folder {
    fn read(&mut self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.root.join(path)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {limit} bytes")));
        }
        Ok(Some(bytes))
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        File::create(self.place(path)?)?.write_all(bytes)
    }

    fn append(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().create(true).append(true).open(self.place(path)?)?.write_all(bytes)
    }

    fn sync(&mut self, path: &str) -> io::Result<()> {
        // Read access suffices for fsync, which a file opened for appending elsewhere needs as well.
        File::open(self.root.join(path))?.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.root.join(from), self.root.join(to))
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        match fs::remove_file(self.root.join(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn sync_folder(&mut self, path: &str) -> io::Result<()> {
        let place = self.place(path)?;
        let parent = place.parent().unwrap_or(&self.root);
        File::open(parent)?.sync_all()?;
        // A slot's folder is itself an entry of the state folder.
        if parent == self.root { Ok(()) } else { File::open(&self.root)?.sync_all() }
    }
}
