//! `mqtt://user:password@host:port` → where the broker is and who we are there.
//!
//! `mqtt` is TCP, port 1883 unless given; `mqtts` is TLS, port 8883, in builds with the `tls` feature. An IPv6 address
//! stands in brackets. User and password may hold percent-encoded bytes (RFC 3986 §2.1).

/// A broker.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// TLS.
    pub tls: bool,
    /// Name or address; an IPv6 address keeps its brackets, as the resolver wants it in front of a port.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User and password.
    pub login: Option<(String, String)>,
}

/// Leaves the password out.
impl std::fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// Leaves the password out.
impl std::fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// What is wrong with a broker's URL; the URL is not repeated, since it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Scheme.
    #[error("broker URL: expected mqtt:// or mqtts:// first")]
    Scheme,
    /// No TLS in this build.
    #[error("broker URL: this build has no TLS, use mqtt:// or a build with the feature tls")]
    NoTls,
    /// Host.
    #[error("broker URL: no host, expected mqtt://HOST or mqtt://HOST:PORT")]
    Host,
    /// Port.
    #[error("broker URL: port is wrong, expected 1 to 65535")]
    Port,
    /// Login.
    #[error("broker URL: user or password is wrong, expected UTF-8 with % followed by two hex digits")]
    Login,
    /// Anything behind.
    #[error("broker URL: unexpected text behind the port")]
    Path,
}

impl std::str::FromStr for BrokerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let tls = match scheme {
            "mqtt" => false,
            "mqtts" if cfg!(feature = "tls") => true,
            "mqtts" => return Err(UrlError::NoTls),
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
        if host.is_empty() {
            return Err(UrlError::Host);
        }
        if port == 0 {
            return Err(UrlError::Port);
        }
        Ok(Self { tls, host: host.to_owned(), port, login })
    }
}

fn split_port(place: &str) -> Result<(&str, Option<&str>), UrlError> {
    let end = if place.starts_with('[') { place.find(']').ok_or(UrlError::Host)? + 1 } else { 0 };
    let colon = place[end..].find(':').map(|colon| end + colon);
    match colon {
        Some(colon) => Ok((&place[..colon], Some(&place[colon + 1..]))),
        None => Ok((place, None)),
    }
}

fn parse_login(login: &str) -> Result<(String, String), UrlError> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    Ok((decode(user)?, decode(password)?))
}

fn decode(text: &str) -> Result<String, UrlError> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or(UrlError::Login);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push((high << 4 | low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| UrlError::Login)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_host_port_and_login() {
        let url: BrokerUrl = "mqtt://me:p%40ss%3a@broker.example:1884/".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port, url.tls), ("broker.example", 1884, false));
        assert_eq!(url.login, Some(("me".to_owned(), "p@ss:".to_owned())));
        assert_eq!(format!("{url:?}"), "mqtt://broker.example:1884");
        let url: BrokerUrl = "mqtt://[::1]".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port, url.login), ("[::1]", 1883, None));
    }

    #[test]
    fn broken_urls_say_what_is_wrong() {
        let error = |text: &str| text.parse::<BrokerUrl>().unwrap_err();
        assert_eq!(error("broker.example"), UrlError::Scheme);
        assert_eq!(error("http://broker.example"), UrlError::Scheme);
        assert_eq!(error("mqtt://"), UrlError::Host);
        assert_eq!(error("mqtt://[::1"), UrlError::Host);
        assert_eq!(error("mqtt://a:0"), UrlError::Port);
        assert_eq!(error("mqtt://a:70000"), UrlError::Port);
        assert_eq!(error("mqtt://a%4:b@host"), UrlError::Login);
        assert_eq!(error("mqtt://host/topic"), UrlError::Path);
    }
}
