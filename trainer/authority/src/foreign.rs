//! Certificate request of another program, e.g. `openssl req` → certificate.
//!
//! An operator names the file; no stranger's bytes get here. Of the request, only name and key are used.

use super::error::AuthorityError;
use super::issue::{self, Subject};
use lapwing_shared::release::digest::sha256;
use lapwing_shared::release::manifest::Digest;
use rcgen::{
    CertificateSigningRequestParams, DnType, DnValue, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519,
    PKCS_RSA_SHA256, PublicKey, PublicKeyData,
};

/// Longest file, bytes.
pub const FOREIGN_REQUEST_BYTES: usize = 16 * 1024;

/// A request whose signature was verified.
pub struct ForeignRequest {
    /// Common name of its subject, if it has one.
    pub name: Option<String>,
    key: PublicKey,
}

impl ForeignRequest {
    /// Reads a request, PEM or DER, and verifies its signature.
    ///
    /// # Errors
    /// [`AuthorityError::Request`].
    pub fn parse(bytes: &[u8]) -> Result<Self, AuthorityError> {
        let invalid = |error: rcgen::Error| AuthorityError::Request(error.to_string());
        if bytes.len() > FOREIGN_REQUEST_BYTES {
            return Err(AuthorityError::Request(format!("longer than {FOREIGN_REQUEST_BYTES} bytes")));
        }
        let read = match std::str::from_utf8(bytes) {
            Ok(text) if text.contains("-----BEGIN") => CertificateSigningRequestParams::from_pem(text),
            _ => CertificateSigningRequestParams::from_der(&bytes.into()),
        };
        let CertificateSigningRequestParams { params, public_key } = read.map_err(invalid)?;
        let name = match params.distinguished_name.get(&DnType::CommonName) {
            Some(DnValue::Utf8String(name)) => Some(name.clone()),
            Some(DnValue::PrintableString(name)) => Some(name.to_string()),
            _ => None,
        };
        if !is_supported(&public_key) {
            return Err(AuthorityError::Request("its key is not supported".to_owned()));
        }
        Ok(Self { name, key: public_key })
    }

    /// SHA-256 of the key as a `SubjectPublicKeyInfo`.
    pub fn fingerprint(&self) -> Digest {
        sha256(&self.key.subject_public_key_info())
    }
}

/// Whether the key is Ed25519, ECDSA P-256 or RSA of at least 2,048 bits. The request is read by its signature, which does not
/// name the curve: a key of P-384 may sign with SHA-256, and would get a certificate that no program can read.
fn is_supported(key: &PublicKey) -> bool {
    let (algorithm, bytes) = (key.algorithm(), key.der_bytes().len());
    if algorithm == &PKCS_ED25519 {
        bytes == 32
    } else if algorithm == &PKCS_ECDSA_P256_SHA256 {
        bytes == 65
    } else {
        algorithm == &PKCS_RSA_SHA256 && bytes > 256
    }
}

/// The certificate, PEM.
pub(super) fn certificate(
    issuer: &Issuer<'_, KeyPair>,
    request: &ForeignRequest,
    subject: &Subject,
) -> Result<String, AuthorityError> {
    Ok(issue::client(issuer, &request.key, subject)?.pem())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Authority;
    use lapwing_shared::release::name::parse_name;
    use lapwing_store::testing::Folder;
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    fn openssl(folder: &Path, arguments: &[&str]) -> String {
        let output =
            Command::new("openssl").current_dir(folder).args(arguments).output().expect("openssl is installed");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn requests_of_openssl_get_certificates_that_openssl_verifies() {
        let folder = Folder::new();
        let path = |name: &str| folder.path().join(name);
        let authority = Authority::create(&path("authority"), None, 1_800_000_000).unwrap();
        fs::write(path("ca.pem"), authority.trusted_pem().unwrap()).unwrap();
        let keys: [&[&str]; 3] = [
            &["-algorithm", "ed25519"],
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        ];
        for (number, key) in keys.into_iter().enumerate() {
            openssl(folder.path(), &[&["genpkey", "-out", "key.pem"], key].concat());
            let form = if number == 1 { "DER" } else { "PEM" };
            let asked =
                ["req", "-new", "-key", "key.pem", "-subj", "/O=Home/CN=attic", "-outform", form, "-out", "csr"];
            openssl(folder.path(), &asked);
            let bytes = fs::read(path("csr")).unwrap();
            let request = ForeignRequest::parse(&bytes).unwrap();
            assert_eq!(request.name.as_deref(), Some("attic"));
            let name = parse_name("attic").unwrap();
            let subject = Subject { name, id: 7, issue: 1, now_s: 1_800_000_000, until_s: 1_800_086_400 };
            fs::write(path("cert.pem"), authority.issue_foreign(&request, &subject).unwrap()).unwrap();
            let verify = ["verify", "-attime", "1800000060", "-purpose", "sslclient", "-CAfile", "ca.pem", "cert.pem"];
            assert!(openssl(folder.path(), &verify).contains("cert.pem: OK"), "{key:?}");
            let subject = openssl(folder.path(), &["x509", "-in", "cert.pem", "-noout", "-subject", "-pubkey"]);
            assert!(subject.contains("attic") && !subject.contains("Home"), "only the name is taken: {subject}");
            let own = openssl(folder.path(), &["pkey", "-in", "key.pem", "-pubout"]);
            assert!(subject.contains(own.trim()), "{key:?}");
            // In the signature.
            let mut changed = bytes.clone();
            if form == "DER" {
                *changed.last_mut().unwrap() ^= 1;
                assert!(ForeignRequest::parse(&changed).is_err());
            }
        }
        for key in [
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"][..],
            &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
        ] {
            openssl(folder.path(), &[&["genpkey", "-out", "key.pem"], key].concat());
            openssl(folder.path(), &["req", "-new", "-key", "key.pem", "-sha256", "-subj", "/CN=attic", "-out", "csr"]);
            let error = ForeignRequest::parse(&fs::read(path("csr")).unwrap()).err().unwrap().to_string();
            assert!(error.contains("Ed25519, ECDSA P-256"), "{key:?}: {error}");
        }
        for bytes in [&b""[..], b"x", b"-----BEGIN CERTIFICATE REQUEST-----\nAA\n", &[0x30; 20_000]] {
            let error = ForeignRequest::parse(bytes).err().unwrap().to_string();
            assert!(error.starts_with("certificate request: "), "{error}");
        }
    }
}
