//! Hash of an authority's key → TLS to the enrolment port.
//!
//! The server sends its authority's certificate with its own. The token says which authority it must be; an enrolled agent
//! also trusts those that the port has announced to it. Nothing else is trusted, not even the system's certificates.

use super::provider;
use crate::clock;
use crate::identity::Port;
use lapwing_shared::enrolment::public_key_hash;
use lapwing_shared::release::manifest::Digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// A client that trusts the authorities of this port only.
///
/// # Errors
/// Never with the agent's providers, which support TLS 1.3.
pub(in crate::publish) fn pinned_config(port: &Port) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(provider());
    let (authority, announced) = (port.authority, port.announced.clone());
    let verifier = Pinned { authority, announced, provider: Arc::clone(&provider) };
    let config = super::builder(provider)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Pinned {
    authority: Digest,
    announced: Vec<Vec<u8>>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    /// The authority's certificate among those that the server sent.
    fn roots(&self, sent: &[CertificateDer<'_>]) -> Result<RootCertStore, Error> {
        for certificate in sent {
            let mut roots = RootCertStore::empty();
            let is_readable = roots.add(certificate.clone().into_owned()).is_ok();
            let hash = roots.roots.first().and_then(|root| public_key_hash(&root.subject_public_key_info));
            let is_announced = || self.announced.iter().any(|known| known.as_slice() == certificate.as_ref());
            if is_readable && (hash == Some(self.authority) || is_announced()) {
                return Ok(roots);
            }
        }
        Err(Error::General(
            "the server's authority is not the one that the token names or that was announced; it is another server, or \
             its authority was rotated: create a new token, for an enrolled agent with --replace"
                .into(),
        ))
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let roots = Arc::new(self.roots(sent)?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&self.provider)).build();
        let verifier = verifier.map_err(|error| Error::General(error.to_string()))?;
        match verifier.verify_server_cert(own, &[], name, ocsp, now) {
            // An agent whose clock is not set knows that it is at least this late.
            Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }))
                if clock::wall_s().is_none() =>
            {
                verifier.verify_server_cert(own, &[], name, ocsp, not_before)
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, own, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
