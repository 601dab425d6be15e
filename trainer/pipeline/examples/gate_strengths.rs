//! Release files, signed or held back → how strongly each detects the gate's own attacks, as CSV.
//!
//! ```text
//! cargo run -p lapwing-pipeline --example gate_strengths -- RELEASE…
//! ```
//!
//! Values are multiples of the release's evidence limit at one false alert per day: from 1 on, the attack is detected.

use anyhow::Context;
use lapwing_pipeline::gate::{Detector, Strength, sealed};
use lapwing_shared::release::file::ReleaseFile;
use lapwing_shared::release::manifest::{ArtifactForm, Manifest};
use lapwing_shared::release::signature::SignedManifest;
use std::io::Write;

fn strengths(path: &str) -> anyhow::Result<Vec<Strength>> {
    let bytes = std::fs::read(path)?;
    let file = ReleaseFile::decode(&bytes)?;
    let manifest = match Manifest::decode(file.signed) {
        Ok(held) => held,
        Err(_) => Manifest::decode(SignedManifest::decode(file.signed)?.manifest)?,
    };
    let form = manifest.artifacts.iter().find(|artifact| artifact.form == ArtifactForm::Int8);
    let int8 = form.and_then(|artifact| file.artifact(&manifest, artifact)).context("no int8 artifact")?;
    Ok(Detector::new(&manifest, int8).strengths(&sealed::attacks())?)
}

fn main() -> anyhow::Result<()> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let columns: Vec<Vec<Strength>> =
        paths.iter().map(|path| strengths(path).with_context(|| path.clone())).collect::<anyhow::Result<_>>()?;
    let mut out = std::io::stdout();
    writeln!(out, "attack,{}", paths.join(","))?;
    for (index, attack) in sealed::attacks().iter().enumerate() {
        let values: Vec<String> = columns.iter().map(|column| column[index].to_string()).collect();
        writeln!(out, "{},{}", attack.name, values.join(","))?;
    }
    Ok(())
}
