//! Statements of requests for certificates, and their rows.

use crate::fields::Fields;
use crate::traits::RenewalRow;

/// An agent's next request replaces the last one after this time, seconds.
pub const RENEWAL_PAUSE_S: u64 = 60;
/// Requests and responses are kept for this time, seconds.
pub(crate) const KEPT_S: i64 = 86_400;

pub(crate) const FORGET_RENEWALS: &str = "DELETE FROM renewals WHERE asked_s < ?1";
/// A time after this request's is of a clock that has been set back.
pub(crate) const ASK_RENEWAL: &str = "INSERT INTO renewals (agent, request, asked_s) SELECT ?1, ?2, ?3 \
    WHERE EXISTS (SELECT 1 FROM identities WHERE name = ?1 AND fingerprint = ?4 AND state = 'accepted') \
    ON CONFLICT (agent) DO UPDATE SET request = excluded.request, asked_s = excluded.asked_s, state = 0, response = NULL \
    WHERE renewals.asked_s <= ?5 OR renewals.asked_s > excluded.asked_s";
pub(crate) const WAITING_RENEWALS: &str =
    "SELECT agent, request, asked_s FROM renewals WHERE state = 0 ORDER BY asked_s LIMIT ?1";
pub(crate) const ANSWER_RENEWAL: &str =
    "UPDATE renewals SET response = ?1, state = 1 WHERE agent = ?2 AND asked_s = ?3 AND state = 0";
pub(crate) const ANY_ANSWERED_RENEWAL: &str = "SELECT EXISTS (SELECT 1 FROM renewals WHERE state = 1)";
pub(crate) const TAKE_RENEWALS: &str = "UPDATE renewals SET state = 2 WHERE state = 1 AND agent IN \
    (SELECT agent FROM renewals WHERE state = 1 ORDER BY agent LIMIT ?1) RETURNING agent, response";

/// A row of [`WAITING_RENEWALS`].
pub(crate) fn waiting<R: Fields>(row: &R) -> Result<RenewalRow, R::Error> {
    Ok(RenewalRow { agent: row.text(0)?, request: row.bytes(1)?, asked_s: row.unsigned(2)? })
}

/// A row of [`TAKE_RENEWALS`].
pub(crate) fn answered<R: Fields>(row: &R) -> Result<(String, Vec<u8>), R::Error> {
    Ok((row.text(0)?, row.bytes_or_null(1)?.unwrap_or_default()))
}
