//! Why a segment cannot be written or read: the file, what was found, and what was expected.

use std::io;

/// Why a segment cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum SegmentError {
    /// The file cannot be read.
    #[error("cannot read {file}: {source}")]
    Read { file: String, source: io::Error },
    /// The file cannot be written; the rows stay with the caller.
    #[error("cannot write {file}: {source}")]
    Write { file: String, source: io::Error },
    /// The place does not belong to this store.
    #[error("{place} {what}; {expected}")]
    Owner { place: String, what: String, expected: String },
    /// Not a name of a segment.
    #[error("`{file}` is not the name of a segment: expected segment-SECONDS-DIGITS.parquet, without folders")]
    Name { file: String },
    /// Another file than the one described, or a damaged one.
    #[error("{file} has SHA-256 {found}, expected {expected}: it was changed or damaged; restore it from a backup")]
    Digest { file: String, found: String, expected: String },
    /// Not written by Lapwing.
    #[error("{file} is not a segment of Lapwing: {what}; expected {expected}")]
    Foreign { file: String, what: String, expected: String },
    /// Written by a newer program.
    #[error("{file} has segment format {found}, this program reads formats up to {known}; use a newer program")]
    Newer { file: String, found: u32, known: u32 },
    /// Rows of another feature schema.
    #[error("{file} has feature schema {found}, expected {expected}; use the program that wrote it")]
    OtherSchema { file: String, found: String, expected: String },
    /// A segment that cannot be decoded.
    #[error("{file} is damaged: {what}; expected {expected}")]
    Damaged { file: String, what: String, expected: String },
    /// The file or a part of it exceeds a limit.
    #[error("{file} has {found} {unit}, more than the limit of {limit}")]
    TooLarge { file: String, found: u64, limit: u64, unit: &'static str },
    /// A sampling rate that selects nothing, or NaN.
    #[error("invalid sampling rate {rate}: expected more than 0 and at most 1")]
    Rate { rate: f64 },
    /// Parquet refused to encode the rows.
    #[error("cannot encode a segment: {reason}")]
    Encode { reason: String },
}
