//! Modes of the store's files, and copies of a store that is being written.

use crate::testing::{Folder, SCHEMA, received, samples};
use crate::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn beside(folder: &Folder, ending: &str) -> std::path::PathBuf {
    folder.path().join(format!("store.sqlite{ending}"))
}

fn rows(number: u64) -> Received {
    received("gw", &samples(1, number, &[(number, false)]))
}

#[test]
fn every_file_of_a_new_store_is_private() {
    let folder = Folder::new();
    let mut store = Store::open(folder.store(), Limits::default()).unwrap();
    store.commit(&[rows(1)], 5).unwrap();
    for ending in ["", "-wal", "-shm", ".lock"] {
        assert_eq!(mode(&beside(&folder, ending)), 0o600, "{ending}");
    }
}

#[test]
fn an_existing_store_that_others_can_read_becomes_private() {
    let folder = Folder::new();
    let mut store = Store::open(folder.store(), Limits::default()).unwrap();
    store.commit(&[rows(1)], 5).unwrap();
    let handle = store.handle().unwrap();
    drop(store);
    for ending in ["", "-wal", "-shm", ".lock"] {
        fs::set_permissions(beside(&folder, ending), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let _store = Store::open(folder.store(), Limits::default()).unwrap();
    for ending in ["", "-wal", "-shm", ".lock"] {
        assert_eq!(mode(&beside(&folder, ending)), 0o600, "{ending}");
    }
    drop(handle);
}

#[test]
fn a_backup_is_consistent_and_private_while_the_writer_commits() {
    let folder = Folder::new();
    let mut store = Store::open(folder.store(), Limits::default()).unwrap();
    store.commit(&[rows(1)], 5).unwrap();
    let handle = store.handle().unwrap();
    let (stop, copies) = (AtomicBool::new(false), 5);
    std::thread::scope(|scope| {
        // Two messages per transaction, so a torn copy has an odd number of rows beyond the first.
        let writer = scope.spawn(|| {
            let mut number = 2;
            while !stop.load(Ordering::Relaxed) {
                store.commit(&[rows(number), rows(number + 1)], 5).unwrap();
                number += 2;
            }
        });
        for copy in 0..copies {
            let path = folder.path().join(format!("copy-{copy}.sqlite"));
            handle.backup_into(&path).unwrap();
            assert_eq!(mode(&path), 0o600);
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    });
    let mut before = 0;
    for copy in 0..copies {
        let path = folder.path().join(format!("copy-{copy}.sqlite"));
        let restored = Store::open(&path, Limits::default()).unwrap();
        let handle = restored.handle().unwrap();
        handle.settle_restored(7).unwrap();
        let times: Vec<u64> = handle.training_rows(&SCHEMA).unwrap().map(|row| row.unwrap().at.as_secs()).collect();
        let count = times.len() as u64;
        assert_eq!(times, (1..=count).collect::<Vec<_>>(), "a gap");
        assert!(count % 2 == 1 && count >= before, "{count} rows, {before} before");
        assert_eq!(restored.progress(&testing::name("gw"), 1).unwrap().unwrap().up_to(), count);
        assert_eq!(handle.counter(Counter::ReleaseVersionFloor).unwrap(), 7 + BACKUP_VERSIONS);
        before = count;
    }
}

#[test]
fn a_backup_never_overwrites_a_file_and_a_damaged_one_is_rejected() {
    let folder = Folder::new();
    let mut store = Store::open(folder.store(), Limits::default()).unwrap();
    for number in 1..200 {
        store.commit(&[rows(number)], 5).unwrap();
    }
    let handle = store.handle().unwrap();
    let copy = folder.path().join("copy.sqlite");
    handle.backup_into(&copy).unwrap();
    let error = handle.backup_into(&copy).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    let mut bytes = fs::read(&copy).unwrap();
    let (start, end) = (bytes.len() / 2, bytes.len() - 1);
    bytes[start..end].fill(0xa5);
    fs::write(&copy, bytes).unwrap();
    let error = StoreHandle::open(&copy).and_then(|handle| handle.settle_restored(1)).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn a_newer_release_supersedes_one_that_waits_and_decisions_are_final() {
    let folder = Folder::new();
    let handle = Store::open(folder.store(), Limits::default()).unwrap().handle().unwrap();
    let held = |version| HeldRelease {
        group: "home".into(),
        version,
        made_s: 5,
        file: "home.held".into(),
        reason: "schedule".into(),
        findings: "limit moved".into(),
        state: HeldState::Waiting,
        who: None,
    };
    handle.hold_release(&held(2)).unwrap();
    handle.hold_release(&held(3)).unwrap();
    let states = || handle.held_releases("home", 9).unwrap().iter().map(|held| held.state).collect::<Vec<_>>();
    assert_eq!(states(), [HeldState::Waiting, HeldState::Superseded]);
    let error = handle.decide_held("home", 2, true, "an operator", 6).unwrap_err().to_string();
    assert!(error.contains("release 2 of group `home`") && error.contains("lapwing-trainer approve"), "{error}");
    handle.decide_held("home", 3, true, "an operator", 6).unwrap();
    let approved = handle.approved_release("home").unwrap().unwrap();
    assert_eq!((approved.version, approved.who.as_deref()), (3, Some("an operator")));
    assert!(handle.decide_held("home", 3, false, "another", 7).is_err());
    handle.set_held_state("home", 3, HeldState::Published).unwrap();
    assert_eq!(handle.approved_release("home").unwrap(), None);
    for version in 4..200 {
        handle.hold_release(&held(version)).unwrap();
    }
    assert_eq!(handle.held_releases("home", 1_000).unwrap().len(), 100);
}

#[test]
fn a_forgotten_host_is_in_no_byte_of_the_files() {
    use crate::testing::{alert, received};
    use crate::{HostFilter, Store};
    use lapwing_shared::messages::{AlertState, Body, Peer};
    use lapwing_shared::units::Address;
    let folder = Folder::new();
    let host = Address::from_v4([10, 0, 0, 9]);
    let contains = |ending: &str| {
        let mut name = folder.store().into_os_string();
        name.push(ending);
        let bytes = std::fs::read(name).unwrap_or_default();
        bytes.windows(host.0.len()).any(|window| window == host.0)
    };
    let mut store = Store::open(folder.store(), Limits::default()).unwrap();
    for number in 1..200 {
        let mut message = alert(1, number, number, AlertState::Opened, (1, 2));
        let Body::Alert(content) = &mut message.body else { unreachable!() };
        if number % 2 == 0 {
            content.host = Address::from_v4([10, 0, 0, 8]);
            content.peers.push(Peer { address: host, flows: 1 }).unwrap();
        }
        store.commit(&[received("gw", &message)], 1).unwrap();
    }
    assert!(contains("-wal"), "the test can find it");
    let handle = store.handle().unwrap();
    let filter = HostFilter { host, is_pseudonym: false, agent: None, group: None };
    let data = handle.forget_host(&filter, "ann", 2).unwrap();
    assert_eq!((data.episodes, data.mentions), (100, 99));
    assert_eq!((contains(""), contains("-wal")), (false, false));
    store.close().unwrap();
    assert!(!contains(""));
}
