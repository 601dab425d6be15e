//! Certificate, key and authorities of the embedded broker: from the trainer's authority or from files, renewed while it runs.

use super::roles::{Role, Roles};
use crate::config::Config;
use anyhow::Context;
use lapwing_authority::IssuedPem;
use lapwing_collect::Counts;
use lapwing_collect::broker::{BrokerTls, Credentials};
use lapwing_common::clock;
use lapwing_store::StoreHandle;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Interval of looking for a reason to renew.
const CHECK: Duration = Duration::from_secs(600);
/// A certificate of the trainer's authority is renewed this time before its end.
const RENEW_S: u64 = 30 * 86_400;

/// Keeps the broker's credentials up to date; it ends when dropped.
pub(super) struct CredentialsWatch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl CredentialsWatch {
    /// The broker's credentials, and the thread that renews them.
    ///
    /// # Errors
    /// When the authority or a file cannot be used.
    pub(super) fn start(
        config: &Config,
        (store, roles): (&StoreHandle, &Roles),
        counts: &Arc<Counts>,
        now_s: u64,
    ) -> anyhow::Result<(Arc<BrokerTls>, Self)> {
        if config.broker.certificate.is_none() && roles.has(Role::Enroll) {
            // Creates the authority of a new store, as the enrolment port does. Without the role, the authority is elsewhere.
            config.enrolment.authority_of(store, now_s)?;
        }
        let mut source = Source { config: config.clone(), known: None };
        let first = source.renewed(now_s)?.context("no credentials")?;
        let tls = Arc::new(BrokerTls::new(first)?);
        let (stop, stopped) = channel();
        let (renewing, counts) = (Arc::clone(&tls), Arc::clone(counts));
        let run = move || {
            while matches!(stopped.recv_timeout(CHECK), Err(RecvTimeoutError::Timeout)) {
                if let Err(error) = source.renew(&renewing, clock::now_s()) {
                    counts.renewals_failed.add(1);
                    tracing::error!(error = format!("{error:#}"), "cannot renew the embedded broker's certificate");
                }
            }
        };
        let thread = thread::Builder::new().name("broker-certificate".into()).spawn(run)?;
        Ok((tls, Self { stop: Some(stop), thread: Some(thread) }))
    }
}

impl Drop for CredentialsWatch {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the present credentials were made from.
#[derive(Clone, PartialEq, Eq)]
enum Known {
    /// Trusted authorities as PEM, and the end of the certificate.
    Issued { trusted: String, until_s: u64 },
    /// Certificate, key and authorities as PEM.
    Files([Vec<u8>; 3]),
}

struct Source {
    config: Config,
    known: Option<Known>,
}

impl Source {
    fn renew(&mut self, tls: &BrokerTls, now_s: u64) -> anyhow::Result<()> {
        let before = self.known.clone();
        let Some(credentials) = self.renewed(now_s)? else { return Ok(()) };
        if let Err(error) = tls.replace(credentials) {
            // The next check tries again.
            self.known = before;
            return Err(error.into());
        }
        tracing::info!("renewed the embedded broker's certificate");
        Ok(())
    }

    /// New credentials, if it is time or something has changed.
    fn renewed(&mut self, now_s: u64) -> anyhow::Result<Option<Credentials>> {
        let broker = &self.config.broker;
        match (&broker.certificate, &broker.key, &broker.trusted) {
            (Some(certificate), Some(key), Some(trusted)) => {
                let files = [read(certificate)?, read(key)?, read(trusted)?];
                let known = Known::Files(files.clone());
                if self.known.as_ref() == Some(&known) {
                    return Ok(None);
                }
                let [certificate, key, trusted] = &files;
                let credentials = Credentials::from_pem(certificate, key, trusted)?;
                self.known = Some(known);
                Ok(Some(credentials))
            }
            _ => self.issued(now_s),
        }
    }

    fn issued(&mut self, now_s: u64) -> anyhow::Result<Option<Credentials>> {
        let authority = self.config.enrolment.authority()?;
        let trusted = authority.trusted_pem()?;
        if let Some(Known::Issued { trusted: known, until_s }) = &self.known
            && *known == trusted
            && now_s.saturating_add(RENEW_S) < *until_s
        {
            return Ok(None);
        }
        let IssuedPem { chain, key, until_s } = authority.issue_server_pem(&self.config.tls_names(), now_s)?;
        let credentials = Credentials::from_pem(chain.as_bytes(), key.as_bytes(), trusted.as_bytes())?;
        self.known = Some(Known::Issued { trusted, until_s });
        Ok(Some(credentials))
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

    #[test]
    fn a_certificate_is_renewed_before_its_end_and_when_the_authority_rotates() {
        let folder = Folder::new();
        let mut config = Config::default();
        config.enrolment.authority = folder.path().join("authority");
        config.broker.names = vec!["localhost".into()];
        let authority = Authority::create(&config.enrolment.authority, None, NOW_S).unwrap();
        let mut source = Source { config, known: None };
        let first = source.renewed(NOW_S).unwrap().unwrap();
        let tls = BrokerTls::new(first).unwrap();
        assert!(source.renewed(NOW_S + 59 * 86_400).unwrap().is_none());
        assert!(source.renewed(NOW_S + 60 * 86_400).unwrap().is_some());
        authority.announce_next(None, NOW_S).unwrap();
        assert!(source.renewed(NOW_S + 60 * 86_400).unwrap().is_some(), "brokers must trust the next authority");
        fs::remove_dir_all(folder.path().join("authority")).unwrap();
        assert!(source.renew(&tls, NOW_S + 60 * 86_400).is_err(), "the earlier certificate remains");
    }

    #[test]
    fn changed_files_are_read_again_and_files_that_do_not_fit_leave_the_earlier_ones() {
        let folder = Folder::new();
        let path = |name: &str| folder.path().join(name);
        let authority = Authority::create(&path("authority"), None, NOW_S).unwrap();
        let write = |now_s| {
            let issued = authority.issue_server_pem(&["localhost".into()], now_s).unwrap();
            fs::write(path("hub.pem"), issued.chain).unwrap();
            fs::write(path("hub.key"), issued.key).unwrap();
        };
        write(NOW_S);
        fs::write(path("trusted.pem"), authority.trusted_pem().unwrap()).unwrap();
        let mut config = Config::default();
        let [certificate, key, trusted] = ["hub.pem", "hub.key", "trusted.pem"].map(|name| Some(path(name)));
        (config.broker.certificate, config.broker.key, config.broker.trusted) = (certificate, key, trusted);
        let mut source = Source { config, known: None };
        let tls = BrokerTls::new(source.renewed(NOW_S).unwrap().unwrap()).unwrap();
        assert!(source.renewed(NOW_S).unwrap().is_none());
        let earlier = fs::read(path("hub.key")).unwrap();
        write(NOW_S + 1);
        let newer = fs::read(path("hub.key")).unwrap();
        fs::write(path("hub.key"), earlier).unwrap();
        assert!(source.renew(&tls, NOW_S).is_err(), "the key of another certificate");
        fs::write(path("hub.key"), newer).unwrap();
        source.renew(&tls, NOW_S).unwrap();
        assert!(source.renewed(NOW_S).unwrap().is_none());
    }
}
