//! Release file → retained MQTT topics: first every chunk of every artifact, then the signed manifest that names them.
//!
//! An agent that sees a manifest can thus always fetch what it names. The chunks of the release before the current one
//! stay, for agents that are still fetching it; older ones are cleared.

use crate::clock;
use crate::collect::{LinkError, Outlet};
use lapwing_shared::messages::topics::{chunk_topic, release_topic};
use lapwing_shared::release::ManifestError;
use lapwing_shared::release::digest::sha256;
use lapwing_shared::release::file::{FileError, ReleaseFile};
use lapwing_shared::release::manifest::{CHUNK_BYTES, Manifest};
use lapwing_shared::release::signature::{SignatureError, SignedManifest};
use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

/// How long a full queue to the broker is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// Why a release cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It is no release file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its manifest is not signed in the right form.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Its manifest breaks a rule.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// An artifact is not what the manifest says.
    #[error("artifact {index} of the release file is not the one that its manifest names")]
    Artifact {
        /// Its place.
        index: usize,
    },
    /// The broker does not take it.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// Reads the manifest of a release file and holds the artifacts against it. The signature is the agents' to check.
///
/// # Errors
/// What is wrong with the file.
pub fn read<'file>(bytes: &'file [u8]) -> Result<(ReleaseFile<'file>, Manifest), PublishError> {
    let file = ReleaseFile::decode(bytes)?;
    let manifest = Manifest::decode(SignedManifest::decode(file.signed)?.manifest)?;
    for (index, artifact) in manifest.artifacts.iter().enumerate() {
        let bytes = file.artifacts.get(index).copied().unwrap_or_default();
        if bytes.len() != artifact.size_bytes as usize || sha256(bytes) != artifact.sha256 {
            return Err(PublishError::Artifact { index });
        }
    }
    Ok((file, manifest))
}

/// Publishes releases of one group.
pub struct Publisher {
    outlet: Box<dyn Outlet>,
}

impl Publisher {
    /// Publishes through this outlet.
    pub fn new(outlet: Box<dyn Outlet>) -> Self {
        Self { outlet }
    }

    /// Publishes a release file; the newest call of a group is what its agents will run.
    ///
    /// # Errors
    /// When it is no release, or the broker does not take it.
    pub fn publish(&mut self, bytes: &[u8]) -> Result<Manifest, PublishError> {
        let (file, manifest) = read(bytes)?;
        for (artifact, bytes) in manifest.artifacts.iter().zip(&file.artifacts) {
            for (number, chunk) in (0..).zip(bytes.chunks(CHUNK_BYTES as usize)) {
                self.send(&chunk_topic(&artifact.sha256, number), chunk.to_vec())?;
            }
        }
        self.send(&release_topic(&manifest.group), file.signed.to_vec())?;
        Ok(manifest)
    }

    /// Clears the chunks of an old release, except those that a kept one shares.
    ///
    /// # Errors
    /// When the broker does not take it.
    pub fn clear(&mut self, old: &Manifest, kept: &[&Manifest]) -> Result<(), PublishError> {
        let kept: BTreeSet<_> = kept.iter().flat_map(|kept| &kept.artifacts).map(|artifact| artifact.sha256).collect();
        for artifact in old.artifacts.iter().filter(|artifact| !kept.contains(&artifact.sha256)) {
            for number in 0..artifact.chunks() {
                self.send(&chunk_topic(&artifact.sha256, number), Vec::new())?;
            }
        }
        Ok(())
    }

    fn send(&mut self, topic: &str, payload: Vec<u8>) -> Result<(), LinkError> {
        let until = clock::after(PATIENCE);
        loop {
            match self.outlet.publish(topic, payload.clone(), true) {
                Err(LinkError::Full) if clock::monotonic() < until => thread::sleep(PAUSE),
                other => return other,
            }
        }
    }
}
