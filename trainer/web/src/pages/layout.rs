//! Title, navigation and refresh interval → the frame of every page.

use crate::params::with_parameter;
use lapwing_common::clock;
use lapwing_common::format::when;

/// Path and title of the pages in the navigation.
const NAVIGATION: [(&str, &str); 7] = [
    ("/", "Fleet"),
    ("/incidents", "Incidents"),
    ("/agents", "Agents"),
    ("/alerts", "Alerts"),
    ("/releases", "Releases"),
    ("/identities", "Identities"),
    ("/audit", "Audit"),
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
}

impl Layout {
    /// `current` is a path of [`NAVIGATION`], or empty.
    pub(super) fn new(title: &str, current: &'static str, refresh: Option<u32>, query: &str) -> Self {
        let paused = with_parameter(query, "refresh", "0");
        Self { title: title.to_owned(), current, refresh, now: when(clock::now_s()), paused }
    }

    pub(super) fn pages(&self) -> [(&'static str, &'static str); 7] {
        NAVIGATION
    }

    pub(super) fn is_current(&self, path: &str) -> bool {
        self.current == path
    }
}
