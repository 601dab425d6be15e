//! Failed downloads → when to try again.

use lapwing_shared::release::manifest::Digest;

/// First wait, milliseconds.
pub(super) const FIRST_MS: u64 = 60_000;
/// Longest wait, milliseconds.
pub(super) const LONGEST_MS: u64 = 3_600_000;

/// A release whose download failed through no fault of its own.
#[derive(Clone, Debug)]
pub(super) struct Retry {
    /// Version.
    pub(super) version: u64,
    /// SHA-256 of the manifest.
    pub(super) digest: Digest,
    /// The signed manifest.
    pub(super) signed: Vec<u8>,
    /// Failures in a row.
    failures: u32,
    /// When to try again, milliseconds.
    pub(super) due_ms: u64,
}

impl Retry {
    /// The next attempt after a failure at `now_ms`; `before` is the earlier failure, of any release.
    pub(super) fn after(before: Option<&Self>, version: u64, digest: Digest, signed: Vec<u8>, now_ms: u64) -> Self {
        let failures = before.filter(|before| before.digest == digest).map_or(0, |before| before.failures);
        let due_ms = now_ms + (FIRST_MS << failures.min(16)).min(LONGEST_MS);
        Self { version, digest, signed, failures: failures + 1, due_ms }
    }

    /// Whether to ignore a manifest at this time: this one, or an older release.
    pub(super) fn defers(&self, version: u64, digest: &Digest, now_ms: u64) -> bool {
        now_ms < self.due_ms && (version < self.version || *digest == self.digest)
    }
}
