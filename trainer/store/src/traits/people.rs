//! People who use the web page and the API, with their sessions, tokens and links.

use crate::error::StoreError;
use crate::people_rows::{ApiToken, LinkTarget, NewToken, Person, Session};
use lapwing_fleet::AuditEntry;
use lapwing_people::{HashedPassword, Role};

/// SHA-256 of a secret.
pub type SecretHash = [u8; 32];

/// People. What changes them is recorded in the audit log, in the same transaction. At most
/// [`lapwing_people::MAX_PEOPLE`], each with at most [`lapwing_people::MAX_SESSIONS`] sessions and
/// [`lapwing_people::MAX_TOKENS`] tokens.
pub trait People {
    /// Whether there are people: then pages and API need a login.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn has_people(&self) -> Result<bool, StoreError>;

    /// Everybody, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn people(&self, now_s: u64) -> Result<Vec<Person>, StoreError>;

    /// One person.
    ///
    /// # Errors
    /// [`StoreError::Person`] for an unknown name, or when the store cannot be read.
    fn person(&self, name: &str, now_s: u64) -> Result<Person, StoreError>;

    /// The role of a person; `None` if there is no such person.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn role(&self, name: &str) -> Result<Option<Role>, StoreError>;

    /// The stored password of a person; `None` if there is no such person, or it has no password.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn password(&self, name: &str) -> Result<Option<HashedPassword>, StoreError>;

    /// Adds a person without a password, and the link that sets one.
    ///
    /// # Errors
    /// [`StoreError::Person`] if the name exists or there are too many people, or when the store cannot be written.
    fn add_person(&self, name: &str, role: Role, link: &SecretHash, who: &str, now_s: u64) -> Result<(), StoreError>;

    /// Makes the link that adds the first person, as an administrator; it replaces an earlier one. False if there are people.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn add_first_link(&self, link: &SecretHash, now_s: u64) -> Result<bool, StoreError>;

    /// Removes the password of a person, ends the sessions, and makes the link that sets another password.
    ///
    /// # Errors
    /// [`StoreError::Person`] for an unknown name, or when the store cannot be written.
    fn reset_person(&self, name: &str, link: &SecretHash, who: &str, now_s: u64) -> Result<(), StoreError>;

    /// What a link is for; `None` if it was used or has ended.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn link(&self, link: &SecretHash, now_s: u64) -> Result<Option<LinkTarget>, StoreError>;

    /// Uses a link: sets the password of its person, or adds the first person. Ends the person's sessions.
    ///
    /// # Errors
    /// [`StoreError::Person`] if the link was used, has ended or is for another person, or when the store cannot be written.
    fn use_link(&self, link: &SecretHash, name: &str, password: &HashedPassword, now_s: u64) -> Result<(), StoreError>;

    /// Sets the password of a person and ends the sessions.
    ///
    /// # Errors
    /// [`StoreError::Person`] for an unknown name, or when the store cannot be written.
    fn set_password(&self, name: &str, password: &HashedPassword, who: &str, now_s: u64) -> Result<(), StoreError>;

    /// Sets the role of a person and ends the sessions. Tokens never have more rights than their person.
    ///
    /// # Errors
    /// [`StoreError::Person`] for an unknown name or the last administrator, or when the store cannot be written.
    fn set_role(&self, name: &str, role: Role, who: &str, now_s: u64) -> Result<(), StoreError>;

    /// Removes a person with sessions, tokens and links.
    ///
    /// # Errors
    /// [`StoreError::Person`] for an unknown name, or the last administrator among several people, or when the store cannot be
    /// written.
    fn remove_person(&self, name: &str, who: &str, now_s: u64) -> Result<(), StoreError>;

    /// Begins a session of a person; false if the password is no longer `verified`, or the person was removed. Beyond the
    /// limit, the session that was used least recently ends.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn open_session(
        &self,
        name: &str,
        verified: &HashedPassword,
        session: &SecretHash,
        who: &str,
        now_s: u64,
    ) -> Result<bool, StoreError>;

    /// A session that has not ended.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn session(&self, session: &SecretHash, now_s: u64) -> Result<Option<Session>, StoreError>;

    /// Remembers that a session was used.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn touch_session(&self, session: &SecretHash, now_s: u64) -> Result<(), StoreError>;

    /// Ends a session.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn end_session(&self, session: &SecretHash, who: &str, now_s: u64) -> Result<(), StoreError>;

    /// Adds a token; returns its number.
    ///
    /// # Errors
    /// [`StoreError::Person`] for an unknown name or too many tokens, or when the store cannot be written.
    fn add_api_token(&self, token: &NewToken<'_>, who: &str, now_s: u64) -> Result<u32, StoreError>;

    /// A token that has not ended, with the lower one of its role and its person's.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn api_token(&self, secret: &SecretHash, now_s: u64) -> Result<Option<ApiToken>, StoreError>;

    /// Tokens that have not ended, of one person or of all, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn api_tokens(&self, person: Option<&str>, now_s: u64) -> Result<Vec<ApiToken>, StoreError>;

    /// Remembers that a token was used.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn touch_api_token(&self, id: u32, now_s: u64) -> Result<(), StoreError>;

    /// Ends a token, of any person or only if it is of this person.
    ///
    /// # Errors
    /// [`StoreError::Person`] without such a token, or when the store cannot be written.
    fn end_api_token(&self, id: u32, person: Option<&str>, who: &str, now_s: u64) -> Result<(), StoreError>;

    /// Appends an entry to the audit log that describes no change of the store.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn record(&self, entry: &AuditEntry) -> Result<(), StoreError>;
}
