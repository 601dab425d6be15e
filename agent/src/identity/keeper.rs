//! The identity of a running agent: when it asks for its next certificate over MQTT, what it accepts, and how long it keeps
//! the last one.
//!
//! A certificate is used for a connection before the last one is dropped, so that a broker that rejects it does not cut the
//! agent off. The broker carries the response and is not trusted: the authority signs it.

use super::enrol::request;
use super::files::{self, Identity, IdentityError};
use crate::disk::{Disk, Folder};
use lapwing_shared::enrolment::{
    Certificate, EnrolmentResponse, RENEWAL_REQUEST_BYTES, RenewalRequest, ResponseError, renewal_binding, signed_part,
    split_signed,
};

/// Shortest interval between two requests, milliseconds; the longest is twice as long, so that agents spread.
const ASK_MS: u64 = 3_600_000;
/// The same if the clock is not set, so that the agent cannot know when a request is due: the trainer does not answer early
/// ones.
const BLIND_ASK_MS: u64 = 24 * ASK_MS;
/// Interval between two looks for an identity that another program has written, milliseconds.
const LOOK_MS: u64 = 10_000;

/// Whether one of these authorities signed a text.
pub(crate) type Verify = fn(&[Certificate], &[u8], &[u8]) -> bool;

/// Why a response is rejected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewalError {
    #[error("not signed by this agent's authority")]
    Signature,
    #[error("{0}")]
    Response(#[from] ResponseError),
    #[error("no certificate of this agent's key, or none that is newer")]
    Certificate,
    #[error("{0}")]
    Files(#[from] IdentityError),
}

/// See the module.
pub(crate) struct Keeper {
    disk: Folder,
    identity: Identity,
    verify: Verify,
    /// Earliest next request, milliseconds.
    ask_ms: u64,
    /// Next look at the file, milliseconds.
    look_ms: u64,
}

impl Keeper {
    /// Of an identity in this folder.
    pub(crate) fn new(disk: Folder, identity: Identity, verify: Verify) -> Self {
        Self { disk, identity, verify, ask_ms: 0, look_ms: LOOK_MS }
    }

    /// The identity to connect with.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The next request, if it is due. `now_s` is the wall clock, if it is set.
    pub(crate) fn request(&mut self, now_ms: u64, now_s: Option<u64>) -> Option<Vec<u8>> {
        let is_due = now_s.is_none_or(|now_s| now_s >= self.identity.renew_from_s());
        if !is_due || now_ms < self.ask_ms {
            return None;
        }
        let pause_ms = if now_s.is_some() { ASK_MS } else { BLIND_ASK_MS };
        self.ask_ms = now_ms + pause_ms + fastrand::u64(..pause_ms);
        let until_s = self.identity.enrolled.until_s;
        let key = self.identity.key();
        let request = request(&key, &self.identity.name, None, &renewal_binding(until_s));
        let mut room = [0; RENEWAL_REQUEST_BYTES];
        RenewalRequest { until_s, request }.encode(&mut room).map(<[u8]>::to_vec).ok()
    }

    /// Takes a response; the identity then has the new certificate and keeps the last one.
    ///
    /// # Errors
    /// [`RenewalError`]; the identity is as before.
    pub(crate) fn take(&mut self, payload: &[u8]) -> Result<(), RenewalError> {
        self.identity = renewed(&mut self.disk, &self.identity, payload, self.verify)?;
        Ok(())
    }

    /// Looks for an identity that `lapwing-agent enroll`, or the thread that uses the enrolment port, has written; true if
    /// there is one to use.
    pub(crate) fn look(&mut self, now_ms: u64) -> bool {
        if now_ms < self.look_ms {
            return false;
        }
        self.look_ms = now_ms + LOOK_MS;
        let Ok(Some(found)) = files::read(&mut self.disk) else { return false };
        let is_other = found.enrolled != self.identity.enrolled && self.identity.fits(&found);
        if is_other {
            self.identity = found;
        }
        is_other
    }

    /// A broker has accepted the newest certificate: the last one is not needed any more.
    ///
    /// # Errors
    /// [`IdentityError::Write`]; the file then keeps both.
    pub(crate) fn confirm(&mut self) -> Result<(), IdentityError> {
        match self.identity.previous.take() {
            Some(_) => files::write(&mut self.disk, &self.identity),
            None => Ok(()),
        }
    }
}

/// The identity with the certificate of a response, written to the disk.
pub(super) fn renewed(
    disk: &mut impl Disk,
    identity: &Identity,
    payload: &[u8],
    verify: Verify,
) -> Result<Identity, RenewalError> {
    let (signature, response) = split_signed(payload).ok_or(RenewalError::Signature)?;
    if !verify(&identity.enrolled.authorities, &signed_part(response), signature) {
        return Err(RenewalError::Signature);
    }
    let EnrolmentResponse::Enrolled(enrolled) = EnrolmentResponse::decode(response)? else {
        return Err(RenewalError::Certificate);
    };
    if enrolled.issued_s <= identity.enrolled.issued_s || !identity.has_key_of(&enrolled) {
        return Err(RenewalError::Certificate);
    }
    let renewed = identity.clone().with(enrolled);
    files::write(disk, &renewed)?;
    Ok(renewed)
}
