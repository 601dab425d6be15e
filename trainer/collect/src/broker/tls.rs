//! Keys and certificates of the embedded broker, and what it reads in a client's certificate.

use crate::link::LinkError;
use crate::roster::Roster;
use lapwing_shared::messages::access::is_service_name;
use lapwing_shared::release::digest::sha256;
use lapwing_shared::release::manifest::Digest;
use lapwing_shared::release::name::is_name;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use webpki::EndEntityCert;

/// What the broker proves its name with, and whose clients it admits.
pub struct Credentials {
    /// The broker's certificate, and those of its issuers.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// Authorities whose client certificates it accepts.
    pub trusted: Vec<CertificateDer<'static>>,
}

impl Credentials {
    /// Reads PEM: the chain, the key, and the authorities.
    ///
    /// # Errors
    /// When one of them is not such a file.
    pub fn from_pem(chain: &[u8], key: &[u8], trusted: &[u8]) -> Result<Self, LinkError> {
        let failed = |what: &str, error: pem::Error| LinkError::Tls { reason: format!("{what}: {error}") };
        let certificates = |what: &'static str, bytes| {
            CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>().map_err(|error| failed(what, error))
        };
        Ok(Self {
            chain: certificates("certificate", chain)?,
            key: PrivateKeyDer::from_pem_slice(key).map_err(|error| failed("key", error))?,
            trusted: certificates("authorities", trusted)?,
        })
    }
}

/// The broker's TLS configuration, which can be replaced while it runs.
pub struct BrokerTls(RwLock<Arc<ServerConfig>>);

impl BrokerTls {
    /// With these credentials.
    ///
    /// # Errors
    /// When they do not fit together, or there is no authority.
    pub fn new(credentials: Credentials) -> Result<Self, LinkError> {
        configuration(credentials).map(|config| Self(RwLock::new(config)))
    }

    /// Replaces the credentials for connections that begin from now on.
    ///
    /// # Errors
    /// As [`BrokerTls::new`]; the earlier ones remain.
    pub fn replace(&self, credentials: Credentials) -> Result<(), LinkError> {
        let config = configuration(credentials)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// TLS 1.3 with a client certificate. Sessions are not resumed: each connection proves its identity anew.
fn configuration(credentials: Credentials) -> Result<Arc<ServerConfig>, LinkError> {
    let failed = |reason: String| LinkError::Tls { reason };
    let Credentials { chain, key, trusted } = credentials;
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| failed(error.to_string()))?
        .with_client_cert_verifier(verifier.map_err(|error| failed(error.to_string()))?)
        .with_single_cert(chain, key)
        .map_err(|error| failed(error.to_string()))?;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// The port for clients with certificates.
pub struct TlsListener {
    /// Its address.
    pub listen: SocketAddr,
    /// Its credentials.
    pub tls: Arc<BrokerTls>,
    /// Identities of the agents.
    pub roster: Arc<Roster>,
    /// Common names of programs that may read alerts and statuses.
    pub readers: BTreeSet<String>,
}

/// What a client's certificate says; an authority of the broker has signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    /// Common name.
    pub(super) name: String,
    /// SHA-256 of the public key (`SubjectPublicKeyInfo`).
    pub(super) fingerprint: Digest,
}

impl Certificate {
    /// The certificate of a client whose handshake has ended; `None` if its subject is not one common name.
    pub(super) fn of(connection: &ServerConnection) -> Option<Self> {
        let [first, ..] = connection.peer_certificates()? else { return None };
        let certificate = EndEntityCert::try_from(first).ok()?;
        let name = common_name(certificate.subject())?.to_owned();
        Some(Self { name, fingerprint: sha256(&certificate.subject_public_key_info()) })
    }
}

/// `AttributeTypeAndValue` of a common name (2.5.4.3), before the type of its value.
const COMMON_NAME: [u8; 5] = [0x06, 3, 0x55, 4, 3];

/// The common name in a subject of exactly one attribute, as the trainer's authority writes it: a name that an agent, a reader
/// or the trainer can have. `subject` is the content of the outer sequence.
fn common_name(subject: &[u8]) -> Option<&str> {
    let attribute = inside(0x31, subject).and_then(|set| inside(0x30, set))?.strip_prefix(&COMMON_NAME)?;
    // UTF8String or PrintableString.
    let value = inside(0x0c, attribute).or_else(|| inside(0x13, attribute))?;
    let name = std::str::from_utf8(value).ok()?;
    (is_name(name) || is_service_name(name)).then_some(name)
}

/// Content of the only element with this tag; its length has one byte.
fn inside(tag: u8, bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [found, length, content @ ..] => {
            (*found == tag && *length < 0x80 && usize::from(*length) == content.len()).then_some(content)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(tag: u8, name: &[u8]) -> Vec<u8> {
        let value = [&[tag, name.len() as u8], name].concat();
        let attribute = [&COMMON_NAME[..], &value].concat();
        let sequence = [&[0x30, attribute.len() as u8], &attribute[..]].concat();
        [&[0x31, sequence.len() as u8], &sequence[..]].concat()
    }

    #[test]
    fn only_a_subject_of_one_common_name_is_a_name() {
        for (tag, name) in [(0x0c, "attic"), (0x13, "gw-7.Home"), (0x0c, "_hass")] {
            assert_eq!(common_name(&subject(tag, name.as_bytes())), Some(name));
        }
        for (tag, name) in
            [(0x0c, "a/b"), (0x0c, "+"), (0x0c, ""), (0x0c, "_"), (0x0c, "__a"), (0x1e, "attic"), (0x0c, "a\0b")]
        {
            assert_eq!(common_name(&subject(tag, name.as_bytes())), None, "{name:?}");
        }
        assert_eq!(common_name(&subject(0x0c, b"\xff\xfe")), None);
        assert_eq!(common_name(&[b'x'; 200]), None);
        let valid = subject(0x0c, b"attic");
        assert_eq!(common_name(&[&valid[..], &valid].concat()), None, "two attributes");
        for cut in 0..valid.len() {
            assert_eq!(common_name(&valid[..cut]), None);
        }
        for at in 0..9 {
            let mut changed = valid.clone();
            changed[at] ^= 0x40;
            assert_eq!(common_name(&changed), None, "byte {at}");
        }
    }
}
