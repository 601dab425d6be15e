//! The newest rollout on disk, its key, and the spare slot.

use super::*;
use crate::disk::memory::Memory;
use crate::disk::power::SharedDisk;
use crate::update::halver::Halvers;
use crate::update::store::Store;
use lapwing_shared::release::accept::Terms;
use lapwing_shared::release::root::{Grant, Purpose, RootDocument};
use lapwing_shared::release::testing::{
    artifact_bytes, chain, grant, manifest, root, signed, signed_root, terms, trusted,
};
use lapwing_shared::rollout::testing::{rollout, signed_rollout};

/// A root document in which the rollout key has this seed.
fn with_key(version: u64, seed: u8) -> RootDocument {
    let mut document = root(version);
    document.keys.push(Grant { purpose: Purpose::Rollout, ..grant("r1", seed) }).unwrap();
    document
}

fn open_store(disk: &SharedDisk, root: Option<RootDocument>) -> Store<Memory> {
    let (store, _) = Store::open(Memory::default(), Terms { root, ..terms() });
    store.with_root_disk(Box::new(disk.clone())).with_rollouts(trusted("r1", 5))
}

fn serial(store: &Store<Memory>) -> u64 {
    store.rollout().map_or(0, |rollout| rollout.serial)
}

#[test]
fn the_newest_rollout_survives_a_restart_and_an_older_one_is_rejected() {
    let disk = SharedDisk::default();
    let mut store = open_store(&disk, None);
    assert_eq!(store.take_rollout(&signed_rollout(&rollout(7, 3), 5), None), Ok(true));
    store.save_rollout(0).unwrap();
    let mut store = open_store(&disk, None);
    assert_eq!(store.take_rollout(&signed_rollout(&rollout(7, 3), 5), None), Ok(false));
    let stale = Err(RolloutError::Stale { found: 6, newest: 7 });
    assert_eq!((store.take_rollout(&signed_rollout(&rollout(6, 3), 5), None), serial(&store)), (stale, 7));
    // A damaged file does not count, and does not prevent the next one.
    disk.lock().damage("rollout-home", |bytes| bytes[70] ^= 1);
    let mut store = open_store(&disk, None);
    assert_eq!(serial(&store), 0);
    assert_eq!(store.take_rollout(&signed_rollout(&rollout(7, 3), 5), None), Ok(true));
}

#[test]
fn a_withdrawn_rollout_key_loses_its_serials() {
    let disk = SharedDisk::default();
    let mut store = open_store(&disk, Some(with_key(1, 6)));
    assert!(store.has_rollout_key());
    assert_eq!(store.take_rollout(&signed_rollout(&rollout(u64::MAX, 3), 6), None), Ok(true));
    store.save_rollout(0).unwrap();
    assert_eq!(store.follow_root(&chain(&[signed_root(&with_key(2, 7), &[9])])), Ok(true));
    assert_eq!(serial(&store), 0);
    assert!(store.take_rollout(&signed_rollout(&rollout(9, 3), 6), None).is_err());
    assert_eq!(store.take_rollout(&signed_rollout(&rollout(1, 3), 7), None), Ok(true));
    // The old rollout is still on the disk.
    assert_eq!(serial(&open_store(&disk, Some(with_key(2, 7)))), 0);
    assert!(!open_store(&disk, Some(root(3))).has_rollout_key(), "keys of the configuration do not count then");
}

#[test]
fn the_spare_slot_counts_if_its_release_was_in_use_here_and_has_not_failed() {
    let mut store = open_store(&SharedDisk::default(), None);
    let stage = |store: &mut Store<Memory>, version| {
        let bytes = signed(&manifest(version), 1);
        let verified = store.check(&bytes, None).unwrap();
        store.stage(&verified, &bytes, &artifact_bytes()).unwrap();
    };
    stage(&mut store, 3);
    store.confirm().unwrap();
    assert_eq!(store.spare(), None);
    stage(&mut store, 4);
    store.end_trial().unwrap();
    assert_eq!((store.spare(), store.state().refused), (None, None), "it never passed a trial");
    stage(&mut store, 5);
    store.confirm().unwrap();
    let spare = store.spare().unwrap();
    assert_eq!(spare.version, 3);
    assert_eq!(store.restore(spare, &Halvers).unwrap().manifest.version, 3);
    assert_eq!((store.state().confirmed, store.state().highest_confirmed), (Some(spare), 5));
    let five = store.spare().unwrap();
    store.refuse(five.version, five.digest).unwrap();
    assert_eq!(store.spare(), None);
}
