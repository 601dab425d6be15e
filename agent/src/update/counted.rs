//! A disk, and how much was written to it: flash wears out with what is written.

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
}

impl<D: Disk> Disk for Counted<D> {
    fn read(&mut self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        self.disk.read(path, limit)
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.count(bytes.len(), 0);
        self.disk.write(path, bytes)
    }

    fn append(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.count(bytes.len(), 0);
        self.disk.append(path, bytes)
    }

    fn sync(&mut self, path: &str) -> io::Result<()> {
        self.count(0, 1);
        self.disk.sync(path)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_folder(&mut self, path: &str) -> io::Result<()> {
        self.count(0, 1);
        self.disk.sync_folder(path)
    }
}
