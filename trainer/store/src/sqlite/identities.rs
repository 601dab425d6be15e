//! Tokens that enrol agents, and the agents' identities.

use super::samples::newest_batch;
use super::{SqliteHandle, audit};
use crate::error::StoreError;
use crate::identity_rows::{
    ADD_TOKEN, CHANGED_IDENTITIES, COUNT_CERTIFICATE, CREATE_IDENTITY, DISTRUST, END_TOKEN, ENDED_TOKENS_S,
    FORGET_TOKENS, IDENTITIES, IDENTITIES_ENDING, IDENTITIES_IN_STATE, IDENTITY_COUNTS, IDENTITY_OF_KEY,
    IDENTITY_OF_NAME, MAX_TOKENS, RENAME_IDENTITY, REPLACE_IDENTITY, SET_IDENTITY_STATE, TOKEN, TOKENS, USE_TOKEN,
    changed_identity, identity, identity_counts, token,
};
use crate::traits::{Identities, IdentityFilter};
use lapwing_fleet::{
    AuditEntry, Claim, Decision, EnrolmentToken, Identity, IdentityCounts, IdentityState, Known, TokenTerms, decide,
};

impl SqliteHandle {
    fn claimed(&self, claim: &Claim) -> rusqlite::Result<Known> {
        Ok(Known {
            token: claim.token.map_or(Ok(None), |id| self.row(TOKEN, [id], |row| token(row)))?,
            by_key: self.row(IDENTITY_OF_KEY, [claim.fingerprint], |row| identity(row))?,
            by_name: self.row(IDENTITY_OF_NAME, [claim.name.as_str()], |row| identity(row))?,
        })
    }

    fn carry_out(&self, claim: &Claim, known: &Known, decision: &Decision, now_s: i64) -> rusqlite::Result<()> {
        let (state, replaced) = match decision {
            Decision::Create(state) => (state.as_str(), None),
            Decision::Replace(id, state) => (state.as_str(), Some(id)),
            Decision::Issue(_) | Decision::Wait | Decision::Refuse(_) => return Ok(()),
        };
        // Both decisions need a token.
        let Some(EnrolmentToken { id: token, terms, .. }) = &known.token else { return Ok(()) };
        self.execute(USE_TOKEN, [token])?;
        let (fingerprint, group, who) = (claim.fingerprint, &terms.group, &terms.who);
        match replaced {
            None => {
                let values = (claim.name.as_str(), fingerprint, group, state, now_s, token, who);
                self.execute(CREATE_IDENTITY, values)
            }
            Some(id) => {
                self.execute(DISTRUST, (newest_batch(&self.connection)?, id))?;
                self.execute(REPLACE_IDENTITY, (fingerprint, group, state, now_s, token, who, id))
            }
        }
        .map(drop)
    }

    fn enrol_in(&self, claim: &Claim, until_s: i64, now_s: u64) -> rusqlite::Result<(Decision, Option<Identity>)> {
        let known = self.claimed(claim)?;
        let decision = decide(claim, &known, now_s);
        self.carry_out(claim, &known, &decision, now_s.cast_signed())?;
        if matches!(decision, Decision::Refuse(_)) {
            return Ok((decision, None));
        }
        let found = self.row(IDENTITY_OF_KEY, [claim.fingerprint], |row| identity(row))?;
        match found {
            Some(found) if found.state == IdentityState::Accepted => {
                self.execute(COUNT_CERTIFICATE, (until_s, found.id))?;
                let issued = Identity { issued: found.issued + 1, until_s: until_s.cast_unsigned(), ..found };
                Ok((decision, Some(issued)))
            }
            other => Ok((decision, other)),
        }
    }
}

impl Identities for SqliteHandle {
    fn add_token(&self, secret: &[u8; 16], terms: &TokenTerms, now_s: u64) -> Result<u32, StoreError> {
        let TokenTerms { group, name, uses, until_s, must_be_accepted, replaces, who } = terms;
        let now_s = now_s.cast_signed();
        let values = rusqlite::params![
            secret,
            group,
            name,
            uses,
            until_s.cast_signed(),
            must_be_accepted,
            replaces,
            who,
            now_s,
            MAX_TOKENS
        ];
        let added = self.write(|connection| {
            self.execute(FORGET_TOKENS, [now_s.saturating_sub(ENDED_TOKENS_S)])?;
            let Some(id) = self.row(ADD_TOKEN, values, |row| row.get(0))? else { return Ok(None) };
            audit::append(connection, &AuditEntry::made_token(id, terms, now_s.cast_unsigned()))?;
            Ok(Some(id))
        })?;
        added.ok_or_else(StoreError::too_many_tokens)
    }

    fn token(&self, id: u32) -> Result<Option<EnrolmentToken>, StoreError> {
        self.row(TOKEN, [id], |row| token(row)).map_err(self.sql())
    }

    fn tokens(&self, now_s: u64) -> Result<Vec<EnrolmentToken>, StoreError> {
        self.rows(TOKENS, [now_s.cast_signed()], |row| token(row)).map_err(self.sql())
    }

    fn end_token(&self, id: u32, who: &str, now_s: u64) -> Result<(), StoreError> {
        let entry = AuditEntry::ended_token(id, who, now_s);
        let has_ended = self.change_and_record(END_TOKEN, (now_s.cast_signed(), id), &entry)?;
        if has_ended { Ok(()) } else { Err(StoreError::no_token(id)) }
    }

    fn enrol(&self, claim: &Claim, lifetime_s: u64, now_s: u64) -> Result<(Decision, Option<Identity>), StoreError> {
        let until_s = now_s.saturating_add(lifetime_s).cast_signed();
        self.write(|_| self.enrol_in(claim, until_s, now_s))
    }

    fn identities(&self, filter: &IdentityFilter) -> Result<Vec<Identity>, StoreError> {
        let after = filter.after.as_deref().unwrap_or_default();
        match (filter.ends_before_s, filter.state) {
            (Some(before_s), _) => {
                let values = (after, before_s.cast_signed(), filter.limit);
                self.rows(IDENTITIES_ENDING, values, |row| identity(row))
            }
            (None, None) => self.rows(IDENTITIES, (after, filter.limit), |row| identity(row)),
            (None, Some(state)) => {
                let values = (after, state.as_str(), filter.limit);
                self.rows(IDENTITIES_IN_STATE, values, |row| identity(row))
            }
        }
        .map_err(self.sql())
    }

    fn changed_identities(&self, after_revision: u64, limit: u32) -> Result<Vec<(u64, Identity)>, StoreError> {
        let values = (after_revision.cast_signed(), limit);
        self.rows(CHANGED_IDENTITIES, values, |row| changed_identity(row)).map_err(self.sql())
    }

    fn identity_counts(&self, now_s: u64, ending_s: u64) -> Result<IdentityCounts, StoreError> {
        let values = (now_s.cast_signed(), now_s.saturating_add(ending_s).cast_signed());
        let counts = self.row(IDENTITY_COUNTS, values, |row| identity_counts(row)).map_err(self.sql())?;
        Ok(counts.unwrap_or_default())
    }

    fn identity(&self, name: &str) -> Result<Identity, StoreError> {
        let found = self.row(IDENTITY_OF_NAME, [name], |row| identity(row)).map_err(self.sql())?;
        found.ok_or_else(|| StoreError::no_identity(name))
    }

    fn set_identity_state(
        &self,
        identity: &Identity,
        state: IdentityState,
        who: &str,
        now_s: u64,
    ) -> Result<(), StoreError> {
        let before = identity.state.as_str();
        let values = (state.as_str(), who, now_s.cast_signed(), identity.id, identity.fingerprint, before);
        let entry = AuditEntry::decided_identity(identity, state, who, now_s);
        let is_set = self.change_and_record(SET_IDENTITY_STATE, values, &entry)?;
        if is_set { Ok(()) } else { Err(StoreError::identity_changed(&identity.name)) }
    }

    fn rename_identity(&self, name: &str, new: &str, who: &str, now_s: u64) -> Result<(), StoreError> {
        let entry = AuditEntry::renamed_identity(name, new, who, now_s);
        if self.change_and_record(RENAME_IDENTITY, (new, who, now_s.cast_signed(), name), &entry)? {
            return Ok(());
        }
        Err(self.identity(name).map_or_else(|error| error, |found| StoreError::not_renamed(&found, new)))
    }
}
