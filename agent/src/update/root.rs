//! The newest root document ↔ a file beside the identity, in the folder that outlasts a reboot.
//!
//! The file has one signed document. It is replaced for each newer document, and takes precedence over the one that came
//! with the identity or the configuration: whoever enrols the agent again cannot replace the keys that it trusts.

use super::store::{Store, StoreError, write};
use crate::disk::{AnyDisk, Disk};
use lapwing_shared::release::accept::accept_held;
use lapwing_shared::release::root::{RootDocument, RootError, SIGNED_ROOT_BYTES, SignedRoot, follow};
use lapwing_shared::release::signature::{SIGNED_MANIFEST_BYTES, Source};

/// Name of the file.
pub(crate) const FILE: &str = "root";

/// The document to trust at the start: the one on disk, or `first`, if it is newer and signed by the root keys of the one on
/// disk. Without one on disk, `first` is trusted and stored.
pub(crate) fn load(disk: &mut AnyDisk, first: Option<&[u8]>) -> Option<RootDocument> {
    let held = read(disk).unwrap_or_else(|error| {
        tracing::error!(error, "the root document on disk cannot be used; starting with the first one");
        None
    });
    let Some(bytes) = first else { return held };
    let newer = SignedRoot::decode(bytes).and_then(|signed| match &held {
        Some(held) if signed.version()? <= held.version => Ok(None),
        Some(held) => signed.verify(held).map(Some),
        None => signed.first_trusted().map(Some),
    });
    match newer {
        Ok(None) => held,
        Ok(Some(document)) => {
            if let Err(error) = disk.replace(FILE, bytes) {
                tracing::warn!(%error, "cannot store the root document");
            }
            Some(document)
        }
        Err(error) => {
            tracing::error!(%error, "the root document of the identity or of update.root is not used");
            held
        }
    }
}

fn read(disk: &mut AnyDisk) -> Result<Option<RootDocument>, String> {
    let bytes = disk.read(FILE, SIGNED_ROOT_BYTES).map_err(|error| error.to_string())?;
    let document = |bytes: Vec<u8>| SignedRoot::decode(&bytes)?.first_trusted();
    bytes.map(document).transpose().map_err(|error: RootError| error.to_string())
}

impl<D: Disk> Store<D> {
    /// Keeps newer root documents on this disk.
    #[must_use]
    pub(crate) fn with_root_disk(mut self, disk: AnyDisk) -> Self {
        self.root_disk = Some(disk);
        self
    }

    /// Follows a chain of root documents; true if its newest one is in use now. An agent without a root document ignores
    /// chains: anyone could have signed them.
    ///
    /// # Errors
    /// [`RootError`]; the document in use stays.
    pub(crate) fn follow_root(&mut self, chain: &[u8]) -> Result<bool, RootError> {
        let Some(held) = &self.terms.root else { return Ok(false) };
        let Some((document, signed)) = follow(held, chain)? else { return Ok(false) };
        self.unsaved_root = Some(signed.to_vec());
        self.terms.root = Some(document);
        self.recheck_rollout();
        Ok(true)
    }

    /// Writes the document in use, if it is not on the disk. It is in use in any case: after a restart, the broker has it.
    ///
    /// # Errors
    /// A disk error.
    pub(crate) fn save_root(&mut self) -> Result<(), StoreError> {
        if let (Some(bytes), Some(disk)) = (&self.unsaved_root, &mut self.root_disk) {
            write(disk, FILE, bytes)?;
        }
        self.unsaved_root = None;
        Ok(())
    }

    /// Checks that the key of the release on trial is still trusted.
    ///
    /// # Errors
    /// Why it is not, or a disk error.
    pub(crate) fn check_trial(&mut self) -> Result<(), StoreError> {
        let Some(trial) = self.state.trial else { return Ok(()) };
        let signed = self.read(&super::store::file(trial.release.slot, "manifest"), SIGNED_MANIFEST_BYTES)?;
        accept_held(&signed, &self.terms, Source::Broker)?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "root_tests.rs"]
mod tests;
