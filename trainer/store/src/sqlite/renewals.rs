//! Requests of running agents for their next certificates.

use super::SqliteHandle;
use crate::error::StoreError;
use crate::identity_rows::{COUNT_CERTIFICATE, IDENTITY_OF_KEY, identity};
use crate::renewal_rows::{
    ANSWER_RENEWAL, ANY_ANSWERED_RENEWAL, ASK_RENEWAL, FORGET_RENEWALS, KEPT_S, RENEWAL_PAUSE_S, TAKE_RENEWALS,
    WAITING_RENEWALS, answered, waiting,
};
use crate::traits::{RenewalRow, Renewals};
use lapwing_fleet::{Identity, Renewal, RenewalClaim, decide_renewal};
use lapwing_shared::release::manifest::Digest;

impl Renewals for SqliteHandle {
    fn ask_renewal(&self, agent: &str, key: &Digest, request: &[u8], now_s: u64) -> Result<bool, StoreError> {
        let before_s = now_s.saturating_sub(RENEWAL_PAUSE_S).cast_signed();
        let now_s = now_s.cast_signed();
        self.write(|_| {
            self.execute(FORGET_RENEWALS, [now_s.saturating_sub(KEPT_S)])?;
            self.execute(ASK_RENEWAL, (agent, request, now_s, key, before_s)).map(|changed| changed > 0)
        })
    }

    fn waiting_renewals(&self, limit: u32) -> Result<Vec<RenewalRow>, StoreError> {
        self.rows(WAITING_RENEWALS, [limit], |row| waiting(row)).map_err(self.sql())
    }

    fn answer_renewal(&self, row: &RenewalRow, response: &[u8]) -> Result<(), StoreError> {
        let values = (response, row.agent.as_str(), row.asked_s.cast_signed());
        self.execute(ANSWER_RENEWAL, values).map(drop).map_err(self.sql())
    }

    fn take_renewals(&self, limit: u32) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        // A look needs no lock, unlike a statement that writes.
        let is_any: Option<bool> = self.row(ANY_ANSWERED_RENEWAL, [], |row| row.get(0)).map_err(self.sql())?;
        if is_any != Some(true) {
            return Ok(Vec::new());
        }
        self.write(|_| self.rows(TAKE_RENEWALS, [limit], |row| answered(row)))
    }

    fn renew(
        &self,
        claim: &RenewalClaim,
        lifetime_s: u64,
        now_s: u64,
    ) -> Result<(Renewal, Option<Identity>), StoreError> {
        self.write(|_| {
            let mut known = self.row(IDENTITY_OF_KEY, [claim.fingerprint], |row| identity(row))?;
            let decision = decide_renewal(claim, known.as_ref(), lifetime_s, now_s);
            if let (Renewal::Issue, Some(known)) = (decision, &mut known) {
                (known.issued, known.until_s) = (known.issued + 1, now_s.saturating_add(lifetime_s));
                self.execute(COUNT_CERTIFICATE, (known.until_s.cast_signed(), known.id))?;
            }
            Ok((decision, known))
        })
    }
}
