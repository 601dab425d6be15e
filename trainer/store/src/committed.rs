//! What a commit did with the messages of a batch.

use lapwing_shared::messages::AgentName;

/// Feature schemas in the store besides the one of this program, which is always accepted.
pub(crate) const MAX_SCHEMAS: usize = 16;
/// Rejected messages of a commit that it lists.
pub(crate) const LISTED_REJECTIONS: usize = 4;

/// Result of a commit, in messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Committed {
    pub stored: u64,
    /// Messages that were already stored.
    pub duplicates: u64,
    /// Messages of agents beyond the limit; not stored and not acknowledged.
    pub refused: u64,
    pub sample_rows: u64,
    /// Duplicates of alerts, among the duplicates.
    pub duplicate_alerts: u64,
    /// Messages rejected, see [`Rejection`].
    pub rejected: u64,
    /// The first few of them.
    pub rejections: Vec<(AgentName, Rejection)>,
    /// Why the limits of the store could not be enforced after the commit; the next one tries again.
    pub retention_error: Option<String>,
}

/// Why a message was not stored, though its agent is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Not acknowledged, because the number may be forged.
    #[error(
        "number too far beyond the highest stored one: forged, or the store is an old backup; in that case run \
         `lapwing-trainer agents forget NAME`"
    )]
    NumberTooFar,
    /// Acknowledged, so that the agent does not repeat it.
    #[error("sample batch without rows")]
    NoRows,
    /// Acknowledged, so that the agent does not repeat it.
    #[error("sample batch of an unknown feature schema; the store has {MAX_SCHEMAS} already")]
    UnknownSchema,
}
