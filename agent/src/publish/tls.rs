//! Certificates to trust → how the client speaks TLS with a broker.
//!
//! With a file of the operator's, the certificates in it and no others; without, those that the system trusts
//! (`SSL_CERT_FILE`, else the well-known places, such as Debian's and OpenWrt's `/etc/ssl/certs`). A list compiled in
//! would cost the small agent over 100 KB and grow old with the firmware; the system's is kept by its packages.

use super::client::ClientError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// A client that trusts the certificates in `ca_pem`, or the system's.
///
/// # Errors
/// [`ClientError::Certificates`] where there is nothing to trust.
pub(super) fn client_config(ca_pem: Option<&[u8]>) -> Result<Arc<ClientConfig>, ClientError> {
    let roots = match ca_pem {
        Some(pem) => operators(pem)?,
        None => systems()?,
    };
    let wrong = |error: rustls::Error| ClientError::Certificates(error.to_string());
    let config = ClientConfig::builder_with_provider(Arc::new(super::crypto::provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(wrong)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn operators(pem: &[u8]) -> Result<RootCertStore, ClientError> {
    let wrong = |why: String| ClientError::Certificates(format!("{why}; ca-file must be a PEM file with certificates"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() { Err(wrong("there is none in the file".into())) } else { Ok(roots) }
}

fn systems() -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    // Single ones that cannot be read are the system's affair; what is missing shows when the broker is refused.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let none = "this system trusts none; install its package (ca-certificates, on OpenWrt ca-bundle), or name the \
                broker's authority with ca-file";
    if roots.is_empty() { Err(ClientError::Certificates(none.into())) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_a_certificate_are_refused_with_what_is_expected() {
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for pem in ["", "lapwing-public-key-v1 site 00", broken] {
            let error = client_config(Some(pem.as_bytes())).unwrap_err().to_string();
            assert!(error.contains("ca-file must be a PEM file with certificates"), "{error}");
        }
    }
}
