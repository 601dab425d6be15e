//! A `postgres://` address → the settings of a connection.

use super::tls;
use crate::error::StoreError;
use crate::url::StoreUrl;
use postgres::Config;
use postgres::config::TargetSessionAttrs;
use std::path::PathBuf;
use std::time::Duration;

/// Time to connect, and without an answer to sent data; the address may set others.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Idle time after which the system checks that the server is there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Variable with the password, as for other programs of PostgreSQL, so that no file needs to have it.
const PASSWORD: &str = "PGPASSWORD";

/// The settings, and the file of the certificates to trust (`sslrootcert`).
///
/// # Errors
/// [`StoreError::Address`]; it does not say what is wrong, because that may be a part of the password.
pub(super) fn parse(url: &StoreUrl) -> Result<(Config, Option<PathBuf>), StoreError> {
    let invalid = || StoreError::Address { store: url.to_string() };
    let StoreUrl::Postgres(text) = url else { return Err(invalid()) };
    let (text, authority) = split_tls(text);
    let mut config: Config = text.parse().map_err(|_| invalid())?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(invalid());
    }
    if config.get_password().is_none()
        && let Ok(password) = std::env::var(PASSWORD)
    {
        config.password(password);
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SEND_TIMEOUT);
    }
    if config.get_application_name().is_none() {
        config.application_name("lapwing-trainer");
    }
    config.keepalives_idle(KEEPALIVE);
    // With several hosts in the address: the one that accepts writes.
    if config.get_hosts().len() > 1 {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    tls::decide_mode(&mut config);
    Ok((config, authority))
}

/// Takes the parameters out that the client library does not know: `sslrootcert`, and the modes that verify certificates,
/// as `require` does here.
fn split_tls(text: &str) -> (String, Option<PathBuf>) {
    let Some((before, parameters)) = text.split_once('?') else { return (text.to_owned(), None) };
    let mut authority = None;
    let mut kept = Vec::new();
    for parameter in parameters.split('&') {
        match parameter.split_once('=') {
            Some(("sslrootcert", path)) => authority = Some(PathBuf::from(path)),
            Some(("sslmode", "verify-ca" | "verify-full")) => kept.push("sslmode=require"),
            _ => kept.push(parameter),
        }
    }
    let mark = if kept.is_empty() { "" } else { "?" };
    (format!("{before}{mark}{}", kept.join("&")), authority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postgres::config::SslMode;

    fn parsed(text: &str) -> (Config, Option<PathBuf>) {
        parse(&text.parse().unwrap()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn other_machines_need_tls_unless_the_address_disables_it() {
        for (text, mode) in [
            ("postgres://lapwing@localhost/fleet", SslMode::Disable),
            ("postgres://lapwing@127.0.0.1:5433/fleet", SslMode::Disable),
            ("postgres://lapwing@%2Frun%2Fpostgresql/fleet", SslMode::Disable),
            ("postgres://lapwing@hub/fleet", SslMode::Require),
            ("postgres://lapwing@hub/fleet?sslmode=disable", SslMode::Disable),
            ("postgres://lapwing@localhost/fleet?sslmode=verify-full", SslMode::Require),
        ] {
            assert_eq!(parsed(text).0.get_ssl_mode(), mode, "{text}");
        }
    }

    #[test]
    fn the_file_of_trusted_certificates_is_taken_from_the_address() {
        let (config, authority) = parsed("postgres://a@hub/b?sslrootcert=/etc/ca.pem&connect_timeout=3");
        assert_eq!(authority, Some(PathBuf::from("/etc/ca.pem")));
        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(3)));
        assert_eq!(parsed("postgres://a@hub/b?sslrootcert=/etc/ca.pem").0.get_dbname(), Some("b"));
    }

    #[test]
    fn an_invalid_address_is_an_error_without_the_password() {
        for text in ["postgres://", "postgres://lapwing:s3cr@hub:port/b", "postgres://a@hub/b?s3cr=1"] {
            let error = parse(&text.parse().unwrap()).unwrap_err().to_string();
            assert!(!error.contains("s3cr") && error.contains("postgres://USER"), "{error}");
        }
    }
}
