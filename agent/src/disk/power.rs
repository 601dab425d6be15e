//! A disk in memory for tests: power cuts at a chosen operation lose everything that was not made durable.

use super::Disk;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// What remains of operations that were not made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// None of them.
    NothingPending,
    /// All renames and removals, but only half of each unsynced file.
    TornFiles,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    bytes: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct PowerDisk {
    pub(crate) now: BTreeMap<String, File>,
    pub(crate) durable: BTreeMap<String, File>,
    /// Operations left before the power cut; `None` for no power cut.
    pub(crate) left: Option<usize>,
    /// Capacity in bytes of all files; `None` for unlimited.
    pub(crate) room: Option<usize>,
    /// Operations so far.
    pub(crate) done: usize,
}

impl PowerDisk {
    /// The disk after the power cut.
    pub(crate) fn after(&self, cut: Cut) -> Self {
        let mut files = if cut == Cut::NothingPending { self.durable.clone() } else { self.now.clone() };
        for (path, file) in &mut files {
            let synced = &self.now.get(path).unwrap_or(file).durable;
            file.bytes = match cut {
                Cut::NothingPending => file.durable.clone(),
                Cut::TornFiles if file.bytes == *synced => file.bytes.clone(),
                Cut::TornFiles => file.bytes[..file.bytes.len() / 2].to_vec(),
            };
            file.durable = file.bytes.clone();
        }
        Self { now: files.clone(), durable: files, ..Self::default() }
    }

    /// Changes a file, durably.
    pub(crate) fn damage(&mut self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut file = self.now.remove(path).unwrap_or_default();
        change(&mut file.bytes);
        file.durable = file.bytes.clone();
        self.now.insert(path.to_owned(), file.clone());
        self.durable.insert(path.to_owned(), file);
    }

    pub(crate) fn files(&self) -> Vec<&str> {
        self.now.keys().map(String::as_str).collect()
    }

    /// Bytes of all files.
    pub(crate) fn used(&self) -> usize {
        self.now.values().map(|file| file.bytes.len()).sum()
    }

    fn operate(&mut self) -> io::Result<()> {
        self.done += 1;
        match &mut self.left {
            Some(0) => Err(io::Error::other("power is off")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn fits(&self, more: usize) -> io::Result<()> {
        match self.room {
            Some(room) if self.used() + more > room => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

impl Disk for PowerDisk {
    fn read(&mut self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let bytes = self.now.get(path).map(|file| file.bytes.clone());
        match bytes {
            Some(bytes) if bytes.len() > limit => Err(io::ErrorKind::FileTooLarge.into()),
            bytes => Ok(bytes),
        }
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.operate()?;
        self.now.insert(path.to_owned(), File::default());
        self.fits(bytes.len())?;
        self.now.insert(path.to_owned(), File { bytes: bytes.to_vec(), durable: Vec::new() });
        Ok(())
    }

    fn append(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.operate()?;
        self.fits(bytes.len())?;
        self.now.entry(path.to_owned()).or_default().bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self, path: &str) -> io::Result<()> {
        self.operate()?;
        let file = self.now.get_mut(path).ok_or(io::ErrorKind::NotFound)?;
        file.durable = file.bytes.clone();
        if let Some(known) = self.durable.get_mut(path) {
            *known = file.clone();
        }
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.operate()?;
        let file = self.now.remove(from).ok_or(io::ErrorKind::NotFound)?;
        self.now.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        self.operate()?;
        self.now.remove(path);
        Ok(())
    }

    fn sync_folder(&mut self, _path: &str) -> io::Result<()> {
        self.operate()?;
        self.durable = self.now.clone();
        Ok(())
    }
}

/// A [`PowerDisk`] that several parts of an agent use.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedDisk(Arc<Mutex<PowerDisk>>);

impl SharedDisk {
    pub(crate) fn new(disk: PowerDisk) -> Self {
        Self(Arc::new(Mutex::new(disk)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, PowerDisk> {
        self.0.lock().unwrap()
    }
}

impl Disk for SharedDisk {
    fn read(&mut self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        self.lock().read(path, limit)
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.lock().write(path, bytes)
    }

    fn append(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.lock().append(path, bytes)
    }

    fn sync(&mut self, path: &str) -> io::Result<()> {
        self.lock().sync(path)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.lock().rename(from, to)
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        self.lock().remove(path)
    }

    fn sync_folder(&mut self, path: &str) -> io::Result<()> {
        self.lock().sync_folder(path)
    }
}
