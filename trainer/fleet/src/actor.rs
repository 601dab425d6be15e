//! Who acts, and by which way → the name in the audit log.

use std::fmt;

/// How a person acted. Commands record the name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// On a page, after signing in with a password.
    Page,
    /// On a page, signed in by a proxy.
    Proxy,
    /// With the API token of this number.
    Token(u32),
    /// With a link for one use.
    Link,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Page => f.write_str("page"),
            Self::Proxy => f.write_str("proxy"),
            Self::Token(id) => write!(f, "token {id}"),
            Self::Link => f.write_str("link"),
        }
    }
}

/// The name of a person who acts by a way: `ann (page)`, `ann (token 3)`.
pub fn acting(name: &str, way: Way) -> String {
    format!("{name} ({way})")
}

/// The person of a recorded name, whatever the way.
pub fn person_of(who: &str) -> &str {
    who.split_once(" (").map_or(who, |(name, _)| name)
}

/// Whether two recorded names are of the same person. Capital letters count as small ones, as in names of people.
pub fn is_same_person(one: &str, other: &str) -> bool {
    person_of(one).eq_ignore_ascii_case(person_of(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded_name;

    #[test]
    fn a_person_is_the_same_by_every_way() {
        let ways = [Way::Page, Way::Proxy, Way::Token(u32::MAX), Way::Link];
        for who in ways.map(|way| acting("ann", way)) {
            assert_eq!((person_of(&who), recorded_name(&who)), ("ann", who.clone()));
            assert!(is_same_person(&who, "Ann") && !is_same_person(&who, "bob"));
        }
        let longest = acting(&"a".repeat(40), Way::Token(u32::MAX));
        assert_eq!(recorded_name(&longest), longest, "no name of a person is cut");
    }
}
