//! A disk, how much was written to it, since flash wears out with what is written, and what failed.

use super::disk::Disk;
use crate::status::Board;
use std::io;

/// Tells the report of every write and sync, whether it succeeded or not.
#[derive(Clone, Debug)]
pub struct Counted<D> {
    disk: D,
    board: Board,
}

impl<D> Counted<D> {
    /// Counts into the report of `board`.
    pub fn new(disk: D, board: Board) -> Self {
        Self { disk, board }
    }

    fn count(&self, octets: usize, syncs: u64) {
        let mut report = self.board.edit();
        report.disk_octets += octets as u64;
        report.disk_syncs += syncs;
    }

    /// A failure stands in the report until something is made durable.
    fn told(&self, done: io::Result<()>, durable: bool) -> io::Result<()> {
        let mut report = self.board.edit();
        match &done {
            Ok(()) if durable => report.disk_error = None,
            Ok(()) => {}
            Err(error) => {
                report.disk_errors += 1;
                report.disk_error = Some(error.to_string());
            }
        }
        done
    }
}

impl<D: Disk> Disk for Counted<D> {
    fn read(&mut self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        self.disk.read(path, limit)
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.count(bytes.len(), 0);
        let done = self.disk.write(path, bytes);
        self.told(done, false)
    }

    fn append(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.count(bytes.len(), 0);
        let done = self.disk.append(path, bytes);
        self.told(done, false)
    }

    fn sync(&mut self, path: &str) -> io::Result<()> {
        self.count(0, 1);
        let done = self.disk.sync(path);
        self.told(done, true)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let done = self.disk.rename(from, to);
        self.told(done, false)
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        let done = self.disk.remove(path);
        self.told(done, false)
    }

    fn sync_folder(&mut self, path: &str) -> io::Result<()> {
        self.count(0, 1);
        let done = self.disk.sync_folder(path);
        self.told(done, true)
    }
}
