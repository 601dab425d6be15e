//! Requests → who makes them, and whether they may.
//!
//! A server on the loopback whose store has no people is open: it shows its pages to whoever reaches it, and changes nothing.
//! Otherwise every route but the login needs a caller: a session's cookie, an API token, or a person that a trusted proxy
//! names.

mod attempts;
mod caller;
mod cookies;
mod cross_site;
mod gate;

pub(crate) use attempts::Attempts;
pub(crate) use caller::{CALLER, Caller, Known, Peer};
pub(crate) use cookies::{ended_cookie, session_cookie};
pub(crate) use cross_site::{Claim, claim};
pub(crate) use gate::{Client, Gate};

use lapwing_store::StoreUrl;
use std::net::IpAddr;

/// Who may sign in, and how.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// The store with the people; `None`: that of the pages.
    pub people: Option<StoreUrl>,
    /// Addresses of proxies that end TLS. Their `X-Forwarded-For` is the client's address.
    pub trusted_proxies: Vec<IpAddr>,
    /// Header in which a trusted proxy names the person whom it signed in. With it, passwords are disabled.
    pub user_header: Option<String>,
}
