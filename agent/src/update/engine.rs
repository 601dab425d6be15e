//! Release bytes → an engine that reproduces the release's golden vectors, or the reason why there is none.

use lapwing_shared::features::FEATURES;
use lapwing_shared::release::accept::{Refusal, Verified};
use lapwing_shared::release::golden::{GoldenError, check_golden};
use lapwing_shared::release::manifest::{ArtifactForm, Digest, Manifest};
use lapwing_shared::verdict::scaling::QuantizedInput;

/// Runs the network, one row at a time; batches are the detector's affair.
pub trait GoldenEngine: Send {
    /// Quantized input → reconstruction and latent layer ([`Manifest::latent_width`] values).
    ///
    /// # Errors
    /// What the engine says.
    fn run_row(
        &mut self,
        input: &QuantizedInput,
        reconstruction: &mut [i8; FEATURES],
        latent: &mut [i8],
    ) -> Result<(), String>;
}

/// Builds engines.
pub trait EngineFactory {
    /// What it builds.
    type Engine: GoldenEngine;

    /// The form that its engines read.
    fn form(&self) -> ArtifactForm;

    /// Builds an engine; the artifact's digest has been checked.
    ///
    /// # Errors
    /// What is wrong with the artifact.
    fn build(&self, manifest: &Manifest, artifact: &[u8]) -> Result<Self::Engine, String>;
}

/// A release that may judge traffic: everything about it was checked on this processor.
#[derive(Debug)]
pub struct InstalledRelease<E> {
    /// What it says.
    pub manifest: Box<Manifest>,
    /// SHA-256 of the encoded manifest.
    pub digest: Digest,
    /// Its network.
    pub engine: E,
    /// On probation: the packet side judges it and tells the verdict.
    pub on_trial: bool,
}

/// Why a verified release cannot be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The artifact is another.
    #[error("{0}")]
    Refused(Refusal),
    /// The engine refuses the artifact.
    #[error("engine cannot read the artifact: {0}")]
    Engine(String),
    /// The engine computes something else than the release promises.
    #[error("{0}")]
    Golden(GoldenError<String>),
}

/// Checks the artifact, builds its engine and runs the golden vectors through it.
///
/// # Errors
/// [`InstallError`].
pub fn install<F: EngineFactory>(
    verified: Verified,
    artifact: &[u8],
    engines: &F,
    on_trial: bool,
) -> Result<InstalledRelease<F::Engine>, InstallError> {
    verified.with_artifact(artifact).map_err(InstallError::Refused)?;
    let mut engine = engines.build(verified.manifest(), artifact).map_err(InstallError::Engine)?;
    let run = |input: &QuantizedInput, reconstruction: &mut [i8; FEATURES], latent: &mut [i8]| {
        engine.run_row(input, reconstruction, latent)
    };
    check_golden(verified.manifest(), run).map_err(InstallError::Golden)?;
    let digest = *verified.digest();
    Ok(InstalledRelease { manifest: Box::new(verified.into_manifest()), digest, engine, on_trial })
}
