//! The algorithms: TLS 1.3 (RFC 8446), X25519, and certificates signed with RSA or ECDSA.
//!
//! A selection of ring's algorithms: all of them would be a tenth of the program on a router. ECDSA over P-256 comes from
//! the `p256` crate, since ring has a table of 150 kB for it; X25519 is in its own module for the same reason. The agent has
//! no certificate of its own, so it never signs.

use super::x25519::X25519;
use crate::random::fill_random;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use rustls::crypto::ring::cipher_suite;
use rustls::crypto::{CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms};
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, PrivateKeyDer, SignatureVerificationAlgorithm, alg_id};
use rustls::sign::SigningKey;
use rustls::{Error, SignatureScheme};
use std::sync::Arc;
use webpki::ring as algorithms;

pub(in crate::publish::tls) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
        ],
        kx_groups: vec![&X25519],
        signature_verification_algorithms: VERIFIED,
        secure_random: &Kernel,
        key_provider: &NoKeys,
    }
}

const VERIFIED: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        &EcdsaP256,
        algorithms::ECDSA_P384_SHA256,
        algorithms::ECDSA_P384_SHA384,
        algorithms::RSA_PKCS1_2048_8192_SHA256,
        algorithms::RSA_PKCS1_2048_8192_SHA384,
        algorithms::RSA_PKCS1_2048_8192_SHA512,
        algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
    ],
    // In order of preference.
    mapping: &[
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[&EcdsaP256]),
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[algorithms::ECDSA_P384_SHA384]),
        (SignatureScheme::RSA_PSS_SHA256, &[algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA384, &[algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA512, &[algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
        (SignatureScheme::RSA_PKCS1_SHA256, &[algorithms::RSA_PKCS1_2048_8192_SHA256]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[algorithms::RSA_PKCS1_2048_8192_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA512, &[algorithms::RSA_PKCS1_2048_8192_SHA512]),
    ],
};

/// ECDSA over P-256 with SHA-256 (FIPS 186-5, RFC 5480).
#[derive(Debug)]
struct EcdsaP256;

impl SignatureVerificationAlgorithm for EcdsaP256 {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key = VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature = from_der(signature).ok_or(InvalidSignature)?;
        let signature = Signature::from_slice(&signature).map_err(|_| InvalidSignature)?;
        key.verify(message, &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}

/// `SEQUENCE { r INTEGER, s INTEGER }` in DER (X.690) → r and s, 32 bytes each, big-endian. `None` for non-canonical
/// encodings.
fn from_der(bytes: &[u8]) -> Option<[u8; 64]> {
    let (body, []) = element(0x30, bytes)? else { return None };
    let (r, rest) = element(0x02, body)?;
    let (s, []) = element(0x02, rest)? else { return None };
    let mut fixed = [0; 64];
    for (number, place) in [r, s].into_iter().zip(fixed.chunks_exact_mut(32)) {
        let digits = match number {
            // A leading zero is required if the number would be negative without it, and forbidden otherwise.
            [0, digits @ ..] if digits.first().is_some_and(|first| first & 0x80 != 0) => digits,
            [first, ..] if *first != 0 && first & 0x80 == 0 => number,
            _ => return None,
        };
        let from = place.len().checked_sub(digits.len())?;
        place[from..].copy_from_slice(digits);
    }
    Some(fixed)
}

/// The content of the first element, if it has this tag, and the bytes after it. Only lengths below 128, which are enough
/// for a signature.
fn element(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let [first, length @ 0..=127, rest @ ..] = bytes else { return None };
    (*first == tag).then(|| rest.split_at_checked(usize::from(*length)))?
}

/// The kernel's random numbers.
#[derive(Debug)]
struct Kernel;

impl SecureRandom for Kernel {
    fn fill(&self, room: &mut [u8]) -> Result<(), GetRandomFailed> {
        fill_random(room).map_err(|_| GetRandomFailed)
    }
}

/// Refuses private keys.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Err(Error::General("the agent has no certificate of its own".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6979, A.2.5, message "sample", SHA-256: public key, r, s.
    const PUBLIC: &str = "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
                          7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
    const R: &str = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716";
    const S: &str = "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";

    fn bytes(hex: &str) -> Vec<u8> {
        hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    fn signature() -> Vec<u8> {
        let number = |hex| [vec![0x02, 33, 0], bytes(hex)].concat();
        [vec![0x30, 70], number(R), number(S)].concat()
    }

    #[test]
    fn only_the_signature_of_rfc_6979_verifies() {
        let verify = |signature: &[u8], message| EcdsaP256.verify_signature(&bytes(PUBLIC), message, signature);
        assert!(verify(&signature(), b"sample").is_ok());
        assert!(verify(&signature(), b"Sample").is_err());
        for place in 0..signature().len() {
            let mut changed = signature();
            changed[place] ^= 1;
            assert!(verify(&changed, b"sample").is_err(), "byte {place}");
            assert!(verify(&signature()[..place], b"sample").is_err(), "cut at {place}");
        }
        assert!(verify(&[signature(), vec![0]].concat(), b"sample").is_err());
        assert!(EcdsaP256.verify_signature(&bytes(PUBLIC)[1..], b"sample", &signature()).is_err());
    }

    #[test]
    fn non_canonical_numbers_are_refused() {
        let with =
            |r: &[u8]| [vec![0x30, r.len() as u8 + 5, 0x02, r.len() as u8], r.to_vec(), vec![0x02, 1, 1]].concat();
        assert_eq!(from_der(&with(&[5])).map(|fixed| (fixed[31], fixed[63])), Some((5, 1)));
        for wrong in [&[][..], &[0], &[0, 5], &[0x80], &[1; 33]] {
            assert_eq!(from_der(&with(wrong)), None, "{wrong:?}");
        }
    }

    #[test]
    fn random_bytes_differ() {
        let (mut one, mut other) = ([0; 32], [0; 32]);
        Kernel.fill(&mut one).unwrap();
        Kernel.fill(&mut other).unwrap();
        assert_ne!(one, other);
    }
}
