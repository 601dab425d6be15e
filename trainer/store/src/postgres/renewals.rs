//! Requests of running agents for their next certificates.

use super::PostgresHandle;
use super::schema::Lock;
use crate::error::StoreError;
use crate::fields::Fields;
use crate::identity_rows::{COUNT_CERTIFICATE, IDENTITY_OF_KEY, identity};
use crate::renewal_rows::{
    ANSWER_RENEWAL, ANY_ANSWERED_RENEWAL, ASK_RENEWAL, FORGET_RENEWALS, KEPT_S, RENEWAL_PAUSE_S, TAKE_RENEWALS,
    WAITING_RENEWALS, answered, waiting,
};
use crate::traits::{RenewalRow, Renewals};
use lapwing_fleet::{Identity, Renewal, RenewalClaim, decide_renewal};
use lapwing_shared::release::manifest::Digest;

impl Renewals for PostgresHandle {
    fn ask_renewal(&self, agent: &str, key: &Digest, request: &[u8], now_s: u64) -> Result<bool, StoreError> {
        let before_s = now_s.saturating_sub(RENEWAL_PAUSE_S).cast_signed();
        let now_s = now_s.cast_signed();
        self.write(|session| {
            session.change(FORGET_RENEWALS, &[&now_s.saturating_sub(KEPT_S)])?;
            let changed = session.change(ASK_RENEWAL, &[&agent, &request, &now_s, &key.as_slice(), &before_s])?;
            Ok(changed > 0)
        })
    }

    fn waiting_renewals(&self, limit: u32) -> Result<Vec<RenewalRow>, StoreError> {
        self.read(|session| session.rows(WAITING_RENEWALS, &[&i64::from(limit)], waiting))
    }

    fn answer_renewal(&self, row: &RenewalRow, response: &[u8]) -> Result<(), StoreError> {
        let asked_s = row.asked_s.cast_signed();
        self.write(|session| session.change(ANSWER_RENEWAL, &[&response, &row.agent, &asked_s]).map(drop))
    }

    fn take_renewals(&self, limit: u32) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let is_any = self.read(|session| session.row(ANY_ANSWERED_RENEWAL, &[], |row| row.flag(0)))?;
        if is_any != Some(true) {
            return Ok(Vec::new());
        }
        self.write(|session| session.rows(TAKE_RENEWALS, &[&i64::from(limit)], answered))
    }

    fn renew(
        &self,
        claim: &RenewalClaim,
        lifetime_s: u64,
        now_s: u64,
    ) -> Result<(Renewal, Option<Identity>), StoreError> {
        self.write(|session| {
            session.lock(Lock::Identities)?;
            let mut known = session.row(IDENTITY_OF_KEY, &[&claim.fingerprint.as_slice()], identity)?;
            let decision = decide_renewal(claim, known.as_ref(), lifetime_s, now_s);
            if let (Renewal::Issue, Some(known)) = (decision, &mut known) {
                (known.issued, known.until_s) = (known.issued + 1, now_s.saturating_add(lifetime_s));
                session.change(COUNT_CERTIFICATE, &[&known.until_s.cast_signed(), &i64::from(known.id)])?;
            }
            Ok((decision, known))
        })
    }
}
