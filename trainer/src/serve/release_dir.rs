//! Release files of one group → `{group}-{version}.lwr` in a folder, written atomically and readable by their owner only.
//! A release that waits for approval is `{group}-{version}.held`; beside it, `{group}-{version}.signed` is the same with the
//! signature of another machine.

use lapwing_common::private_file;
use lapwing_pipeline::order::MakeError;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Where the signed form of a held-back release is, if another machine signs it.
pub(crate) fn signed_file(held: &Path) -> PathBuf {
    held.with_extension("signed")
}

/// A folder of release files.
#[derive(Clone, Debug)]
pub(crate) struct ReleaseDir {
    folder: PathBuf,
    group: String,
}

impl ReleaseDir {
    /// Files of a group in a folder, which the first [`Self::write`] creates.
    pub(crate) fn new(folder: &Path, group: &str) -> Self {
        Self { folder: folder.to_owned(), group: group.to_owned() }
    }

    /// The group.
    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    /// True for the names of the group's files: group, version and an ending.
    pub(crate) fn owns(&self, name: &str) -> bool {
        let rest = name.strip_prefix(&self.group).and_then(|rest| rest.strip_prefix('-'));
        let version = rest.and_then(|rest| rest.split_once('.')).map(|(version, _)| version);
        version.is_some_and(|version| !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()))
    }

    /// Path of a version's file.
    pub(crate) fn path(&self, version: u64) -> PathBuf {
        self.folder.join(format!("{}-{version}.lwr", self.group))
    }

    /// Existing versions, ascending; empty if the folder cannot be read.
    pub(crate) fn versions(&self) -> Vec<u64> {
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
    pub(crate) fn read(&self, version: u64) -> Result<Vec<u8>, MakeError> {
        let path = self.path(version);
        fs::read(&path).map_err(|source| MakeError::File { path, source })
    }

    /// Writes a version's file and syncs it to disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, version: u64, bytes: &[u8]) -> Result<PathBuf, MakeError> {
        self.write_to(self.path(version), bytes)
    }

    /// Writes the unsigned file of a version that waits for approval.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write_held(&self, version: u64, bytes: &[u8]) -> Result<PathBuf, MakeError> {
        self.write_to(self.path(version).with_extension("held"), bytes)
    }

    /// Takes other accounts' access to the group's files away; earlier versions of the trainer left it open.
    ///
    /// # Errors
    /// When a mode cannot be changed.
    pub(crate) fn make_private(&self) -> Result<(), MakeError> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for path in entries.filter(|entry| self.owns(&entry.file_name().to_string_lossy())) {
            let path = path.path();
            private_file::restrict(&path).map_err(|source| MakeError::File { path, source })?;
        }
        Ok(())
    }

    fn write_to(&self, path: PathBuf, bytes: &[u8]) -> Result<PathBuf, MakeError> {
        let temporary = path.with_extension("new");
        let write = || {
            private_file::create_folder(&self.folder)?;
            let mut file = private_file::create(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(|source| MakeError::File { path: path.clone(), source })?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_store::testing::Folder;

    #[test]
    #[cfg(unix)]
    fn release_files_are_private_and_old_ones_become_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new();
        let releases = ReleaseDir::new(&folder.path().join("releases"), "home");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let written = [releases.write(1, b"x").unwrap(), releases.write_held(2, b"x").unwrap()];
        assert_eq!(written.each_ref().map(|path| mode(path)), [0o600; 2]);
        assert_eq!(mode(&folder.path().join("releases")), 0o700);
        assert_eq!(releases.versions(), [1], "a release that waits is not a version");
        fs::set_permissions(&written[0], fs::Permissions::from_mode(0o644)).unwrap();
        releases.make_private().unwrap();
        assert_eq!(mode(&written[0]), 0o600);
    }

    #[test]
    fn versions_are_those_of_the_group_in_ascending_order() {
        let folder = Folder::new();
        let releases = ReleaseDir::new(&folder.path().join("releases"), "home");
        assert!(releases.versions().is_empty());
        for version in [10, 9, 1] {
            releases.write(version, &[version as u8]).unwrap();
        }
        ReleaseDir::new(&folder.path().join("releases"), "home-2").write(77, b"x").unwrap();
        assert_eq!(releases.versions(), [1, 9, 10]);
        assert_eq!(releases.read(9).unwrap(), [9]);
        assert!(["home-1.lwr", "home-12.card.html"].iter().all(|name| releases.owns(name)));
        assert!(["home-2-77.lwr", "home-.lwr", "homes-1.lwr", "home-1"].iter().all(|name| !releases.owns(name)));
        assert!(releases.read(2).unwrap_err().to_string().contains("home-2.lwr"));
    }
}
