//! Statements of tokens and identities, and their rows.

use crate::fields::Fields;
use lapwing_fleet::{EnrolmentToken, Identity, IdentityCounts, IdentityState, TokenTerms};

/// Tokens that have not ended, at most.
pub const MAX_TOKENS: u32 = 10_000;
/// Ended tokens are kept for this time, so that agents learn why theirs is refused.
pub(crate) const ENDED_TOKENS_S: i64 = 90 * 86_400;

pub(crate) const ADD_TOKEN: &str = "INSERT INTO enrolment_tokens \
    (secret, group_name, name, uses, until_s, must_be_accepted, replaces, who, created_s) \
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE (SELECT count(*) FROM enrolment_tokens WHERE until_s > ?9) < ?10 \
    RETURNING id";
pub(crate) const FORGET_TOKENS: &str = "DELETE FROM enrolment_tokens WHERE until_s < ?1";
pub(crate) const TOKEN: &str = "SELECT id, secret, group_name, name, uses, used, until_s, must_be_accepted, replaces, who \
    FROM enrolment_tokens WHERE id = ?1";
pub(crate) const TOKENS: &str = "SELECT id, secret, group_name, name, uses, used, until_s, must_be_accepted, replaces, who \
    FROM enrolment_tokens WHERE until_s > ?1 ORDER BY id DESC";
pub(crate) const END_TOKEN: &str = "UPDATE enrolment_tokens SET until_s = ?1 WHERE id = ?2 AND until_s > ?1";
pub(crate) const USE_TOKEN: &str = "UPDATE enrolment_tokens SET used = used + 1 WHERE id = ?1 AND used < uses";

pub(crate) const IDENTITY_OF_KEY: &str = "SELECT id, name, fingerprint, group_name, state, issued, until_s, enrolled_s, who \
    FROM identities WHERE fingerprint = ?1";
pub(crate) const IDENTITY_OF_NAME: &str =
    "SELECT id, name, fingerprint, group_name, state, issued, until_s, enrolled_s, who FROM identities WHERE name = ?1";
pub(crate) const IDENTITIES: &str = "SELECT id, name, fingerprint, group_name, state, issued, until_s, enrolled_s, who \
    FROM identities WHERE name > ?1 ORDER BY name LIMIT ?2";
pub(crate) const IDENTITIES_IN_STATE: &str = "SELECT id, name, fingerprint, group_name, state, issued, until_s, enrolled_s, who \
     FROM identities WHERE name > ?1 AND state = ?2 ORDER BY name LIMIT ?3";
/// After a revision, in the order of their revisions. Whoever changes an identity gives it the next revision: readers find
/// changes by it, so in PostgreSQL changes wait for each other.
pub(crate) const CHANGED_IDENTITIES: &str = "SELECT id, name, fingerprint, group_name, state, issued, until_s, enrolled_s, \
    who, revision FROM identities WHERE revision > ?1 ORDER BY revision LIMIT ?2";
pub(crate) const IDENTITIES_ENDING: &str = "SELECT id, name, fingerprint, group_name, state, issued, until_s, enrolled_s, who \
    FROM identities WHERE name > ?1 AND state = 'accepted' AND until_s > 0 AND until_s < ?2 ORDER BY name LIMIT ?3";
/// Waiting, accepted, revoked, ending between two times, ended at the first.
pub(crate) const IDENTITY_COUNTS: &str = "SELECT coalesce(sum(CASE WHEN state = 'waiting' THEN 1 ELSE 0 END), 0), \
    coalesce(sum(CASE WHEN state = 'accepted' THEN 1 ELSE 0 END), 0), \
    coalesce(sum(CASE WHEN state = 'revoked' THEN 1 ELSE 0 END), 0), \
    coalesce(sum(CASE WHEN state = 'accepted' AND until_s > ?1 AND until_s < ?2 THEN 1 ELSE 0 END), 0), \
    coalesce(sum(CASE WHEN state = 'accepted' AND until_s > 0 AND until_s <= ?1 THEN 1 ELSE 0 END), 0) FROM identities";
pub(crate) const CREATE_IDENTITY: &str = "INSERT INTO identities \
    (name, fingerprint, group_name, state, enrolled_s, token, who, changed_s, revision) VALUES (?1, ?2, ?3, ?4, ?5, ?6, \
    ?7, ?5, (SELECT coalesce(max(revision), 0) + 1 FROM identities))";
pub(crate) const REPLACE_IDENTITY: &str = "UPDATE identities SET fingerprint = ?1, group_name = ?2, state = ?3, \
    enrolled_s = ?4, token = ?5, who = ?6, changed_s = ?4, revision = (SELECT max(revision) + 1 FROM identities) WHERE id = ?7";
/// Before an identity gets another key: the rows of a revoked one never train.
pub(crate) const DISTRUST: &str = "UPDATE identities SET rows_after = ?1 WHERE id = ?2 AND state = 'revoked'";
pub(crate) const COUNT_CERTIFICATE: &str = "UPDATE identities SET issued = issued + 1, until_s = ?1, \
    revision = (SELECT max(revision) + 1 FROM identities) WHERE id = ?2";
pub(crate) const SET_IDENTITY_STATE: &str = "UPDATE identities SET state = ?1, who = ?2, changed_s = ?3, \
    revision = (SELECT max(revision) + 1 FROM identities) \
    WHERE id = ?4 AND fingerprint = ?5 AND state = ?6 AND state <> 'revoked'";
pub(crate) const RENAME_IDENTITY: &str = "UPDATE identities SET name = ?1, who = ?2, changed_s = ?3, \
    revision = (SELECT max(revision) + 1 FROM identities) WHERE name = ?4 \
    AND issued = 0 AND NOT EXISTS (SELECT 1 FROM identities AS other WHERE other.name = ?1)";

/// A row of [`TOKEN`].
pub(crate) fn token<R: Fields>(row: &R) -> Result<EnrolmentToken, R::Error> {
    Ok(EnrolmentToken {
        id: row.small(0)?,
        secret: row.bytes(1)?.try_into().map_err(|_| R::invalid(1, "a secret of 16 bytes"))?,
        terms: TokenTerms {
            group: row.text(2)?,
            name: row.text_or_null(3)?,
            uses: row.small(4)?,
            until_s: row.unsigned(6)?,
            must_be_accepted: row.flag(7)?,
            replaces: row.flag(8)?,
            who: row.text(9)?,
        },
        used: row.small(5)?,
    })
}

/// The row of [`IDENTITY_COUNTS`].
pub(crate) fn identity_counts<R: Fields>(row: &R) -> Result<IdentityCounts, R::Error> {
    Ok(IdentityCounts {
        waiting: row.unsigned(0)?,
        accepted: row.unsigned(1)?,
        revoked: row.unsigned(2)?,
        ending: row.unsigned(3)?,
        ended: row.unsigned(4)?,
    })
}

/// A row of [`IDENTITY_OF_NAME`].
pub(crate) fn identity<R: Fields>(row: &R) -> Result<Identity, R::Error> {
    Ok(Identity {
        id: row.small(0)?,
        name: row.text(1)?,
        fingerprint: row.bytes(2)?.try_into().map_err(|_| R::invalid(2, "a digest of 32 bytes"))?,
        group: row.text(3)?,
        // The table allows no other names.
        state: IdentityState::parse(&row.text(4)?).unwrap_or(IdentityState::Revoked),
        issued: row.small(5)?,
        until_s: row.unsigned(6)?,
        enrolled_s: row.unsigned(7)?,
        who: row.text(8)?,
    })
}

/// A row of [`CHANGED_IDENTITIES`].
pub(crate) fn changed_identity<R: Fields>(row: &R) -> Result<(u64, Identity), R::Error> {
    Ok((row.unsigned(9)?, identity(row)?))
}
