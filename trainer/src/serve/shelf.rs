//! The release files of one group in a folder, `{group}-{version}.lwr`, written so that a power cut leaves all or none.

use super::make::MakeError;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A folder of release files.
#[derive(Clone, Debug)]
pub struct Shelf {
    folder: PathBuf,
    group: String,
}

impl Shelf {
    /// Files of a group in a folder; the folder is made when the first file is.
    pub fn new(folder: &Path, group: &str) -> Self {
        Self { folder: folder.to_owned(), group: group.to_owned() }
    }

    /// Where a version's file lies.
    pub fn path(&self, version: u64) -> PathBuf {
        self.folder.join(format!("{}-{version}.lwr", self.group))
    }

    /// Versions that there are, rising. A folder that cannot be read has none.
    pub fn versions(&self) -> Vec<u64> {
        let version = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_prefix(&self.group)?.strip_prefix('-')?.strip_suffix(".lwr")?.parse().ok()
        };
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut versions: Vec<u64> = entries.filter_map(version).collect();
        versions.sort_unstable();
        versions
    }

    /// Reads a version's file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, version: u64) -> Result<Vec<u8>, MakeError> {
        let path = self.path(version);
        fs::read(&path).map_err(|source| MakeError::File { path, source })
    }

    /// Writes a version's file; when this returns it is on the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, version: u64, bytes: &[u8]) -> Result<PathBuf, MakeError> {
        let path = self.path(version);
        let spare = path.with_extension("new");
        let write = || {
            fs::create_dir_all(&self.folder)?;
            let mut file = File::create(&spare)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&spare, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(|source| MakeError::File { path: path.clone(), source })?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Folder;

    #[test]
    fn versions_are_those_of_the_group_in_rising_order() {
        let folder = Folder::new();
        let shelf = Shelf::new(&folder.path().join("releases"), "home");
        assert!(shelf.versions().is_empty());
        for version in [10, 9, 1] {
            shelf.write(version, &[version as u8]).unwrap();
        }
        Shelf::new(&folder.path().join("releases"), "home-2").write(77, b"x").unwrap();
        assert_eq!(shelf.versions(), [1, 9, 10]);
        assert_eq!(shelf.read(9).unwrap(), [9]);
        assert!(shelf.read(2).unwrap_err().to_string().contains("home-2.lwr"));
    }
}
