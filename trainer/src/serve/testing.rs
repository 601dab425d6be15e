//! Small valid releases for tests.

use ed25519_dalek::{Signer, SigningKey};
use lapwing_shared::release::digest::sha256;
use lapwing_shared::release::file::{FILE_BYTES, ReleaseFile};
use lapwing_shared::release::manifest::{Artifact, ArtifactForm, MANIFEST_BYTES, Manifest};
use lapwing_shared::release::signature::{SIGNED_MANIFEST_BYTES, SignedManifest, signing_bytes};
use lapwing_shared::release::testing;
use lapwing_store::testing::{SCHEMA, name};

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
