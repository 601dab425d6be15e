//! Bytes ↔ files in memory, for agents without a state folder.

use super::Disk;
use std::io;

/// Files by path, lost at the end of the process. Two slots and one journal bound its size.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    files: Vec<(String, Vec<u8>)>,
}

impl Memory {
    fn file(&mut self, path: &str) -> Option<&mut Vec<u8>> {
        self.files.iter_mut().find(|(name, _)| name == path).map(|(_, bytes)| bytes)
    }

    fn take(&mut self, path: &str) -> Option<Vec<u8>> {
        let place = self.files.iter().position(|(name, _)| name == path)?;
        Some(self.files.swap_remove(place).1)
    }

    fn put(&mut self, path: &str, bytes: Vec<u8>) {
        self.take(path);
        self.files.push((path.to_owned(), bytes));
    }
}

impl Disk for Memory {
    fn read(&mut self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        match self.file(path) {
            Some(bytes) if bytes.len() > limit => Err(io::ErrorKind::FileTooLarge.into()),
            file => Ok(file.cloned()),
        }
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.put(path, bytes.to_vec());
        Ok(())
    }

    fn append(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        match self.file(path) {
            Some(file) => file.extend_from_slice(bytes),
            None => self.put(path, bytes.to_vec()),
        }
        Ok(())
    }

    fn sync(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let bytes = self.take(from).ok_or(io::ErrorKind::NotFound)?;
        self.put(to, bytes);
        Ok(())
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        self.take(path);
        Ok(())
    }

    fn sync_folder(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }
}
