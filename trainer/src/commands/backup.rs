//! Store, releases and key of a trainer ↔ a folder: `backup` and `restore`.
//!
//! A backup has `store.sqlite`, the segments that it names in `segments/`, the release files of all groups in `releases/`,
//! and, if asked for, `release.key`, or a key for each of several groups, `GROUP.key`, and the key of agents' identities in
//! `authority/`. Files of segments stay for an hour
//! after they left the list, so those that the copy names can be copied after it. It is
//! written to `FOLDER.partial` and renamed at the end, so that an interrupted backup never looks like a complete one.

use super::store_args::StoreArgs;
use super::store_state::RESTORED_PEOPLE;
use crate::config::Config;
use crate::serve::ReleaseDir;
use anyhow::{Context, bail, ensure};
use clap::Args;
use lapwing_authority::AUTHORITY_FILES;
use lapwing_common::{print_line, private_file};
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_pipeline::release::read;
use lapwing_segments::{Folder, Place, verify};
use lapwing_store::{StoreHandle, StoredSegment, open_place, segments_folder};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub(super) const STORE: &str = "store.sqlite";
pub(super) const SEGMENTS: &str = "segments";
const RELEASES: &str = "releases";
const KEY: &str = "release.key";
const AUTHORITY: &str = "authority";

/// `backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// New folder for the backup.
    folder: PathBuf,
    /// Configuration, or store.
    #[command(flatten)]
    paths: PathArgs,
    /// Include the secret keys that sign releases and agents' certificates. Without them, keep a copy elsewhere: agents
    /// accept no other keys.
    #[arg(long)]
    with_key: bool,
}

/// `restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// Folder of the backup.
    folder: PathBuf,
    /// Configuration, or store.
    #[command(flatten)]
    paths: PathArgs,
}

/// Paths of a trainer.
#[derive(Debug, Args)]
struct PathArgs {
    /// Store.
    #[command(flatten)]
    store: StoreArgs,
    /// Folder of release files; overrides the configuration [default: releases].
    #[arg(long, value_name = "FOLDER")]
    releases: Option<PathBuf>,
    /// Secret key that signs releases; overrides the configuration [default: none].
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl PathArgs {
    fn configuration(&self) -> anyhow::Result<Config> {
        let mut config = self.store.configuration()?;
        config.retrain.releases = self.releases.clone().unwrap_or(config.retrain.releases);
        config.retrain.key = self.key.clone().or(config.retrain.key);
        Ok(config)
    }
}

/// `backup`.
pub(crate) fn run_backup(args: &BackupArgs) -> anyhow::Result<()> {
    let (config, folder) = (args.paths.configuration()?, &args.folder);
    config.store.path.file().context("a PostgreSQL store is backed up with pg_dump")?;
    ensure!(!folder.exists(), "{} exists; a backup needs a new folder", folder.display());
    let partial = with_ending(folder, ".partial");
    if partial.exists() {
        // Of a backup that was interrupted.
        fs::remove_dir_all(&partial).with_context(|| format!("cannot remove {}", partial.display()))?;
    }
    private_file::create_folder(&partial).with_context(|| format!("cannot create {}", partial.display()))?;
    let handle = StoreHandle::open(&config.store.path)?;
    // First the releases: a release that is made meanwhile is then in the store without a file, not the reverse.
    let mut releases = 0;
    for group in config.groups() {
        releases += copy_releases(&group.releases, &partial.join(RELEASES), &group.group)?;
    }
    handle.backup_into(&partial.join(STORE))?;
    // So that other commands find the segments of the backup, not those of the store in use.
    StoreHandle::open(partial.join(STORE))?.set_segments_place(Some(SEGMENTS))?;
    let segments = copy_segments(&handle, &partial)?;
    if args.with_key {
        let keys: Vec<_> = keys(&config).into_iter().filter_map(|(key, name)| Some((key?, name))).collect();
        let has_authority = config.enrolment.authority.exists();
        ensure!(!keys.is_empty() || has_authority, "no key is configured; leave --with-key out, or set --key");
        for (key, name) in keys {
            ReleaseKey::load(&key)?;
            copy(&key, &partial.join(name))?;
        }
        copy_authority(&config.enrolment.authority, &partial.join(AUTHORITY))?;
    }
    sync_folder(&partial)?;
    fs::rename(&partial, folder)
        .with_context(|| format!("cannot rename {} to {}", partial.display(), folder.display()))?;
    let key = if args.with_key { " and the keys" } else { "; keys are not included" };
    print_line!("{}: store, {segments} segments, {releases} files of releases{key}", folder.display());
    Ok(())
}

/// Copies or links the segments that the copy of the store names; returns their number.
fn copy_segments(handle: &StoreHandle, partial: &Path) -> anyhow::Result<usize> {
    let (segments, to) = (StoreHandle::open_reading(partial.join(STORE))?.segments(None)?, partial.join(SEGMENTS));
    if segments.is_empty() {
        return Ok(0);
    }
    private_file::create_folder(&to).with_context(|| format!("cannot create {}", to.display()))?;
    let place = handle.place()?;
    for StoredSegment { segment, .. } in &segments {
        place.copy_to(&segment.file, &to)?;
    }
    sync_folder(&to)?;
    Ok(segments.len())
}

/// Copies the segments of a backup to the place of the restored store; returns their number.
fn restore_segments(handle: &StoreHandle, config: &Config, folder: &Path) -> anyhow::Result<usize> {
    let (segments, setting) = (handle.segments(None)?, config.store.segments.as_deref());
    handle.set_segments_place(setting)?;
    check_place(config, &segments)?;
    if segments.is_empty() {
        return Ok(0);
    }
    let (from, place) = (Folder::existing(&folder.join(SEGMENTS)), open_place(&config.store.path, setting)?);
    place.claim(handle.id()?, true)?;
    for StoredSegment { segment, .. } in &segments {
        verify(&from, segment)?;
        let mut bytes = Vec::new();
        from.open(&segment.file)?
            .read_to_end(&mut bytes)
            .with_context(|| format!("cannot read {} of the backup", segment.file))?;
        place.put(&segment.file, &bytes)?;
    }
    Ok(segments.len())
}

/// Checks that the folder of segments has none but those of the backup: `serve` would delete them, though the store that was
/// moved away may need them. Those of the backup may be of an interrupted restore.
fn check_place(config: &Config, segments: &[StoredSegment]) -> anyhow::Result<()> {
    let Some(folder) = segments_folder(&config.store.path, config.store.segments.as_deref()) else { return Ok(()) };
    let Ok(files) = fs::read_dir(&folder) else { return Ok(()) };
    for file in files {
        let name = file.with_context(|| format!("cannot read {}", folder.display()))?.file_name();
        let is_segment = Path::new(&name).extension().is_some_and(|ending| ending == "parquet");
        let is_known = segments.iter().any(|one| *one.segment.file == *name);
        ensure!(
            !is_segment || is_known,
            "{} has segments that are not in the backup; move the folder away with the old store, or set store.segments \
             to another one",
            folder.display()
        );
    }
    Ok(())
}

/// `restore`.
pub(crate) fn run_restore(args: &RestoreArgs) -> anyhow::Result<()> {
    let (config, folder) = (args.paths.configuration()?, &args.folder);
    let store = config.store.path.file()?;
    ensure!(folder.join(STORE).exists(), "{} has no {STORE}: it is not a backup", folder.display());
    for ending in ["", "-wal", "-shm"] {
        let path = with_ending(store, ending);
        ensure!(!path.exists(), "{} exists; stop `serve` and move the old store away first", path.display());
    }
    let mut newest = 0;
    for group in config.groups() {
        newest = newest.max(check_releases(&folder.join(RELEASES), &group.group)?);
    }
    let keys = keys_to_restore(&config, folder)?;
    let partial = with_ending(store, ".partial");
    if let Some(parent) = store.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        private_file::create_folder(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    copy(&folder.join(STORE), &partial)?;
    let handle = StoreHandle::open(&partial)?;
    for group in config.groups() {
        let listed = handle.releases(&group.group, 1)?.first().map_or(0, |release| release.version);
        newest = newest.max(listed);
    }
    handle.settle_restored(newest).inspect_err(|_| drop(fs::remove_file(&partial)))?;
    let segments = restore_segments(&handle, &config, folder).inspect_err(|_| drop(fs::remove_file(&partial)))?;
    drop(handle);
    let (mut files, mut folders) = (0, BTreeSet::new());
    for group in config.groups() {
        files += copy_releases(&folder.join(RELEASES), &group.releases, &group.group)?;
        folders.insert(group.releases.display().to_string());
    }
    for (key, to) in &keys {
        copy(key, to)?;
    }
    copy_authority(&folder.join(AUTHORITY), &config.enrolment.authority)?;
    // Last, so that an interrupted restore can be repeated.
    fs::rename(&partial, store).with_context(|| format!("cannot rename {}", partial.display()))?;
    let folders = folders.into_iter().collect::<Vec<_>>().join(", ");
    let store = store.display();
    print_line!("{store}: restored, with {segments} segments, and {files} files of releases in {folders}");
    print_line!("{RESTORED_PEOPLE}");
    Ok(())
}

/// The key of each group, and its name in a backup.
fn keys(config: &Config) -> Vec<(Option<PathBuf>, String)> {
    let name = |group: &str| if config.has_one_group() { KEY.to_owned() } else { format!("{group}.key") };
    config.groups().into_iter().map(|group| (group.key, name(&group.group))).collect()
}

/// Keys of a backup whose files do not exist, and where they belong.
fn keys_to_restore(config: &Config, folder: &Path) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
    let mut found = Vec::new();
    for (to, name) in keys(config) {
        let key = folder.join(&name);
        match to {
            Some(to) if key.exists() && !to.exists() => found.push((key, to)),
            None if key.exists() => {
                bail!(
                    "the backup has a signing key, {name}: set retrain.key, key of its group, or --key, to the file for it"
                )
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Reads every release file of a backup; returns the newest version, 0 without files.
fn check_releases(folder: &Path, group: &str) -> anyhow::Result<u64> {
    let releases = ReleaseDir::new(folder, group);
    let versions = releases.versions();
    for version in &versions {
        read(&releases.read(*version)?).with_context(|| format!("{}", releases.path(*version).display()))?;
    }
    Ok(versions.last().copied().unwrap_or(0))
}

/// Copies the files of a group, with mode 600; existing ones must be equal. Returns their number.
fn copy_releases(from: &Path, to: &Path, group: &str) -> anyhow::Result<usize> {
    private_file::create_folder(to).with_context(|| format!("cannot create {}", to.display()))?;
    let entries = match fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", from.display())),
    };
    let (releases, mut copied) = (ReleaseDir::new(from, group), 0);
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", from.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let complete = [".lwr", ".held", ".card.html", ".card.json"].iter().any(|ending| name.ends_with(ending));
        if complete && releases.owns(&name) {
            copy(&entry.path(), &to.join(&name))?;
            copied += 1;
        }
    }
    sync_folder(to)?;
    Ok(copied)
}

/// Copies the files of an authority, if there is one; existing ones must be equal.
fn copy_authority(from: &Path, to: &Path) -> anyhow::Result<()> {
    let files: Vec<&str> = AUTHORITY_FILES.into_iter().filter(|name| from.join(name).exists()).collect();
    if files.is_empty() {
        return Ok(());
    }
    private_file::create_folder(to).with_context(|| format!("cannot create {}", to.display()))?;
    for name in files {
        copy(&from.join(name), &to.join(name))?;
    }
    sync_folder(to)
}

/// Copies a file with mode 600 and syncs it to disk; an existing copy must be equal.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let context = || format!("cannot copy {} to {}", from.display(), to.display());
    if to.exists() {
        let equal = fs::read(from).with_context(context)? == fs::read(to).with_context(context)?;
        ensure!(equal, "{} exists and differs from the backup; move it away first", to.display());
        return Ok(());
    }
    let mut target = private_file::create(to).with_context(context)?;
    io::copy(&mut File::open(from).with_context(context)?, &mut target).with_context(context)?;
    target.sync_all().with_context(context)
}

fn sync_folder(folder: &Path) -> anyhow::Result<()> {
    File::open(folder).and_then(|file| file.sync_all()).with_context(|| format!("cannot sync {}", folder.display()))
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(test)]
#[path = "backup_tests.rs"]
mod tests;
