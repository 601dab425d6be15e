//! Files and folders that the agent writes → created, and owned by the user that the agent becomes.
//!
//! This runs as root in folders that the agent's account may own already, so whoever controls that account chose what is
//! in them. Therefore only names that the agent uses are touched; no symbolic link is followed; a file with a second name
//! (a hard link) is left alone; and the owner is changed through the descriptor that was checked.

use crate::config::Config;
use anyhow::Context;
use lapwing_shared::release::name::is_name;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Uid, chownat, fstat, openat};
use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Files in a state folder: of the update store, the outbox, the numbers of run and starts, the identity, the settings for
/// updates, the key of pseudonyms and habits; each also with [`FRESH`].
const STATE_FILES: [&str; 12] = [
    "state",
    "run",
    crate::update::starts::FILE,
    SETTINGS,
    ASSIGNMENT,
    "outbox-0",
    "outbox-1",
    ROOT,
    crate::identity::FILES[0],
    crate::identity::FILES[1],
    crate::privacy::FILE,
    crate::habit_file::FILE,
];
/// Folders in a state folder.
const SLOTS: [&str; 2] = ["slot-a", "slot-b"];
/// Files in each of them.
const SLOT_FILES: [&str; 2] = ["manifest", "artifact"];
/// Ending of a file that replaces another one.
const FRESH: &str = ".new";
/// Start of the names in a version folder.
const HIGHEST: &str = crate::update::highest::PREFIX;
/// Name of the file of the newest root document.
const ROOT: &str = crate::update::root::FILE;
/// Name of the file of the settings for updates.
const SETTINGS: &str = crate::update::settings::FILE;
/// Starts of the names of the files of the newest rollout and the highest floor, in both folders.
const OF_GROUP: [&str; 2] = [crate::update::rollout::PREFIX, crate::update::highest::FLOOR];
/// Name of the file of the newest assignment.
const ASSIGNMENT: &str = crate::update::rollout::ASSIGNMENT;

/// User and group number of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// User.
    pub user: u32,
    /// Group.
    pub group: u32,
}

/// The account with this name in /etc/passwd.
///
/// # Errors
/// When the file cannot be read or has no such account.
pub(crate) fn account(name: &str) -> anyhow::Result<Account> {
    let passwd = std::fs::read_to_string("/etc/passwd")
        .map_err(|error| anyhow::anyhow!("resources.user = {name}: cannot read /etc/passwd: {error}"))?;
    find_account(&passwd, name).with_context(|| {
        format!("resources.user = {name}: no such user in /etc/passwd; create it, or remove resources.user")
    })
}

fn find_account(passwd: &str, name: &str) -> Option<Account> {
    let mut fields = passwd
        .lines()
        .map(|line| line.split(':'))
        .find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
    Some(Account { user: fields.nth(1)?.parse().ok()?, group: fields.next()?.parse().ok()? })
}

/// Creates the state and version folders, if they are missing: afterwards the agent may lack the rights.
///
/// # Errors
/// Names the folder, and why it cannot be created.
pub(crate) fn make_folders(config: &Config) -> anyhow::Result<()> {
    let folders = [("state-dir", &config.update.state_dir), ("version-dir", &config.update.version_dir)];
    for (key, folder) in folders.into_iter().filter_map(|(key, folder)| Some((key, folder.as_ref()?))) {
        // Parents have the usual mode; the folder itself is for the agent alone.
        make_folder(folder).map_err(|error| {
            anyhow::anyhow!(
                "update.{key}: cannot create the folder {error}; create it for the agent's user, or name another"
            )
        })?;
    }
    Ok(())
}

/// The error names the path that is in the way.
fn make_folder(folder: &Path) -> Result<(), String> {
    let named = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(parent) = folder.parent() {
        std::fs::create_dir_all(parent).map_err(|error| named(parent, error))?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if !folder.is_dir() => Err(named(folder, error)),
        _ => Ok(()),
    }
}

/// Gives the state and version folders with the agent's files in them, and the status socket, to the account. What cannot
/// be given is logged; a later write reports an error there.
pub(crate) fn give_files(config: &Config, account: Account) {
    let update = &config.update;
    for (folder, names) in [
        (&update.state_dir, is_state_name as fn(&str) -> bool),
        (&update.version_dir, |name: &str| is_version_name(name)),
    ] {
        if let Some(folder) = folder
            && let Err(error) = give_folder(folder, names, account)
        {
            tracing::warn!(folder = %folder.display(), %error, "cannot give the folder to the agent's user");
        }
    }
    // Only the socket itself: its folder stays root's, who replaces the socket at the next start.
    let socket = &config.status.socket;
    if let (Some(parent), Some(name)) = (socket.parent(), socket.file_name())
        && let Ok(folder) = open_folder(parent)
        && let Err(error) = give(&folder, name, FileType::Socket, account)
    {
        tracing::warn!(socket = %socket.display(), %error, "cannot give the status socket to the agent's user");
    }
}

fn without_fresh(name: &str) -> &str {
    name.strip_suffix(FRESH).unwrap_or(name)
}

fn is_state_name(name: &str) -> bool {
    let whole = without_fresh(name);
    SLOTS.contains(&name) || STATE_FILES.contains(&whole) || OF_GROUP.iter().any(|prefix| is_of_group(whole, prefix))
}

fn is_version_name(name: &str) -> bool {
    let name = without_fresh(name);
    crate::identity::FILES.contains(&name)
        || [ROOT, SETTINGS, ASSIGNMENT, crate::privacy::FILE, crate::habit_file::FILE].contains(&name)
        || [HIGHEST].iter().chain(&OF_GROUP).any(|prefix| is_of_group(name, prefix))
}

fn is_of_group(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(is_name)
}

fn open_folder(path: &Path) -> rustix::io::Result<OwnedFd> {
    // The path comes from the configuration, and its folders are root's; only what is inside may be the agent's.
    openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn give_folder(path: &Path, is_ours: fn(&str) -> bool, account: Account) -> anyhow::Result<()> {
    let folder = open_folder(path)?;
    let mut foreign = None;
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name();
        match name.to_str().filter(|name| is_ours(name)) {
            Some(slot) if SLOTS.contains(&slot) => give_slot(&folder, slot, account),
            Some(file) => report(file, give(&folder, OsStr::new(file), FileType::RegularFile, account)),
            None => foreign = Some(name),
        }
    }
    let owner = fstat(&folder)?.st_uid;
    if let Some(name) = foreign.filter(|_| owner != account.user) {
        anyhow::bail!(
            "it is not the agent's own, it also holds {}; name a folder that only the agent uses",
            name.display()
        );
    }
    change_owner(&folder, account)?;
    Ok(())
}

fn give_slot(folder: &OwnedFd, slot: &str, account: Account) {
    match give(folder, OsStr::new(slot), FileType::Directory, account) {
        Ok(Some(inner)) => {
            for file in SLOT_FILES.iter().flat_map(|name| [(*name).to_owned(), format!("{name}{FRESH}")]) {
                report(&file, give(&inner, OsStr::new(&file), FileType::RegularFile, account));
            }
        }
        outcome => report(slot, outcome),
    }
}

fn report(name: &str, given: anyhow::Result<Option<OwnedFd>>) {
    if let Err(error) = given {
        tracing::warn!(name, %error, "left as it is in the state folder");
    }
}

/// Gives one entry of a folder to the account; `None` if it does not exist.
fn give(folder: &OwnedFd, name: &OsStr, kind: FileType, account: Account) -> anyhow::Result<Option<OwnedFd>> {
    // A path descriptor of the entry itself: a symbolic link is not followed, a pipe or device is not opened.
    let entry = match openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
        Ok(entry) => entry,
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let found: Stat = fstat(&entry)?;
    let found_kind = FileType::from_raw_mode(found.st_mode);
    anyhow::ensure!(found_kind == kind, "expected {kind:?}, found {found_kind:?}");
    anyhow::ensure!(kind != FileType::RegularFile || found.st_nlink == 1, "the file has another name (hard link)");
    change_owner(&entry, account)?;
    Ok(Some(entry))
}

fn change_owner(entry: &impl AsFd, account: Account) -> rustix::io::Result<()> {
    let (user, group) = (Uid::from_raw(account.user), Gid::from_raw(account.group));
    chownat(entry, "", Some(user), Some(group), AtFlags::EMPTY_PATH)
}

#[cfg(test)]
#[path = "own_tests.rs"]
mod tests;
