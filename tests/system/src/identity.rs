//! Identities of agents that a test or the load makes by itself: a key and a certificate of the trainer's authority.

use anyhow::Context;
use lapwing_authority::{Authority, Subject};
use lapwing_fleet::{Claim, IdentityState, TokenTerms};
use lapwing_shared::enrolment::{AgentKey, CertificateRequest};
use lapwing_shared::release::name::parse_name;
use lapwing_store::StoreHandle;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// PKCS #8 of an Ed25519 key (RFC 8410), before its 32 bytes.
const KEY_HEAD: [u8; 16] = [0x30, 46, 2, 1, 0, 0x30, 5, 0x06, 3, 0x2b, 0x65, 0x70, 4, 34, 4, 32];
/// Life of certificates and tokens.
const LIFE_S: u64 = 86_400;

/// A client's certificate and key.
pub struct ClientIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl ClientIdentity {
    /// A certificate for the agent `subject` with this key, whatever the store says.
    ///
    /// # Errors
    /// When the authority cannot issue it.
    pub fn issue(authority: &Authority, key: &AgentKey, subject: &Subject) -> anyhow::Result<Self> {
        let request = CertificateRequest::parse(&key.request(&subject.name)).context("request")?;
        let certificate = authority.issue(&request, subject)?;
        let key = [&KEY_HEAD[..], &key.seed()].concat();
        Ok(Self { chain: vec![certificate], key: PrivatePkcs8KeyDer::from(key).into() })
    }

    /// Of PEM files' contents.
    ///
    /// # Errors
    /// When they are invalid.
    pub fn from_pem(chain: &str, key: &str) -> anyhow::Result<Self> {
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>()?;
        Ok(Self { chain, key: PrivateKeyDer::from_pem_slice(key.as_bytes())? })
    }
}

/// Enrols an agent in the store and issues its certificate.
///
/// # Errors
/// When the store or the authority refuses.
pub fn enrol(
    store: &StoreHandle,
    authority: &Authority,
    (name, token): (&str, u32),
    key: &AgentKey,
    now_s: u64,
) -> anyhow::Result<ClientIdentity> {
    let name = parse_name(name).context("name")?;
    let claim = Claim { token: Some(token), name: name.clone(), fingerprint: key.fingerprint() };
    let (decision, identity) = store.enrol(&claim, LIFE_S, now_s)?;
    let identity = identity.filter(|identity| identity.state == IdentityState::Accepted);
    let identity = identity.with_context(|| format!("not accepted: {decision:?}"))?;
    let subject =
        Subject { name, id: identity.id, issue: identity.issued - 1, now_s, until_s: now_s.saturating_add(LIFE_S) };
    ClientIdentity::issue(authority, key, &subject)
}

/// A token for this number of agents.
///
/// # Errors
/// When the store cannot be written.
pub fn token(store: &StoreHandle, uses: u32, replaces: Option<&str>, now_s: u64) -> anyhow::Result<u32> {
    let terms = TokenTerms {
        group: "home".into(),
        name: replaces.map(str::to_owned),
        uses,
        until_s: now_s + LIFE_S,
        must_be_accepted: false,
        replaces: replaces.is_some(),
        who: "test".into(),
    };
    Ok(store.add_token(&[7; 16], &terms, now_s)?)
}

/// TLS 1.3 of a client that trusts these authorities.
///
/// # Errors
/// When certificates or key are invalid.
pub fn client_config(trusted_pem: &str, identity: Option<ClientIdentity>) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(trusted_pem.as_bytes()) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots);
    Ok(Arc::new(match identity {
        Some(ClientIdentity { chain, key }) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    }))
}
