//! Secrets of which the agents' seal keys are derived.

use crate::error::StoreError;
use lapwing_shared::messages::sealed::SealSecret;

/// The present secret and the previous one.
pub trait Seals {
    /// Secrets, the present one first; at most two.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn seal_secrets(&self) -> Result<Vec<SealSecret>, StoreError>;

    /// Stores the first secret; a store that has one keeps it. Returns the present secret.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn begin_seals(&self, first: &SealSecret) -> Result<SealSecret, StoreError>;

    /// Replaces the present secret, which becomes the previous one.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn replace_seals(&self, secret: &SealSecret, who: &str, now_s: u64) -> Result<(), StoreError>;
}
