//! Names of segments ↔ files in a folder.
//!
//! Only this file knows where the segments of a folder lie. A [`Place`] may also be object storage.

use crate::error::SegmentError;
use lapwing_common::private_file;
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Ending of a file that is being written.
const PARTIAL: &str = ".partial";
/// File whose lock a writer holds.
const LOCK: &str = "segments.lock";
/// File with the number of the store that a folder belongs to.
const OWNER: &str = "segments.store";
/// Index of an exported folder.
pub(crate) const INDEX: &str = "segments.json";

/// Stores files by name.
pub trait Place: Send + Sync {
    /// Prepares the place for the segments of a store, given by its number. `is_empty`: the store lists no segments.
    ///
    /// # Errors
    /// When the place belongs to another store or to no store although the store lists segments, or cannot be written.
    fn claim(&self, store_id: u64, is_empty: bool) -> Result<(), SegmentError>;

    /// Stores a file under a name; when this returns, the whole file is durable. An existing file is replaced.
    ///
    /// # Errors
    /// When the name is not valid or the file cannot be written. An earlier file of that name then stays as it was.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), SegmentError>;

    /// Opens a file for reading.
    ///
    /// # Errors
    /// When the name is not valid or the file cannot be opened.
    fn open(&self, name: &str) -> Result<File, SegmentError>;

    /// Removes a file; false without such a file.
    ///
    /// # Errors
    /// When the name is not valid or the file cannot be removed.
    fn remove(&self, name: &str) -> Result<bool, SegmentError>;

    /// Removes the segments with other names than `known`, and unfinished files; returns their number. Files that are not
    /// segments stay.
    ///
    /// # Errors
    /// When the place cannot be listed or a file cannot be removed.
    fn remove_unknown(&self, known: &BTreeSet<String>) -> Result<usize, SegmentError>;

    /// Copies a file into a folder, with mode 600; when this returns, the copy is durable, except for its entry in the folder.
    ///
    /// # Errors
    /// When the file cannot be read or the copy cannot be written.
    fn copy_to(&self, name: &str, folder: &Path) -> Result<(), SegmentError> {
        let (mut from, to) = (self.open(name)?, folder.join(name));
        let failed = |source| SegmentError::Write { file: to.display().to_string(), source };
        let mut copy = private_file::create_new(&to).map_err(failed)?;
        io::copy(&mut from, &mut copy).map_err(failed)?;
        copy.sync_all().map_err(failed)
    }
}

/// A folder whose files only the account of the process can read.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Creates the folder if it is missing.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub fn create(path: &Path) -> Result<Self, SegmentError> {
        let failed = |source| SegmentError::Write { file: path.display().to_string(), source };
        private_file::create_folder(path).map_err(failed)?;
        Ok(Self { path: path.to_path_buf() })
    }

    /// An existing folder.
    pub fn existing(path: &Path) -> Self {
        Self { path: path.to_path_buf() }
    }

    /// Excludes a second writer until the file is dropped; `None` if there is one.
    ///
    /// # Errors
    /// When the lock file cannot be created.
    pub fn lock(&self) -> Result<Option<File>, SegmentError> {
        let path = self.path.join(LOCK);
        let failed = |source| SegmentError::Write { file: path.display().to_string(), source };
        let file = private_file::open_or_create(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Writes a file under a temporary name, syncs and renames it, and syncs the folder.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), SegmentError> {
        let (path, partial) = (self.path.join(name), self.path.join(format!("{name}{PARTIAL}")));
        let write = || -> io::Result<()> {
            let mut file = private_file::create(&partial)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&partial, &path)?;
            // Without this, a power failure may undo the renaming.
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|source| {
            let _ = fs::remove_file(&partial);
            SegmentError::Write { file: path.display().to_string(), source }
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Place for Folder {
    fn claim(&self, store_id: u64, is_empty: bool) -> Result<(), SegmentError> {
        let path = self.path.join(OWNER);
        let wrong = |what: &str, expected: &str| SegmentError::Owner {
            place: self.path.display().to_string(),
            what: what.into(),
            expected: expected.into(),
        };
        match fs::read_to_string(&path) {
            Ok(text) if text.trim_end() == store_id.to_string() => Ok(()),
            Ok(_) => Err(wrong(
                "has the segments of another store",
                "move the folder away with its store, or set store.segments to another one",
            )),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(SegmentError::Read { file: path.display().to_string(), source: error })
            }
            Err(_) if self.path.join(INDEX).exists() => {
                Err(wrong("was written by `store export`", "set store.segments to a folder of its own"))
            }
            Err(_) if !is_empty => {
                Err(wrong("has no segments of this store", "mount it, or move the folder of the segments there"))
            }
            Err(_) => {
                let failed = |source| SegmentError::Write { file: self.path.display().to_string(), source };
                private_file::create_folder(&self.path).map_err(failed)?;
                self.write(OWNER, format!("{store_id}\n").as_bytes())
            }
        }
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), SegmentError> {
        check_name(name)?;
        self.write(name, bytes)
    }

    fn open(&self, name: &str) -> Result<File, SegmentError> {
        check_name(name)?;
        let path = self.path.join(name);
        File::open(&path).map_err(|source| SegmentError::Read { file: path.display().to_string(), source })
    }

    fn remove(&self, name: &str) -> Result<bool, SegmentError> {
        check_name(name)?;
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => removed.map(|()| true).map_err(|source| removal(&path, source)),
        }
    }

    fn remove_unknown(&self, known: &BTreeSet<String>) -> Result<usize, SegmentError> {
        let failed = |source| SegmentError::Read { file: self.path.display().to_string(), source };
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries.map_err(failed)?,
        };
        let mut removed = 0;
        for entry in entries {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if is_name(name.strip_suffix(PARTIAL).unwrap_or(&name)) && !known.contains(&name) {
                let path = self.path.join(&name);
                fs::remove_file(&path).map_err(|source| removal(&path, source))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Links the file if the folder is on the same disk: segments never change.
    fn copy_to(&self, name: &str, folder: &Path) -> Result<(), SegmentError> {
        check_name(name)?;
        let (from, to) = (self.path.join(name), folder.join(name));
        if fs::hard_link(&from, &to).is_ok() {
            return Ok(());
        }
        let failed = |source| SegmentError::Write { file: to.display().to_string(), source };
        let mut copy = private_file::create_new(&to).map_err(failed)?;
        io::copy(&mut self.open(name)?, &mut copy).map_err(failed)?;
        copy.sync_all().map_err(failed)
    }
}

fn removal(path: &Path, source: io::Error) -> SegmentError {
    SegmentError::Write { file: path.display().to_string(), source }
}

/// Name of a segment: its first time and its digest, so that the same rows have the same name.
pub(crate) fn name_of(first_s: u64, digest: &str) -> String {
    format!("segment-{first_s:010}-{}.parquet", digest.get(..16).unwrap_or(digest))
}

pub(crate) fn check_name(name: &str) -> Result<(), SegmentError> {
    if is_name(name) { Ok(()) } else { Err(SegmentError::Name { file: name.into() }) }
}

pub(crate) fn is_name(name: &str) -> bool {
    let parts = name.strip_prefix("segment-").and_then(|rest| rest.strip_suffix(".parquet"));
    parts.and_then(|parts| parts.split_once('-')).is_some_and(|(seconds, digest)| {
        (10..=20).contains(&seconds.len())
            && seconds.bytes().all(|byte| byte.is_ascii_digit())
            && digest.len() == 16
            && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestFolder;

    #[test]
    fn only_names_of_segments_are_written_and_read() {
        let test = TestFolder::new();
        let folder = Folder::create(test.path()).unwrap();
        let name = name_of(1_700_000_000, &"ab".repeat(32));
        folder.put(&name, b"x").unwrap();
        assert!(folder.open(&name).is_ok());
        for name in ["", "..", "../segment-1700000000-abababababababab.parquet", "/etc/passwd", "segment-1-ab.parquet"]
        {
            assert!(matches!(folder.put(name, b"x"), Err(SegmentError::Name { .. })), "{name}");
            assert!(matches!(folder.open(name), Err(SegmentError::Name { .. })), "{name}");
        }
        let missing = folder.open(&name_of(5, &"cd".repeat(32))).unwrap_err().to_string();
        assert!(missing.contains("segment-0000000005-") && missing.contains("No such file"), "{missing}");
    }

    #[test]
    fn a_restart_removes_unfinished_and_unknown_segments_only() {
        let test = TestFolder::new();
        let folder = Folder::create(test.path()).unwrap();
        let names = [1, 2].map(|first| name_of(first, &"ab".repeat(32)));
        let unfinished = format!("{}{PARTIAL}", names[0]);
        for name in [names[0].as_str(), &names[1], &unfinished, "notes.txt", "rows.parquet"] {
            fs::write(test.path().join(name), b"x").unwrap();
        }
        assert_eq!(folder.remove_unknown(&BTreeSet::from([names[1].clone()])).unwrap(), 2);
        let left = |name: &str| test.path().join(name).exists();
        assert!(left(&names[1]) && left("notes.txt") && left("rows.parquet"));
        assert!(!left(&names[0]) && !left(&unfinished));
    }

    #[test]
    fn a_segment_is_removed_once_and_copied_with_mode_600() {
        let test = TestFolder::new();
        let folder = Folder::create(&test.path().join("rows")).unwrap();
        let (name, backup) = (name_of(1, &"ab".repeat(32)), test.path().join("backup"));
        folder.put(&name, b"rows").unwrap();
        fs::create_dir(&backup).unwrap();
        folder.copy_to(&name, &backup).unwrap();
        assert!(folder.copy_to(&name, &backup).is_err(), "an existing copy is not replaced");
        assert!(folder.remove(&name).unwrap());
        assert!(!folder.remove(&name).unwrap());
        assert_eq!(fs::read(backup.join(&name)).unwrap(), b"rows");
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(backup.join(&name)).unwrap().permissions()) & 0o777,
            0o600
        );
        assert!(folder.remove("../x").is_err() && folder.copy_to("/etc/passwd", &backup).is_err());
        assert_eq!(Folder::existing(&test.path().join("missing")).remove_unknown(&BTreeSet::new()).unwrap(), 0);
    }

    #[test]
    fn a_folder_belongs_to_one_store() {
        let test = TestFolder::new();
        let folder = Folder::existing(&test.path().join("rows"));
        let missing = folder.claim(7, false).unwrap_err().to_string();
        assert!(missing.contains("has no segments of this store") && missing.contains("mount it"), "{missing}");
        folder.claim(7, true).unwrap();
        folder.claim(7, false).unwrap();
        let other = folder.claim(8, true).unwrap_err().to_string();
        assert!(other.contains("segments of another store"), "{other}");
        let exported = Folder::create(&test.path().join("exported")).unwrap();
        exported.write(INDEX, b"{}").unwrap();
        assert!(exported.claim(7, true).unwrap_err().to_string().contains("store export"));
    }

    #[test]
    fn a_folder_has_one_writer() {
        let test = TestFolder::new();
        let folder = Folder::create(test.path()).unwrap();
        let first = folder.lock().unwrap();
        assert!(first.is_some() && folder.lock().unwrap().is_none());
        drop(first);
        assert!(folder.lock().unwrap().is_some());
    }

    #[test]
    fn a_segment_that_cannot_be_written_leaves_no_partial_file() {
        let test = TestFolder::new();
        let folder = Folder::create(test.path()).unwrap();
        let name = name_of(1, &"ab".repeat(32));
        // A folder in the place of the file: the renaming fails.
        fs::create_dir(test.path().join(&name)).unwrap();
        let error = folder.put(&name, b"x").unwrap_err();
        assert!(matches!(error, SegmentError::Write { .. }), "{error}");
        assert_eq!(fs::read_dir(test.path()).unwrap().count(), 1);
    }
}
