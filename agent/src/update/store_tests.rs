//! Updates on a disk that is full, fails, or loses power at every operation.

use super::*;
use crate::disk::Folder;
use crate::disk::power::{Cut, PowerDisk};
use crate::update::halver::{Halver, Halvers};
use crate::update::highest::PREFIX;
use lapwing_shared::release::manifest::{ArtifactForm, Manifest};
use lapwing_shared::release::testing::{artifact_bytes, manifest, signed, terms};

fn update<D: Disk>(store: &mut Store<D>, version: u64) -> Result<(), StoreError> {
    let bytes = signed(&manifest(version), 1);
    let verified = store.check(&bytes, None)?;
    store.stage(&verified, &bytes, &artifact_bytes())
}

fn version(booted: &Booted<Halver>) -> u64 {
    booted.release.as_ref().map_or(0, |release| release.manifest.version)
}

fn with_confirmed(versions: &[u64]) -> PowerDisk {
    let (mut store, _) = Store::open(PowerDisk::default(), terms());
    for version in versions {
        update(&mut store, *version).unwrap();
        store.confirm().unwrap();
    }
    store.disk
}

#[test]
fn a_release_survives_restarts_through_all_its_steps() {
    let (mut store, error) = Store::open(PowerDisk::default(), terms());
    assert!(error.is_none());
    assert_eq!(version(&store.boot(&Halvers)), 0);
    update(&mut store, 1).unwrap();
    let (mut store, _) = Store::open(store.disk, terms());
    let booted = store.boot(&Halvers);
    assert_eq!((version(&booted), booted.release.unwrap().on_trial), (1, true));
    store.confirm().unwrap();
    let (mut store, _) = Store::open(store.disk, terms());
    let booted = store.boot(&Halvers);
    assert_eq!((version(&booted), booted.release.unwrap().on_trial), (1, false));
    assert!(matches!(update(&mut store, 1), Err(StoreError::Refused(Refusal::NotNewer { .. }))));
}

#[test]
fn a_power_cut_at_any_operation_keeps_a_whole_release() {
    let start = with_confirmed(&[1]);
    for cut in [Cut::NothingPending, Cut::TornFiles] {
        for left in 0.. {
            let (mut store, _) = Store::open(PowerDisk { left: Some(left), ..start.clone() }, terms());
            store.boot(&Halvers);
            let staged = update(&mut store, 2);
            let confirmed = if staged.is_ok() { store.confirm().map(|_| ()) } else { Ok(()) };
            let whole = staged.is_ok() && confirmed.is_ok();
            let (mut store, error) = Store::open(store.disk.after(cut), terms());
            assert!(error.is_none(), "{cut:?} after {left}: {error:?}");
            let booted = store.boot(&Halvers);
            assert!(booted.errors.is_empty(), "{cut:?} after {left}: {:?}", booted.errors);
            let expected: &[u64] = if staged.is_ok() { &[2] } else { &[1, 2] };
            assert!(expected.contains(&version(&booted)), "{cut:?} after {left}: {}", version(&booted));
            assert_eq!(store.state().confirmed.unwrap().version == 2, whole || store.state().highest_confirmed == 2);
            let spare = store.state().spare_slot();
            assert_ne!(Some(spare), store.state().confirmed.map(|held| held.slot));
            if whole {
                assert!(left > 10, "an update takes more operations than that");
                break;
            }
        }
    }
}

#[test]
fn a_power_cut_in_a_rollback_leaves_the_confirmed_release_or_the_trial() {
    let (mut store, _) = Store::open(with_confirmed(&[1]), terms());
    update(&mut store, 2).unwrap();
    for cut in [Cut::NothingPending, Cut::TornFiles] {
        for left in 0..5 {
            let disk = PowerDisk { left: Some(left), ..store.disk.clone() };
            let (mut store, _) = Store::open(disk, terms());
            let done = store.roll_back().is_ok();
            let (mut store, _) = Store::open(store.disk.after(cut), terms());
            let booted = version(&store.boot(&Halvers));
            assert!(booted == 1 || (booted == 2 && !done), "{cut:?} after {left}");
            assert_eq!(store.state().confirmed.unwrap().version, 1);
        }
    }
}

#[test]
fn a_full_disk_is_reported_and_the_release_in_use_stays() {
    let start = with_confirmed(&[1]);
    let used = start.used();
    for room in [used, used + 35_000, used + 70_000, used + 71_000] {
        let (mut store, _) = Store::open(PowerDisk { room: Some(room), ..start.clone() }, terms());
        let error = update(&mut store, 2).unwrap_err().to_string();
        assert!(error.starts_with("cannot write slot-b/") && error.ends_with("keeping the release in use"), "{error}");
        assert_eq!(store.state().in_use().unwrap().version, 1);
        assert!(!store.disk.files().iter().any(|path| path.ends_with(".new")));
        let (mut store, _) = Store::open(store.disk.after(Cut::NothingPending), terms());
        assert_eq!(version(&store.boot(&Halvers)), 1);
    }
}

#[test]
fn a_trial_does_not_start_if_its_boot_cannot_be_stored() {
    let (mut store, _) = Store::open(with_confirmed(&[1]), terms());
    update(&mut store, 2).unwrap();
    let (mut store, _) = Store::open(PowerDisk { left: Some(0), ..store.disk }, terms());
    let booted = store.boot(&Halvers);
    assert_eq!(version(&booted), 1);
    assert!(booted.errors[0].to_string().starts_with("cannot write state"));
}

#[test]
fn a_trial_that_crashes_the_agent_ends_after_three_starts() {
    let (mut store, _) = Store::open(with_confirmed(&[1]), terms());
    update(&mut store, 2).unwrap();
    let mut disk = store.disk;
    let mut versions = Vec::new();
    for _ in 0..4 {
        let (mut store, _) = Store::open(disk, terms());
        let booted = store.boot(&Halvers);
        versions.push((version(&booted), booted.rolled_back.map(|failed| failed.version)));
        disk = store.disk.after(Cut::NothingPending);
    }
    assert_eq!(versions, [(2, None), (2, None), (1, Some(2)), (1, None)]);
    let (mut store, _) = Store::open(disk, terms());
    assert!(matches!(update(&mut store, 2), Err(StoreError::Refused(Refusal::RefusedBefore { version: 2 }))));
    update(&mut store, 3).unwrap();
}

#[test]
fn a_damaged_confirmed_slot_falls_back_to_the_older_release() {
    for path in ["slot-b/artifact", "slot-b/manifest"] {
        let mut disk = with_confirmed(&[1, 2]);
        disk.damage(path, |bytes| bytes[500] ^= 1);
        let (mut store, _) = Store::open(disk, terms());
        let booted = store.boot(&Halvers);
        assert_eq!((version(&booted), booted.errors.len()), (1, 1), "{path}");
        update(&mut store, 2).unwrap();
    }
}

#[test]
fn a_rolled_back_release_is_never_a_fallback() {
    let (mut store, _) = Store::open(with_confirmed(&[1]), terms());
    update(&mut store, 2).unwrap();
    store.roll_back().unwrap();
    let mut disk = store.disk;
    disk.damage("slot-a/artifact", Vec::clear);
    let (mut store, _) = Store::open(disk, terms());
    assert_eq!(version(&store.boot(&Halvers)), 0);
}

#[test]
fn a_lost_or_damaged_state_is_rebuilt_from_the_slots() {
    for change in [Vec::clear, |bytes: &mut Vec<u8>| bytes[3] ^= 1] {
        let mut disk = with_confirmed(&[1, 2]);
        disk.damage("state", change);
        let (mut store, error) = Store::open(disk, terms());
        assert!(matches!(error, Some(StoreError::State(_))));
        let booted = store.boot(&Halvers);
        assert_eq!((version(&booted), store.state().highest_confirmed), (2, 1));
    }
}

#[test]
fn releases_of_a_key_that_is_no_longer_trusted_are_not_loaded() {
    let mut other = terms();
    other.keys = lapwing_shared::release::testing::trusted("k1", 9);
    let (mut store, _) = Store::open(with_confirmed(&[1]), other);
    let booted = store.boot(&Halvers);
    assert_eq!(version(&booted), 0);
    assert!(matches!(booted.errors[0], StoreError::Refused(Refusal::Signature(_))));
    let (mut store, _) = Store::open(store.disk, terms());
    assert_eq!(version(&store.boot(&Halvers)), 1);
}

#[test]
fn a_release_that_the_engine_rejects_is_not_installed() {
    struct Broken;
    impl EngineFactory for Broken {
        type Engine = Halver;
        fn form(&self) -> ArtifactForm {
            ArtifactForm::Int8
        }
        fn build(&self, _manifest: &Manifest, _artifact: &[u8]) -> Result<Halver, String> {
            Err("layer 3 has the wrong shape".to_owned())
        }
    }
    let (mut store, _) = Store::open(with_confirmed(&[1]), terms());
    update(&mut store, 2).unwrap();
    let booted = store.boot(&Broken);
    assert!(booted.release.is_none());
    assert_eq!(
        booted.rolled_back.unwrap().reason,
        "release on disk: engine cannot read the artifact: layer 3 has the wrong shape"
    );
}

#[test]
fn the_highest_version_survives_the_loss_of_the_state_folder() {
    let root = std::env::temp_dir().join(format!("lapwing-highest-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&root);
    // A state folder in memory is empty after each reboot; the version folder is not.
    let reboot = || {
        let (highest, error) = Highest::open(Box::new(Folder::open(&root).unwrap()), PREFIX, &terms().group);
        assert!(error.is_none());
        Store::open(PowerDisk::default(), terms()).0.with_highest(highest)
    };
    let mut store = reboot();
    for version in [4, 7] {
        update(&mut store, version).unwrap();
        store.confirm().unwrap();
    }
    assert_eq!(std::fs::read(root.join("highest-home")).unwrap(), 7_u64.to_le_bytes());
    let mut store = reboot();
    for old in [4, 6] {
        assert!(matches!(update(&mut store, old), Err(StoreError::Refused(Refusal::NotNewer { .. }))));
    }
    update(&mut store, 7).unwrap();
    store.confirm().unwrap();
    update(&mut store, 8).unwrap();
    // The file of another group, and a damaged one, do not count.
    let (other, error) = Highest::open(Box::new(Folder::open(&root).unwrap()), PREFIX, &"work".try_into().unwrap());
    assert!(other.stored() == 0 && error.is_none());
    std::fs::write(root.join("highest-home"), "7").unwrap();
    let (damaged, error) = Highest::open(Box::new(Folder::open(&root).unwrap()), PREFIX, &terms().group);
    assert!(damaged.stored() == 0 && error.unwrap().to_string().contains("expected 8 octets"));
    std::fs::remove_dir_all(&root).unwrap();
}

#[test]
fn a_failed_write_of_the_highest_version_is_repeated() {
    let root = std::env::temp_dir().join(format!("lapwing-highest-retry-{}", std::process::id()));
    std::fs::create_dir_all(root.join("highest-home.new")).unwrap();
    let (highest, _) = Highest::open(Box::new(Folder::open(&root).unwrap()), PREFIX, &terms().group);
    let mut store = Store::open(PowerDisk::default(), terms()).0.with_highest(highest);
    update(&mut store, 3).unwrap();
    assert_eq!(store.confirm().unwrap().version, 3);
    assert!(store.retry_save().is_err() && !root.join("highest-home").exists());
    std::fs::remove_dir(root.join("highest-home.new")).unwrap();
    store.retry_save().unwrap();
    assert_eq!(std::fs::read(root.join("highest-home")).unwrap(), 3_u64.to_le_bytes());
    std::fs::remove_dir_all(&root).unwrap();
}

#[test]
fn a_real_folder_stores_a_release_and_reports_write_errors() {
    let root = std::env::temp_dir().join(format!("lapwing-store-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&root);
    let (mut store, _) = Store::open(Folder::open(&root).unwrap(), terms());
    update(&mut store, 1).unwrap();
    store.confirm().unwrap();
    let (mut store, error) = Store::open(Folder::open(&root).unwrap(), terms());
    assert!(error.is_none());
    assert_eq!(version(&store.boot(&Halvers)), 1);
    // A folder in the file's place fails for every user, root included.
    std::fs::create_dir_all(root.join("slot-b/artifact.new")).unwrap();
    let error = update(&mut store, 2).unwrap_err().to_string();
    assert!(error.starts_with("cannot write slot-b/artifact"), "{error}");
    assert_eq!(store.state().in_use().unwrap().version, 1);
    std::fs::remove_dir_all(&root).unwrap();
}
