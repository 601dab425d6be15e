//! A disk that counts its writes and failures in the report: flash wears out with writes.

use super::Disk;
use crate::report::SharedReport;
use std::io;

/// Counts every write and sync, successful or not.
#[derive(Clone, Debug)]
pub(crate) struct Counted<D> {
    disk: D,
    report: SharedReport,
}

impl<D> Counted<D> {
    /// Counts in `report`.
    pub(crate) fn new(disk: D, report: SharedReport) -> Self {
        Self { disk, report }
    }

    fn count(&self, octets: usize, syncs: u64) {
        let mut report = self.report.edit();
        report.disk_octets += octets as u64;
        report.disk_syncs += syncs;
    }

    /// Records a failure, which stays in the report until a sync succeeds.
    fn record(&self, done: io::Result<()>, durable: bool) -> io::Result<()> {
        let mut report = self.report.edit();
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
        self.record(done, false)
    }

    fn append(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.count(bytes.len(), 0);
        let done = self.disk.append(path, bytes);
        self.record(done, false)
    }

    fn sync(&mut self, path: &str) -> io::Result<()> {
        self.count(0, 1);
        let done = self.disk.sync(path);
        self.record(done, true)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let done = self.disk.rename(from, to);
        self.record(done, false)
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        let done = self.disk.remove(path);
        self.record(done, false)
    }

    fn sync_folder(&mut self, path: &str) -> io::Result<()> {
        self.count(0, 1);
        let done = self.disk.sync_folder(path);
        self.record(done, true)
    }
}
