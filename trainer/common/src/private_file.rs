//! Paths → files and folders that only the account of the process can read, whatever its umask.
//!
//! The store contains addresses and habits of a site's hosts, and a release shows what is normal there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

/// Permission bits of other accounts than the owner's.
#[cfg(unix)]
const OTHERS: u32 = 0o077;

/// Creates a file with mode 600, or opens and empties an existing one and takes other accounts' access away.
///
/// # Errors
/// When the file cannot be created, or its mode cannot be changed.
pub fn create(path: &Path) -> io::Result<File> {
    let file = private(OpenOptions::new().write(true).create(true).truncate(true)).open(path)?;
    restrict(path)?;
    Ok(file)
}

/// Creates a file with mode 600; fails if it exists.
///
/// # Errors
/// When the file exists or cannot be created.
pub fn create_new(path: &Path) -> io::Result<File> {
    private(OpenOptions::new().read(true).write(true).create_new(true)).open(path)
}

/// Opens a file for writing, creates it with mode 600 if it is missing, and takes other accounts' access away.
///
/// # Errors
/// When the file cannot be opened, or its mode cannot be changed.
pub fn open_or_create(path: &Path) -> io::Result<File> {
    let file = private(OpenOptions::new().read(true).write(true).create(true).truncate(false)).open(path)?;
    restrict(path)?;
    Ok(file)
}

/// Creates a folder and its parents with mode 700. Existing folders keep their mode: other programs may share them.
///
/// # Errors
/// When a folder cannot be created.
pub fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

/// Takes other accounts' access to a file away; a missing file is ignored. Returns true if the mode changed.
///
/// # Errors
/// When the mode cannot be read or changed, e.g. because another account owns the file.
pub fn restrict(path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mut permissions = match fs::metadata(path) {
            Ok(metadata) => metadata.permissions(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if permissions.mode() & OTHERS == 0 {
            return Ok(false);
        }
        permissions.set_mode(permissions.mode() & !OTHERS);
        fs::set_permissions(path, permissions)?;
        Ok(true)
    }
    #[cfg(not(unix))]
    {
        let _ = (path, fs::metadata::<&Path>);
        Ok(false)
    }
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}
