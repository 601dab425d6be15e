//! A release file → its manifest as text or JSON, checked against its artifacts: `inspect`.

use anyhow::Context;
use clap::Args;
use lapwing_common::output::write_json;
use lapwing_common::print_line;
use lapwing_pipeline::release::read;
use lapwing_shared::release::digest::Hex;
use lapwing_shared::release::manifest::Manifest;
use lapwing_shared::release::signature::{SignedManifest, TrustedKeys};
use serde_json::{Value, json};
use std::path::PathBuf;

/// `inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Release file.
    pub(crate) release: PathBuf,
    /// Public key that must have signed the release; repeatable; all keys must match.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Vec<PathBuf>,
    /// Write the contents to this file as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Reads the file, checks the artifacts against the manifest, verifies the signature if a key is given, and prints the
/// manifest.
pub(crate) fn inspect(args: &InspectArgs) -> anyhow::Result<()> {
    let path_text = || args.release.display().to_string();
    let bytes = std::fs::read(&args.release).with_context(path_text)?;
    let (file, manifest) = read(&bytes).with_context(path_text)?;
    let signed = SignedManifest::decode(file.signed).with_context(path_text)?;
    for path in &args.key {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let keys = TrustedKeys::parse(&text).with_context(|| path.display().to_string())?;
        keys.verify(&signed).with_context(path_text)?;
    }
    let contents = describe(&manifest, &signed.key, !args.key.is_empty());
    match &args.json {
        Some(path) => write_json(path, &contents),
        None => {
            print(&contents, 0);
            Ok(())
        }
    }
}

fn describe(manifest: &Manifest, key: &str, checked: bool) -> Value {
    let artifact = |artifact: &lapwing_shared::release::manifest::Artifact| {
        let sha256 = Hex(&artifact.sha256).to_string();
        json!({ "form": format!("{:?}", artifact.form).to_lowercase(), "size-bytes": artifact.size_bytes, "sha256": sha256 })
    };
    let limit = |limit: &lapwing_shared::release::manifest::LimitKnot| json!({ "alerts-per-day": limit.alerts_per_day, "evidence-nats": limit.evidence_nats });
    json!({
        "group": manifest.group.as_str(),
        "version": manifest.version,
        "signed-by": key,
        "signature": if checked { "good" } else { "NOT CHECKED (give the public key with --key)" },
        "created-s": manifest.created_s,
        "expires-s": manifest.expires_s,
        "floor": manifest.floor,
        "schema": Hex(&manifest.schema).to_string(),
        "artifacts": manifest.artifacts.iter().map(artifact).collect::<Vec<_>>(),
        "latent-width": manifest.latent_width,
        "calibration-rows": manifest.calibration.rows,
        "evidence-drift-nats": manifest.evidence_drift_nats,
        "limits": manifest.limits.iter().map(limit).collect::<Vec<_>>(),
        "kinds": manifest.kinds.iter().map(|kind| kind.name.as_str()).collect::<Vec<_>>(),
        "golden-vectors": manifest.golden.len(),
        "trained-on": {
            "rows": manifest.origin.rows,
            "data-sha256": Hex(&manifest.origin.data_sha256).to_string(),
            "seed": manifest.origin.seed,
            "code": manifest.origin.code.as_str(),
        },
    })
}

/// Prints an object as indented lines.
fn print(value: &Value, depth: usize) {
    let Value::Object(fields) = value else { return };
    for (name, field) in fields {
        let indent = " ".repeat(2 * depth);
        match field {
            Value::Object(_) => {
                print_line!("{indent}{name}:");
                print(field, depth + 1);
            }
            Value::Array(parts) if parts.iter().any(Value::is_object) => {
                print_line!("{indent}{name}:");
                parts.iter().for_each(|part| print_line!("{indent}  {part}"));
            }
            Value::String(text) => print_line!("{indent}{name}: {text}"),
            other => print_line!("{indent}{name}: {other}"),
        }
    }
}
