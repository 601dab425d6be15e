//! A text that reached the agent through a broker → whether its authority signed it.

use super::provider;
use lapwing_shared::enrolment::Certificate;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, alg_id};

/// Bytes of an uncompressed point of P-256, the last part of such a key.
const POINT_BYTES: usize = 65;

/// Whether one of these authorities signed the text (ECDSA P-256 with SHA-256).
pub(in crate::publish) fn is_signed(authorities: &[Certificate], text: &[u8], signature: &[u8]) -> bool {
    let algorithms = provider().signature_verification_algorithms.all;
    let mut fitting = algorithms.iter().filter(|algorithm| {
        (algorithm.public_key_alg_id(), algorithm.signature_alg_id()) == (alg_id::ECDSA_P256, alg_id::ECDSA_SHA256)
    });
    let Some(algorithm) = fitting.next() else { return false };
    authorities.iter().any(|certificate| {
        let mut roots = RootCertStore::empty();
        let is_readable = roots.add(CertificateDer::from(certificate.as_slice())).is_ok();
        let key = roots.roots.first().and_then(|root| root.subject_public_key_info.last_chunk::<POINT_BYTES>());
        is_readable && key.is_some_and(|point| algorithm.verify_signature(point, text, signature).is_ok())
    })
}
