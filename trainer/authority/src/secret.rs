//! Random bytes of the system.

use super::error::AuthorityError;

/// Secret bytes.
///
/// # Errors
/// [`AuthorityError::Random`].
pub fn random<const BYTES: usize>() -> Result<[u8; BYTES], AuthorityError> {
    let mut bytes = [0; BYTES];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| AuthorityError::Random)?;
    Ok(bytes)
}
