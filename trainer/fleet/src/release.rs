//! Releases, those that the gate holds back, and the version of the next one.

use serde::Serialize;
use std::path::PathBuf;

/// A release of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Release {
    pub group: String,
    pub version: u64,
    /// SHA-256 of the signed manifest.
    #[serde(skip)]
    pub manifest_sha256: [u8; 32],
    /// Creation time, seconds since the epoch.
    pub made_s: u64,
    /// Path of the release file.
    pub file: PathBuf,
    /// Why it was created; `None` for releases of stores before schema version 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What happened to a release that the gate held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HeldState {
    /// No operator has decided.
    Waiting,
    /// A running `serve` signs and publishes it.
    Approved,
    /// Signed and published.
    Published,
    /// An operator rejected it.
    Rejected,
    /// A newer release replaced it before an operator decided.
    Superseded,
}

impl HeldState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Approved, Self::Published, Self::Rejected, Self::Superseded];

    /// Its name in the store and in lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Published => "published",
            Self::Rejected => "rejected",
            Self::Superseded => "superseded",
        }
    }

    /// The state with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// True if a release may change from this state to `next`. An approved release that cannot be published waits again.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Waiting, Self::Approved | Self::Rejected | Self::Superseded)
                | (Self::Approved, Self::Published | Self::Waiting | Self::Superseded)
        )
    }
}

/// A release that the gate holds back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HeldRelease {
    /// Agent group.
    pub group: String,
    /// Version.
    pub version: u64,
    /// Creation time, seconds since the epoch.
    pub made_s: u64,
    /// Path of the unsigned file.
    pub file: PathBuf,
    /// Why it was created.
    pub reason: String,
    /// Why it is held back, one finding per line.
    pub findings: String,
    /// Its state.
    pub state: HeldState,
    /// Who decided; `None` while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
}

/// The version of a group's next release: above every version that may be in use. `None` if there is no higher one.
pub fn next_version(used: impl IntoIterator<Item = u64>) -> Option<u64> {
    used.into_iter().max().unwrap_or(0).checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decided_release_is_never_decided_again() {
        for state in HeldState::ALL {
            assert_eq!(HeldState::parse(state.as_str()), Some(state));
            for end in [HeldState::Published, HeldState::Rejected, HeldState::Superseded] {
                assert!(!end.may_become(state), "{end:?} → {state:?}");
            }
        }
        assert!(!HeldState::Waiting.may_become(HeldState::Published), "only after approval");
        assert!(HeldState::Approved.may_become(HeldState::Waiting), "publishing failed");
    }

    #[test]
    fn the_next_version_is_above_stored_held_and_restored_ones() {
        assert_eq!(next_version([]), Some(1));
        assert_eq!(next_version([3, 9, 1_000]), Some(1_001));
        assert_eq!(next_version([u64::MAX]), None);
    }
}
