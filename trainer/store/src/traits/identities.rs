//! Tokens that enrol agents, and the agents' identities.

use crate::error::StoreError;
use lapwing_fleet::{Claim, Decision, EnrolmentToken, Identity, IdentityCounts, IdentityState, TokenTerms};

/// Identities to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityFilter {
    /// Only in this state.
    pub state: Option<IdentityState>,
    /// Only with names after this one.
    pub after: Option<String>,
    /// Only accepted ones whose certificate ends before this time, seconds since the epoch.
    pub ends_before_s: Option<u64>,
    /// Maximum number.
    pub limit: u32,
}

/// Tokens and identities.
pub trait Identities {
    /// Adds a token; returns its number. Tokens that ended long ago are deleted.
    ///
    /// # Errors
    /// When the store cannot be written, or has [`crate::MAX_TOKENS`] tokens that have not ended.
    fn add_token(&self, secret: &[u8; 16], terms: &TokenTerms, now_s: u64) -> Result<u32, StoreError>;

    /// A token.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn token(&self, id: u32) -> Result<Option<EnrolmentToken>, StoreError>;

    /// Tokens that have not ended, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn tokens(&self, now_s: u64) -> Result<Vec<EnrolmentToken>, StoreError>;

    /// Ends a token now.
    ///
    /// # Errors
    /// When there is no such token, or the store cannot be written.
    fn end_token(&self, id: u32, who: &str, now_s: u64) -> Result<(), StoreError>;

    /// Decides about a claim ([`lapwing_fleet::decide`]) and carries the decision out, in one transaction that other claims
    /// wait for. A certificate that is to be issued is counted, and valid for `lifetime_s`; the identity is as it is
    /// afterwards, `None` if the claim is refused.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn enrol(&self, claim: &Claim, lifetime_s: u64, now_s: u64) -> Result<(Decision, Option<Identity>), StoreError>;

    /// Identities in the order of their names.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn identities(&self, filter: &IdentityFilter) -> Result<Vec<Identity>, StoreError>;

    /// At most `limit` identities that were created or changed after a revision, each with its own, in their order.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn changed_identities(&self, after_revision: u64, limit: u32) -> Result<Vec<(u64, Identity)>, StoreError>;

    /// Numbers of identities at `now_s`; certificates with less than `ending_s` left end soon.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn identity_counts(&self, now_s: u64, ending_s: u64) -> Result<IdentityCounts, StoreError>;

    /// The identity with this name.
    ///
    /// # Errors
    /// When no identity has this name, or the store cannot be read.
    fn identity(&self, name: &str) -> Result<Identity, StoreError>;

    /// Accepts or revokes an identity that still has this state and key: an operator decides about what a list showed.
    /// Revoked identities cannot be accepted.
    ///
    /// # Errors
    /// When it has changed, or the store cannot be written.
    fn set_identity_state(
        &self,
        identity: &Identity,
        state: IdentityState,
        who: &str,
        now_s: u64,
    ) -> Result<(), StoreError>;

    /// Changes the name of an identity that has no certificate. Its agent learns the name at its next request.
    ///
    /// # Errors
    /// When there is no such identity, it has had a certificate, another has the new name, or the store cannot be written.
    fn rename_identity(&self, name: &str, new: &str, who: &str, now_s: u64) -> Result<(), StoreError>;
}
