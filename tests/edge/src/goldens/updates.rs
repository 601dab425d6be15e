//! Two releases on a disk that was damaged in many ways, and manifests that were → what the agent then runs, and what
//! it says about it.

use super::{Drawn, Error, release_files};
use lapwing_agent::config::EngineChoice;
use lapwing_agent::engines::Engines;
use lapwing_agent::release_file::trusted_keys;
use lapwing_agent::update::disk::Folder;
use lapwing_agent::update::engine::EngineFactory;
use lapwing_agent::update::store::Store;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::release::accept::Terms;
use lapwing_shared::release::file::ReleaseFile;
use lapwing_shared::release::name::parse_name;
use std::fmt::Write;
use std::path::Path;

/// What stands on the disk after two confirmed releases.
const FILES: [&str; 5] = ["state", "slot-a/manifest", "slot-a/artifact", "slot-b/manifest", "slot-b/artifact"];
/// Every so many bytes one is changed in a manifest on its way: a number that is no divisor of anything in it.
const STRIDE: usize = 61;

/// What happens to a file. Places are shares of its length in eighths, as forms differ in length.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Missing,
    CutAt(usize),
    FlippedAt(usize),
}

const FAULTS: [Fault; 5] = [Fault::Missing, Fault::CutAt(0), Fault::CutAt(4), Fault::FlippedAt(1), Fault::FlippedAt(7)];

impl Fault {
    fn strike(self, path: &Path) -> std::io::Result<()> {
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

struct Party {
    engines: Engines,
    terms: Terms,
    releases: [Vec<u8>; 2],
}

/// Every fault and its consequence.
///
/// # Errors
/// When a whole release is not taken, or the folder cannot be written.
pub fn draw(engine: EngineChoice, folder: &Path) -> Result<Drawn, Error> {
    let [one, two, key] = release_files(folder)?;
    let engines = Engines(engine);
    let group = parse_name("default").ok_or("no group name")?;
    let terms = Terms { keys: trusted_keys(&[key])?, group, schema: schema_id(), form: engines.form() };
    let party = Party { engines, terms, releases: [std::fs::read(one)?, std::fs::read(two)?] };
    let mut told = String::new();
    party.whole(&folder.join("state"), &mut told)?;
    for file in FILES {
        for fault in FAULTS {
            let place = folder.join("damaged");
            party.whole(&place, &mut String::new())?;
            fault.strike(&place.join(file))?;
            write!(told, "{file} {fault:?}: ")?;
            party.boot(&place, &mut told)?;
        }
    }
    party.manifests(&folder.join("state"), &mut told)?;
    Ok(Drawn { stage: "update", subject: "faults".into(), text: told.into_bytes() })
}

impl Party {
    fn open(&self, place: &Path) -> Result<(Store<Folder>, String), Error> {
        let (store, damage) = Store::open(Folder::open(place)?, self.terms.clone());
        Ok((store, damage.map_or_else(String::new, |damage| format!("{damage}; "))))
    }

    /// Takes and confirms both releases, on an empty folder.
    fn whole(&self, place: &Path, told: &mut String) -> Result<(), Error> {
        // An absent folder is as empty.
        let _ = std::fs::remove_dir_all(place);
        let (mut store, _) = self.open(place)?;
        for release in &self.releases {
            let file = ReleaseFile::decode(release)?;
            let verified = store.check(file.signed, None)?;
            let artifact = file.artifact(verified.manifest(), verified.artifact()).ok_or("no artifact in this form")?;
            store.stage(&verified, file.signed, artifact)?;
            writeln!(told, "staged: {:?}", store.state())?;
            store.confirm()?;
            writeln!(told, "confirmed: {:?}", store.state())?;
        }
        Ok(())
    }

    /// Starts on what is there, twice: the second start must have forgotten nothing of the first.
    fn boot(&self, place: &Path, told: &mut String) -> Result<(), Error> {
        for _ in 0..2 {
            let (mut store, damage) = self.open(place)?;
            let booted = store.boot(&self.engines);
            let version = booted.release.as_ref().map_or(0, |release| release.manifest.version);
            let trial = booted.release.as_ref().is_some_and(|release| release.on_trial);
            write!(told, "{damage}runs {version}, on trial {trial}, rolled back {:?}", booted.rolled_back)?;
            for error in &booted.errors {
                write!(told, ", {error}")?;
            }
            writeln!(told, "; {:?}", store.state())?;
        }
        Ok(())
    }

    /// The newer release's manifest with one byte changed, offered to an agent that has the older one.
    fn manifests(&self, place: &Path, told: &mut String) -> Result<(), Error> {
        let (store, _) = self.open(place)?;
        let file = ReleaseFile::decode(&self.releases[1])?;
        writeln!(told, "again: {:?}", store.check(file.signed, None).err().map(|refusal| refusal.to_string()))?;
        for changed in (0..file.signed.len()).step_by(STRIDE) {
            let mut bytes = file.signed.to_vec();
            bytes[changed] ^= 1;
            let refusal = store.check(&bytes, None).err().ok_or("a changed manifest was taken")?;
            writeln!(told, "byte {changed}: {refusal}")?;
        }
        Ok(())
    }
}
