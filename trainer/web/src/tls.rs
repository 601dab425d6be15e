//! Certificate and key → TLS of the server, replaceable while it runs.

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::{Arc, PoisonError, RwLock};
use tokio_rustls::TlsAcceptor;

/// Certificate and key do not make a server.
#[derive(Debug, thiserror::Error)]
#[error("TLS of the web page: {what}: {reason}")]
pub struct TlsError {
    what: &'static str,
    reason: String,
}

/// TLS of the server. Connections that begin after a replacement use the new certificate.
pub struct WebTls(RwLock<Arc<ServerConfig>>);

impl WebTls {
    /// With a chain of certificates and its key, in PEM.
    ///
    /// # Errors
    /// When they are not in PEM, or do not fit together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        configuration(chain, key).map(|config| Self(RwLock::new(config)))
    }

    /// Replaces both.
    ///
    /// # Errors
    /// As [`WebTls::from_pem`]; the earlier ones remain.
    pub fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let config = configuration(chain, key)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

/// TLS 1.3 only: every browser of the last years has it.
fn configuration(chain: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, TlsError> {
    let failed = |what: &'static str, error: &dyn std::fmt::Display| TlsError { what, reason: error.to_string() };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| failed("certificate", &error))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| failed("key", &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| failed("protocol", &error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| failed("certificate and key", &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
