//! What is not on the disk yet → the disk.

use super::Session;
use crate::disk::Disk;
use crate::outbox::Outbox;
use crate::update::engine::EngineFactory;

impl<D: Disk, F: EngineFactory> Session<D, F> {
    /// Writes waiting messages to the journal before the agent stops.
    pub(crate) fn finish(&mut self) {
        self.write_disk(Outbox::finish, u64::MAX);
    }

    /// Writes everything that is not on the disk yet. Logs the first of several failures, and the first success after it.
    pub(super) fn write_disk(&mut self, outbox: fn(&mut Outbox<D>) -> Option<std::io::Error>, now_ms: u64) {
        let saved = self.store.retry_save().and(self.store.save_rollout(now_ms)).err().map(|error| error.to_string());
        let confirmed = self.confirm_passed().err().map(|error| error.to_string());
        let journal = |error| format!("cannot write the outbox to the state folder: {error}; messages wait in memory");
        let failure = saved.or(confirmed).or(outbox(&mut self.outbox).map(journal));
        match &failure {
            Some(error) if !self.disk_fails => tracing::warn!(%error, "cannot write to the state folder; retrying"),
            None if self.disk_fails => tracing::info!("the state folder is writable again"),
            _ => {}
        }
        self.disk_fails = failure.is_some();
    }
}
