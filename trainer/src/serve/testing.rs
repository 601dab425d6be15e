//! Small valid releases, and brokers in memory, for tests.

use ed25519_dalek::{Signer, SigningKey};
use lapwing_collect::{Expected, LinkError, LinkState, Outlet, Receipt, Releases};
use lapwing_shared::release::digest::sha256;
use lapwing_shared::release::file::{FILE_BYTES, ReleaseFile};
use lapwing_shared::release::manifest::{Artifact, ArtifactForm, MANIFEST_BYTES, Manifest};
use lapwing_shared::release::signature::{SIGNED_MANIFEST_BYTES, SignedManifest, signing_bytes};
use lapwing_shared::release::testing;
use lapwing_store::testing::{SCHEMA, name};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// An artifact of three chunks, different for each version.
pub(crate) fn network(version: u64) -> Vec<u8> {
    let mut bytes = testing::artifact_bytes();
    bytes[..8].copy_from_slice(&version.to_le_bytes());
    bytes
}

pub(crate) fn manifest(version: u64) -> Manifest {
    let bytes = network(version);
    let artifact = Artifact { form: ArtifactForm::Int8, sha256: sha256(&bytes), size_bytes: bytes.len() as u32 };
    let artifacts = heapless::Vec::from_slice(&[artifact]).unwrap();
    Manifest { artifacts, schema: SCHEMA, ..testing::manifest(version) }
}

pub(crate) fn release(version: u64) -> Vec<u8> {
    signed(&manifest(version), version)
}

/// A release of a group, with the artifact of another version.
pub(crate) fn release_of(group: &str, version: u64, network: u64) -> Vec<u8> {
    signed(&Manifest { group: name(group), version, ..manifest(network) }, network)
}

fn signed(manifest: &Manifest, network: u64) -> Vec<u8> {
    let mut buffer = vec![0; MANIFEST_BYTES];
    let encoded = manifest.encode(&mut buffer).unwrap();
    let signature = SigningKey::from_bytes(&[3; 32]).sign(&signing_bytes(encoded)).to_bytes();
    let signed = SignedManifest { key: name("test"), signature, manifest: encoded };
    let mut buffer = vec![0; SIGNED_MANIFEST_BYTES];
    let signed = signed.encode(&mut buffer).unwrap();
    file(signed, network)
}

/// The same release without a signature, as the gate holds it back.
pub(crate) fn held(version: u64) -> Vec<u8> {
    file(manifest(version).encode(&mut vec![0; MANIFEST_BYTES]).unwrap(), version)
}

/// As [`held`], but it never expires.
pub(crate) fn held_unexpired(version: u64) -> Vec<u8> {
    let manifest = Manifest { expires_s: u64::MAX, ..manifest(version) };
    file(manifest.encode(&mut vec![0; MANIFEST_BYTES]).unwrap(), version)
}

fn file(signed: &[u8], version: u64) -> Vec<u8> {
    let network = network(version);
    let file = ReleaseFile { signed, artifacts: heapless::Vec::from_slice(&[network.as_slice()]).unwrap() };
    file.encode(&mut vec![0; FILE_BYTES]).unwrap().to_vec()
}

/// An outside broker in memory.
#[derive(Default)]
pub(crate) struct FakeBroker {
    pub(crate) retained: BTreeMap<String, Vec<u8>>,
    pub(crate) published: Vec<String>,
    /// Publications that it takes now.
    pub(crate) room: usize,
    pub(crate) expected: Vec<Expected>,
}

struct FakeOutlet(Arc<Mutex<FakeBroker>>);

impl Outlet for FakeOutlet {
    fn publish(&mut self, topic: &str, payload: Vec<u8>, retain: bool) -> Result<(), LinkError> {
        assert!(retain);
        let mut broker = self.0.lock().unwrap();
        broker.room = broker.room.checked_sub(1).ok_or(LinkError::Full)?;
        broker.published.push(topic.to_owned());
        if payload.is_empty() {
            broker.retained.remove(topic);
        } else {
            broker.retained.insert(topic.to_owned(), payload);
        }
        Ok(())
    }

    fn confirm(&mut self, _receipts: &[Receipt]) -> Result<(), LinkError> {
        Ok(())
    }

    fn check(&mut self, expected: Vec<Expected>) -> Result<(), LinkError> {
        self.0.lock().unwrap().expected = expected;
        Ok(())
    }

    fn missing(&self) -> Vec<String> {
        let broker = self.0.lock().unwrap();
        let is_kept = |expected: &Expected| {
            let payload = broker.retained.get(&expected.topic);
            payload.is_some_and(|payload| Expected::new(&expected.topic, payload) == *expected)
        };
        broker.expected.iter().filter(|expected| !is_kept(expected)).map(|expected| expected.topic.clone()).collect()
    }

    fn other_root(&self, topic: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap().retained.get(topic).cloned()
    }
}

/// A broker that takes every publication.
pub(crate) fn broker() -> Arc<Mutex<FakeBroker>> {
    Arc::new(Mutex::new(FakeBroker { room: usize::MAX, ..FakeBroker::default() }))
}

/// The publisher's part of a link to a broker.
pub(crate) fn link(broker: &Arc<Mutex<FakeBroker>>, state: &Arc<LinkState>) -> Releases {
    Releases { outlet: Box::new(FakeOutlet(Arc::clone(broker))), state: Arc::clone(state) }
}
