//! `[http]`: the web page and the API, and who may sign in.

use super::{Config, ConfigError};
use lapwing_web::Login;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Where the web page's certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HttpTls {
    /// The trainer's authority issues and renews it.
    Authority,
    /// From `tls-cert` and `tls-key`.
    Files,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct HttpSection {
    /// Address of the dashboard and the HTTP API. Default: none (disabled).
    pub(crate) listen: Option<SocketAddr>,
    /// Host names accepted besides the address that the server listens on.
    pub(crate) names: Vec<String>,
    /// Where the certificate comes from. Default: none (no TLS), unless there are files.
    pub(crate) tls: Option<HttpTls>,
    /// PEM file with the certificate and those of its issuers.
    pub(crate) tls_cert: Option<PathBuf>,
    /// PEM file with the key of this certificate.
    pub(crate) tls_key: Option<PathBuf>,
    /// Addresses of proxies that end TLS.
    pub(crate) trusted_proxies: Vec<IpAddr>,
    /// Header in which these proxies name the person whom they signed in; passwords are then disabled.
    pub(crate) user_header: Option<String>,
}

impl HttpSection {
    pub(crate) fn has_tls(&self) -> bool {
        self.tls.is_some() || self.tls_cert.is_some()
    }

    /// Names and addresses for the certificate of the trainer's authority.
    pub(crate) fn certificate_names(&self, listen: SocketAddr) -> Vec<String> {
        let own = Some(listen.ip()).filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string());
        let local = listen.ip().is_loopback().then(|| "localhost".to_owned());
        self.names.iter().cloned().chain(own).chain(local).collect()
    }

    /// The address by which people reach the page at `listen`.
    pub(crate) fn base_url(&self, listen: Option<SocketAddr>) -> String {
        let scheme = if self.has_tls() || !self.trusted_proxies.is_empty() { "https" } else { "http" };
        let ip = listen.map(|listen| listen.ip()).filter(|ip| !ip.is_unspecified());
        let shown = ip.map(|ip| if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() });
        let host = self.names.first().cloned().or(shown).unwrap_or_else(|| "THIS-SERVER".into());
        // A proxy has a port of its own.
        let port = listen.filter(|_| self.trusted_proxies.is_empty());
        let port = port.map(|listen| format!(":{}", listen.port())).unwrap_or_default();
        format!("{scheme}://{host}{port}")
    }
}

impl Config {
    /// Who may sign in; every process reads the people of its store.
    pub(crate) fn login(&self) -> Login {
        Login {
            people: Some(self.store.path.clone()),
            trusted_proxies: self.http.trusted_proxies.clone(),
            user_header: self.http.user_header.clone(),
        }
    }

    /// Checks that files come in pairs, and that only a trusted proxy signs people in.
    pub(super) fn check_http(&self) -> Result<(), ConfigError> {
        let HttpSection { tls, tls_cert, tls_key, trusted_proxies, user_header, .. } = &self.http;
        if tls_cert.is_some() != tls_key.is_some() {
            let file = tls_cert.as_ref().or(tls_key.as_ref()).map(|path| path.display().to_string());
            let expected = "expected http.tls-cert and http.tls-key, or none of them";
            return Err(ConfigError::value("http.tls-cert", file.unwrap_or_default(), expected));
        }
        match (tls, tls_cert) {
            (Some(HttpTls::Authority), Some(_)) => {
                let expected = "expected \"files\", or no http.tls-cert";
                return Err(ConfigError::value("http.tls", "authority", expected));
            }
            (Some(HttpTls::Files), None) => {
                let expected = "expected http.tls-cert and http.tls-key as well";
                return Err(ConfigError::value("http.tls", "files", expected));
            }
            _ => {}
        }
        let Some(header) = user_header else { return Ok(()) };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if header.is_empty() || header.len() > 64 || !header.bytes().all(is_name) {
            return Err(ConfigError::value(
                "http.user-header",
                header,
                "expected the name of a header, e.g. X-Remote-User",
            ));
        }
        if trusted_proxies.is_empty() {
            let expected = "expected http.trusted-proxies as well: every client could send this header";
            return Err(ConfigError::value("http.user-header", header, expected));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;
    use super::*;

    #[test]
    fn files_come_in_pairs_and_only_trusted_proxies_sign_people_in() {
        let error = |text: &str| load(&format!("[http]\n{text}\n")).unwrap_err().to_string();
        assert!(error("tls-cert = 'a.pem'").contains("http.tls-cert = a.pem: expected http.tls-cert and http.tls-key"));
        assert!(error("tls-key = 'a.key'").contains("or none of them"));
        assert!(error("tls = 'authority'\ntls-cert = 'a'\ntls-key = 'b'").contains("or no http.tls-cert"));
        assert!(error("tls = 'files'").contains("as well"));
        assert!(error("user-header = 'X-User'").contains("every client could send this header"));
        assert!(error("user-header = 'X User'\ntrusted-proxies = ['127.0.0.1']").contains("the name of a header"));
        assert!(error("trusted-proxies = ['proxy.lan']").contains("trusted-proxies"));
        assert!(error("tls = 'acme'").contains("authority"));
        let config = load("[http]\nuser-header = 'X-User'\ntrusted-proxies = ['::1']\ntls = 'authority'\n").unwrap();
        assert_eq!(config.login().trusted_proxies, ["::1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn people_reach_the_page_by_its_first_name_or_its_address() {
        let url = |section: &HttpSection, listen: &str| section.base_url(Some(listen.parse().unwrap()));
        let mut section = HttpSection::default();
        assert_eq!(url(&section, "127.0.0.1:8480"), "http://127.0.0.1:8480");
        section.tls = Some(HttpTls::Authority);
        assert_eq!(url(&section, "[fd00::1]:443"), "https://[fd00::1]:443");
        assert_eq!(url(&section, "0.0.0.0:8480"), "https://THIS-SERVER:8480");
        section.names = vec!["fleet.lan".into()];
        assert_eq!(url(&section, "0.0.0.0:8480"), "https://fleet.lan:8480");
        assert_eq!(section.certificate_names("0.0.0.0:1".parse().unwrap()), ["fleet.lan"]);
        assert_eq!(section.certificate_names("[::1]:1".parse().unwrap()), ["fleet.lan", "::1", "localhost"]);
        section.trusted_proxies = vec!["192.0.2.1".parse().unwrap()];
        assert_eq!(url(&section, "0.0.0.0:8480"), "https://fleet.lan");
    }
}
