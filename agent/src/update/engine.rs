//! Release bytes → an engine that reproduces the release's golden vectors.

use lapwing_shared::features::FEATURES;
use lapwing_shared::release::accept::{Refusal, Verified};
use lapwing_shared::release::golden::{GoldenError, check_golden};
use lapwing_shared::release::manifest::{ArtifactForm, Digest, Manifest};
use lapwing_shared::release::refusal_text::ENGINE;
use lapwing_shared::verdict::scaling::QuantizedInput;

/// Runs the network on one row; the detector runs batches.
pub trait GoldenEngine: Send {
    /// Quantized input → reconstruction and latent layer ([`Manifest::latent_width`] values).
    ///
    /// # Errors
    /// The engine's error.
    fn run_row(
        &mut self,
        input: &QuantizedInput,
        reconstruction: &mut [i8; FEATURES],
        latent: &mut [i8],
    ) -> Result<(), String>;
}

/// Builds engines.
pub trait EngineFactory {
    /// The engines that it builds.
    type Engine: GoldenEngine;

    /// The artifact form that its engines read.
    fn form(&self) -> ArtifactForm;

    /// Builds an engine; the artifact's digest has been checked.
    ///
    /// # Errors
    /// Why the artifact is invalid.
    fn build(&self, manifest: &Manifest, artifact: &[u8]) -> Result<Self::Engine, String>;
}

/// A release that passed every check on this processor and may score traffic.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct InstalledRelease<E> {
    pub manifest: Box<Manifest>,
    /// SHA-256 of the encoded manifest.
    pub digest: Digest,
    pub engine: E,
    /// Whether it is on trial: the scoring thread then tests it and reports a verdict.
    pub on_trial: bool,
}

/// Why a verified release cannot be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The artifact is not the manifest's.
    #[error("{0}")]
    Refused(Refusal),
    /// The engine rejects the artifact.
    #[error("{ENGINE}{0}")]
    Engine(String),
    /// The engine does not reproduce the golden vectors.
    #[error("{0}")]
    Golden(GoldenError<String>),
}

/// Checks the artifact, builds its engine and runs the golden vectors through it.
///
/// # Errors
/// [`InstallError`].
pub(crate) fn install<F: EngineFactory>(
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
