//! Secrets of seals ↔ two settings, in hexadecimal.

use lapwing_shared::messages::sealed::SealSecret;
use lapwing_shared::release::digest::{Hex, parse_digest};

/// Setting: the present secret.
pub(crate) const PRESENT: &str = "seal-secret";
/// Setting: the secret before it.
pub(crate) const PREVIOUS: &str = "seal-secret-previous";

pub(crate) const SECRETS: &str = "SELECT value FROM settings WHERE name IN ('seal-secret', 'seal-secret-previous') \
    ORDER BY name";
pub(crate) const BEGIN: &str = "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING";
pub(crate) const KEEP_PREVIOUS: &str = "INSERT INTO settings (name, value) \
    SELECT ?1, value FROM settings WHERE name = ?2 ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// The value of a setting.
pub(crate) fn text(secret: &SealSecret) -> String {
    Hex(secret).to_string()
}

/// Secrets of values; one that someone damaged is left out, and nothing is accepted that it would have sealed.
pub(crate) fn secrets(values: &[String]) -> Vec<SealSecret> {
    values.iter().filter_map(|value| parse_digest(value)).collect()
}
