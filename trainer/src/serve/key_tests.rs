//! Root documents for the agents, and releases that are signed on another machine.

use super::signed_file;
use super::testing::manifest;
use super::tests::{Maker, Subscriber, config, serve, store_rows, tick_and_train, versions};
use crate::config::SigningPlace;
use lapwing_common::clock;
use lapwing_pipeline::release::build::sign_held;
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_shared::messages::topics::{release_topic, root_topic};
use lapwing_shared::release::manifest::Manifest;
use lapwing_shared::release::root::follow;
use lapwing_shared::release::signature::SignedManifest;
use lapwing_shared::release::testing::{root, signed_root};
use lapwing_store::testing::{Folder, name};
use lapwing_store::traits::StoredRoot;
use lapwing_store::{HeldState, StoreHandle};
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn publish(handle: &StoreHandle, version: u64) {
    let stored = StoredRoot { version, bytes: signed_root(&root(version), &[9]) };
    handle.add_root(&stored, version - 1, "", "ann", 1).unwrap();
}

#[test]
fn agents_get_the_newest_root_document_when_it_is_published_and_after_a_restart() {
    let folder = Folder::new();
    let mut server = serve(config(&folder), Arc::new(Maker::default()), clock::moment()).unwrap();
    let handle = StoreHandle::open(folder.store()).unwrap();
    let topic = root_topic(&name("home"));
    let subscriber = Subscriber::new(&server, "subscriber", &[topic.as_str()]);
    for version in [1, 2] {
        publish(&handle, version);
        server.tick(clock::moment()).unwrap();
        let (found, chain) = subscriber.receive();
        assert_eq!(found, topic.as_str());
        if version == 2 {
            assert_eq!(follow(&root(1), &chain).unwrap().unwrap().0, root(2));
        }
    }
    server.stop().unwrap();
    let server = serve(config(&folder), Arc::new(Maker::default()), clock::moment()).unwrap();
    let late = Subscriber::new(&server, "late", &[topic.as_str()]);
    assert_eq!(follow(&root(1), &late.receive().1).unwrap().unwrap().0, root(2));
    server.stop().unwrap();
}

#[test]
fn a_server_without_a_key_publishes_what_another_machine_signed() {
    let folder = Folder::new();
    let maker = Arc::new(Maker::default());
    maker.holds.store(true, Ordering::Relaxed);
    let mut config = config(&folder);
    (config.retrain.key, config.retrain.sign) = (None, SigningPlace::Elsewhere);
    let mut server = serve(config, Arc::<Maker>::clone(&maker), clock::moment()).unwrap();
    store_rows(&server, 1..6);
    let handle = StoreHandle::open(folder.store()).unwrap();
    handle.request_retraining(None, "ann", 1).unwrap();
    tick_and_train(&mut server);
    let waiting = handle.held_releases("home", 9).unwrap().remove(0);
    assert!(waiting.findings.contains("signed on another machine"), "{}", waiting.findings);
    assert_eq!(maker.orders.lock().unwrap()[0].key, None);
    // An approval alone, past the command, publishes nothing.
    handle.decide_held("home", 1, true, "eve", 2).unwrap();
    server.tick(clock::moment()).unwrap();
    assert_eq!(handle.held_releases("home", 9).unwrap()[0].state, HeldState::Waiting);
    assert!(versions(&server, "home").is_empty());
    // Nor does a file of another release.
    let key = ReleaseKey::generate("site").unwrap();
    let signed = sign_held(&std::fs::read(&waiting.file).unwrap(), &key, None).unwrap();
    let mut changed = signed.clone();
    *changed.last_mut().unwrap() ^= 1;
    for (bytes, expected) in [(changed, HeldState::Waiting), (signed, HeldState::Published)] {
        std::fs::write(signed_file(&waiting.file), bytes).unwrap();
        handle.decide_held("home", 1, true, "ann", 3).unwrap();
        server.tick(clock::moment()).unwrap();
        assert_eq!(handle.held_releases("home", 9).unwrap()[0].state, expected);
    }
    let subscriber = Subscriber::new(&server, "subscriber", &[release_topic(&name("home")).as_str()]);
    let signed = subscriber.receive().1;
    let signed = SignedManifest::decode(&signed).unwrap();
    assert_eq!((signed.key.as_str(), Manifest::decode(signed.manifest).unwrap()), ("site", manifest(1)));
    server.stop().unwrap();
}
