//! Statements of people, sessions, tokens and links, and their rows.

use crate::fields::Fields;
use lapwing_people::{HashedPassword, Role, is_live};
use serde::Serialize;

/// A person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Person {
    /// Name.
    pub name: String,
    /// Role.
    pub role: Role,
    /// False until the person has set one with a link.
    pub has_password: bool,
    /// When the person was added, seconds since the epoch.
    pub created_s: u64,
    /// Who added the person.
    pub who: String,
    /// Sessions that have not ended.
    pub sessions: u64,
    /// Tokens that have not ended.
    pub tokens: u64,
}

/// Who is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Name of the person.
    pub person: String,
    /// Present role of the person.
    pub role: Role,
    /// When it began, seconds since the epoch.
    pub created_s: u64,
    /// Its last request, to the minute.
    pub used_s: u64,
}

/// A token of the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ApiToken {
    /// Number.
    pub id: u32,
    /// Whose it is.
    pub person: String,
    /// What it is for, in the person's words.
    pub label: String,
    /// The lower one of its role and of its person's.
    pub role: Role,
    /// When it was made, seconds since the epoch.
    pub created_s: u64,
    /// When it ends.
    pub until_s: u64,
    /// Its last use, to the minute; 0 before the first one.
    pub used_s: u64,
}

/// A token to add.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "as in `ApiToken`")]
pub struct NewToken<'a> {
    pub secret: &'a [u8; 32],
    pub person: &'a str,
    pub label: &'a str,
    pub role: Role,
    pub until_s: u64,
}

/// What a link is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkTarget {
    /// Adds the first person.
    First,
    /// Sets the password of this person.
    Person(String),
}

/// Why people are not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PersonError {
    /// The name is taken.
    #[error(
        "there is a person `{0}` already; choose another name, or use `lapwing-trainer people reset` for a new link"
    )]
    Exists(String),
    /// No such person.
    #[error("there is no person `{0}`; run `lapwing-trainer people list` for a list")]
    Missing(String),
    /// Too many people.
    #[error(
        "there are {0} people already, the most that a store has; remove some with `lapwing-trainer people remove`"
    )]
    TooMany(u32),
    /// No one could manage people.
    #[error("`{0}` is the last administrator; make another person an administrator first")]
    LastAdministrator(String),
    /// No token of this number, or it has ended.
    #[error("there is no token {0} that has not ended; run `lapwing-trainer tokens list` for a list")]
    NoToken(u32),
    /// Too many tokens.
    #[error("`{person}` has {most} tokens already, the most of a person; revoke one first")]
    TooManyTokens {
        /// Name.
        person: String,
        /// Limit.
        most: u32,
    },
    /// A link that is not valid.
    #[error(
        "this link was used or has ended; ask an administrator for another one (`lapwing-trainer people reset NAME`)"
    )]
    Link,
}

pub(crate) const HAS_PEOPLE: &str = "SELECT EXISTS (SELECT 1 FROM people)";
/// Parameters: oldest beginning and last use of a session, and now, for tokens.
pub(crate) const PEOPLE: &str = "SELECT name, role, CASE WHEN password IS NULL THEN 0 ELSE 1 END, created_s, who, \
    (SELECT count(*) FROM sessions AS s WHERE s.person = people.name AND s.created_s > ?1 AND s.used_s > ?2), \
    (SELECT count(*) FROM api_tokens AS t WHERE t.person = people.name AND t.until_s > ?3) FROM people ORDER BY name";
pub(crate) const COUNT_PEOPLE: &str = "SELECT count(*) FROM people";
pub(crate) const ROLE: &str = "SELECT role FROM people WHERE name = ?1";
pub(crate) const PASSWORD: &str = "SELECT password FROM people WHERE name = ?1";
pub(crate) const OTHER_ADMINISTRATORS: &str = "SELECT count(*) FROM people WHERE role = 'administrator' AND name <> ?1";
pub(crate) const ADD_PERSON: &str =
    "INSERT INTO people (name, role, password, created_s, who) VALUES (?1, ?2, ?3, ?4, ?5)";
pub(crate) const SET_PASSWORD: &str = "UPDATE people SET password = ?2 WHERE name = ?1";
pub(crate) const SET_ROLE: &str = "UPDATE people SET role = ?2 WHERE name = ?1";
pub(crate) const REMOVE_PERSON: &str = "DELETE FROM people WHERE name = ?1";
pub(crate) const REMOVE_TOKENS: &str = "DELETE FROM api_tokens WHERE person = ?1";

pub(crate) const ADD_SESSION: &str = "INSERT INTO sessions (sha256, person, created_s, used_s) VALUES (?1, ?2, ?3, ?3)";
pub(crate) const SESSION: &str = "SELECT s.person, p.role, s.created_s, s.used_s FROM sessions AS s \
    JOIN people AS p ON p.name = s.person WHERE s.sha256 = ?1";
pub(crate) const TOUCH_SESSION: &str = "UPDATE sessions SET used_s = ?2 WHERE sha256 = ?1";
/// After a restore: what was ended since the backup would be valid again.
pub(crate) const END_RESTORED: [&str; 2] = ["DELETE FROM sessions", "DELETE FROM links"];

pub(crate) const END_SESSION: &str = "DELETE FROM sessions WHERE sha256 = ?1";
pub(crate) const END_SESSIONS: &str = "DELETE FROM sessions WHERE person = ?1";
pub(crate) const END_OLD_SESSIONS: &str = "DELETE FROM sessions WHERE created_s <= ?1 OR used_s <= ?2";
/// All but the ones that were used last.
pub(crate) const END_OTHER_SESSIONS: &str = "DELETE FROM sessions WHERE person = ?1 AND sha256 NOT IN \
    (SELECT sha256 FROM sessions WHERE person = ?1 ORDER BY used_s DESC, created_s DESC LIMIT ?2)";

pub(crate) const ADD_TOKEN: &str = "INSERT INTO api_tokens (sha256, person, label, role, created_s, until_s) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING id";
pub(crate) const COUNT_TOKENS: &str = "SELECT count(*) FROM api_tokens WHERE person = ?1 AND until_s > ?2";
const TOKEN: &str = "SELECT t.id, t.person, t.label, t.role, t.created_s, t.until_s, t.used_s, p.role \
    FROM api_tokens AS t JOIN people AS p ON p.name = t.person WHERE t.until_s > ?1";
pub(crate) const TOUCH_TOKEN: &str = "UPDATE api_tokens SET used_s = ?2 WHERE id = ?1";
pub(crate) const END_TOKEN: &str = "DELETE FROM api_tokens WHERE id = ?1";
pub(crate) const TOKEN_OWNER: &str = "SELECT person FROM api_tokens WHERE id = ?1 AND until_s > ?2";
pub(crate) const END_OLD_TOKENS: &str = "DELETE FROM api_tokens WHERE until_s <= ?1";

pub(crate) const ADD_LINK: &str = "INSERT INTO links (sha256, person, until_s) VALUES (?1, ?2, ?3)";
pub(crate) const LINK: &str = "SELECT person FROM links WHERE sha256 = ?1 AND until_s > ?2";
pub(crate) const END_LINK: &str = "DELETE FROM links WHERE sha256 = ?1";
pub(crate) const END_LINKS: &str = "DELETE FROM links WHERE person = ?1";
pub(crate) const END_FIRST_LINKS: &str = "DELETE FROM links WHERE person IS NULL";
pub(crate) const END_OLD_LINKS: &str = "DELETE FROM links WHERE until_s <= ?1";

/// The token of a secret.
pub(crate) fn token_of() -> String {
    format!("{TOKEN} AND t.sha256 = ?2")
}

/// Tokens of one person, or of all, newest first.
pub(crate) fn tokens(of_one: bool) -> String {
    let condition = if of_one { " AND t.person = ?2" } else { "" };
    format!("{TOKEN}{condition} ORDER BY t.id DESC")
}

/// A role. The tables allow no other names.
fn role_at<R: Fields>(row: &R, column: usize) -> Result<Role, R::Error> {
    row.text(column)?.parse().map_err(|_| R::invalid(column, "a role"))
}

/// A row of [`ROLE`].
pub(crate) fn role<R: Fields>(row: &R) -> Result<Role, R::Error> {
    role_at(row, 0)
}

/// A row of [`PASSWORD`].
pub(crate) fn password<R: Fields>(row: &R) -> Result<Option<HashedPassword>, R::Error> {
    Ok(row.text_or_null(0)?.map(HashedPassword))
}

/// A row of [`PEOPLE`].
pub(crate) fn person<R: Fields>(row: &R) -> Result<Person, R::Error> {
    Ok(Person {
        name: row.text(0)?,
        role: role_at(row, 1)?,
        has_password: row.flag(2)?,
        created_s: row.unsigned(3)?,
        who: row.text(4)?,
        sessions: row.unsigned(5)?,
        tokens: row.unsigned(6)?,
    })
}

/// A row of [`SESSION`]; `None` if it has ended.
pub(crate) fn session<R: Fields>(row: &R, now_s: u64) -> Result<Option<Session>, R::Error> {
    let found =
        Session { person: row.text(0)?, role: role_at(row, 1)?, created_s: row.unsigned(2)?, used_s: row.unsigned(3)? };
    Ok(Some(found).filter(|found| is_live(found.created_s, found.used_s, now_s)))
}

/// A row of [`token_of`] or [`tokens`].
pub(crate) fn api_token<R: Fields>(row: &R) -> Result<ApiToken, R::Error> {
    Ok(ApiToken {
        id: row.small(0)?,
        person: row.text(1)?,
        label: row.text(2)?,
        role: role_at(row, 3)?.min(role_at(row, 7)?),
        created_s: row.unsigned(4)?,
        until_s: row.unsigned(5)?,
        used_s: row.unsigned(6)?,
    })
}

/// A row of [`LINK`].
pub(crate) fn link<R: Fields>(row: &R) -> Result<LinkTarget, R::Error> {
    Ok(row.text_or_null(0)?.map_or(LinkTarget::First, LinkTarget::Person))
}
