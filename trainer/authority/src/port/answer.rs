//! A request's bytes → response: checks the proof, asks the store, issues the certificate.

use crate::authority::Authority;
use crate::issue::Subject;
use crate::secret::random;
use lapwing_fleet::{Claim, Decision, Identity, IdentityState, Renewal, RenewalClaim};
use lapwing_shared::enrolment::{
    Binding, Certificate, CertificateRequest, Enrolled, EnrolmentRequest, EnrolmentResponse, MESSAGE_BYTES_LIMIT,
    Proof, Refusal, RenewalRequest, SECRET_BYTES, is_proven_by_key, is_proven_by_token, renewal_binding,
};
use lapwing_shared::messages::sealed::SealKey;
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
    /// A name that no new agent gets: the trainer's client identifier at brokers, if it could be an agent's name.
    pub reserved: Option<String>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Enrolled,
    Waiting,
    Refused,
    /// The agent must ask under another name.
    OtherName,
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
        if self.is_reserved(&claim)? {
            tracing::warn!(agent = %claim.name, "enrolment refused: the name is the trainer's client identifier at brokers");
            return refuse(Refusal::NameTaken, Outcome::Refused);
        }
        let (decision, identity) = self.store.enrol(&claim, self.grants.lifetime_s, now_s)?;
        match (decision, identity) {
            // Whoever copied a certificate request learns nothing without its key: the name alone is no proof.
            (Decision::Refuse(Refusal::UnknownKey), _) => refuse(Refusal::UnknownKey, Outcome::Unproven),
            // The agent asks again with the name of its token.
            (Decision::Refuse(refusal @ Refusal::OtherName(_)), _) => refuse(refusal, Outcome::OtherName),
            (Decision::Refuse(refusal), _) => {
                tracing::warn!(agent = %claim.name, %refusal, "enrolment refused");
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

    /// True if a new agent asks for the reserved name, and its token names no other: then the agent asks again.
    fn is_reserved(&self, claim: &Claim) -> Result<bool, StoreError> {
        let name = claim.name.as_str();
        let Some(id) = claim.token.filter(|_| self.grants.reserved.as_deref() == Some(name)) else { return Ok(false) };
        let token = self.store.token(id)?;
        Ok(token.and_then(|token| token.terms.name).is_none_or(|named| named == name))
    }

    /// Answers at most `limit` requests of running agents; returns how many got a certificate, and the first error. One that
    /// fails does not keep the others from their certificates.
    pub(super) fn renew_all(&self, limit: u32, now_s: u64) -> (u32, Option<String>) {
        let (mut renewed, mut first) = (0, None);
        let rows = self.store.waiting_renewals(limit).unwrap_or_else(|error| {
            first = Some(error.to_string());
            Vec::new()
        });
        for row in rows {
            let answered = self.renew(&row.request, now_s).and_then(|response| {
                self.store.answer_renewal(&row, response.as_deref().unwrap_or_default())?;
                Ok(response.is_some())
            });
            match answered {
                Ok(is_renewed) => renewed += u32::from(is_renewed),
                Err(error) => drop(first.get_or_insert_with(|| format!("{}: {error}", row.agent))),
            }
        }
        (renewed, first)
    }

    /// The signed response to a request that arrived over MQTT; `None`: nothing is sent.
    ///
    /// The proof is checked again: whoever can write the store must not get certificates.
    fn renew(&self, bytes: &[u8], now_s: u64) -> Result<Option<Vec<u8>>, Box<dyn std::error::Error>> {
        let Ok(RenewalRequest { until_s, request }) = RenewalRequest::decode(bytes) else { return Ok(None) };
        let Ok(found) = CertificateRequest::parse(&request.certificate_request) else { return Ok(None) };
        let Proof::Key { signature } = &request.proof else { return Ok(None) };
        if !is_proven_by_key(&found.public, signature, &request.certificate_request, &renewal_binding(until_s)) {
            return Ok(None);
        }
        let claim = RenewalClaim { name: found.name.clone(), fingerprint: found.fingerprint(), until_s };
        let (decision, identity) = self.store.renew(&claim, self.grants.lifetime_s, now_s)?;
        let (Renewal::Issue | Renewal::Repeat, Some(identity)) = (decision, identity) else {
            tracing::debug!(agent = %claim.name, ?decision, "no certificate over MQTT");
            return Ok(None);
        };
        // A broker reads it: the agent keeps its key for seals.
        let enrolled = Enrolled { seal: None, ..self.issue(&found, &identity, now_s)? };
        tracing::info!(agent = %identity.name, issue = identity.issued, ?decision, "certificate renewed over MQTT");
        let mut room = vec![0; MESSAGE_BYTES_LIMIT];
        let response = EnrolmentResponse::Enrolled(enrolled);
        Ok(Some(self.authority.sign_response(response.encode(&mut room)?)?))
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

    /// The key that the agent has in common with the collectors: derived, so that the store keeps none of the agents' keys.
    fn seal_key(&self, request: &CertificateRequest) -> Result<SealKey, Box<dyn std::error::Error>> {
        let secret = match self.store.seal_secrets()?.first() {
            Some(secret) => *secret,
            None => self.store.begin_seals(&random()?)?,
        };
        Ok(SealKey::derive(&secret, &request.fingerprint()))
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
            seal: Some(self.seal_key(request)?),
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
