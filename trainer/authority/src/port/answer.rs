//! A request's bytes → response: checks the proof, asks the store, issues the certificate.

use crate::authority::Authority;
use crate::issue::Subject;
use lapwing_fleet::{Claim, Decision, Identity, IdentityState};
use lapwing_shared::enrolment::{
    Binding, Certificate, CertificateRequest, Enrolled, EnrolmentRequest, EnrolmentResponse, Proof, Refusal,
    SECRET_BYTES, is_proven_by_key, is_proven_by_token,
};
use lapwing_shared::release::name::parse_name;
use lapwing_shared::release::root::SIGNED_ROOT_BYTES;
use lapwing_store::{StoreError, StoreHandle};
use rustls::pki_types::CertificateDer;

/// Time after which a waiting agent repeats its request.
const RETRY_AFTER_S: u32 = 30;

/// What enrolled agents get besides their certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    /// URLs of the brokers.
    pub brokers: Vec<String>,
    /// Lines of key files of those who may sign releases.
    pub keys: Vec<String>,
    /// Life of a certificate, seconds.
    pub lifetime_s: u64,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Enrolled,
    Waiting,
    Refused,
    /// Its proof is invalid, or it cannot be read.
    Unproven,
    Unavailable,
}

/// Answers requests.
pub(super) struct Registrar {
    authority: Authority,
    store: StoreHandle,
    grants: Grants,
}

impl Registrar {
    pub(super) fn new(authority: Authority, store: StoreHandle, grants: Grants) -> Self {
        Self { authority, store, grants }
    }

    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The response to a request on a connection with this binding.
    pub(super) fn answer(&self, bytes: &[u8], binding: &Binding, now_s: u64) -> (EnrolmentResponse, Outcome) {
        match self.decide(bytes, binding, now_s) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(%error, "cannot answer an enrolment request");
                (EnrolmentResponse::Refused(Refusal::Unavailable), Outcome::Unavailable)
            }
        }
    }

    fn decide(
        &self,
        bytes: &[u8],
        binding: &Binding,
        now_s: u64,
    ) -> Result<(EnrolmentResponse, Outcome), Box<dyn std::error::Error>> {
        let refuse = |refusal, outcome| Ok((EnrolmentResponse::Refused(refusal), outcome));
        let Ok(request) = EnrolmentRequest::decode(bytes) else {
            return refuse(Refusal::Malformed, Outcome::Unproven);
        };
        let Ok(certificate_request) = CertificateRequest::parse(&request.certificate_request) else {
            return refuse(Refusal::Malformed, Outcome::Unproven);
        };
        let token = match self.proven(&request, &certificate_request, binding)? {
            Ok(token) => token,
            Err(refusal) => return refuse(refusal, Outcome::Unproven),
        };
        let fingerprint = certificate_request.fingerprint();
        let claim = Claim { token, name: certificate_request.name.clone(), fingerprint };
        let (decision, identity) = self.store.enrol(&claim, self.grants.lifetime_s, now_s)?;
        match (decision, identity) {
            // Whoever copied a certificate request learns nothing without its key: the name alone is no proof.
            (Decision::Refuse(Refusal::UnknownKey), _) => refuse(Refusal::UnknownKey, Outcome::Unproven),
            (Decision::Refuse(refusal), _) => {
                // The agent asks again with the name of its token.
                if !matches!(refusal, Refusal::OtherName(_)) {
                    tracing::warn!(agent = %claim.name, %refusal, "enrolment refused");
                }
                refuse(refusal, Outcome::Refused)
            }
            (_, Some(identity)) if identity.state == IdentityState::Accepted => {
                let enrolled = self.issue(&certificate_request, &identity, now_s)?;
                tracing::info!(agent = %identity.name, group = %identity.group, issue = identity.issued, "certificate issued");
                Ok((EnrolmentResponse::Enrolled(enrolled), Outcome::Enrolled))
            }
            _ => Ok((EnrolmentResponse::Waiting { retry_after_s: RETRY_AFTER_S }, Outcome::Waiting)),
        }
    }

    /// The token that proved the request, `None` if the key did; the refusal if nothing did.
    fn proven(
        &self,
        request: &EnrolmentRequest,
        certificate_request: &CertificateRequest,
        binding: &Binding,
    ) -> Result<Result<Option<u32>, Refusal>, StoreError> {
        let bytes = &request.certificate_request;
        Ok(match &request.proof {
            Proof::Token { id, mac } => {
                let token = self.store.token(*id)?;
                // A token that does not exist takes the same time and gets the same answer as a wrong secret.
                let secret = token.as_ref().map_or([0; SECRET_BYTES], |token| token.secret);
                let is_proven = is_proven_by_token(&secret, mac, bytes, binding) && token.is_some();
                if is_proven { Ok(Some(*id)) } else { Err(Refusal::Token) }
            }
            Proof::Key { signature } => {
                let is_proven = is_proven_by_key(&certificate_request.public, signature, bytes, binding);
                if is_proven { Ok(None) } else { Err(Refusal::UnknownKey) }
            }
        })
    }

    /// The newest signed root document; empty without one.
    fn root(&self) -> Result<heapless::Vec<u8, SIGNED_ROOT_BYTES>, Box<dyn std::error::Error>> {
        let bytes = self.store.newest_root()?.map(|root| root.bytes).unwrap_or_default();
        Ok(heapless::Vec::from_slice(&bytes).map_err(|_| "the root document is too long")?)
    }

    fn issue(
        &self,
        request: &CertificateRequest,
        identity: &Identity,
        now_s: u64,
    ) -> Result<Enrolled, Box<dyn std::error::Error>> {
        let (id, issue, until_s) = (identity.id, identity.issued, identity.until_s);
        let name = parse_name(&identity.name).ok_or("the store has an invalid agent name")?;
        let certificate = self.authority.issue(request, &Subject { name, id, issue, now_s, until_s })?;
        let too_long = |_| "a certificate, broker URL or key line is too long";
        let bytes = |der: &CertificateDer<'_>| Certificate::from_slice(der).map_err(too_long);
        Ok(Enrolled {
            certificate: bytes(&certificate)?,
            authorities: self.authority.announced().map(bytes).collect::<Result<_, _>>()?,
            brokers: texts(&self.grants.brokers)?,
            group: parse_name(&identity.group).ok_or("the store has an invalid group name")?,
            keys: texts(&self.grants.keys)?,
            root: self.root()?,
            issued_s: now_s,
            until_s,
        })
    }
}

/// At most `COUNT` texts of at most `BYTES` bytes.
fn texts<const BYTES: usize, const COUNT: usize>(
    texts: &[String],
) -> Result<heapless::Vec<heapless::String<BYTES>, COUNT>, &'static str> {
    let mut all = heapless::Vec::new();
    for text in texts {
        let text = heapless::String::try_from(text.as_str()).map_err(|_| "a broker URL or key line is too long")?;
        all.push(text).map_err(|_| "too many broker URLs or key lines")?;
    }
    Ok(all)
}
