//! The agent's certificate and key → TLS client authentication.
//!
//! The key signs by ed25519-dalek, which verifies releases as well, with either provider.

use crate::identity::Identity;
use crate::publish::error::ClientError;
use lapwing_shared::enrolment::AgentKey;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use std::fmt;
use std::sync::Arc;

/// Presents the agent's certificate to every broker that asks for one.
#[derive(Clone, Debug)]
pub(in crate::publish) struct Own(Arc<CertifiedKey>);

/// PKCS #8 of an Ed25519 key (RFC 8410), before its 32 bytes.
const PKCS8_HEAD: &[u8] = &[0x30, 46, 0x02, 1, 0, 0x30, 5, 0x06, 3, 0x2b, 0x65, 0x70, 0x04, 34, 0x04, 32];

impl Own {
    pub(super) fn new(identity: &Identity) -> Self {
        Self::of(vec![CertificateDer::from(identity.enrolled.certificate.to_vec())], identity.key())
    }

    fn of(chain: Vec<CertificateDer<'static>>, key: AgentKey) -> Self {
        Self(Arc::new(CertifiedKey::new(chain, Arc::new(Key(Arc::new(key))))))
    }

    /// Of another authority.
    ///
    /// # Errors
    /// [`ClientError::Own`].
    pub(in crate::publish) fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, ClientError> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(key).ok();
        let seed = key.as_ref().and_then(|key| key.secret_pkcs8_der().strip_prefix(PKCS8_HEAD)?.try_into().ok());
        let seed = seed.ok_or(ClientError::Own("mqtt.key", "an Ed25519 key (`openssl genpkey -algorithm ed25519`)"))?;
        let key = AgentKey::from_seed(seed);
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate).map_while(Result::ok).collect();
        let public = key.public();
        let is_own = |own: &CertificateDer<'_>| own.windows(public.len()).any(|part| part == public);
        if !chain.first().is_some_and(is_own) {
            return Err(ClientError::Own("mqtt.certificate", "the certificate of mqtt.key first"));
        }
        Ok(Self::of(chain, key))
    }
}

impl ResolvesClientCert for Own {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        schemes.contains(&SignatureScheme::ED25519).then(|| Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The agent's key.
#[derive(Clone)]
struct Key(Arc<AgentKey>);

/// Omits the key.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ed25519 key")
    }
}

impl SigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::ED25519).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.0.sign(message).to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn files_of_openssl_are_used_and_those_of_another_key_are_rejected() {
        let folder = std::env::temp_dir().join(format!("lapwing-own-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let make = |name: &str, algorithm: &[&str]| {
            let [key, certificate] = ["key", "pem"].map(|ending| format!("{name}.{ending}"));
            let asked = ["req", "-x509", "-nodes", "-subj", "/CN=attic", "-keyout", &key, "-out", &certificate];
            let made = Command::new("openssl").current_dir(&folder).args(asked).args(algorithm).output();
            let made = made.expect("openssl is installed");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            [certificate, key].map(|file| std::fs::read(folder.join(file)).unwrap())
        };
        let [certificate, key] = make("one", &["-newkey", "ed25519"]);
        let [other, _] = make("two", &["-newkey", "ed25519"]);
        let [_, rsa] = make("rsa", &["-newkey", "rsa:2048"]);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(Own::from_pem(&certificate, &key).unwrap().0.cert.len(), 1);
        let chain = [&certificate[..], &other].concat();
        assert_eq!(Own::from_pem(&chain, &key).unwrap().0.cert.len(), 2);
        let error = |certificate: &[u8], key: &[u8]| Own::from_pem(certificate, key).unwrap_err().to_string();
        for (certificate, key, expected) in [
            (&other, &key, "mqtt.certificate"),
            (&vec![], &key, "mqtt.certificate"),
            (&certificate, &rsa, "mqtt.key: expected an Ed25519 key"),
            (&certificate, &vec![], "mqtt.key"),
        ] {
            assert!(error(certificate, key).contains(expected), "{expected}");
        }
    }
}
