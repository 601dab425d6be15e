//! Captures, releases and configurations that come with this program → one digest a stage, to be the same on every
//! processor and with every engine.
//!
//! `records`, `features`, `scores` (score and surprise of every row, every digit) and `evidence` (alerts) are what
//! `lapwing-agent replay` writes; `update` and `config` are what damaged releases and configurations lead to. All
//! input is part of the program, so that the program alone can be copied to a router.

pub mod configs;
pub mod replays;
pub mod updates;

use lapwing_agent::config::EngineChoice;
use lapwing_shared::release::digest::{Hex, sha256};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// What the stages gave when the goldens were drawn: lines of stage, subject, SHA-256.
pub const GOLDENS: &str = include_str!("../../data/goldens.txt");

/// Why goldens cannot be drawn; a text for people.
pub type Error = Box<dyn std::error::Error>;

/// What one stage made of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// The stage.
    pub stage: &'static str,
    /// What it was about: a capture's name, `faults`.
    pub subject: String,
    /// All that came out, for a person who looks for the first difference.
    pub text: Vec<u8>,
}

impl Drawn {
    /// The line of this in [`GOLDENS`].
    pub fn line(&self) -> String {
        format!("{} {} {}", self.stage, self.subject, Hex(&sha256(&self.text)))
    }
}

/// The engines that this build has.
pub fn engines() -> &'static [EngineChoice] {
    match EngineChoice::default() {
        EngineChoice::Tract => &[EngineChoice::Int8, EngineChoice::Tract],
        EngineChoice::Int8 => &[EngineChoice::Int8],
    }
}

/// Runs every stage with this engine.
///
/// # Errors
/// When a stage cannot run at all, or the temporary folder cannot be written.
pub fn draw(engine: EngineChoice) -> Result<Vec<Drawn>, Error> {
    let folder = Temporary::new(&format!("{engine:?}"))?;
    let mut drawn = replays::draw(engine, &folder.0)?;
    drawn.push(updates::draw(engine, &folder.0)?);
    drawn.push(configs::draw());
    Ok(drawn)
}

/// The goldens that are different or missing, with the lines found and expected.
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

/// A folder that goes away with this value.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> std::io::Result<Self> {
        // Tests of one process draw at the same time.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("lapwing-goldens-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A folder left over in /tmp is not worth failing for.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The releases and their key as files in `folder`: release 1, release 2, key.
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
