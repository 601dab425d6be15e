//! Requests → who makes them, and whether they may.
//!
//! A server on the loopback whose store has nobody is open: it shows its pages to whoever reaches it, and changes nothing.
//! Otherwise every route but the login needs somebody: a session's cookie, an API token, or a person that a trusted proxy
//! names.

mod attempts;
mod caller;
mod check;
mod cookies;
mod cross_site;

pub(crate) use attempts::Attempts;
pub(crate) use caller::{CALLER, Caller, Known, Peer};
pub(crate) use check::{Access, Client, Gate, check};
pub(crate) use cookies::{ended_cookie, session_cookie};
pub(crate) use cross_site::{Claim, claim};

use lapwing_store::StoreUrl;
use std::net::IpAddr;

/// Who may sign in, and how.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// The store with the people; `None`: that of the pages.
    pub people: Option<StoreUrl>,
    /// Addresses of proxies that end TLS. Their `X-Forwarded-For` is the client's address.
    pub trusted_proxies: Vec<IpAddr>,
    /// Header in which a trusted proxy names the person whom it signed in. With it, nobody signs in by password.
    pub user_header: Option<String>,
}
