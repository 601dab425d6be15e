//! Backups of a store in use, restored into new folders.

use super::super::store_args::StoreArgs;
use super::super::store_state::{StoreCommand, run_store};
use super::{BackupArgs, RestoreArgs, run_backup, run_restore};
use crate::serve::ReleaseDir;
use crate::serve::testing::{release, release_of};
use clap::{Args, FromArgMatches};
use lapwing_authority::Authority;
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_segments::{Filter, Limits as SegmentLimits, Row};
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::release::signature::KeyUse;
use lapwing_store::testing::{Folder, SCHEMA, own_samples, received, samples};
use lapwing_store::{BACKUP_VERSIONS, Compactor, Counter, Limits, Store, StoreHandle};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn arguments<A: Args + FromArgMatches>(text: &[&Path]) -> A {
    let command = A::augment_args(clap::Command::new("test").no_binary_name(true));
    A::from_arg_matches(&command.get_matches_from(text)).unwrap()
}

/// A trainer's files in one folder, and a configuration that names them.
fn trainer(folder: &Path) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let config = folder.join("trainer.toml");
    let text = format!(
        "[store]\npath = '{0}/store.sqlite'\n[retrain]\ngroup = 'home'\nreleases = '{0}/releases'\nkey = '{0}/key'\n\
         [enrolment]\nauthority = '{0}/authority'\n",
        folder.display()
    );
    std::fs::write(&config, text).unwrap();
    config
}

fn backup(folder: &Path, config: &Path, more: &[&str]) -> anyhow::Result<()> {
    let mut words = vec![folder, Path::new("--config"), config];
    words.extend(more.iter().map(Path::new));
    run_backup(&arguments::<BackupArgs>(&words))
}

fn restore(folder: &Path, config: &Path) -> anyhow::Result<()> {
    run_restore(&arguments::<RestoreArgs>(&[folder, Path::new("--config"), config]))
}

#[test]
fn a_backup_of_a_store_in_use_restores_into_a_new_folder() {
    let folder = Folder::new();
    let (old, new, copy) = (folder.path().join("old"), folder.path().join("new"), folder.path().join("copy"));
    let config = trainer(&old);
    let mut store = Store::open(old.join("store.sqlite"), Limits::default()).unwrap();
    ReleaseKey::generate("site").unwrap().save(&old.join("key"), &old.join("pub"), KeyUse::Any, None).unwrap();
    let authority = *Authority::create(&old.join("authority"), None, 1_800_000_000).unwrap().public_hash();
    ReleaseDir::new(&old.join("releases"), "home").write(3, &release(3)).unwrap();
    let mut write = |number| {
        store.commit(&[received("gw", &samples(1, number, &[(number, false)]))], 5).unwrap();
    };
    (1..=50).for_each(&mut write);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (51..=150).for_each(&mut write));
        backup(&copy, &config, &["--with-key"]).unwrap();
        writer.join().unwrap();
    });
    let error = backup(&copy, &config, &[]).unwrap_err().to_string();
    assert!(error.contains("needs a new folder"), "{error}");
    let config = trainer(&new);
    restore(&copy, &config).unwrap();
    let handle = StoreHandle::open(new.join("store.sqlite")).unwrap();
    let rows: Vec<u64> = handle.training_rows(&SCHEMA).unwrap().map(|row| row.unwrap().at.as_secs()).collect();
    assert!((50..=150).contains(&rows.len()), "{} rows", rows.len());
    assert_eq!(rows, (1..=rows.len() as u64).collect::<Vec<_>>());
    assert_eq!(handle.counter(Counter::ReleaseVersionFloor).unwrap(), 3 + BACKUP_VERSIONS);
    assert_eq!(ReleaseDir::new(&new.join("releases"), "home").versions(), [3]);
    assert_eq!(ReleaseKey::load(&new.join("key")).unwrap().name(), "site");
    assert_eq!(*Authority::open(&new.join("authority"), None).unwrap().public_hash(), authority);
    for file in ["store.sqlite", "releases/home-3.lwr", "key"] {
        for root in [&new, &copy] {
            let path = if file == "key" && *root == copy { root.join("release.key") } else { root.join(file) };
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
    }
    let error = restore(&copy, &config).unwrap_err().to_string();
    assert!(error.contains("stop `serve` and move the old store away"), "{error}");
}

#[test]
fn a_trainer_without_signing_keys_backs_up_its_authority() {
    let folder = Folder::new();
    let (old, copy) = (folder.path().join("old"), folder.path().join("copy"));
    std::fs::create_dir(&old).unwrap();
    let (config, at) = (old.join("trainer.toml"), old.display());
    let text = format!("[store]\npath = '{at}/store.sqlite'\n[enrolment]\nauthority = '{at}/authority'\n");
    std::fs::write(&config, text).unwrap();
    drop(Store::open(old.join("store.sqlite"), Limits::default()).unwrap());
    let error = backup(&copy, &config, &["--with-key"]).unwrap_err().to_string();
    assert!(error.contains("no key is configured"), "{error}");
    let authority = Authority::create(&old.join("authority"), None, 1).unwrap();
    backup(&copy, &config, &["--with-key"]).unwrap();
    let copied = Authority::open(&copy.join("authority"), None).unwrap();
    assert_eq!(copied.public_hash(), authority.public_hash());
}

#[test]
fn a_backup_has_releases_and_keys_of_every_group() {
    let folder = Folder::new();
    let (old, new, copy) = (folder.path().join("old"), folder.path().join("new"), folder.path().join("copy"));
    let trainer = |folder: &Path| {
        let (config, at) = (trainer(folder), folder.display());
        let groups = ["home", "home-2"].map(|group| {
            format!("[[groups]]\nname = '{group}'\nreleases = '{at}/{group}'\nkey = '{at}/{group}.key'\n")
        });
        std::fs::write(&config, format!("[store]\npath = '{at}/store.sqlite'\n{}", groups.concat())).unwrap();
        config
    };
    let config = trainer(&old);
    drop(Store::open(old.join("store.sqlite"), Limits::default()).unwrap());
    for group in ["home", "home-2"] {
        let public = old.join(format!("{group}.pub"));
        ReleaseKey::generate(group)
            .unwrap()
            .save(&old.join(format!("{group}.key")), &public, KeyUse::Any, None)
            .unwrap();
        ReleaseDir::new(&old.join(group), group).write(3, &release_of(group, 3, 3)).unwrap();
    }
    backup(&copy, &config, &["--with-key"]).unwrap();
    restore(&copy, &trainer(&new)).unwrap();
    let names = |folder: &str| {
        let entries = std::fs::read_dir(new.join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((names("home"), names("home-2")), (vec!["home-3.lwr".into()], vec!["home-2-3.lwr".into()]));
    for group in ["home", "home-2"] {
        let key = |folder: &Path| std::fs::read(folder.join(format!("{group}.key"))).unwrap();
        assert!(key(&old) == key(&new), "{group}");
    }
}

#[test]
fn a_backup_without_the_key_restores_without_one() {
    let folder = Folder::new();
    let (old, new, copy) = (folder.path().join("old"), folder.path().join("new"), folder.path().join("copy"));
    let config = trainer(&old);
    drop(Store::open(old.join("store.sqlite"), Limits::default()).unwrap());
    let error = backup(&copy, &config, &["--with-key"]).unwrap_err().to_string();
    assert!(error.contains("key"), "{error}");
    assert!(!copy.exists(), "an incomplete backup has another name");
    backup(&copy, &config, &[]).unwrap();
    assert!(!copy.join("release.key").exists());
    restore(&copy, &trainer(&new)).unwrap();
    assert!(new.join("store.sqlite").exists() && !new.join("key").exists());
}

#[test]
fn a_damaged_release_or_another_folder_is_not_restored() {
    let folder = Folder::new();
    let (old, new, copy) = (folder.path().join("old"), folder.path().join("new"), folder.path().join("copy"));
    let config = trainer(&old);
    drop(Store::open(old.join("store.sqlite"), Limits::default()).unwrap());
    ReleaseDir::new(&old.join("releases"), "home").write(3, &release(3)).unwrap();
    backup(&copy, &config, &[]).unwrap();
    let file = copy.join("releases/home-3.lwr");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let config = trainer(&new);
    let error = format!("{:#}", restore(&copy, &config).unwrap_err());
    assert!(error.contains("home-3.lwr") && error.contains("does not match"), "{error}");
    assert!(!new.join("store.sqlite").exists());
    let error = restore(&old.join("releases"), &config).unwrap_err().to_string();
    assert!(error.contains("not a backup"), "{error}");
}

/// Moves rows to segments of at most 20 rows.
fn compact(store: &Path, now_s: u64) {
    let limits = SegmentLimits { bytes: 20 * size_of::<Row>() as u64, age_s: 300 };
    Compactor::new(StoreHandle::open(store).unwrap(), limits, "home").pass(now_s, &mut |_| true).unwrap();
}

#[test]
fn a_backup_has_the_segments_and_restores_them_to_their_new_place() {
    let folder = Folder::new();
    let (old, new, copy) = (folder.path().join("old"), folder.path().join("new"), folder.path().join("copy"));
    let config = trainer(&old);
    let mut store = Store::open(old.join("store.sqlite"), Limits::default()).unwrap();
    let mut write = |number| {
        store.commit(&[received("gw", &own_samples(1, number, &[(number, false), (number, true)]))], 5).unwrap();
    };
    let compact = |now_s| compact(&old.join("store.sqlite"), now_s);
    (1..=50).for_each(&mut write);
    compact(5);
    // Some are in segments, some in the journal, and both change meanwhile.
    (51..=60).for_each(&mut write);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 61..=120 {
                write(number);
                compact(1_000_000 + 100_000 * number);
            }
        });
        backup(&copy, &config, &[]).unwrap();
        writer.join().unwrap();
    });
    let config = trainer(&new);
    let text = std::fs::read_to_string(&config).unwrap().replace("[retrain]", "segments = 'rows'\n[retrain]");
    std::fs::write(&config, text).unwrap();
    restore(&copy, &config).unwrap();
    let handle = StoreHandle::open(new.join("store.sqlite")).unwrap();
    assert_eq!(handle.segments_folder().unwrap(), Some(new.join("rows")));
    let rows: Vec<u64> =
        handle.stored_rows(&schema_id(), Filter::default(), 0).unwrap().map(|row| row.unwrap().1.number).collect();
    let expected: Vec<u64> = (1..=rows.len() as u64 / 2).flat_map(|number| [number, number]).collect();
    assert!(rows.len() >= 120, "{} rows", rows.len());
    assert_eq!(rows, expected);
}

#[test]
fn a_backup_is_checked_where_it_lies() {
    let folder = Folder::new();
    let (old, copy) = (folder.path().join("old"), folder.path().join("copy"));
    let config = trainer(&old);
    let mut store = Store::open(old.join("store.sqlite"), Limits::default()).unwrap();
    let rows: Vec<(u64, bool)> = (0..25).map(|at_s| (at_s, false)).collect();
    store.commit(&[received("gw", &own_samples(1, 1, &rows))], 5).unwrap();
    let handle = StoreHandle::open(old.join("store.sqlite")).unwrap();
    handle.set_segments_place(old.join("rows").to_str()).unwrap();
    compact(&old.join("store.sqlite"), 5);
    assert_eq!(handle.segments(None).unwrap().len(), 1);
    backup(&copy, &config, &[]).unwrap();
    drop(store);
    std::fs::remove_dir_all(&old).unwrap();
    let check = |path: &Path| {
        let args = StoreArgs { config: None, store: Some(path.into()) };
        run_store(&StoreCommand::Check(args)).map_err(|error| format!("{error:#}"))
    };
    let (file, segments) = (copy.join("store.sqlite"), copy.join("segments"));
    for path in [&copy, &file] {
        check(path).unwrap();
    }
    let names = std::fs::read_dir(&copy).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: BTreeSet<String> = names.filter(|name| name != "releases").collect();
    assert_eq!(names, BTreeSet::from(["segments".into(), "store.sqlite".into()]));
    // A backup of an earlier version names the segments of the store that it was made of.
    StoreHandle::open(&file).unwrap().set_segments_place(old.join("rows").to_str()).unwrap();
    check(&copy).unwrap();
    assert!(check(&file).is_err());
    let segment = std::fs::read_dir(&segments).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(&segment).unwrap();
    assert!(check(&copy).unwrap_err().contains("has problems"));
    let error = check(&segments).unwrap_err();
    assert!(error.contains("is a folder without store.sqlite: it is not a backup"), "{error}");
}

#[test]
fn a_damaged_segment_is_not_restored() {
    let folder = Folder::new();
    let (old, copy) = (folder.path().join("old"), folder.path().join("copy"));
    let config = trainer(&old);
    let mut store = Store::open(old.join("store.sqlite"), Limits::default()).unwrap();
    let rows: Vec<(u64, bool)> = (0..25).map(|at_s| (at_s, false)).collect();
    store.commit(&[received("gw", &own_samples(1, 1, &rows))], 5).unwrap();
    compact(&old.join("store.sqlite"), 5);
    backup(&copy, &config, &[]).unwrap();
    let damaged = std::fs::read_dir(copy.join("segments")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&damaged).unwrap();
    bytes[100] ^= 1;
    std::fs::remove_file(&damaged).unwrap();
    std::fs::write(&damaged, bytes).unwrap();
    let again = folder.path().join("again");
    let error = format!("{:#}", restore(&copy, &trainer(&again)).unwrap_err());
    assert!(error.contains("has SHA-256") && !again.join("store.sqlite").exists(), "{error}");
}

#[test]
#[cfg(unix)]
fn a_backup_leaves_owner_and_mode_of_the_segments_and_restored_ones_are_copies() {
    use std::os::unix::fs::MetadataExt;
    let folder = Folder::new();
    let (old, new, copy) = (folder.path().join("old"), folder.path().join("new"), folder.path().join("copy"));
    let config = trainer(&old);
    let mut store = Store::open(old.join("store.sqlite"), Limits::default()).unwrap();
    let rows: Vec<(u64, bool)> = (0..25).map(|at_s| (at_s, false)).collect();
    store.commit(&[received("gw", &own_samples(1, 1, &rows))], 5).unwrap();
    compact(&old.join("store.sqlite"), 5);
    let facts = |folder: std::path::PathBuf| {
        let mut files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap());
        let file = files.find(|file| file.file_name().to_string_lossy().ends_with(".parquet")).unwrap();
        let facts = file.metadata().unwrap();
        (facts.ino(), facts.uid(), facts.mode(), facts.nlink())
    };
    let (inode, owner, mode, _) = facts(old.join("store.sqlite.segments"));
    backup(&copy, &config, &[]).unwrap();
    assert_eq!(facts(old.join("store.sqlite.segments")), (inode, owner, mode, 2));
    assert_eq!(facts(copy.join("segments")), (inode, owner, mode, 2), "the same file, on the same disk");
    restore(&copy, &trainer(&new)).unwrap();
    let restored = facts(new.join("store.sqlite.segments"));
    assert_eq!((restored.2 & 0o777, restored.3, restored.0 == inode), (0o600, 1, false));
}

#[test]
fn segments_of_a_store_that_was_moved_away_are_not_taken_over() {
    let folder = Folder::new();
    let (old, new, copy) = (folder.path().join("old"), folder.path().join("new"), folder.path().join("copy"));
    let config = trainer(&old);
    drop(Store::open(old.join("store.sqlite"), Limits::default()).unwrap());
    backup(&copy, &config, &[]).unwrap();
    let config = trainer(&new);
    let segments = new.join("store.sqlite.segments");
    std::fs::create_dir(&segments).unwrap();
    std::fs::write(segments.join("segment-1-0123456789abcdef.parquet"), b"rows").unwrap();
    let error = format!("{:#}", restore(&copy, &config).unwrap_err());
    assert!(error.contains("move the folder away") && !new.join("store.sqlite").exists(), "{error}");
    std::fs::remove_dir_all(&segments).unwrap();
    restore(&copy, &config).unwrap();
}
