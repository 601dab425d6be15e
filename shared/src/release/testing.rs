//! Test data: a small valid manifest, its artifact and its keys.

#![allow(clippy::unwrap_used, reason = "test data")]

use crate::features::FEATURES;
use crate::release::accept::Terms;
use crate::release::digest::sha256;
use crate::release::manifest::{
    Artifact, ArtifactForm, GoldenVector, KindProfile, LimitKnot, MANIFEST_BYTES, Manifest, Origin,
};
use crate::release::root::{
    CHAIN_VERSION, Grant, Purpose, ROOT_BYTES, RootDocument, RootKey, SIGNED_ROOT_VERSION, root_signing_bytes,
};
use crate::release::signature::{SIGNED_MANIFEST_BYTES, SignedManifest, TrustedKey, TrustedKeys, signing_bytes};
use crate::verdict::calibration::{Calibration, Knot};
use crate::verdict::scaling::{FeatureScaling, QuantizedInput, Scaling, Transform};
use alloc::vec;
use alloc::vec::Vec;
use ed25519_dalek::{Signer, SigningKey};
use heapless::Vec as Fixed;

const LATENT_WIDTH: usize = 4;

/// The bytes of the artifact: two full chunks and a partial one.
pub fn artifact_bytes() -> Vec<u8> {
    (0..70_000_u32).map(|index| ((index * 31) >> 3) as u8).collect()
}

/// Replaces the network: halves its input.
pub fn halve(input: &QuantizedInput, reconstruction: &mut [i8; FEATURES], latent: &mut [i8]) {
    for (output, input) in reconstruction.iter_mut().zip(input) {
        *output = input / 2;
    }
    latent.copy_from_slice(&input[..latent.len()]);
}

fn scaling() -> Scaling {
    let feature = FeatureScaling {
        transform: Transform::Log1p,
        centre: 1.0,
        unit: 0.5,
        weight: 16,
        benign_low: 0.0,
        benign_high: 9.0,
    };
    Scaling { features: Fixed::from_slice(&[feature; FEATURES]).unwrap() }
}

fn golden(scaling: &Scaling, seed: f32) -> GoldenVector {
    let row = core::array::from_fn(|index| seed * index as f32);
    let input = scaling.quantize(&row);
    let (mut reconstruction, mut latent) = ([0; FEATURES], [0; LATENT_WIDTH]);
    halve(&input, &mut reconstruction, &mut latent);
    GoldenVector {
        row: Fixed::from_slice(&row).unwrap(),
        input: Fixed::from_slice(&input).unwrap(),
        reconstruction: Fixed::from_slice(&reconstruction).unwrap(),
        latent: Fixed::from_slice(&latent).unwrap(),
        score: scaling.score(&input, &reconstruction),
    }
}

/// A valid manifest of this version for the group `home`.
pub fn manifest(version: u64) -> Manifest {
    let bytes = artifact_bytes();
    let artifact = |form| Artifact { form, sha256: sha256(&bytes), size_bytes: bytes.len() as u32 };
    let scaling = scaling();
    let golden = [golden(&scaling, 0.25), golden(&scaling, 3.0)];
    let knots = [Knot { score: 10, surprise_nats: 0.1 }, Knot { score: 1000, surprise_nats: 7.0 }];
    let limits = [
        LimitKnot { alerts_per_day: 0.1, evidence_nats: 40.0 },
        LimitKnot { alerts_per_day: 1.0, evidence_nats: 20.0 },
    ];
    let kind = KindProfile {
        name: "port-scan".try_into().unwrap(),
        centre: Fixed::from_slice(&[3; FEATURES]).unwrap(),
        radius: 500,
    };
    Manifest {
        group: "home".try_into().unwrap(),
        version,
        created_s: 1_700_000_000,
        expires_s: 1_800_000_000,
        schema: [0x5c; 32],
        artifacts: Fixed::from_slice(&[artifact(ArtifactForm::Int8), artifact(ArtifactForm::Onnx)]).unwrap(),
        latent_width: LATENT_WIDTH as u8,
        scaling,
        calibration: Calibration { knots: Fixed::from_slice(&knots).unwrap(), rows: 5000 },
        evidence_drift_nats: 1.5,
        limits: Fixed::from_slice(&limits).unwrap(),
        kinds: Fixed::from_slice(&[kind]).unwrap(),
        golden: Fixed::from_slice(&golden).unwrap(),
        origin: Origin { data_sha256: [1; 32], rows: 6000, seed: 1, code: "test".try_into().unwrap() },
        floor: 0,
    }
}

/// The signing key made of 32 times `seed`.
pub fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// The public key of [`signing_key`] under the name `id`, as the only trusted key.
pub fn trusted(id: &str, seed: u8) -> TrustedKeys {
    let mut keys = TrustedKeys::default();
    let public = signing_key(seed).verifying_key().to_bytes();
    keys.add(TrustedKey::new(id.try_into().unwrap(), public).unwrap()).unwrap();
    keys
}

/// The manifest, encoded and signed with key `k1` of this seed.
pub fn signed(manifest: &Manifest, seed: u8) -> Vec<u8> {
    let mut room = vec![0; MANIFEST_BYTES];
    let manifest = manifest.encode(&mut room).unwrap();
    let signature = signing_key(seed).sign(&signing_bytes(manifest)).to_bytes();
    let signed = SignedManifest { key: "k1".try_into().unwrap(), signature, manifest };
    signed.encode(&mut vec![0; SIGNED_MANIFEST_BYTES]).unwrap().to_vec()
}

/// Terms that accept [`signed`] with seed 1.
pub fn terms() -> Terms {
    Terms {
        keys: trusted("k1", 1),
        root: None,
        group: "home".try_into().unwrap(),
        schema: [0x5c; 32],
        form: ArtifactForm::Int8,
    }
}

/// A root document of this version for [`signed_root`] with seed 9: key `k1` of seed 1 signs releases of every group.
pub fn root(version: u64) -> RootDocument {
    RootDocument {
        version,
        created_s: 1_700_000_000,
        expires_s: 0,
        threshold: 1,
        roots: Fixed::from_slice(&[root_key(9)]).unwrap(),
        keys: Fixed::from_slice(&[grant("k1", 1)]).unwrap(),
    }
}

/// A root key of this seed.
pub fn root_key(seed: u8) -> RootKey {
    RootKey { name: "root".try_into().unwrap(), public: signing_key(seed).verifying_key().to_bytes() }
}

/// A key of this seed for releases of every group.
pub fn grant(name: &str, seed: u8) -> Grant {
    let public = signing_key(seed).verifying_key().to_bytes();
    let (name, purpose) = (name.try_into().unwrap(), Purpose::Release);
    Grant { name, public, purpose, group: None, until_s: 0, ceiling: 0 }
}

/// The document, encoded and signed with the keys of these seeds.
pub fn signed_root(document: &RootDocument, seeds: &[u8]) -> Vec<u8> {
    let mut room = vec![0; ROOT_BYTES];
    let document = document.encode(&mut room).unwrap();
    let mut bytes = vec![SIGNED_ROOT_VERSION, seeds.len() as u8];
    for seed in seeds {
        let key = signing_key(*seed);
        bytes.extend(key.verifying_key().to_bytes());
        bytes.extend(key.sign(&root_signing_bytes(document)).to_bytes());
    }
    bytes.extend(document);
    bytes
}

/// A chain of signed documents.
pub fn chain(documents: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![CHAIN_VERSION];
    for document in documents {
        bytes.extend((document.len() as u16).to_be_bytes());
        bytes.extend(document);
    }
    bytes
}
