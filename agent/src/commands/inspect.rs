//! `inspect`: release file → its manifest as text, after all checks on this processor.

use crate::config::EngineChoice;
use crate::engines::Engines;
use crate::release_file::{Loaded, trusted_keys};
use lapwing_shared::release::digest::Hex;
use lapwing_shared::release::manifest::{ArtifactForm, Manifest};
use lapwing_shared::units::Utc;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Checks the file and describes it.
///
/// # Errors
/// When the release fails a check.
pub(crate) fn inspect(path: &Path, key_files: &[PathBuf]) -> anyhow::Result<String> {
    let keys = trusted_keys(key_files)?;
    let file = Loaded::open(path)?;
    let mut report = String::new();
    let verified = file.verify(&Engines(EngineChoice::Int8), &keys)?;
    writeln!(report, "{}: {} bytes", path.display(), file.size_bytes())?;
    match keys.iter().count() {
        0 => writeln!(report, "signature: NOT CHECKED (name the public key file with --key)")?,
        _ => writeln!(report, "signature: good")?,
    }
    describe(&mut report, verified.manifest())?;
    for artifact in &verified.manifest().artifacts {
        let engine = match artifact.form {
            ArtifactForm::Onnx => EngineChoice::Tract,
            ArtifactForm::Int8 => EngineChoice::Int8,
        };
        write!(report, "{:?}: {} bytes, sha256 {}", artifact.form, artifact.size_bytes, Hex(&artifact.sha256))?;
        if engine == EngineChoice::Tract && !cfg!(feature = "tract") {
            writeln!(report, ", not run: this build has no tract engine")?;
            continue;
        }
        let engines = Engines(engine);
        let installed = file.install(file.verify(&engines, &keys)?, &engines)?;
        writeln!(report, ", {} golden vectors reproduced", installed.manifest.golden.len())?;
    }
    Ok(report)
}

fn describe(report: &mut String, manifest: &Manifest) -> std::fmt::Result {
    writeln!(report, "release {} of group {}", manifest.version, manifest.group)?;
    writeln!(report, "made {} UTC, expires {} UTC", Utc(manifest.created_s), Utc(manifest.expires_s))?;
    writeln!(report, "schema {}", Hex(&manifest.schema))?;
    let origin = &manifest.origin;
    writeln!(report, "trained on {} rows (sha256 {}), seed {}", origin.rows, Hex(&origin.data_sha256), origin.seed)?;
    writeln!(report, "by {}", origin.code)?;
    writeln!(
        report,
        "calibrated on {} rows; evidence drift {} nats",
        manifest.calibration.rows, manifest.evidence_drift_nats
    )?;
    for limit in &manifest.limits {
        writeln!(
            report,
            "  {:>6} false alerts per day: evidence limit {:.1} nats",
            limit.alerts_per_day, limit.evidence_nats
        )?;
    }
    if !manifest.kinds.is_empty() {
        let names: Vec<&str> = manifest.kinds.iter().map(|kind| kind.name.as_str()).collect();
        writeln!(report, "attack types: {}", names.join(", "))?;
    }
    Ok(())
}
