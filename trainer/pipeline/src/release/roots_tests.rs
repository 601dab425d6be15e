//! Files of root documents, and what agents make of their chains.

use super::*;
use lapwing_shared::release::root::{Grant, Purpose, RootKey, follow};

fn key(seed: u8) -> ReleaseKey {
    ReleaseKey::from_secret(&format!("key-{seed}"), &[seed; 32]).unwrap()
}

fn root_key(seed: u8) -> RootKey {
    let public = key(seed).public().unwrap();
    RootKey { name: public.id().clone(), public: public.public() }
}

fn first() -> RootFile {
    let mut file = RootFile::new(RootDocument {
        version: 1,
        created_s: 5,
        expires_s: 0,
        threshold: 1,
        roots: [root_key(9)].into_iter().collect(),
        keys: heapless::Vec::new(),
    })
    .unwrap();
    file.sign(&key(9)).unwrap();
    file
}

fn grant(seed: u8) -> Grant {
    let public = key(seed).public().unwrap();
    let (name, public) = (public.id().clone(), public.public());
    Grant { name, public, purpose: Purpose::Release, group: None, until_s: 0, ceiling: 0 }
}

/// Adds a version with another key for releases.
fn edit(file: &mut RootFile, signers: &[u8]) {
    file.add::<RootFileError>(6, |root| {
        root.keys = [grant(1)].into_iter().collect();
        Ok(())
    })
    .unwrap();
    signers.iter().for_each(|seed| file.sign(&key(*seed)).unwrap());
}

/// Adds a version with this root key alone, and signs it.
fn rotate(file: &mut RootFile, seed: u8, signers: &[u8]) {
    file.add::<RootFileError>(7, |root| {
        root.roots = [root_key(seed)].into_iter().collect();
        Ok(())
    })
    .unwrap();
    signers.iter().for_each(|seed| file.sign(&key(*seed)).unwrap());
}

#[test]
fn an_agent_follows_the_chain_of_a_file_from_every_earlier_document() {
    let mut file = first();
    let mut held = vec![file.newest().unwrap().clone()];
    for step in 0..9_u8 {
        if step % 3 == 2 {
            rotate(&mut file, 8 - step / 3, &[9 - step / 3, 8 - step / 3]);
        } else {
            edit(&mut file, &[9 - step / 3]);
        }
        let newest = file.signed().unwrap().clone();
        let chain = file.chain();
        assert_eq!(chain.left_out, 0);
        for earlier in &held {
            let (found, _) = follow(earlier, &chain.bytes).unwrap().unwrap();
            assert_eq!(found, newest, "from version {}", earlier.version);
        }
        held.push(newest);
    }
    assert_eq!(ChainDocuments::new(&file.chain().bytes).unwrap().count(), 3, "those that changed the root keys");
}

#[test]
fn a_document_waits_for_its_signatures_across_files() {
    let mut file = first();
    rotate(&mut file, 8, &[]);
    for (seed, is_complete) in [(8, false), (9, true)] {
        // On another machine.
        file = RootFile::read(&file.bytes()).unwrap();
        assert!(matches!(file.signed(), Err(RootFileError::Unsigned(2))));
        assert!(matches!(file.add::<RootFileError>(0, |_| Ok(())), Err(RootFileError::Unsigned(2))));
        file.sign(&key(seed)).unwrap();
        file.sign(&key(seed)).unwrap();
        assert_eq!(file.signed().is_ok(), is_complete);
    }
    assert!(matches!(file.sign(&key(5)), Err(RootFileError::NotRoot(name)) if name == "key-5"));
    edit(&mut file, &[8]);
    assert_eq!(RootFile::read(&file.bytes()).unwrap().newest().unwrap().version, 3);
}

#[test]
fn the_oldest_changes_of_root_keys_leave_a_chain_that_is_too_long() {
    let mut file = first();
    for seed in 10..70 {
        let before = if seed == 10 { 9 } else { seed - 1 };
        rotate(&mut file, seed, &[before, seed]);
    }
    let chain = file.chain();
    assert!(chain.bytes.len() <= CHAIN_BYTES && chain.left_out > 0, "{}", chain.left_out);
    let kept = ChainDocuments::new(&chain.bytes).unwrap().count();
    assert_eq!(kept + chain.left_out, 60);
    let (recent, _) = file.documents().nth(chain.left_out).unwrap();
    assert_eq!(follow(recent, &chain.bytes).unwrap().unwrap().0.version, 61);
}

#[test]
fn changed_files_are_rejected() {
    let mut file = first();
    edit(&mut file, &[9]);
    edit(&mut file, &[9]);
    let bytes = file.bytes();
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        assert!(
            RootFile::read(&changed).is_err_and(|_| true) || RootFile::read(&changed).unwrap().signed().is_err(),
            "byte {place}"
        );
    }
}
