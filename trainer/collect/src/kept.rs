//! Retained messages of an outside broker → those that it does not have as published.

use lapwing_shared::messages::topics::{Kind, Topic, agents_filter};
use lapwing_shared::release::digest::sha256;
use lapwing_shared::release::manifest::Digest;
use lapwing_shared::release::root::CHAIN_BYTES;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// A topic, and the digest of the payload that was published on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Topic of a release or a chunk.
    pub topic: String,
    /// SHA-256 of the payload.
    pub sha256: Digest,
}

impl Expected {
    /// Of a payload.
    pub fn new(topic: &str, payload: &[u8]) -> Self {
        Self { topic: topic.to_owned(), sha256: sha256(payload) }
    }

    /// Filter that selects it: one for all chunks of an artifact, and one for all assignments.
    pub(super) fn filter(&self) -> String {
        if matches!(Topic::parse(&self.topic), Some(Topic::Agent(_, Kind::Assignment))) {
            return agents_filter(Kind::Assignment).to_string();
        }
        match self.topic.rsplit_once('/') {
            Some((artifact, chunk)) if chunk.bytes().all(|byte| byte.is_ascii_digit()) => format!("{artifact}/+"),
            _ => self.topic.clone(),
        }
    }
}

/// What a check waits for.
#[derive(Default)]
struct Waiting {
    /// Topics that the broker has not returned yet; as many as a release has chunks.
    missing: HashMap<String, Digest>,
    /// Other root documents that it returned instead, by topic.
    other_roots: HashMap<String, Vec<u8>>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Kept(Mutex<Waiting>);

impl Kept {
    pub(super) fn expect(&self, expected: Vec<Expected>) {
        let missing = expected.into_iter().map(|expected| (expected.topic, expected.sha256)).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Waiting { missing, ..Waiting::default() };
    }

    /// A retained message that the broker returned.
    pub(super) fn returned(&self, topic: &str, payload: &[u8]) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.missing.get(topic).is_some_and(|expected| *expected == sha256(payload)) {
            waiting.missing.remove(topic);
        }
    }

    /// Retained root documents that the broker returned: others than expected may be newer.
    pub(super) fn returned_root(&self, topic: &str, payload: &[u8]) {
        self.returned(topic, payload);
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if payload.len() <= CHAIN_BYTES && waiting.missing.contains_key(topic) {
            waiting.other_roots.insert(topic.to_owned(), payload.to_vec());
        }
    }

    /// The other root documents of this topic.
    pub(super) fn other_root(&self, topic: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).other_roots.get(topic).cloned()
    }

    /// Topics that are missing.
    pub(super) fn missing(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).missing.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_with_another_payload_is_missing() {
        let kept = Kept::default();
        kept.expect(vec![Expected::new("a/artifact/0", b"zero"), Expected::new("a/group/home/release", b"manifest")]);
        kept.returned("a/artifact/0", b"other");
        kept.returned("a/artifact/1", b"zero");
        kept.returned("a/group/home/release", b"manifest");
        assert_eq!(kept.missing(), ["a/artifact/0"]);
        kept.returned("a/artifact/0", b"zero");
        assert!(kept.missing().is_empty());
    }

    #[test]
    fn other_root_documents_of_an_expected_topic_are_kept_until_the_next_check() {
        let kept = Kept::default();
        let expect = || kept.expect(vec![Expected::new("home", b"published"), Expected::new("shop", b"published")]);
        expect();
        kept.returned_root("home", b"newer");
        kept.returned_root("shop", b"published");
        kept.returned_root("barn", b"newer");
        kept.returned_root("home", &[0; CHAIN_BYTES + 1]);
        assert_eq!(kept.missing(), ["home"]);
        assert_eq!(["home", "shop", "barn"].map(|topic| kept.other_root(topic)), [Some(b"newer".to_vec()), None, None]);
        expect();
        assert_eq!(kept.other_root("home"), None);
    }

    #[test]
    fn one_filter_selects_all_chunks_of_an_artifact_and_one_all_assignments() {
        assert_eq!(Expected::new("a/artifact/12", b"").filter(), "a/artifact/+");
        assert_eq!(Expected::new("a/group/home/release", b"").filter(), "a/group/home/release");
        let assignment = Expected::new("lapwing/v1/agent/gw-1/assignment", b"");
        assert_eq!(assignment.filter(), "lapwing/v1/agent/+/assignment");
    }
}
