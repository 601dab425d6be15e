//! Headers and connection of a request → its caller.

use super::caller::{Caller, Known, Peer};
use super::cookies::session_of;
use super::{Attempts, Login};
use crate::store_reader::{ReadError, StoreReader};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use lapwing_common::clock;
use lapwing_fleet::Way;
use lapwing_people::{Secret, USED_STEP_S, parse_person};
use lapwing_store::{StoreHandle, StoreUrl};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Passwords that are compared at the same time: each needs 19 MiB.
const COMPARED_AT_ONCE: usize = 2;
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    /// The connection's address, or the one that a trusted proxy names.
    pub(crate) address: IpAddr,
    /// The browser has a connection with TLS.
    pub(crate) is_secure: bool,
}

/// Finds out who makes a request.
pub(crate) struct Gate {
    /// The store with the people; `None` without one.
    people: Option<Arc<StoreReader>>,
    /// The same store, to change it.
    pub(crate) changes: Option<Arc<StoreReader>>,
    /// Only this machine reaches the server, and no proxy passes requests on.
    is_local: bool,
    listens_on_loopback: bool,
    proxies: Vec<IpAddr>,
    user_header: Option<HeaderName>,
    pub(crate) attempts: Attempts,
    pub(crate) comparing: Semaphore,
}

impl Gate {
    pub(crate) fn new(store: Option<&StoreUrl>, login: &Login, listens_on: SocketAddr) -> Arc<Self> {
        let store = login.people.as_ref().or(store);
        // A name that is no header is in no request.
        let user_header = login.user_header.as_ref().and_then(|name| name.to_ascii_lowercase().parse().ok());
        let listens_on_loopback = listens_on.ip().is_loopback();
        Arc::new(Self {
            people: store.map(StoreReader::new),
            changes: store.map(StoreReader::changing),
            // Through a proxy, others than this machine reach the loopback.
            is_local: listens_on_loopback && login.trusted_proxies.is_empty(),
            listens_on_loopback,
            proxies: login.trusted_proxies.iter().map(IpAddr::to_canonical).collect(),
            user_header,
            attempts: Attempts::default(),
            comparing: Semaphore::new(COMPARED_AT_ONCE),
        })
    }

    /// A proxy signs people in, so there are no sessions.
    pub(crate) fn is_by_proxy(&self) -> bool {
        self.user_header.is_some()
    }

    /// Whether a peer's requests may be read: passwords, sessions and tokens must not travel in plain text.
    pub(crate) fn answers(&self, peer: &Peer) -> bool {
        peer.is_tls || self.listens_on_loopback || self.is_trusted(peer)
    }

    fn is_trusted(&self, peer: &Peer) -> bool {
        self.proxies.contains(&peer.address.ip().to_canonical())
    }

    pub(crate) fn client(&self, headers: &HeaderMap, peer: &Peer) -> Client {
        let is_trusted = self.is_trusted(peer);
        // The last address is the one that the proxy saw; whoever sent the request may have written those before it.
        let mut lines = headers.get_all(FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok());
        let forwarded = lines.next_back().and_then(|line| forwarded_address(line.rsplit(',').next()?.trim()));
        let address = forwarded.filter(|_| is_trusted).unwrap_or_else(|| peer.address.ip());
        Client { address, is_secure: peer.is_tls || is_trusted }
    }

    pub(crate) async fn caller(&self, headers: &HeaderMap, peer: &Peer, client: &Client) -> Result<Caller, ReadError> {
        let Some(people) = &self.people else {
            return Ok(if self.is_local { Caller::Open } else { Caller::Unknown });
        };
        let now_s = clock::now_s();
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let Some(secret) = bearer(value).filter(|_| headers.get_all(header::AUTHORIZATION).iter().count() == 1)
            else {
                return Ok(Caller::Unknown);
            };
            return self.token(people, &secret, now_s).await;
        }
        if let Some(name) = &self.user_header {
            return named_by_proxy(people, headers, name, self.is_trusted(peer)).await;
        }
        let session = session_of(headers, client.is_secure);
        let found = match &session {
            Some(session) => self.session(people, session.sha256(), now_s).await?,
            None => None,
        };
        match found {
            Some(known) => Ok(Caller::Known(known)),
            None if self.is_local && !people.read(|handle: &StoreHandle| handle.has_people()).await? => {
                Ok(Caller::Open)
            }
            None => Ok(Caller::Unknown),
        }
    }

    async fn session(
        &self,
        people: &Arc<StoreReader>,
        session: [u8; 32],
        now_s: u64,
    ) -> Result<Option<Known>, ReadError> {
        let Some(found) = people.read(move |handle: &StoreHandle| handle.session(&session, now_s)).await? else {
            return Ok(None);
        };
        if now_s.saturating_sub(found.used_s) >= USED_STEP_S
            && let Some(changes) = &self.changes
        {
            changes.read(move |handle: &StoreHandle| handle.touch_session(&session, now_s)).await?;
        }
        let (name, role) = (found.person, found.role);
        Ok(Some(Known { name, role, way: Way::Page, session: Some(session), until_s: None }))
    }

    async fn token(&self, people: &Arc<StoreReader>, secret: &Secret, now_s: u64) -> Result<Caller, ReadError> {
        let sha256 = secret.sha256();
        let Some(token) = people.read(move |handle: &StoreHandle| handle.api_token(&sha256, now_s)).await? else {
            return Ok(Caller::Unknown);
        };
        let id = token.id;
        if now_s.saturating_sub(token.used_s) >= USED_STEP_S
            && let Some(changes) = &self.changes
        {
            changes.read(move |handle: &StoreHandle| handle.touch_api_token(id, now_s)).await?;
        }
        let (name, role, until_s) = (token.person, token.role, Some(token.until_s));
        Ok(Caller::Known(Known { name, role, way: Way::Token(id), session: None, until_s }))
    }
}

/// An address as proxies write it: with or without a port.
fn forwarded_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
}

/// The token of an `Authorization` header.
fn bearer(value: &HeaderValue) -> Option<Secret> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    Secret::parse_token(token.trim()).filter(|_| scheme.eq_ignore_ascii_case("bearer"))
}

/// The person that a trusted proxy names. Other peers' headers count for nothing.
async fn named_by_proxy(
    people: &Arc<StoreReader>,
    headers: &HeaderMap,
    header: &HeaderName,
    is_trusted: bool,
) -> Result<Caller, ReadError> {
    let mut values = headers.get_all(header).iter();
    let name = values.next().and_then(|value| parse_person(value.to_str().ok()?));
    let Some(name) = name.filter(|_| is_trusted && values.next().is_none()) else { return Ok(Caller::Unknown) };
    let asked = name.clone();
    let role = people.read(move |handle: &StoreHandle| handle.role(&asked)).await?;
    let known = role.map(|role| Known { name, role, way: Way::Proxy, session: None, until_s: None });
    Ok(known.map_or(Caller::Unknown, Caller::Known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_one_scheme_only() {
        let secret = Secret::new([7; 32]);
        let read = |text: &str| bearer(&text.parse().unwrap());
        assert_eq!(read(&format!("Bearer {}", secret.token())), Some(secret.clone()));
        assert_eq!(read(&format!("bearer {}", secret.token())), Some(secret.clone()));
        for text in [secret.token(), format!("Basic {}", secret.token()), format!("Bearer {}", secret.text())] {
            assert_eq!(read(&text), None, "{text}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_names_the_address_of_the_client() {
        let login = Login { trusted_proxies: vec!["192.0.2.1".parse().unwrap()], ..Login::default() };
        let gate = Gate::new(None, &login, "127.0.0.1:8480".parse().unwrap());
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED_FOR, "203.0.113.9".parse().unwrap());
        headers.append(FORWARDED_FOR, "10.0.0.1, 198.51.100.7".parse().unwrap());
        let client = |peer: &str| {
            let peer = Peer { address: peer.parse().unwrap(), is_tls: false };
            let client = gate.client(&headers, &peer);
            (client.address.to_string(), client.is_secure)
        };
        assert_eq!(client("192.0.2.1:5000"), ("198.51.100.7".to_owned(), true));
        assert_eq!(client("[::ffff:192.0.2.1]:5000"), ("198.51.100.7".to_owned(), true));
        assert_eq!(client("192.0.2.2:5000"), ("192.0.2.2".to_owned(), false));
    }

    #[test]
    fn proxies_write_addresses_with_and_without_ports() {
        for (text, address) in [
            ("198.51.100.7", "198.51.100.7"),
            ("198.51.100.7:5555", "198.51.100.7"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
        ] {
            assert_eq!(forwarded_address(text), address.parse().ok(), "{text}");
        }
        for text in ["", "unknown", "198.51.100.7:", "198.51.100.7:x", "[2001:db8::1", "_hidden"] {
            assert_eq!(forwarded_address(text), None, "{text}");
        }
    }
}
