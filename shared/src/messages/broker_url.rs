//! `mqtt://user:password@host:port` → host, port, TLS and login of the broker.
//!
//! `mqtt` is TCP, default port 1883; `mqtts` is TLS, default port 8883. IPv6 addresses are in brackets. User and
//! password may contain percent-encoded bytes (RFC 3986 §2.1). Host (RFC 1035 §2.3.4), user and password have at most
//! 255 bytes each.

use core::fmt;
use core::str::FromStr;
use heapless::{String, Vec};

/// Longest host, user and password, bytes each.
pub const PART_BYTES: usize = 255;

/// Address and login of a broker.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// TLS.
    pub tls: bool,
    /// Name or address; an IPv6 address keeps its brackets, as resolvers expect before a port.
    pub host: String<PART_BYTES>,
    /// Port.
    pub port: u16,
    /// User and password.
    pub login: Option<(String<PART_BYTES>, String<PART_BYTES>)>,
}

impl BrokerUrl {
    /// True if the connection carries a password without TLS, to another machine.
    #[inline]
    pub fn sends_password_in_clear(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let is_here = host == "localhost" || host.parse().is_ok_and(|address: core::net::IpAddr| address.is_loopback());
        !self.tls && !is_here && self.login.as_ref().is_some_and(|(_, password)| !password.is_empty())
    }
}

/// Omits the login.
impl fmt::Debug for BrokerUrl {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// Omits the login.
impl fmt::Display for BrokerUrl {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Error in a broker URL. The message does not repeat the URL, which may contain a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// Wrong scheme.
    Scheme,
    /// Missing or invalid host.
    Host,
    /// Invalid port.
    Port,
    /// Invalid user or password.
    Login,
    /// Text after the port.
    Path,
}

impl fmt::Display for UrlError {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "broker URL: expected mqtt:// or mqtts:// at the start",
            Self::Host => "broker URL: missing or invalid host, expected mqtt://HOST or mqtt://HOST:PORT",
            Self::Port => "broker URL: invalid port, expected 1 to 65535",
            Self::Login => {
                "broker URL: invalid user or password, expected up to 255 bytes of UTF-8, % only before hex digits"
            }
            Self::Path => "broker URL: unexpected text after the port",
        })
    }
}

impl core::error::Error for UrlError {}

impl FromStr for BrokerUrl {
    type Err = UrlError;

    #[inline]
    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let tls = match scheme {
            "mqtt" => false,
            "mqtts" => true,
            _ => return Err(UrlError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, authority) = match rest.rsplit_once('@') {
            Some((login, authority)) => (Some(parse_login(login)?), authority),
            None => (None, rest),
        };
        if authority.contains(['/', '?', '#', ' ']) {
            return Err(UrlError::Path);
        }
        let (host, port) = split_port(authority)?;
        let port = port.map_or(Ok(if tls { 8883 } else { 1883 }), |port| port.parse().map_err(|_| UrlError::Port))?;
        let host = String::try_from(host).ok().filter(|host| !host.is_empty()).ok_or(UrlError::Host)?;
        if port == 0 {
            return Err(UrlError::Port);
        }
        Ok(Self { tls, host, port, login })
    }
}

#[inline]
fn split_port(authority: &str) -> Result<(&str, Option<&str>), UrlError> {
    let end = if authority.starts_with('[') { authority.find(']').ok_or(UrlError::Host)? + 1 } else { 0 };
    match authority[end..].split_once(':') {
        Some((host, port)) => Ok((&authority[..end + host.len()], Some(port))),
        None => Ok((authority, None)),
    }
}

#[inline]
fn parse_login(login: &str) -> Result<(String<PART_BYTES>, String<PART_BYTES>), UrlError> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    Ok((decode(user)?, decode(password)?))
}

#[inline]
fn decode(text: &str) -> Result<String<PART_BYTES>, UrlError> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or(UrlError::Login);
        let byte = match byte {
            b'%' => (digit(rest.next())? << 4 | digit(rest.next())?) as u8,
            byte => byte,
        };
        bytes.push(byte).map_err(|_| UrlError::Login)?;
    }
    String::from_utf8(bytes).map_err(|_| UrlError::Login)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn a_url_is_parsed_into_host_port_and_login() {
        let url: BrokerUrl = "mqtt://me:p%40ss%3a@broker.example:1884/".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port, url.tls), ("broker.example", 1884, false));
        assert_eq!(url.login, Some(("me".try_into().unwrap(), "p@ss:".try_into().unwrap())));
        assert_eq!(format!("{url:?}"), "mqtt://broker.example:1884");
        let url: BrokerUrl = "mqtt://[::1]".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port, url.login), ("[::1]", 1883, None));
        let url: BrokerUrl = "mqtts://[::1]:8884".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port, url.tls), ("[::1]", 8884, true));
    }

    #[test]
    fn a_password_is_sent_in_clear_without_tls_except_to_this_machine() {
        let sends = |text: &str| text.parse::<BrokerUrl>().unwrap().sends_password_in_clear();
        assert!(
            sends("mqtt://me:secret@broker") && sends("mqtt://me:secret@192.168.1.1") && sends("mqtt://me:s@[fd00::1]")
        );
        for text in [
            "mqtts://me:secret@broker",
            "mqtt://me@broker",
            "mqtt://broker",
            "mqtt://me:secret@localhost",
            "mqtt://me:secret@127.0.0.2:1884",
            "mqtt://me:secret@[::1]",
        ] {
            assert!(!sends(text), "{text}");
        }
    }

    #[test]
    fn an_invalid_url_gives_a_specific_error() {
        let error = |text: &str| text.parse::<BrokerUrl>().unwrap_err();
        assert_eq!(error("broker.example"), UrlError::Scheme);
        assert_eq!(error("http://broker.example"), UrlError::Scheme);
        assert_eq!(error("mqtt://"), UrlError::Host);
        assert_eq!(error("mqtt://[::1"), UrlError::Host);
        assert_eq!(error(&format!("mqtt://{}", "a".repeat(256))), UrlError::Host);
        assert_eq!(error("mqtt://a:0"), UrlError::Port);
        assert_eq!(error("mqtt://a:70000"), UrlError::Port);
        assert_eq!(error("mqtt://a%4:b@host"), UrlError::Login);
        assert_eq!(error(&format!("mqtt://{}@host", "a".repeat(256))), UrlError::Login);
        assert_eq!(error("mqtt://host/topic"), UrlError::Path);
    }
}
