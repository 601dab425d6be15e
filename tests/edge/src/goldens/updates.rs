//! Damaged release files on disk, and damaged manifests in transit → the release that the agent then runs, and its
//! messages.

use super::{Drawn, Error, release_files};
use lapwing_agent::config::EngineChoice;
use lapwing_agent::disk::Folder;
use lapwing_agent::engines::Engines;
use lapwing_agent::release_file::trusted_keys;
use lapwing_agent::update::engine::EngineFactory;
use lapwing_agent::update::store::Store;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::release::accept::Terms;
use lapwing_shared::release::file::ReleaseFile;
use lapwing_shared::release::name::parse_name;
use std::fmt::Write;
use std::path::Path;

/// Files on disk after two confirmed releases.
const FILES: [&str; 5] = ["state", "slot-a/manifest", "slot-a/artifact", "slot-b/manifest", "slot-b/artifact"];
/// Distance between changed bytes of a manifest; not a divisor of any length in it.
const STRIDE: usize = 61;

/// Damage to a file. Positions are eighths of its length, which differs between artifact forms.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Missing,
    CutAt(usize),
    FlippedAt(usize),
}

const FAULTS: [Fault; 5] = [Fault::Missing, Fault::CutAt(0), Fault::CutAt(4), Fault::FlippedAt(1), Fault::FlippedAt(7)];

impl Fault {
    fn apply(self, path: &Path) -> std::io::Result<()> {
        let mut bytes = std::fs::read(path)?;
        let length = bytes.len();
        match self {
            Self::Missing => return std::fs::remove_file(path),
            Self::CutAt(eighths) => bytes.truncate(length * eighths / 8),
            Self::FlippedAt(eighths) => bytes[length * eighths / 8] ^= 0x10,
        }
        std::fs::write(path, bytes)
    }
}

struct Agent {
    engines: Engines,
    terms: Terms,
    releases: [Vec<u8>; 2],
}

/// Applies every fault and records its effect.
///
/// # Errors
/// When an undamaged release is rejected, or the folder cannot be written.
pub fn draw(engine: EngineChoice, folder: &Path) -> Result<Drawn, Error> {
    let [one, two, key] = release_files(folder)?;
    let engines = Engines(engine);
    let group = parse_name("default").ok_or("no group name")?;
    let terms = Terms { keys: trusted_keys(&[key])?, root: None, group, schema: schema_id(), form: engines.form() };
    let agent = Agent { engines, terms, releases: [std::fs::read(one)?, std::fs::read(two)?] };
    let mut output = String::new();
    agent.install(&folder.join("state"), &mut output)?;
    for file in FILES {
        for fault in FAULTS {
            let place = folder.join("damaged");
            agent.install(&place, &mut String::new())?;
            fault.apply(&place.join(file))?;
            write!(output, "{file} {fault:?}: ")?;
            agent.boot(&place, &mut output)?;
        }
    }
    agent.manifests(&folder.join("state"), &mut output)?;
    Ok(Drawn { stage: "update", subject: "faults".into(), text: output.into_bytes() })
}

impl Agent {
    fn open(&self, place: &Path) -> Result<(Store<Folder>, String), Error> {
        let (store, damage) = Store::open(Folder::open(place)?, self.terms.clone());
        Ok((store, damage.map_or_else(String::new, |damage| format!("{damage}; "))))
    }

    /// Installs and confirms both releases in an empty folder.
    fn install(&self, place: &Path, output: &mut String) -> Result<(), Error> {
        // The folder may not exist.
        let _ = std::fs::remove_dir_all(place);
        let (mut store, _) = self.open(place)?;
        for release in &self.releases {
            let file = ReleaseFile::decode(release)?;
            let verified = store.check(file.signed, None)?;
            let artifact = file.artifact(verified.manifest(), verified.artifact()).ok_or("no artifact in this form")?;
            store.stage(&verified, file.signed, artifact)?;
            writeln!(output, "staged: {:?}", store.state())?;
            store.confirm()?;
            writeln!(output, "confirmed: {:?}", store.state())?;
        }
        Ok(())
    }

    /// Starts twice: the second start must remember what the first one decided.
    fn boot(&self, place: &Path, output: &mut String) -> Result<(), Error> {
        for _ in 0..2 {
            let (mut store, damage) = self.open(place)?;
            let booted = store.boot(&self.engines);
            let version = booted.release.as_ref().map_or(0, |release| release.manifest.version);
            let trial = booted.release.as_ref().is_some_and(|release| release.on_trial);
            let rolled_back = booted.rolled_back.map(|failed| (failed.version, failed.reason));
            write!(output, "{damage}runs {version}, on trial {trial}, rolled back {rolled_back:?}")?;
            for error in &booted.errors {
                write!(output, ", {error}")?;
            }
            writeln!(output, "; {:?}", store.state())?;
        }
        Ok(())
    }

    /// Checks manifests of the newer release with one changed byte.
    fn manifests(&self, place: &Path, output: &mut String) -> Result<(), Error> {
        let (store, _) = self.open(place)?;
        let file = ReleaseFile::decode(&self.releases[1])?;
        writeln!(output, "again: {:?}", store.check(file.signed, None).err().map(|refusal| refusal.to_string()))?;
        for changed in (0..file.signed.len()).step_by(STRIDE) {
            let mut bytes = file.signed.to_vec();
            bytes[changed] ^= 1;
            let refusal = store.check(&bytes, None).err().ok_or("a changed manifest was accepted")?;
            writeln!(output, "byte {changed}: {refusal}")?;
        }
        Ok(())
    }
}
