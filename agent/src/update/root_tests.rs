//! Root documents on a disk that fails or loses power at every operation.

use super::*;
use crate::disk::power::{Cut, PowerDisk};
use lapwing_shared::release::testing::{chain, root, root_key, signed_root, terms};
use std::sync::{Arc, Mutex};

/// A disk that a test can look at while the store has it.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<PowerDisk>>);

impl Shared {
    fn of(disk: PowerDisk) -> Self {
        Self(Arc::new(Mutex::new(disk)))
    }

    fn boxed(&self) -> AnyDisk {
        Box::new(self.clone())
    }

    fn edit(&self) -> std::sync::MutexGuard<'_, PowerDisk> {
        self.0.lock().unwrap()
    }
}

impl Disk for Shared {
    fn read(&mut self, path: &str, limit: usize) -> std::io::Result<Option<Vec<u8>>> {
        self.edit().read(path, limit)
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> std::io::Result<()> {
        self.edit().write(path, bytes)
    }

    fn append(&mut self, path: &str, bytes: &[u8]) -> std::io::Result<()> {
        self.edit().append(path, bytes)
    }

    fn sync(&mut self, path: &str) -> std::io::Result<()> {
        self.edit().sync(path)
    }

    fn rename(&mut self, from: &str, to: &str) -> std::io::Result<()> {
        self.edit().rename(from, to)
    }

    fn remove(&mut self, path: &str) -> std::io::Result<()> {
        self.edit().remove(path)
    }

    fn sync_folder(&mut self, path: &str) -> std::io::Result<()> {
        self.edit().sync_folder(path)
    }
}

fn signed(version: u64) -> Vec<u8> {
    signed_root(&root(version), &[9])
}

fn version(root: Option<&RootDocument>) -> u64 {
    root.map_or(0, |root| root.version)
}

/// A store that starts with what the disk has, or with version 1.
fn store(disk: &Shared) -> Store<PowerDisk> {
    let root = load(&mut disk.boxed(), Some(&signed(1)));
    let (mut store, _) = Store::open(PowerDisk::default(), terms());
    store.terms.root = root;
    store.with_root_disk(disk.boxed())
}

#[test]
fn a_newer_document_is_in_use_at_once_and_after_a_restart() {
    let disk = Shared::default();
    let mut first = store(&disk);
    assert_eq!(version(first.terms.root.as_ref()), 1);
    assert_eq!(first.follow_root(&chain(&[signed(3)])), Ok(true));
    assert_eq!(version(first.terms.root.as_ref()), 3);
    first.save_root().unwrap();
    let mut second = store(&disk);
    assert_eq!(version(second.terms.root.as_ref()), 3, "not the one of the identity");
    assert_eq!(second.follow_root(&chain(&[signed(3)])), Ok(false));
    assert_eq!(second.follow_root(&chain(&[signed(2)])), Err(RootError::Older { found: 2, held: 3 }));
}

#[test]
fn a_power_cut_at_any_operation_leaves_the_old_or_the_new_document() {
    let start = Shared::default();
    store(&start);
    let start = start.edit().clone();
    for cut in [Cut::NothingPending, Cut::TornFiles] {
        for left in 0.. {
            let disk = Shared::of(PowerDisk { left: Some(left), ..start.clone() });
            let mut before = store(&disk);
            before.follow_root(&chain(&[signed(2)])).unwrap();
            let saved = before.save_root().is_ok();
            let after = Shared::of(disk.edit().after(cut));
            let held = load(&mut after.boxed(), None);
            let expected: &[u64] = if saved { &[2] } else { &[1, 2] };
            assert!(expected.contains(&version(held.as_ref())), "{cut:?} after {left}: {held:?}");
            if saved {
                break;
            }
        }
    }
}

#[test]
fn a_full_disk_delays_the_file_and_not_the_document() {
    let disk = Shared::default();
    let mut store = store(&disk);
    disk.edit().room = Some(0);
    assert_eq!(store.follow_root(&chain(&[signed(2)])), Ok(true));
    assert!(store.save_root().is_err());
    assert_eq!(version(store.terms.root.as_ref()), 2);
    disk.edit().room = None;
    store.retry_save().unwrap();
    assert_eq!(version(load(&mut disk.boxed(), None).as_ref()), 2);
}

#[test]
fn an_identity_with_other_root_keys_does_not_replace_the_document() {
    let disk = Shared::default();
    store(&disk);
    // As someone who has the key of the authority, and not a root key, could issue it.
    let roots = heapless::Vec::from_slice(&[root_key(8)]).unwrap();
    let foreign = signed_root(&RootDocument { roots, ..root(7) }, &[8]);
    assert_eq!(load(&mut disk.boxed(), Some(&foreign)), Some(root(1)));
    assert_eq!(load(&mut disk.boxed(), Some(&signed(7))), Some(root(7)), "the root keys are the same");
    assert_eq!(load(&mut disk.boxed(), None), Some(root(7)));
}

#[test]
fn a_damaged_file_is_replaced_by_the_first_document() {
    let disk = Shared::default();
    store(&disk);
    disk.edit().damage(FILE, |bytes| bytes[120] ^= 1);
    assert_eq!(load(&mut disk.boxed(), None), None);
    assert_eq!(load(&mut disk.boxed(), Some(&signed(1))), Some(root(1)));
    assert_eq!(load(&mut disk.boxed(), None), Some(root(1)));
}

#[test]
fn without_a_first_document_a_chain_has_no_effect() {
    let (mut store, _) = Store::open(PowerDisk::default(), terms());
    assert_eq!((store.follow_root(&chain(&[signed(1)])), store.terms.root), (Ok(false), None));
}
