//! What every page has around its contents.

use crate::clock;
use crate::words::when;

/// Pages of the navigation.
const PAGES: [(&str, &str); 4] =
    [("/", "Fleet"), ("/agents", "Agents"), ("/alerts", "Alerts"), ("/releases", "Releases")];

/// See the module's text.
pub(super) struct Shell {
    pub(super) title: String,
    here: &'static str,
    /// Seconds after which the page loads again.
    pub(super) refresh: Option<u32>,
    /// Now, UTC.
    pub(super) now: String,
    /// The same page's query, without loading again.
    pub(super) still: String,
}

impl Shell {
    pub(super) fn new(title: &str, here: &'static str, refresh: Option<u32>, query: &str) -> Self {
        let still = super::query::next_page(query, "refresh", "0");
        Self { title: title.to_owned(), here, refresh, now: when(clock::now_s()), still }
    }

    pub(super) fn pages(&self) -> [(&'static str, &'static str); 4] {
        PAGES
    }

    pub(super) fn is_at(&self, path: &str) -> bool {
        self.here == path
    }
}
