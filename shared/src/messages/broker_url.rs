//! `mqtt://user:password@host:port` → where the broker is and who we are there.
//!
//! `mqtt` is TCP, port 1883 unless given; `mqtts` is TLS, port 8883. An IPv6 address stands in brackets. User and
//! password may hold percent-encoded bytes (RFC 3986 §2.1). Limits: 255 bytes of host (RFC 1035 §2.3.4), 255 of user and
//! password each.

use core::fmt;
use core::str::FromStr;
use heapless::{String, Vec};

/// Longest host, user and password, bytes each.
pub const PART_BYTES: usize = 255;

/// A broker.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// TLS.
    pub tls: bool,
    /// Name or address; an IPv6 address keeps its brackets, as resolvers want it in front of a port.
    pub host: String<PART_BYTES>,
    /// Port.
    pub port: u16,
    /// User and password.
    pub login: Option<(String<PART_BYTES>, String<PART_BYTES>)>,
}

/// Leaves the password out.
impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// Leaves the password out.
impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What is wrong with a broker's URL; the URL is not repeated, since it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// Scheme.
    Scheme,
    /// Host.
    Host,
    /// Port.
    Port,
    /// Login.
    Login,
    /// Anything behind.
    Path,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "broker URL: expected mqtt:// or mqtts:// first",
            Self::Host => "broker URL: no host, or a wrong one, expected mqtt://HOST or mqtt://HOST:PORT",
            Self::Port => "broker URL: port is wrong, expected 1 to 65535",
            Self::Login => {
                "broker URL: user or password is wrong, expected UTF-8 of at most 255 bytes, % only before two hex digits"
            }
            Self::Path => "broker URL: unexpected text behind the port",
        })
    }
}

impl core::error::Error for UrlError {}

impl FromStr for BrokerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let tls = match scheme {
            "mqtt" => false,
            "mqtts" => true,
            _ => return Err(UrlError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(parse_login(login)?), place),
            None => (None, rest),
        };
        if place.contains(['/', '?', '#', ' ']) {
            return Err(UrlError::Path);
        }
        let (host, port) = split_port(place)?;
        let port = port.map_or(Ok(if tls { 8883 } else { 1883 }), |port| port.parse().map_err(|_| UrlError::Port))?;
        let host = String::try_from(host).ok().filter(|host| !host.is_empty()).ok_or(UrlError::Host)?;
        if port == 0 {
            return Err(UrlError::Port);
        }
        Ok(Self { tls, host, port, login })
    }
}

fn split_port(place: &str) -> Result<(&str, Option<&str>), UrlError> {
    let end = if place.starts_with('[') { place.find(']').ok_or(UrlError::Host)? + 1 } else { 0 };
    match place[end..].split_once(':') {
        Some((host, port)) => Ok((&place[..end + host.len()], Some(port))),
        None => Ok((place, None)),
    }
}

fn parse_login(login: &str) -> Result<(String<PART_BYTES>, String<PART_BYTES>), UrlError> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    Ok((decode(user)?, decode(password)?))
}

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
    fn urls_name_host_port_and_login() {
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
    fn broken_urls_say_what_is_wrong() {
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
