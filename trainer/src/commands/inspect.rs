//! `inspect`: what a release file says, and whether its parts fit together.

use super::write_json;
use crate::cli::InspectArgs;
use crate::serve::publish::read;
use crate::tell::tell;
use anyhow::Context;
use lapwing_shared::release::digest::Hex;
use lapwing_shared::release::manifest::Manifest;
use lapwing_shared::release::signature::{SignedManifest, TrustedKeys};
use serde_json::{Value, json};

/// Reads the file, holds the artifacts against the manifest, checks the signature where a key is given, and tells it.
pub(crate) fn inspect(args: &InspectArgs) -> anyhow::Result<()> {
    let told = || args.release.display().to_string();
    let bytes = std::fs::read(&args.release).with_context(told)?;
    let (file, manifest) = read(&bytes).with_context(told)?;
    let signed = SignedManifest::decode(file.signed).with_context(told)?;
    for path in &args.key {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let keys = TrustedKeys::parse(&text).with_context(|| path.display().to_string())?;
        keys.verify(&signed).with_context(told)?;
    }
    let answer = describe(&manifest, &signed.key, !args.key.is_empty());
    match &args.json {
        Some(path) => write_json(path, &answer),
        None => {
            print(&answer, 0);
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

/// Prints an answer as indented lines.
fn print(value: &Value, depth: usize) {
    let Value::Object(fields) = value else { return };
    for (name, field) in fields {
        let indent = " ".repeat(2 * depth);
        match field {
            Value::Object(_) => {
                tell!("{indent}{name}:");
                print(field, depth + 1);
            }
            Value::Array(parts) if parts.iter().any(Value::is_object) => {
                tell!("{indent}{name}:");
                parts.iter().for_each(|part| tell!("{indent}  {part}"));
            }
            Value::String(text) => tell!("{indent}{name}: {text}"),
            other => tell!("{indent}{name}: {other}"),
        }
    }
}
