//! Request of an agent, or names of a server → certificate.

use super::error::AuthorityError;
use lapwing_shared::enrolment::CertificateRequest;
use lapwing_shared::messages::AgentName;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, PublicKeyData, SerialNumber, SignatureAlgorithm,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use time::OffsetDateTime;

const DAY_S: u64 = 86_400;
/// A certificate is valid from this time before its issue: clocks of agents and brokers may be behind.
const BACKDATE_S: u64 = DAY_S;
/// Life of an authority's certificate.
pub(super) const AUTHORITY_S: u64 = 3650 * DAY_S;
/// Life of the enrolment port's own certificate; the port renews it while it runs.
const SERVER_S: u64 = 90 * DAY_S;

/// Whom a certificate is for, and how long.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Name that the agent must have asked for.
    pub name: AgentName,
    /// Number of its identity in the store.
    pub id: u32,
    /// How often it got a certificate before this one; with the number, the serial of the certificate.
    pub issue: u32,
    /// Time of issue, seconds since the epoch.
    pub now_s: u64,
    /// End, seconds since the epoch.
    pub until_s: u64,
}

/// A certificate with its key, for a server.
pub struct Issued {
    /// Certificate, and that of the authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// End, seconds since the epoch.
    pub until_s: u64,
}

/// The same in PEM.
pub struct IssuedPem {
    /// Certificate, and that of the authority.
    pub chain: String,
    /// Its key.
    pub key: String,
    /// End, seconds since the epoch.
    pub until_s: u64,
}

/// An agent's Ed25519 key.
struct AgentPublicKey([u8; 32]);

impl PublicKeyData for AgentPublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

/// The name of the authority with this key: authorities before and after a rotation need different ones.
fn authority_name(public_hash: &[u8; 32]) -> DistinguishedName {
    let digits: String = public_hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, DnValue::Utf8String(format!("Lapwing authority {digits}")));
    name
}

/// What an authority's certificate contains; the same for the same key, so that only key and certificate are stored.
fn authority_params(public_hash: &[u8; 32]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = authority_name(public_hash);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// The certificate of an authority.
pub(super) fn authority(key: &KeyPair, public_hash: &[u8; 32], now_s: u64) -> Result<Certificate, AuthorityError> {
    let mut params = authority_params(public_hash);
    set_validity(&mut params, now_s, now_s.saturating_add(AUTHORITY_S))?;
    Ok(params.self_signed(key)?)
}

/// What signs with an authority's key.
pub(super) fn issuer(key: KeyPair, public_hash: &[u8; 32]) -> Issuer<'static, KeyPair> {
    Issuer::new(authority_params(public_hash), key)
}

/// The certificate of an agent: CN is its name, for TLS clients only.
pub(super) fn agent(
    issuer: &Issuer<'_, KeyPair>,
    request: &CertificateRequest,
    subject: &Subject,
) -> Result<CertificateDer<'static>, AuthorityError> {
    if request.name != subject.name {
        let reason = format!("the request is for {}, the certificate for {}", request.name, subject.name);
        return Err(AuthorityError::Issue(reason));
    }
    Ok(client(issuer, &AgentPublicKey(request.public), subject)?.der().clone())
}

/// A certificate for TLS clients with any key.
pub(super) fn client(
    issuer: &Issuer<'_, KeyPair>,
    key: &impl PublicKeyData,
    subject: &Subject,
) -> Result<Certificate, AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, DnValue::Utf8String(subject.name.as_str().to_owned()));
    params.serial_number = Some(SerialNumber::from((u64::from(subject.id) << 32) | u64::from(subject.issue)));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, subject.now_s, subject.until_s)?;
    Ok(params.signed_by(key, issuer)?)
}

/// A certificate with a new key for a server with these names and addresses, and its end.
fn issue_server(
    issuer: &Issuer<'_, KeyPair>,
    names: &[String],
    now_s: u64,
) -> Result<(Certificate, KeyPair, u64), AuthorityError> {
    if let Some(name) = names.iter().find(|name| ServerName::try_from(name.as_str()).is_err()) {
        return Err(AuthorityError::Issue(format!("`{name}` is neither a host name nor an IP address")));
    }
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    let name = names.first().cloned().unwrap_or_default();
    params.distinguished_name.push(DnType::CommonName, DnValue::Utf8String(name));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let until_s = now_s.saturating_add(SERVER_S);
    set_validity(&mut params, now_s, until_s)?;
    Ok((params.signed_by(&key, issuer)?, key, until_s))
}

/// A key and a certificate for a server with these names and addresses.
pub(super) fn server(
    issuer: &Issuer<'_, KeyPair>,
    authority: &CertificateDer<'static>,
    names: &[String],
    now_s: u64,
) -> Result<Issued, AuthorityError> {
    let (certificate, key, until_s) = issue_server(issuer, names, now_s)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Ok(Issued { chain: vec![certificate.der().clone(), authority.clone()], key, until_s })
}

/// The same in PEM.
pub(super) fn server_pem(
    issuer: &Issuer<'_, KeyPair>,
    authority_pem: &str,
    names: &[String],
    now_s: u64,
) -> Result<IssuedPem, AuthorityError> {
    let (certificate, key, until_s) = issue_server(issuer, names, now_s)?;
    Ok(IssuedPem { chain: certificate.pem() + authority_pem, key: key.serialize_pem(), until_s })
}

/// A certificate with a new key for a client with this common name.
pub(super) fn client_pem(
    issuer: &Issuer<'_, KeyPair>,
    name: &str,
    (now_s, until_s): (u64, u64),
) -> Result<IssuedPem, AuthorityError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, DnValue::Utf8String(name.to_owned()));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now_s, until_s)?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok(IssuedPem { chain: certificate.pem(), key: key.serialize_pem(), until_s })
}

fn set_validity(params: &mut CertificateParams, now_s: u64, until_s: u64) -> Result<(), AuthorityError> {
    let time = |seconds: u64| {
        let invalid = || AuthorityError::Issue(format!("{seconds} s is not a valid time; check the system's clock"));
        let seconds = i64::try_from(seconds).map_err(|_| invalid())?;
        OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| invalid())
    };
    (params.not_before, params.not_after) = (time(now_s.saturating_sub(BACKDATE_S))?, time(until_s)?);
    Ok(())
}
