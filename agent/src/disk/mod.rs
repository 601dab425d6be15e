//! Bytes ↔ files of the state folder: the few operations that updates and the outbox need.
//!
//! Any of them may fail, or be the last before a power cut. Paths are relative to the state folder, with `/`. Content that
//! must survive a power cut is written with [`Disk::replace`]: the file then has the old or the new content, never a
//! part.

pub(crate) mod counted;
pub(crate) mod memory;
#[cfg(test)]
pub(crate) mod power;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Mode of files and folders that the agent creates: alerts name hosts and what they did.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// A folder.
pub trait Disk {
    /// Content of a file, `None` if it does not exist.
    ///
    /// # Errors
    /// `FileTooLarge` beyond `limit` bytes; otherwise the system's.
    fn read(&mut self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>>;

    /// Creates or truncates the file and writes it; not yet durable.
    ///
    /// # Errors
    /// The system's.
    fn write(&mut self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Appends to the file, and creates it if missing; not yet durable.
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

    /// Removes a file, if it exists.
    ///
    /// # Errors
    /// The system's.
    fn remove(&mut self, path: &str) -> io::Result<()>;

    /// Makes the entries of the folder of `path` durable; creates the folder if missing.
    ///
    /// # Errors
    /// The system's.
    fn sync_folder(&mut self, path: &str) -> io::Result<()>;

    /// Replaces the file's content by `bytes`, atomically and durably.
    ///
    /// # Errors
    /// The system's; the old content then stays.
    fn replace(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let fresh = format!("{path}.new");
        let written = self.write(&fresh, bytes).and_then(|()| self.sync(&fresh));
        if let Err(error) = written.and_then(|()| self.rename(&fresh, path)) {
            // On a full disk the partial file takes space that other files need.
            let _ = self.remove(&fresh);
            return Err(error);
        }
        self.sync_folder(path)
    }
}

/// A disk that is chosen at run time. Code that is generic over [`Disk`] is compiled once for it, not once for each disk.
pub type AnyDisk = Box<dyn Disk + Send>;

impl Disk for AnyDisk {
    fn read(&mut self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        (**self).read(path, limit)
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        (**self).write(path, bytes)
    }

    fn append(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        (**self).append(path, bytes)
    }

    fn sync(&mut self, path: &str) -> io::Result<()> {
        (**self).sync(path)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        (**self).rename(from, to)
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        (**self).remove(path)
    }

    fn sync_folder(&mut self, path: &str) -> io::Result<()> {
        (**self).sync_folder(path)
    }
}

/// A real folder.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder at `root`, created if missing.
    ///
    /// # Errors
    /// The system's.
    pub fn open(root: &Path) -> io::Result<Self> {
        create_folder(root)?;
        Ok(Self { root: root.to_owned() })
    }

    fn place(&self, path: &str) -> io::Result<PathBuf> {
        let place = self.root.join(path);
        if let Some(parent) = place.parent() {
            create_folder(parent)?;
        }
        Ok(place)
    }
}

impl Disk for Folder {
    /// Opens no link, and waits for no pipe: root enrols in a folder that the agent's account owns.
    fn read(&mut self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(self.root.join(path)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"));
        }
        let mut bytes = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {limit} bytes")));
        }
        Ok(Some(bytes))
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(FILE_MODE).open(self.place(path)?)?.write_all(bytes)
    }

    fn append(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(FILE_MODE).open(self.place(path)?)?.write_all(bytes)
    }

    fn sync(&mut self, path: &str) -> io::Result<()> {
        // Read access is enough for fsync.
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
        // A slot's folder is an entry of the state folder.
        if parent == self.root { Ok(()) } else { File::open(&self.root)?.sync_all() }
    }

    /// Follows no link in the place of the new file: root enrols in a folder that the agent's account owns.
    fn replace(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let fresh = format!("{path}.new");
        self.remove(&fresh)?;
        let place = self.place(&fresh)?;
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&place)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        if let Err(error) = write().and_then(|()| self.rename(&fresh, path)) {
            // On a full disk the partial file takes space that other files need.
            let _ = self.remove(&fresh);
            return Err(error);
        }
        self.sync_folder(path)
    }
}

fn create_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_link_in_the_place_of_a_new_file_is_removed_and_not_followed() {
        let root = std::env::temp_dir().join(format!("lapwing-links-{}", std::process::id()));
        let mut folder = Folder::open(&root).unwrap();
        let outside = root.join("outside");
        fs::write(&outside, b"root's").unwrap();
        std::os::unix::fs::symlink(&outside, root.join("identity.new")).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("identity")).unwrap();
        folder.replace("identity", b"a key").unwrap();
        let read = |name: &str| fs::read(root.join(name)).unwrap();
        let (kept, written) = (read("outside"), read("identity"));
        let is_link = root.join("identity").is_symlink();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!((kept, written, is_link), (b"root's".to_vec(), b"a key".to_vec(), false));
    }

    #[test]
    fn pipes_and_links_are_not_read() {
        let root = std::env::temp_dir().join(format!("lapwing-pipes-{}", std::process::id()));
        let mut folder = Folder::open(&root).unwrap();
        let made = std::process::Command::new("mkfifo").arg(root.join("enrolment")).status().unwrap();
        fs::write(root.join("outside"), b"x").unwrap();
        std::os::unix::fs::symlink(root.join("outside"), root.join("identity")).unwrap();
        let (pipe, link) = (folder.read("enrolment", 9), folder.read("identity", 9));
        fs::remove_dir_all(&root).unwrap();
        assert!(made.success() && pipe.unwrap_err().to_string().contains("regular file"));
        assert!(link.is_err());
    }

    #[test]
    fn only_the_agent_can_read_what_it_writes() {
        let root = std::env::temp_dir().join(format!("lapwing-modes-{}", std::process::id()));
        let mut folder = Folder::open(&root).unwrap();
        folder.append("outbox-0", b"an alert").unwrap();
        folder.replace("slot-a/manifest", b"a manifest").unwrap();
        let mode = |path: &str| fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o777;
        let modes = ["", "outbox-0", "slot-a", "slot-a/manifest"].map(mode);
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(modes, [0o700, 0o600, 0o700, 0o600]);
    }
}
