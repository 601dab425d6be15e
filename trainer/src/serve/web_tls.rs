//! Certificate and key of the web page: from the trainer's authority or from files, renewed while it runs.

use crate::config::{Config, HttpTls};
use anyhow::{Context, ensure};
use lapwing_authority::IssuedPem;
use lapwing_common::clock;
use lapwing_store::StoreHandle;
use lapwing_web::WebTls;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Interval of looking for a reason to renew.
const CHECK: Duration = Duration::from_secs(600);
/// A certificate of the trainer's authority is renewed this time before its end.
const RENEW_S: u64 = 30 * 86_400;

/// Keeps the certificate up to date; it ends when dropped.
pub(crate) struct WebTlsWatch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl WebTlsWatch {
    /// The TLS of the page at `listen`, and the thread that renews it; `None` if it has no TLS.
    ///
    /// # Errors
    /// When the authority or a file cannot be used.
    pub(crate) fn start(
        config: &Config,
        listen: SocketAddr,
        now_s: u64,
    ) -> anyhow::Result<Option<(Arc<WebTls>, Self)>> {
        if !config.http.has_tls() {
            return Ok(None);
        }
        if config.http.tls == Some(HttpTls::Authority) {
            // Creates the authority of a new store, as the enrolment port does.
            config.enrolment.authority_of(&StoreHandle::open(&config.store.path)?, now_s)?;
        }
        let mut source = Source { config: config.clone(), listen, known: None };
        let Pair { chain, key } = source.renewed(now_s)?.context("no certificate")?;
        let tls = Arc::new(WebTls::from_pem(&chain, &key)?);
        let (stop, stopped) = channel();
        let renewing = Arc::clone(&tls);
        let run = move || {
            while matches!(stopped.recv_timeout(CHECK), Err(RecvTimeoutError::Timeout)) {
                if let Err(error) = source.renew(&renewing, clock::now_s()) {
                    tracing::error!(error = format!("{error:#}"), "cannot renew the web page's certificate");
                }
            }
        };
        let thread = thread::Builder::new().name("web-certificate".into()).spawn(run)?;
        Ok(Some((tls, Self { stop: Some(stop), thread: Some(thread) })))
    }
}

impl Drop for WebTlsWatch {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Certificate and key as PEM.
#[derive(Clone, PartialEq, Eq)]
struct Pair {
    chain: Vec<u8>,
    key: Vec<u8>,
}

/// What the present certificate was made from.
#[derive(Clone, PartialEq, Eq)]
enum Known {
    /// The authorities as PEM, and the end of the certificate.
    Issued {
        trusted: String,
        until_s: u64,
    },
    Files(Pair),
}

struct Source {
    config: Config,
    listen: SocketAddr,
    known: Option<Known>,
}

impl Source {
    fn renew(&mut self, tls: &WebTls, now_s: u64) -> anyhow::Result<()> {
        let before = self.known.clone();
        let Some(Pair { chain, key }) = self.renewed(now_s)? else { return Ok(()) };
        if let Err(error) = tls.replace(&chain, &key) {
            // The next check tries again.
            self.known = before;
            return Err(error.into());
        }
        tracing::info!("renewed the web page's certificate");
        Ok(())
    }

    /// Another certificate, if it is time or something has changed.
    fn renewed(&mut self, now_s: u64) -> anyhow::Result<Option<Pair>> {
        let (Some(cert), Some(key)) = (&self.config.http.tls_cert, &self.config.http.tls_key) else {
            return self.issued(now_s);
        };
        let pair = Pair { chain: read(cert)?, key: read(key)? };
        let known = Some(Known::Files(pair.clone()));
        if self.known == known {
            return Ok(None);
        }
        self.known = known;
        Ok(Some(pair))
    }

    fn issued(&mut self, now_s: u64) -> anyhow::Result<Option<Pair>> {
        let authority = self.config.enrolment.authority()?;
        let trusted = authority.trusted_pem()?;
        if let Some(Known::Issued { trusted: known, until_s }) = &self.known
            && *known == trusted
            && now_s.saturating_add(RENEW_S) < *until_s
        {
            return Ok(None);
        }
        let names = self.config.http.certificate_names(self.listen);
        ensure!(!names.is_empty(), "http.tls: the certificate needs a name; set http.names (--http-name)");
        let IssuedPem { chain, key, until_s } = authority.issue_server_pem(&names, now_s)?;
        self.known = Some(Known::Issued { trusted, until_s });
        Ok(Some(Pair { chain: chain.into(), key: key.as_bytes().to_vec() }))
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_authority::Authority;
    use lapwing_store::testing::Folder;

    const NOW_S: u64 = 1_800_000_000;

    fn source(folder: &Folder) -> (Source, Authority) {
        let mut config = Config::default();
        config.enrolment.authority = folder.path().join("authority");
        config.http.tls = Some(HttpTls::Authority);
        let authority = Authority::create(&config.enrolment.authority, None, NOW_S).unwrap();
        (Source { config, listen: "127.0.0.1:8480".parse().unwrap(), known: None }, authority)
    }

    #[test]
    fn a_certificate_of_the_authority_is_renewed_before_its_end() {
        let folder = Folder::new();
        let (mut source, _authority) = source(&folder);
        let Pair { chain, key } = source.renewed(NOW_S).unwrap().unwrap();
        let tls = WebTls::from_pem(&chain, &key).unwrap();
        assert!(source.renewed(NOW_S + 59 * 86_400).unwrap().is_none());
        source.renew(&tls, NOW_S + 60 * 86_400).unwrap();
        fs::remove_dir_all(folder.path().join("authority")).unwrap();
        assert!(source.renew(&tls, NOW_S + 120 * 86_400).is_err(), "the earlier certificate remains");
    }

    #[test]
    fn a_certificate_on_every_address_needs_a_name() {
        let folder = Folder::new();
        let (mut source, _authority) = source(&folder);
        source.listen = "0.0.0.0:8480".parse().unwrap();
        assert!(source.renewed(NOW_S).map(|_| ()).unwrap_err().to_string().contains("set http.names"));
    }

    #[test]
    fn changed_files_are_read_again_and_files_that_do_not_fit_leave_the_earlier_ones() {
        let folder = Folder::new();
        let (mut source, authority) = source(&folder);
        let [cert, key] = ["hub.pem", "hub.key"].map(|name| folder.path().join(name));
        let write = |now_s| {
            let issued = authority.issue_server_pem(&["localhost".into()], now_s).unwrap();
            fs::write(&cert, issued.chain).unwrap();
            fs::write(&key, issued.key).unwrap();
        };
        write(NOW_S);
        source.config.http.tls = None;
        (source.config.http.tls_cert, source.config.http.tls_key) = (Some(cert.clone()), Some(key.clone()));
        let first = source.renewed(NOW_S).unwrap().unwrap();
        let tls = WebTls::from_pem(&first.chain, &first.key).unwrap();
        assert!(source.renewed(NOW_S).unwrap().is_none());
        write(NOW_S + 1);
        let newer = fs::read(&key).unwrap();
        fs::write(&key, &first.key).unwrap();
        assert!(source.renew(&tls, NOW_S).is_err(), "the key of another certificate");
        fs::write(&key, newer).unwrap();
        source.renew(&tls, NOW_S).unwrap();
    }
}
