//! A token, or the present identity → request → identity.

use super::files::{self, Identity, IdentityError, Pending};
use crate::disk::Disk;
use lapwing_shared::enrolment::{
    AgentKey, Binding, Enrolled, EnrolmentRequest, EnrolmentResponse, Refusal, Token, TokenError, key_proof,
    token_proof,
};
use lapwing_shared::messages::AgentName;
use lapwing_shared::release::manifest::Digest;

/// Where to enrol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    /// `HOST:PORT`.
    pub(crate) address: String,
    /// SHA-256 of the authority's key.
    pub(crate) authority: Digest,
    /// Certificates of authorities that the port announced, one of which it may have by now.
    pub(crate) announced: Vec<Vec<u8>>,
}

/// What an enrolment begins with.
#[derive(Clone, Debug)]
pub(crate) struct Enrolment {
    /// A token; `None`: go on with an enrolment that has begun, or renew the certificate.
    pub(crate) token: Option<Token>,
    /// Name that the operator chose; the trainer cannot change it.
    pub(crate) chosen: Option<AgentName>,
    /// Name without a choice.
    pub(crate) default_name: AgentName,
    /// 32 random bytes for a new key.
    pub(crate) seed: [u8; 32],
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The agent has an identity.
    Enrolled(Box<Identity>),
    /// An operator must accept the agent; then repeat the request.
    Waiting {
        /// Name of the agent.
        name: AgentName,
        /// Fingerprint of its key.
        fingerprint: Digest,
        /// Time until the next request, seconds.
        retry_after_s: u32,
    },
}

/// Why an agent cannot enrol.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnrolError {
    #[error("this agent is not enrolled; run `lapwing-agent enroll TOKEN` with a token of `lapwing-trainer enroll`")]
    NoToken,
    #[error("{0}")]
    Token(#[from] TokenError),
    #[error("{0}")]
    Files(#[from] IdentityError),
    /// The port cannot be asked.
    #[error("enrolment port {address}: {reason}")]
    Unreachable { address: String, reason: String },
    #[error("{0}")]
    Refused(Refusal),
    #[error("the trainer sent a certificate of another key; report this to the trainer's operator")]
    OtherKey,
}

impl EnrolError {
    /// The same request may succeed later.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused(refusal) => refusal.is_temporary(),
            _ => false,
        }
    }
}

/// The port's response, or why the port did not respond.
pub(crate) type Asked = Result<EnrolmentResponse, String>;

/// Sends one request, or two if the trainer names the agent. `ask` sends what its second argument makes for the connection.
///
/// # Errors
/// [`EnrolError`]. After an interruption at any point, call it again without a token.
pub(crate) fn enrol(
    disk: &mut impl Disk,
    enrolment: &Enrolment,
    mut ask: impl FnMut(&Port, &dyn Fn(&Binding) -> EnrolmentRequest) -> Asked,
) -> Result<Progress, EnrolError> {
    let result = enrol_once(disk, enrolment, &mut ask);
    let is_blocked = matches!(&result, Err(error) if error.is_temporary()) && enrolment.token.is_none();
    if is_blocked && matches!(files::read_pending(disk), Ok(Some(_))) {
        return renew(disk, &mut ask).unwrap_or(result);
    }
    result
}

/// Renews the identity while an enrolment is pending whose port does not answer: a token that leads nowhere must not keep an
/// enrolled agent from its next certificate. The token stays. `None` without an identity, or if its port does not answer either.
fn renew(
    disk: &mut impl Disk,
    ask: &mut impl FnMut(&Port, &dyn Fn(&Binding) -> EnrolmentRequest) -> Asked,
) -> Option<Result<Progress, EnrolError>> {
    let identity = files::read(disk).ok().flatten()?;
    let (pending, port) = (identity.pending(), port_of_identity(&identity));
    let key = AgentKey::from_seed(&pending.seed);
    match ask(&port, &|binding| request(&key, &pending.name, None, binding)) {
        Ok(EnrolmentResponse::Enrolled(enrolled)) => {
            Some(keep(disk, &pending, &port, enrolled).map(|identity| Progress::Enrolled(Box::new(identity))))
        }
        _ => None,
    }
}

fn enrol_once(
    disk: &mut impl Disk,
    enrolment: &Enrolment,
    ask: &mut impl FnMut(&Port, &dyn Fn(&Binding) -> EnrolmentRequest) -> Asked,
) -> Result<Progress, EnrolError> {
    // A mistyped name or another token must not cost the key of an enrolment that waits.
    let earlier = files::read_pending(disk).ok().flatten();
    let (mut pending, token, port) = begin(disk, enrolment)?;
    loop {
        let key = AgentKey::from_seed(&pending.seed);
        let asked = ask(&port, &|binding| request(&key, &pending.name, token.as_ref(), binding));
        let unreachable = |reason| EnrolError::Unreachable { address: port.address.clone(), reason };
        match asked.map_err(unreachable)? {
            EnrolmentResponse::Enrolled(enrolled) => return finish(disk, &pending, &port, enrolled),
            EnrolmentResponse::Waiting { retry_after_s } => {
                let (name, fingerprint) = (pending.name, key.fingerprint());
                return Ok(Progress::Waiting { name, fingerprint, retry_after_s });
            }
            EnrolmentResponse::Refused(Refusal::OtherName(name))
                if enrolment.chosen.is_none() && name != pending.name =>
            {
                pending.name = name;
                if token.is_some() {
                    files::write_pending(disk, &pending)?;
                }
            }
            EnrolmentResponse::Refused(refusal) => {
                if token.is_some() && !refusal.is_temporary() {
                    match &earlier {
                        Some(earlier) if *earlier != pending => files::write_pending(disk, earlier)?,
                        _ => files::remove_pending(disk)?,
                    }
                }
                return Err(EnrolError::Refused(refusal));
            }
        }
    }
}

/// Key and name to enrol with, durable if they are new; the token, `None` for a renewal; and where to enrol.
fn begin(disk: &mut impl Disk, enrolment: &Enrolment) -> Result<(Pending, Option<Token>, Port), EnrolError> {
    // A damaged file of a pending enrolment has nothing that a new token would not bring.
    let found = match files::read_pending(disk) {
        Err(IdentityError::Damaged { .. }) if enrolment.token.is_some() => None,
        found => found?,
    };
    let Some(token) = &enrolment.token else {
        return match found {
            Some(pending) => {
                let token: Token = pending.token.parse()?;
                let port = port_of(&token);
                Ok((pending, Some(token), port))
            }
            None => {
                let identity = files::read(disk)?.ok_or(EnrolError::NoToken)?;
                Ok((identity.pending(), None, port_of_identity(&identity)))
            }
        };
    };
    let text = token.text();
    let name = enrolment.chosen.clone();
    let pending = match found.filter(|pending| pending.token == text) {
        Some(pending) => Pending { name: name.unwrap_or(pending.name.clone()), ..pending },
        None => {
            let name = name.unwrap_or_else(|| enrolment.default_name.clone());
            Pending { token: text, name, seed: enrolment.seed }
        }
    };
    files::write_pending(disk, &pending)?;
    Ok((pending, Some(token.clone()), port_of(token)))
}

fn port_of(token: &Token) -> Port {
    Port { address: token.address().to_owned(), authority: token.authority, announced: Vec::new() }
}

fn port_of_identity(identity: &Identity) -> Port {
    let announced = identity.enrolled.authorities.iter().map(|certificate| certificate.to_vec()).collect();
    Port { address: identity.address.as_str().to_owned(), authority: identity.authority, announced }
}

pub(super) fn request(key: &AgentKey, name: &AgentName, token: Option<&Token>, binding: &Binding) -> EnrolmentRequest {
    let certificate_request = key.request(name);
    let proof = match token {
        Some(token) => token_proof(token.id, &token.secret, &certificate_request, binding),
        None => key_proof(key, &certificate_request, binding),
    };
    let agent_version = heapless::String::try_from(env!("CARGO_PKG_VERSION")).unwrap_or_default();
    EnrolmentRequest { agent_version, certificate_request, proof }
}

fn finish(disk: &mut impl Disk, pending: &Pending, port: &Port, enrolled: Enrolled) -> Result<Progress, EnrolError> {
    let identity = keep(disk, pending, port, enrolled)?;
    files::remove_pending(disk)?;
    Ok(Progress::Enrolled(Box::new(identity)))
}

/// Stores what the port answered.
fn keep(disk: &mut impl Disk, pending: &Pending, port: &Port, enrolled: Enrolled) -> Result<Identity, EnrolError> {
    if !files::has_key(&enrolled, &AgentKey::from_seed(&pending.seed)) {
        return Err(EnrolError::OtherKey);
    }
    let identity = match files::read(disk) {
        Ok(Some(last)) if last.has_key_of(&enrolled) => last.with(enrolled),
        _ => Identity::new(pending, port.authority, &port.address, enrolled),
    };
    files::write(disk, &identity)?;
    Ok(identity)
}
