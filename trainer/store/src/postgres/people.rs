//! People, sessions, tokens and links.

use super::schema::Lock;
use super::session::{Queried, Session as Connection};
use super::{PostgresHandle, audit};
use crate::cell::Cell;
use crate::error::StoreError;
use crate::people_changes::{
    add_first_link, add_person, add_token, all_tokens, end_session, end_token, has_people, link_of, open_session,
    password_of, people, remove_person, reset_person, role_of, session_of, set_password, set_role, token, touch,
    use_link,
};
use crate::people_rows::{ApiToken, LinkTarget, NewToken, Person, PersonError, Session, TOUCH_SESSION, TOUCH_TOKEN};
use crate::traits::{People, SecretHash};
use lapwing_fleet::AuditEntry;
use lapwing_people::{HashedPassword, Role};

impl PostgresHandle {
    fn read_people<T>(&self, work: impl Fn(&mut Connection) -> Queried<T>) -> Result<T, StoreError> {
        self.read(work)
    }

    /// Changes wait for each other: they count before they add.
    fn change_people<T>(&self, work: impl Fn(&mut Connection) -> Queried<T>) -> Result<T, StoreError> {
        self.write(|session| {
            session.lock(Lock::People)?;
            work(session)
        })
    }
}

impl People for PostgresHandle {
    fn has_people(&self) -> Result<bool, StoreError> {
        self.read_people(has_people)
    }

    fn people(&self, now_s: u64) -> Result<Vec<Person>, StoreError> {
        self.read_people(|session| people(session, now_s))
    }

    fn person(&self, name: &str, now_s: u64) -> Result<Person, StoreError> {
        let found = self.people(now_s)?.into_iter().find(|person| person.name == name);
        Ok(found.ok_or_else(|| PersonError::Missing(name.to_owned()))?)
    }

    fn role(&self, name: &str) -> Result<Option<Role>, StoreError> {
        self.read_people(|session| role_of(session, name))
    }

    fn password(&self, name: &str) -> Result<Option<HashedPassword>, StoreError> {
        self.read_people(|session| password_of(session, name))
    }

    fn add_person(&self, name: &str, role: Role, link: &SecretHash, who: &str, now_s: u64) -> Result<(), StoreError> {
        Ok(self.change_people(|session| add_person(session, (name, role), link, who, now_s))??)
    }

    fn add_first_link(&self, link: &SecretHash, now_s: u64) -> Result<bool, StoreError> {
        self.change_people(|session| add_first_link(session, link, now_s))
    }

    fn reset_person(&self, name: &str, link: &SecretHash, who: &str, now_s: u64) -> Result<(), StoreError> {
        Ok(self.change_people(|session| reset_person(session, name, link, who, now_s))??)
    }

    fn link(&self, link: &SecretHash, now_s: u64) -> Result<Option<LinkTarget>, StoreError> {
        self.read_people(|session| link_of(session, link, now_s))
    }

    fn use_link(&self, link: &SecretHash, name: &str, password: &HashedPassword, now_s: u64) -> Result<(), StoreError> {
        Ok(self.change_people(|session| use_link(session, link, name, password, now_s))??)
    }

    fn set_password(&self, name: &str, password: &HashedPassword, who: &str, now_s: u64) -> Result<(), StoreError> {
        Ok(self.change_people(|session| set_password(session, name, password, who, now_s))??)
    }

    fn set_role(&self, name: &str, role: Role, who: &str, now_s: u64) -> Result<(), StoreError> {
        Ok(self.change_people(|session| set_role(session, (name, role), who, now_s))??)
    }

    fn remove_person(&self, name: &str, who: &str, now_s: u64) -> Result<(), StoreError> {
        Ok(self.change_people(|session| remove_person(session, name, who, now_s))??)
    }

    fn open_session(
        &self,
        name: &str,
        verified: &HashedPassword,
        secret: &SecretHash,
        who: &str,
        now_s: u64,
    ) -> Result<bool, StoreError> {
        self.change_people(|session| open_session(session, (name, verified), secret, who, now_s))
    }

    fn session(&self, secret: &SecretHash, now_s: u64) -> Result<Option<Session>, StoreError> {
        self.read_people(|session| session_of(session, secret, now_s))
    }

    fn touch_session(&self, secret: &SecretHash, now_s: u64) -> Result<(), StoreError> {
        self.change_people(|session| touch(session, TOUCH_SESSION, Cell::Bytes(secret.to_vec()), now_s))
    }

    fn end_session(&self, secret: &SecretHash, who: &str, now_s: u64) -> Result<(), StoreError> {
        self.change_people(|session| end_session(session, secret, who, now_s))
    }

    fn add_api_token(&self, new: &NewToken<'_>, who: &str, now_s: u64) -> Result<u32, StoreError> {
        Ok(self.change_people(|session| add_token(session, new, who, now_s))??)
    }

    fn api_token(&self, secret: &SecretHash, now_s: u64) -> Result<Option<ApiToken>, StoreError> {
        self.read_people(|session| token(session, secret, now_s))
    }

    fn api_tokens(&self, person: Option<&str>, now_s: u64) -> Result<Vec<ApiToken>, StoreError> {
        self.read_people(|session| all_tokens(session, person, now_s))
    }

    fn touch_api_token(&self, id: u32, now_s: u64) -> Result<(), StoreError> {
        self.change_people(|session| touch(session, TOUCH_TOKEN, Cell::Integer(id.into()), now_s))
    }

    fn end_api_token(&self, id: u32, person: Option<&str>, who: &str, now_s: u64) -> Result<(), StoreError> {
        Ok(self.change_people(|session| end_token(session, id, person, who, now_s))??)
    }

    fn record(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.write(|session| audit::append(session, entry))
    }
}
