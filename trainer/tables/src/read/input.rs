//! A path → its files; a file → its decompressed bytes, with digest and progress.

use crate::error::TableError;
use crate::keys::hex;
use lapwing_capture::gzip::Members;
use sha2::{Digest, Sha256};
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Endings of files to read from folders, optionally followed by `.gz`.
const ENDINGS: [&str; 8] = ["csv", "txt", "tsv", "parquet", "log", "labeled", "json", "jsonl"];
/// Maximum number of files and folders below one folder.
const MAX_FILES: usize = 100_000;
const BUFFER: usize = 1 << 18;

/// Content type, by the first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Text,
    Parquet,
}

pub(super) struct Input {
    pub(super) content: Content,
    path: PathBuf,
    text: Box<dyn BufRead>,
    head: Vec<u8>,
    raw: Rc<Raw>,
}

/// The file on disk, still compressed.
struct Raw {
    read: Cell<u64>,
    hash: RefCell<Sha256>,
    file: RefCell<File>,
}

struct Tap(Rc<Raw>);

impl Read for Tap {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.file.borrow_mut().read(buffer)?;
        self.0.read.set(self.0.read.get() + count as u64);
        self.0.hash.borrow_mut().update(&buffer[..count]);
        Ok(count)
    }
}

/// Number of bytes read from the file on disk.
#[derive(Clone)]
pub(super) struct Counter(Rc<Raw>);

impl Counter {
    pub(super) fn get(&self) -> u64 {
        self.0.read.get()
    }
}

impl Input {
    pub(super) fn open(path: &Path) -> Result<Self, TableError> {
        let failed = |source| TableError::Read { path: path.into(), source };
        let file = File::open(path).map_err(failed)?;
        let raw = Rc::new(Raw { read: Cell::new(0), hash: RefCell::new(Sha256::new()), file: RefCell::new(file) });
        let mut packed = BufReader::with_capacity(BUFFER, Tap(raw.clone()));
        let start = packed.fill_buf().map_err(failed)?;
        if start.is_empty() {
            return Err(empty(path));
        }
        let content = if start.starts_with(b"PAR1") { Content::Parquet } else { Content::Text };
        let mut text: Box<dyn BufRead> = if start.starts_with(&[0x1f, 0x8b]) {
            Box::new(BufReader::with_capacity(BUFFER, Members::new(packed)))
        } else {
            Box::new(packed)
        };
        let head = text.fill_buf().map_err(failed)?;
        if head.is_empty() {
            return Err(empty(path));
        }
        let head = head[..head.len().min(1 << 16)].to_vec();
        if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
            return Err(TableError::Format {
                path: path.into(),
                found: "UTF-16 text".into(),
                expected: "UTF-8 or another superset of ASCII; convert the file with `iconv -f UTF-16 -t UTF-8`".into(),
            });
        }
        Ok(Self { content, path: path.into(), text, head, raw })
    }

    /// The first decompressed bytes, at most 64 KiB.
    pub(super) fn head(&self) -> &[u8] {
        self.head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.head)
    }

    pub(super) fn starts_with(&self, text: &[u8]) -> bool {
        self.head().trim_ascii_start().starts_with(text)
    }

    pub(super) fn counter(&self) -> Counter {
        Counter(self.raw.clone())
    }

    pub(super) fn text(&mut self) -> &mut dyn BufRead {
        &mut self.text
    }

    /// Reads the rest and returns the SHA-256 of the file on disk.
    pub(super) fn digest(mut self) -> Result<String, TableError> {
        let mut tap = Tap(self.raw.clone());
        io::copy(&mut tap, &mut io::sink()).map_err(|source| TableError::Read { path: self.path.clone(), source })?;
        self.text = Box::new(io::empty());
        let hash = self.raw.hash.borrow().clone();
        Ok(hex(&hash.finalize()))
    }
}

fn empty(path: &Path) -> TableError {
    TableError::Empty { path: path.into(), found: "an empty file".into(), expected: "rows".into() }
}

/// The file itself, or the files below a folder that have a known ending, sorted by path.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>, TableError> {
    let failed = |path: &Path, source| TableError::Read { path: path.into(), source };
    if !path.metadata().map_err(|source| failed(path, source))?.is_dir() {
        return Ok(vec![path.into()]);
    }
    let (mut open, mut found, mut seen) = (vec![path.to_owned()], Vec::new(), 0);
    while let Some(folder) = open.pop() {
        for entry in folder.read_dir().map_err(|source| failed(&folder, source))? {
            let entry = entry.map_err(|source| failed(&folder, source))?;
            let kind = entry.file_type().map_err(|source| failed(&entry.path(), source))?;
            // Links to folders are not followed, to avoid cycles.
            if kind.is_dir() {
                open.push(entry.path());
            } else if has_known_ending(&entry.path()) {
                found.push(entry.path());
            }
            seen += 1;
            if seen > MAX_FILES {
                return Err(TableError::Limit {
                    at: path.display().to_string(),
                    what: "files".into(),
                    limit: format!("{MAX_FILES}"),
                    advice: "choose a subfolder".into(),
                });
            }
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(TableError::Empty {
            path: path.into(),
            found: "a folder without tables".into(),
            expected: format!("files that end in {}, optionally with .gz", ENDINGS.join(", ")),
        });
    }
    Ok(found)
}

fn has_known_ending(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    !name.starts_with('.') && name.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending))
}
