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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Login, Site, WebServer};
    use lapwing_authority::Authority;
    use lapwing_store::testing::Folder;
    use lapwing_store::{Limits, Store};
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};

    fn pair(authority: &Authority, now_s: u64) -> (String, Vec<u8>) {
        let issued = authority.issue_server_pem(&["localhost".into()], now_s).unwrap();
        (issued.chain, issued.key.as_bytes().to_vec())
    }

    fn request(address: SocketAddr, authority: &Authority, text: &str) -> Option<String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority.trusted_pem().unwrap().as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(connection, TcpStream::connect(address).unwrap());
        stream.write_all(text.as_bytes()).ok()?;
        let mut answer = Vec::new();
        // The server closes the connection without a TLS alert.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).ok()
    }

    #[test]
    fn pages_over_tls_have_the_certificate_and_a_secure_cookie() {
        let folder = Folder::new();
        let store = Store::open(folder.store(), Limits::default()).unwrap();
        let now_s = lapwing_common::clock::now_s();
        let password = lapwing_people::hash_password("ann", "correct horse", [1; 16]).unwrap();
        let handle = store.handle().unwrap();
        handle.add_first_link(&[1; 32], now_s).unwrap();
        handle.use_link(&[1; 32], "ann", &password, now_s).unwrap();
        let authority = Authority::create(&folder.path().join("authority"), None, now_s).unwrap();
        let (chain, key) = pair(&authority, now_s);
        let tls = Arc::new(WebTls::from_pem(chain.as_bytes(), &key).unwrap());
        let (store_url, login) = (Some(folder.store().into()), Login::default());
        let site = Site { store: store_url, login, tls: Some(Arc::clone(&tls)), ..Site::default() };
        let server = WebServer::start(site, "127.0.0.1:0".parse().unwrap()).unwrap();
        let body = "name=ann&password=correct+horse";
        let login = format!(
            "POST /login HTTP/1.1\r\nHost: localhost\r\nOrigin: https://localhost\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = request(server.address, &authority, &login).unwrap();
        assert!(answer.starts_with("HTTP/1.1 303") && answer.contains("set-cookie: __Host-lapwing="), "{answer}");
        assert!(answer.contains("; Secure"), "{answer}");
        // Without TLS, there is no answer.
        let mut plain = TcpStream::connect(server.address).unwrap();
        plain.write_all(b"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        let _ = plain.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
        // Of another authority from now on.
        let other = Authority::create(&folder.path().join("other"), None, now_s).unwrap();
        assert!(tls.replace(chain.as_bytes(), &pair(&other, now_s).1).is_err(), "a key of another certificate");
        let (chain, key) = pair(&other, now_s);
        tls.replace(chain.as_bytes(), &key).unwrap();
        let get = "GET /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        assert!(request(server.address, &other, get).is_some_and(|answer| answer.starts_with("HTTP/1.1 200")));
        assert!(request(server.address, &authority, get).is_none_or(|answer| answer.is_empty()));
        server.stop().unwrap();
        store.close().unwrap();
    }
}
