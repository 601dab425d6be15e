//! Captures, releases and configurations embedded in this program → one digest per stage, which must be the same on
//! every processor and with every engine.
//!
//! `records`, `features`, `scores` (score and surprise of every row with all digits) and `evidence` (alerts) are written
//! by `lapwing-agent replay`; `update` and `config` are the results of damaged releases and configurations. The program
//! embeds its input, so that it can be copied to a router as a single file.

pub mod configs;
pub mod replays;
pub mod updates;

use lapwing_agent::config::EngineChoice;
use lapwing_shared::release::digest::{Hex, sha256};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The expected digests: lines of stage, subject, SHA-256.
pub const GOLDENS: &str = include_str!("../../data/goldens.txt");

/// Why a stage failed, as text.
pub type Error = Box<dyn std::error::Error>;

/// The result of one stage for one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Drawn {
    pub stage: &'static str,
    /// The name of a capture, `faults` or `texts`.
    pub subject: String,
    /// The complete output, to find the first difference.
    pub text: Vec<u8>,
}

impl Drawn {
    /// Its line in [`GOLDENS`].
    pub fn line(&self) -> String {
        format!("{} {} {}", self.stage, self.subject, Hex(&sha256(&self.text)))
    }
}

/// The engines of this build.
pub fn engines() -> &'static [EngineChoice] {
    match EngineChoice::default() {
        EngineChoice::Tract => &[EngineChoice::Int8, EngineChoice::Tract],
        EngineChoice::Int8 => &[EngineChoice::Int8],
    }
}

/// Runs every stage with one engine.
///
/// # Errors
/// When a stage fails, or the temporary folder cannot be written.
pub fn draw(engine: EngineChoice) -> Result<Vec<Drawn>, Error> {
    let folder = Temporary::new(&format!("{engine:?}"))?;
    let mut drawn = replays::draw(engine, &folder.0)?;
    drawn.push(updates::draw(engine, &folder.0)?);
    drawn.push(configs::draw());
    Ok(drawn)
}

/// The different or missing goldens, each with the found and the expected line.
pub fn differences(drawn: &[Drawn]) -> Vec<String> {
    let mut expected = GOLDENS.lines();
    let mut found = drawn.iter().map(Drawn::line);
    let mut different = Vec::new();
    loop {
        match (found.next(), expected.next()) {
            (None, None) => return different,
            (found, expected) if found.as_deref() == expected => {}
            (found, expected) => {
                let text = |line: Option<&str>| line.unwrap_or("nothing").to_owned();
                different.push(format!("found {}\n  expected {}", text(found.as_deref()), text(expected)));
            }
        }
    }
}

/// A temporary folder, removed when dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> std::io::Result<Self> {
        // Several tests of one process may run at the same time.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("lapwing-goldens-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A leftover temporary folder is not worth failing for.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Writes the releases and their key to `folder`; returns the paths of release 1, release 2 and the key.
fn release_files(folder: &Path) -> std::io::Result<[PathBuf; 3]> {
    let files: [(&str, &[u8]); 3] = [
        ("release-1.lwr", include_bytes!("../../data/release-1.lwr")),
        ("release-2.lwr", include_bytes!("../../data/release-2.lwr")),
        ("release.key", include_bytes!("../../data/release.key")),
    ];
    let mut paths = [const { PathBuf::new() }; 3];
    for ((name, bytes), path) in files.into_iter().zip(&mut paths) {
        *path = folder.join(name);
        std::fs::write(&*path, bytes)?;
    }
    Ok(paths)
}
