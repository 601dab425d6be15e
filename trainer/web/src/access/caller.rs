//! Who makes a request.

use lapwing_fleet::{Way, acting};
use lapwing_people::{Permission, Role};
use std::net::SocketAddr;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) is_tls: bool,
}

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// No one has to sign in: there are no people, and only this machine reaches the server.
    Open,
    /// No known person and no token.
    Unknown,
    /// A person or a token.
    Known(Known),
}

/// A person or a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) way: Way,
    /// Hash of the session.
    pub(crate) session: Option<[u8; 32]>,
    /// When the token ends, seconds since the epoch.
    pub(crate) until_s: Option<u64>,
}

impl Known {
    /// The name in the audit log.
    pub(crate) fn who(&self) -> String {
        acting(&self.name, self.way)
    }
}

impl Caller {
    pub(crate) fn may(&self, permission: Permission) -> bool {
        match self {
            Self::Open => permission == Permission::Read,
            Self::Unknown => false,
            Self::Known(known) => known.role.may(permission),
        }
    }

    pub(crate) fn known(&self) -> Option<&Known> {
        match self {
            Self::Known(known) => Some(known),
            Self::Open | Self::Unknown => None,
        }
    }
}

tokio::task_local! {
    /// The caller of the request that this task answers, for the frame of every page.
    pub(crate) static CALLER: Caller;
}
