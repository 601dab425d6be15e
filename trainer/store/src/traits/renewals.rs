//! Requests of running agents for their next certificates: from processes that read the brokers to those that have the
//! authority's key, and back.

use crate::error::StoreError;
use lapwing_fleet::{Identity, Renewal, RenewalClaim};
use lapwing_shared::release::manifest::Digest;

/// A request that waits for a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalRow {
    /// The agent.
    pub agent: String,
    /// Bytes that it published.
    pub request: Vec<u8>,
    /// When they arrived, seconds since the epoch.
    pub asked_s: u64,
}

/// Requests for certificates. Each identity has one at most.
pub trait Renewals {
    /// Adds a request of an accepted identity; it replaces an earlier one that is older than
    /// [`crate::RENEWAL_PAUSE_S`]. False if there is no such identity, or its last request is newer.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn ask_renewal(&self, agent: &str, key: &Digest, request: &[u8], now_s: u64) -> Result<bool, StoreError>;

    /// At most `limit` requests that wait for a response, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn waiting_renewals(&self, limit: u32) -> Result<Vec<RenewalRow>, StoreError>;

    /// Adds the response to a request, unless a newer request has replaced it. An empty one is not sent.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn answer_renewal(&self, row: &RenewalRow, response: &[u8]) -> Result<(), StoreError>;

    /// At most `limit` responses that no other process has taken, by agent.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn take_renewals(&self, limit: u32) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Decides about a request ([`lapwing_fleet::decide_renewal`]) and counts the certificate that is to be issued, which is
    /// valid for `lifetime_s`, in one transaction; the identity is as it is afterwards.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn renew(
        &self,
        claim: &RenewalClaim,
        lifetime_s: u64,
        now_s: u64,
    ) -> Result<(Renewal, Option<Identity>), StoreError>;
}
