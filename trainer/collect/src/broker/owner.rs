//! Who a connection belongs to → what it may publish and read.

use super::packet::{Connect, Illegal, Publish, code, illegal};
use super::tls::Certificate;
use crate::roster::Roster;
use lapwing_fleet::IdentityState;
use lapwing_shared::messages::access::{User, access, may_subscribe};
use lapwing_shared::messages::topics::{Kind, Topic};
use std::collections::BTreeSet;

/// Longest client identifier, bytes.
const CLIENT_BYTES: usize = 128;
/// Longest status that the broker retains, bytes.
const STATUS_BYTES: usize = 4 * 1024;

/// How a client is known before its CONNECT.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    /// By nothing: the port without TLS.
    Unproven,
    /// By a certificate.
    Proven(Certificate),
}

/// Who a connection belongs to after its CONNECT.
#[derive(Clone, Debug)]
pub(super) enum Owner {
    /// The agent that the client identifier names, without proof. Reads everything.
    Claimed(String),
    /// An enrolled agent.
    Agent(Certificate),
    /// A reader.
    Reader(String),
}

/// Who is admitted with a certificate.
#[derive(Default)]
pub(super) struct Admission {
    pub(super) roster: std::sync::Arc<Roster>,
    pub(super) readers: BTreeSet<String>,
}

impl Admission {
    /// Why an agent's certificate is not admitted at `now_s`.
    pub(super) fn refusal(&self, certificate: &Certificate, now_s: u64) -> Option<&'static str> {
        let Some(enrolled) = self.roster.enrolled(&certificate.name) else { return Some("no identity has its name") };
        match enrolled.state {
            IdentityState::Revoked => Some("it is revoked"),
            IdentityState::Waiting => Some("it waits for an operator"),
            IdentityState::Accepted if enrolled.fingerprint != certificate.fingerprint => Some("its key was replaced"),
            IdentityState::Accepted if now_s >= enrolled.until_s => Some("its certificates have expired"),
            IdentityState::Accepted => None,
        }
    }

    /// The owner of a connection.
    ///
    /// # Errors
    /// Why it is not admitted.
    pub(super) fn owner(&self, peer: &Peer, connect: &Connect, now_s: u64) -> Result<Owner, &'static str> {
        let certificate = match peer {
            Peer::Unproven => return self.claimed(&connect.client),
            Peer::Proven(certificate) => certificate,
        };
        if self.readers.contains(&certificate.name) {
            return Ok(Owner::Reader(certificate.name.clone()));
        }
        self.refusal(certificate, now_s).map_or_else(|| Ok(Owner::Agent(certificate.clone())), Err)
    }

    /// An agent that has a certificate cannot be claimed without it.
    fn claimed(&self, client: &str) -> Result<Owner, &'static str> {
        match self.roster.enrolled(client) {
            Some(enrolled) if enrolled.state != IdentityState::Waiting => {
                Err("an enrolled agent must use its certificate")
            }
            _ => Ok(Owner::Claimed(client.to_owned())),
        }
    }
}

impl Owner {
    /// Key of the connection, which a second one takes over. Readers may have one for each client identifier.
    pub(super) fn key(&self, client: &str) -> String {
        match self {
            Self::Claimed(name) => name.clone(),
            Self::Agent(certificate) => certificate.name.clone(),
            Self::Reader(name) => format!("{name}/{client}"),
        }
    }

    /// The certificate of an agent.
    pub(super) fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Agent(certificate) => Some(certificate),
            Self::Claimed(_) | Self::Reader(_) => None,
        }
    }

    fn user(&self) -> User<'_> {
        match self {
            Self::Claimed(name) | Self::Agent(Certificate { name, .. }) => User::Agent(name),
            Self::Reader(_) => User::Reader,
        }
    }

    /// Whether the owner may receive everything that a filter matches.
    pub(super) fn may_subscribe(&self, filter: &str) -> bool {
        matches!(self, Self::Claimed(_)) || may_subscribe(self.user(), filter)
    }

    /// The kind of message, if the owner may publish it: on topics of its own, and retained only statuses.
    ///
    /// # Errors
    /// The reason code of the refusal.
    pub(super) fn permitted(&self, publish: &Publish) -> Result<Kind, u8> {
        let topic = Topic::parse(&publish.topic).ok_or(code::BAD_TOPIC)?;
        let is_allowed = access(self.user(), &topic).writes();
        let Topic::Agent(_, kind) = topic else { return Err(code::NOT_AUTHORIZED) };
        match kind {
            _ if !is_allowed => Err(code::NOT_AUTHORIZED),
            Kind::Status | Kind::StatusJson if publish.retain && publish.payload.len() > STATUS_BYTES => {
                Err(code::QUOTA)
            }
            Kind::Status | Kind::StatusJson => Ok(kind),
            _ if publish.retain => Err(code::NOT_AUTHORIZED),
            _ => Ok(kind),
        }
    }

    /// Checks the last will, which must be a status of the owner.
    ///
    /// # Errors
    /// Why the connection is refused.
    pub(super) fn check_will(&self, will: Option<&Publish>) -> Result<(), Illegal> {
        match will.map(|will| self.permitted(will)) {
            None | Some(Ok(Kind::Status)) => Ok(()),
            Some(Ok(_)) => Err(illegal(code::NOT_AUTHORIZED, "last will that is not a status")),
            Some(Err(code)) => Err(illegal(code, "last will on a topic of another client")),
        }
    }
}

/// Checks what the decoder cannot: the client identifier.
///
/// # Errors
/// When it is too long or contains control characters.
pub(super) fn checked(connect: Connect) -> Result<Connect, Illegal> {
    if connect.client.len() > CLIENT_BYTES || connect.client.chars().any(char::is_control) {
        return Err(illegal(code::BAD_CLIENT_ID, "illegal client identifier"));
    }
    Ok(connect)
}
