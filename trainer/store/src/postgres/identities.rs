//! Tokens that enrol agents, and the agents' identities.

use super::fields::searched;
use super::schema::Lock;
use super::session::{Queried, Session};
use super::{PostgresHandle, arrivals, audit};
use crate::error::StoreError;
use crate::fields::Fields;
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

/// A value of a query.
type Value<'a> = &'a (dyn postgres::types::ToSql + Sync);

fn claimed(session: &mut Session, claim: &Claim) -> Queried<Known> {
    Ok(Known {
        token: match claim.token {
            Some(id) => session.row(TOKEN, &[&i64::from(id)], token)?,
            None => None,
        },
        by_key: session.row(IDENTITY_OF_KEY, &[&claim.fingerprint.as_slice()], identity)?,
        by_name: session.row(IDENTITY_OF_NAME, &[&claim.name.as_str()], identity)?,
    })
}

fn carry_out(session: &mut Session, claim: &Claim, known: &Known, decision: &Decision, now_s: i64) -> Queried<()> {
    let (state, replaced) = match decision {
        Decision::Create(state) => (state.as_str(), None),
        Decision::Replace(id, state) => (state.as_str(), Some(i64::from(*id))),
        Decision::Issue(_) | Decision::Wait | Decision::Refuse(_) => return Ok(()),
    };
    // Both decisions need a token.
    let Some(EnrolmentToken { id, terms, .. }) = &known.token else { return Ok(()) };
    let (token, fingerprint) = (i64::from(*id), claim.fingerprint.as_slice());
    session.change(USE_TOKEN, &[&token])?;
    let (group, who) = (&terms.group, &terms.who);
    match replaced {
        None => {
            let name = claim.name.as_str();
            session.change(CREATE_IDENTITY, &[&name, &fingerprint, group, &state, &now_s, &token, who])
        }
        Some(id) => {
            let newest = arrivals::newest_settled(session)?;
            session.change(DISTRUST, &[&newest, &id])?;
            session.change(REPLACE_IDENTITY, &[&fingerprint, group, &state, &now_s, &token, who, &id])
        }
    }
    .map(drop)
}

fn enrol_in(session: &mut Session, claim: &Claim, until_s: i64, now_s: u64) -> Queried<(Decision, Option<Identity>)> {
    session.lock(Lock::Identities)?;
    let known = claimed(session, claim)?;
    let decision = decide(claim, &known, now_s);
    carry_out(session, claim, &known, &decision, now_s.cast_signed())?;
    if matches!(decision, Decision::Refuse(_)) {
        return Ok((decision, None));
    }
    let found = session.row(IDENTITY_OF_KEY, &[&claim.fingerprint.as_slice()], identity)?;
    match found {
        Some(found) if found.state == IdentityState::Accepted => {
            session.change(COUNT_CERTIFICATE, &[&until_s, &i64::from(found.id)])?;
            let issued = Identity { issued: found.issued + 1, until_s: until_s.cast_unsigned(), ..found };
            Ok((decision, Some(issued)))
        }
        other => Ok((decision, other)),
    }
}

impl PostgresHandle {
    /// Changes an identity and records it; false if there was nothing to change.
    fn change_identity(&self, text: &str, values: &[Value<'_>], entry: &AuditEntry) -> Result<bool, StoreError> {
        self.write(|session| {
            session.lock(Lock::Identities)?;
            if session.change(text, values)? == 0 {
                return Ok(false);
            }
            audit::append(session, entry).map(|()| true)
        })
    }
}

impl Identities for PostgresHandle {
    fn add_token(&self, secret: &[u8; 16], terms: &TokenTerms, now_s: u64) -> Result<u32, StoreError> {
        let TokenTerms { group, name, uses, until_s, must_be_accepted, replaces, who } = terms;
        let (uses, until_s, now_s) = (i64::from(*uses), until_s.cast_signed(), now_s.cast_signed());
        let (must_be_accepted, replaces, who) = (i16::from(*must_be_accepted), i16::from(*replaces), searched(who));
        let added = self.write(|session| {
            session.lock(Lock::Identities)?;
            session.change(FORGET_TOKENS, &[&now_s.saturating_sub(ENDED_TOKENS_S)])?;
            let (secret, most) = (secret.as_slice(), i64::from(MAX_TOKENS));
            let flags = (&must_be_accepted, &replaces);
            let values: [Value<'_>; 10] =
                [&secret, group, name, &uses, &until_s, flags.0, flags.1, &who, &now_s, &most];
            let Some(id) = session.row(ADD_TOKEN, &values, |row| row.small(0))? else { return Ok(None) };
            audit::append(session, &AuditEntry::made_token(id, terms, now_s.cast_unsigned()))?;
            Ok(Some(id))
        })?;
        added.ok_or_else(StoreError::too_many_tokens)
    }

    fn token(&self, id: u32) -> Result<Option<EnrolmentToken>, StoreError> {
        self.read(|session| session.row(TOKEN, &[&i64::from(id)], token))
    }

    fn tokens(&self, now_s: u64) -> Result<Vec<EnrolmentToken>, StoreError> {
        self.read(|session| session.rows(TOKENS, &[&now_s.cast_signed()], token))
    }

    fn end_token(&self, id: u32, who: &str, now_s: u64) -> Result<(), StoreError> {
        let entry = AuditEntry::ended_token(id, who, now_s);
        let values: [Value<'_>; 2] = [&now_s.cast_signed(), &i64::from(id)];
        let has_ended = self.change_and_record(END_TOKEN, &values, &entry)?;
        if has_ended { Ok(()) } else { Err(StoreError::no_token(id)) }
    }

    fn enrol(&self, claim: &Claim, lifetime_s: u64, now_s: u64) -> Result<(Decision, Option<Identity>), StoreError> {
        let until_s = now_s.saturating_add(lifetime_s).cast_signed();
        self.write(|session| enrol_in(session, claim, until_s, now_s))
    }

    fn identities(&self, filter: &IdentityFilter) -> Result<Vec<Identity>, StoreError> {
        let (after, limit) = (searched(filter.after.as_deref().unwrap_or_default()), i64::from(filter.limit));
        self.read(|session| match (filter.ends_before_s, filter.state) {
            (Some(before_s), _) => {
                session.rows(IDENTITIES_ENDING, &[&after, &before_s.cast_signed(), &limit], identity)
            }
            (None, None) => session.rows(IDENTITIES, &[&after, &limit], identity),
            (None, Some(state)) => session.rows(IDENTITIES_IN_STATE, &[&after, &state.as_str(), &limit], identity),
        })
    }

    fn changed_identities(&self, after_revision: u64, limit: u32) -> Result<Vec<(u64, Identity)>, StoreError> {
        let (after, limit) = (after_revision.cast_signed(), i64::from(limit));
        self.read(|session| session.rows(CHANGED_IDENTITIES, &[&after, &limit], changed_identity))
    }

    fn identity_counts(&self, now_s: u64, ending_s: u64) -> Result<IdentityCounts, StoreError> {
        let until_s = now_s.saturating_add(ending_s).cast_signed();
        let counts =
            self.read(|session| session.row(IDENTITY_COUNTS, &[&now_s.cast_signed(), &until_s], identity_counts))?;
        Ok(counts.unwrap_or_default())
    }

    fn identity(&self, name: &str) -> Result<Identity, StoreError> {
        let found = self.read(|session| session.row(IDENTITY_OF_NAME, &[&searched(name)], identity))?;
        found.ok_or_else(|| StoreError::no_identity(name))
    }

    fn set_identity_state(
        &self,
        identity: &Identity,
        state: IdentityState,
        who: &str,
        now_s: u64,
    ) -> Result<(), StoreError> {
        let entry = AuditEntry::decided_identity(identity, state, who, now_s);
        let (before, id, now_s) = (identity.state.as_str(), i64::from(identity.id), now_s.cast_signed());
        let (key, who) = (identity.fingerprint.as_slice(), searched(who));
        let values: [Value<'_>; 6] = [&state.as_str(), &who, &now_s, &id, &key, &before];
        let is_set = self.change_identity(SET_IDENTITY_STATE, &values, &entry)?;
        if is_set { Ok(()) } else { Err(StoreError::identity_changed(&identity.name)) }
    }

    fn rename_identity(&self, name: &str, new: &str, who: &str, now_s: u64) -> Result<(), StoreError> {
        let entry = AuditEntry::renamed_identity(name, new, who, now_s);
        let (old, new, who, now_s) = (searched(name), searched(new), searched(who), now_s.cast_signed());
        let values: [Value<'_>; 4] = [&new, &who, &now_s, &old];
        if self.change_identity(RENAME_IDENTITY, &values, &entry)? {
            return Ok(());
        }
        Err(self.identity(name).map_or_else(|error| error, |found| StoreError::not_renamed(&found, &new)))
    }
}
