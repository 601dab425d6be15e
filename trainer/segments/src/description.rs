//! What an index keeps of a segment.

use lapwing_shared::features::SchemaId;
use lapwing_shared::release::digest::{Hex, parse_digest};
use lapwing_shared::units::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Describes a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Segment {
    /// File name, without folders.
    pub file: String,
    /// Rows.
    pub rows: u64,
    /// Sample batches that the rows come from.
    pub batches: u64,
    /// Size of the file.
    pub bytes: u64,
    /// SHA-256 of the file.
    #[serde(with = "hex")]
    pub sha256: [u8; 32],
    /// Group of its agents.
    pub group: String,
    /// Time of the first row, capture time; nanoseconds since the epoch.
    #[serde(rename = "first-ns")]
    pub first: Timestamp,
    /// Time of the last row.
    #[serde(rename = "last-ns")]
    pub last: Timestamp,
    /// Highest [`Row::arrival`](crate::Row::arrival).
    pub last_arrival: u64,
    /// Feature schema.
    #[serde(with = "hex")]
    pub schema: SchemaId,
    /// When it was written, seconds since the epoch.
    pub written_s: u64,
}

/// 32 bytes ↔ 64 hexadecimal digits.
mod hex {
    use super::*;

    pub(super) fn serialize<S: Serializer>(digest: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Hex(digest))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_digest(&text).ok_or_else(|| de::Error::custom(format!("`{text}`: expected 64 lower-case hex digits")))
    }
}
