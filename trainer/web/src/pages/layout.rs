//! Title, navigation, caller and refresh interval → the frame of every page.

use crate::access::{CALLER, Caller};
use crate::params::with_parameter;
use lapwing_common::clock;
use lapwing_common::format::when;
use lapwing_people::Permission;

/// Path and title of the pages in the navigation, and what they need.
const NAVIGATION: [(&str, &str, Permission); 11] = [
    ("/", "Fleet", Permission::Read),
    ("/incidents", "Incidents", Permission::Read),
    ("/agents", "Agents", Permission::Read),
    ("/alerts", "Alerts", Permission::Read),
    ("/releases", "Releases", Permission::Read),
    ("/campaigns", "Campaigns", Permission::Read),
    ("/identities", "Identities", Permission::Read),
    ("/audit", "Audit", Permission::Read),
    ("/people", "People", Permission::ManagePeople),
    ("/tokens", "Tokens", Permission::OwnAccount),
    ("/account", "Account", Permission::OwnAccount),
];

pub(super) struct Layout {
    pub(super) title: String,
    current: &'static str,
    /// Refresh interval, seconds.
    pub(super) refresh: Option<u32>,
    /// Current time, UTC.
    pub(super) now: String,
    /// Query string of this page with refreshing disabled.
    pub(super) paused: String,
    caller: Caller,
}

impl Layout {
    /// `current` is a path of [`NAVIGATION`], or empty.
    pub(super) fn new(title: &str, current: &'static str, refresh: Option<u32>, query: &str) -> Self {
        let paused = with_parameter(query, "refresh", "0");
        // Outside of a request there is no caller, e.g. in the page that refuses one.
        let caller = CALLER.try_with(Caller::clone).unwrap_or(Caller::Unknown);
        Self { title: title.to_owned(), current, refresh, now: when(clock::now_s()), paused, caller }
    }

    /// Pages that the caller may see.
    pub(super) fn pages(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        NAVIGATION.into_iter().filter(|(.., needed)| self.caller.may(*needed)).map(|(path, name, _)| (path, name))
    }

    pub(super) fn is_current(&self, path: &str) -> bool {
        self.current == path
    }

    pub(super) fn may(&self, permission: Permission) -> bool {
        self.caller.may(permission)
    }

    pub(super) fn is_open(&self) -> bool {
        self.caller == Caller::Open
    }

    /// Name and role of who is signed in.
    pub(super) fn signed_in(&self) -> Option<String> {
        self.caller.known().map(|known| format!("{} ({})", known.name, known.role))
    }
}
