//! The release of the edge goldens, with other versions and signed with a test key → retained topics of a broker.

use anyhow::Context;
use ed25519_dalek::{Signer, SigningKey};
use lapwing_shared::messages::topics::{chunk_topic, manifest_topic, release_topic, rollout_topic};
use lapwing_shared::release::file::ReleaseFile;
use lapwing_shared::release::manifest::{Artifact, ArtifactForm, CHUNK_BYTES, MANIFEST_BYTES, Manifest, Name};
use lapwing_shared::release::name::parse_name;
use lapwing_shared::release::signature::{SIGNED_MANIFEST_BYTES, SignedManifest, TrustedKey, signing_bytes};
use lapwing_shared::rollout::message::{ROLLOUT_BYTES, Rollout};
use lapwing_shared::rollout::signed;

/// Release of two small homes, from `tests/edge/data/make-release`.
const FILE: &[u8] = include_bytes!("../../edge/data/release-1.lwr");
/// Name of the test's key.
const KEY: &str = "bench";

/// Damage to a published release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    None,
    /// One flipped bit in the signed manifest.
    Manifest,
    /// One flipped bit in the network, so that the chunk does not match the signed digest.
    Chunk,
}

/// Key that signs releases for the guests.
pub(crate) struct TestKey {
    signing: SigningKey,
}

/// A topic and its retained payload.
pub(crate) type Retained = (String, Vec<u8>);

impl Default for TestKey {
    fn default() -> Self {
        // Only the guests of this test trust it.
        Self { signing: SigningKey::from_bytes(&[7; 32]) }
    }
}

impl TestKey {
    /// Contents of the public key file.
    pub(crate) fn public(&self) -> anyhow::Result<String> {
        let name = parse_name(KEY).context("key name")?;
        Ok(format!("{}\n", TrustedKey::new(name, self.signing.verifying_key().to_bytes())?))
    }

    /// Topics of a release in publishing order: chunks, then the signed manifest. Only the version differs from the
    /// goldens' release, so all versions share their chunks.
    pub(crate) fn release(&self, version: u64, form: ArtifactForm, damage: Damage) -> anyhow::Result<Vec<Retained>> {
        let file = ReleaseFile::decode(FILE)?;
        let mut manifest = Manifest::decode(SignedManifest::decode(file.signed)?.manifest)?;
        manifest.version = version;
        let place = manifest.artifacts.iter().position(|artifact| artifact.form == form).context("no such form")?;
        let mut network = file.artifacts[place].to_vec();
        if damage == Damage::Chunk {
            // Use another digest, so that the intact chunks of other releases are not overwritten.
            manifest.artifacts[place] = Artifact { sha256: [0xdd; 32], ..manifest.artifacts[place] };
            network[100] ^= 1;
        }
        let mut signed = self.sign(&manifest)?;
        if damage == Damage::Manifest {
            let middle = signed.len() / 2;
            signed[middle] ^= 1;
        }
        let sha256 = manifest.artifacts[place].sha256;
        let chunks = (0..).zip(network.chunks(CHUNK_BYTES as usize));
        let mut topics: Vec<Retained> =
            chunks.map(|(number, chunk)| (chunk_topic(&sha256, number).to_string(), chunk.to_vec())).collect();
        topics.push((release_topic(&manifest.group).to_string(), signed));
        Ok(topics)
    }

    /// Group of the releases.
    pub(crate) fn group(&self) -> anyhow::Result<Name> {
        let file = ReleaseFile::decode(FILE)?;
        Ok(Manifest::decode(SignedManifest::decode(file.signed)?.manifest)?.group)
    }

    /// The same for agents with a rollout, which look at the topic of the version.
    pub(crate) fn for_rollouts(&self, version: u64, form: ArtifactForm) -> anyhow::Result<Vec<Retained>> {
        let mut topics = self.release(version, form, Damage::None)?;
        if let Some((topic, _)) = topics.last_mut() {
            *topic = manifest_topic(&self.group()?, version).to_string();
        }
        Ok(topics)
    }

    /// A signed rollout.
    pub(crate) fn rollout(&self, rollout: &Rollout) -> anyhow::Result<Retained> {
        let (name, mut room) = (parse_name(KEY).context("key name")?, [0; ROLLOUT_BYTES]);
        let signed = signed::seal(rollout, &name, |bytes| self.signing.sign(bytes).to_bytes(), &mut room)?;
        Ok((rollout_topic(&rollout.group).to_string(), signed.to_vec()))
    }

    fn sign(&self, manifest: &Manifest) -> anyhow::Result<Vec<u8>> {
        let mut buffer = vec![0; MANIFEST_BYTES];
        let manifest = manifest.encode(&mut buffer)?;
        let signature = self.signing.sign(&signing_bytes(manifest)).to_bytes();
        let signed = SignedManifest { key: parse_name(KEY).context("key name")?, signature, manifest };
        Ok(signed.encode(&mut vec![0; SIGNED_MANIFEST_BYTES])?.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::features::schema::schema_id;
    use lapwing_shared::release::accept::{Refusal, Terms, accept};
    use lapwing_shared::release::signature::TrustedKeys;
    use lapwing_shared::release::update::UpdateState;

    fn offered(version: u64, damage: Damage) -> (Result<(), Refusal>, Vec<u8>) {
        let key = TestKey::default();
        let keys = TrustedKeys::parse(&key.public().unwrap()).unwrap();
        let group = parse_name("default").unwrap();
        let terms = Terms { keys, root: None, group: group.clone(), schema: schema_id(), form: ArtifactForm::Int8 };
        let mut topics = key.release(version, ArtifactForm::Int8, damage).unwrap();
        let (_, signed) = topics.pop().unwrap();
        let network: Vec<u8> = topics.into_iter().flat_map(|(_, chunk)| chunk).collect();
        let verified = accept(&signed, &terms, &UpdateState::new(group), None);
        (verified.and_then(|verified| verified.with_artifact(&network)), network)
    }

    #[test]
    fn an_agent_accepts_the_intact_release_and_rejects_damaged_ones() {
        assert_eq!(offered(7, Damage::None).0, Ok(()));
        assert_eq!(offered(7, Damage::Chunk).0, Err(Refusal::Artifact));
        assert!(matches!(offered(7, Damage::Manifest).0, Err(Refusal::Signature(_))));
    }
}
