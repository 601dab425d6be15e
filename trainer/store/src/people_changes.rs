//! Changes of people, sessions, tokens and links, in a transaction of either database.

use crate::campaign_changes::Transaction;
use crate::cell::Cell;
use crate::fields::Fields;
use crate::people_rows::{
    ADD_LINK, ADD_PERSON, ADD_SESSION, ADD_TOKEN, ApiToken, COUNT_PEOPLE, COUNT_TOKENS, END_FIRST_LINKS, END_LINK,
    END_LINKS, END_OLD_LINKS, END_OLD_SESSIONS, END_OLD_TOKENS, END_OTHER_SESSIONS, END_SESSION, END_SESSIONS,
    END_TOKEN, HAS_PEOPLE, LINK, LinkTarget, NewToken, OTHER_ADMINISTRATORS, PASSWORD, PEOPLE, Person, PersonError,
    REMOVE_PERSON, REMOVE_TOKENS, ROLE, SESSION, SET_PASSWORD, SET_ROLE, Session, TOKEN_OWNER, api_token, link,
    password, person, role, session, token_of, tokens,
};
use lapwing_fleet::{AuditAction, AuditEntry, Way, acting};
use lapwing_people::{HashedPassword, IDLE_S, LINK_S, MAX_PEOPLE, MAX_SESSIONS, MAX_TOKENS, Role, SESSION_S};

/// Result of a change: a refusal by the rules leaves everything as it is.
type Changed<T, S> = Result<Result<T, PersonError>, <S as Transaction>::Error>;

fn seconds(time_s: u64) -> Cell {
    Cell::Integer(i64::try_from(time_s).unwrap_or(i64::MAX))
}

fn hash(secret: &[u8; 32]) -> Cell {
    Cell::Bytes(secret.to_vec())
}

fn number<S: Transaction>(session: &mut S, text: &str, values: &[Cell]) -> Result<u64, S::Error> {
    Ok(session.first(text, values, |row| row.unsigned(0))?.unwrap_or(0))
}

/// The role of a person.
pub(crate) fn role_of<S: Transaction>(session: &mut S, name: &str) -> Result<Option<Role>, S::Error> {
    session.first(ROLE, &[Cell::text(name)], |row| role(row))
}

/// The newest times at which a session has ended: by its beginning, and by its last use.
fn ended(now_s: u64) -> [Cell; 2] {
    // Before 1970, none has.
    let before = |age_s: u64| Cell::Integer(i64::try_from(now_s).unwrap_or(i64::MAX) - age_s.cast_signed());
    [before(SESSION_S), before(IDLE_S)]
}

/// Deletes what has ended.
fn clean<S: Transaction>(session: &mut S, now_s: u64) -> Result<(), S::Error> {
    session.change(END_OLD_SESSIONS, &ended(now_s))?;
    session.change(END_OLD_TOKENS, &[seconds(now_s)])?;
    session.change(END_OLD_LINKS, &[seconds(now_s)]).map(drop)
}

/// Whether there are people.
pub(crate) fn has_people<S: Transaction>(session: &mut S) -> Result<bool, S::Error> {
    Ok(session.first(HAS_PEOPLE, &[], |row| row.flag(0))? == Some(true))
}

/// Everybody, by name.
pub(crate) fn people<S: Transaction>(session: &mut S, now_s: u64) -> Result<Vec<Person>, S::Error> {
    let [created_s, used_s] = ended(now_s);
    session.all(PEOPLE, &[created_s, used_s, seconds(now_s)], |row| person(row))
}

/// The stored password of a person.
pub(crate) fn password_of<S: Transaction>(session: &mut S, name: &str) -> Result<Option<HashedPassword>, S::Error> {
    Ok(session.first(PASSWORD, &[Cell::text(name)], |row| password(row))?.flatten())
}

/// Adds a person with a link.
pub(crate) fn add_person<S: Transaction>(
    session: &mut S,
    (name, role): (&str, Role),
    link: &[u8; 32],
    who: &str,
    now_s: u64,
) -> Changed<(), S> {
    if role_of(session, name)?.is_some() {
        return Ok(Err(PersonError::Exists(name.to_owned())));
    }
    if number(session, COUNT_PEOPLE, &[])? >= u64::from(MAX_PEOPLE) {
        return Ok(Err(PersonError::TooMany(MAX_PEOPLE)));
    }
    clean(session, now_s)?;
    // The first person is this one.
    session.change(END_FIRST_LINKS, &[])?;
    let values = [Cell::text(name), Cell::text(role.as_str()), Cell::Null, seconds(now_s), Cell::text(who)];
    session.change(ADD_PERSON, &values)?;
    session.change(ADD_LINK, &[hash(link), Cell::text(name), seconds(now_s.saturating_add(LINK_S))])?;
    session.record(&AuditEntry::new(AuditAction::AddPerson, name, role.as_str(), who, now_s))?;
    Ok(Ok(()))
}

/// Makes the link of the first person.
pub(crate) fn add_first_link<S: Transaction>(session: &mut S, link: &[u8; 32], now_s: u64) -> Result<bool, S::Error> {
    if has_people(session)? {
        return Ok(false);
    }
    session.change(END_FIRST_LINKS, &[])?;
    session.change(ADD_LINK, &[hash(link), Cell::Null, seconds(now_s.saturating_add(LINK_S))])?;
    Ok(true)
}

/// Removes a password, and makes a link.
pub(crate) fn reset_person<S: Transaction>(
    session: &mut S,
    name: &str,
    link: &[u8; 32],
    who: &str,
    now_s: u64,
) -> Changed<(), S> {
    if session.change(SET_PASSWORD, &[Cell::text(name), Cell::Null])? == 0 {
        return Ok(Err(PersonError::Missing(name.to_owned())));
    }
    clean(session, now_s)?;
    session.change(END_SESSIONS, &[Cell::text(name)])?;
    session.change(END_LINKS, &[Cell::text(name)])?;
    session.change(ADD_LINK, &[hash(link), Cell::text(name), seconds(now_s.saturating_add(LINK_S))])?;
    session.record(&AuditEntry::new(AuditAction::ResetPassword, name, "", who, now_s))?;
    Ok(Ok(()))
}

/// What a link is for.
pub(crate) fn link_of<S: Transaction>(
    session: &mut S,
    secret: &[u8; 32],
    now_s: u64,
) -> Result<Option<LinkTarget>, S::Error> {
    session.first(LINK, &[hash(secret), seconds(now_s)], |row| link(row))
}

/// Uses a link.
pub(crate) fn use_link<S: Transaction>(
    session: &mut S,
    secret: &[u8; 32],
    name: &str,
    password: &HashedPassword,
    now_s: u64,
) -> Changed<(), S> {
    let who = acting(name, Way::Link);
    let entry = match link_of(session, secret, now_s)? {
        Some(LinkTarget::First) if !has_people(session)? => {
            let role = Role::Administrator.as_str();
            let values =
                [Cell::text(name), Cell::text(role), Cell::text(&password.0), seconds(now_s), Cell::text(&who)];
            session.change(ADD_PERSON, &values)?;
            AuditEntry::new(AuditAction::AddPerson, name, role, &who, now_s)
        }
        Some(LinkTarget::Person(person)) if person == name => {
            session.change(SET_PASSWORD, &[Cell::text(name), Cell::text(&password.0)])?;
            AuditEntry::new(AuditAction::ChangePassword, name, "", &who, now_s)
        }
        _ => return Ok(Err(PersonError::Link)),
    };
    session.change(END_SESSIONS, &[Cell::text(name)])?;
    session.change(END_LINK, &[hash(secret)])?;
    session.record(&entry)?;
    Ok(Ok(()))
}

/// Sets a password.
pub(crate) fn set_password<S: Transaction>(
    session: &mut S,
    name: &str,
    password: &HashedPassword,
    who: &str,
    now_s: u64,
) -> Changed<(), S> {
    if session.change(SET_PASSWORD, &[Cell::text(name), Cell::text(&password.0)])? == 0 {
        return Ok(Err(PersonError::Missing(name.to_owned())));
    }
    session.change(END_SESSIONS, &[Cell::text(name)])?;
    session.change(END_LINKS, &[Cell::text(name)])?;
    session.record(&AuditEntry::new(AuditAction::ChangePassword, name, "", who, now_s))?;
    Ok(Ok(()))
}

/// Sets a role.
pub(crate) fn set_role<S: Transaction>(
    session: &mut S,
    (name, role): (&str, Role),
    who: &str,
    now_s: u64,
) -> Changed<(), S> {
    let Some(before) = role_of(session, name)? else { return Ok(Err(PersonError::Missing(name.to_owned()))) };
    let loses = before == Role::Administrator && role != Role::Administrator;
    if loses && number(session, OTHER_ADMINISTRATORS, &[Cell::text(name)])? == 0 {
        return Ok(Err(PersonError::LastAdministrator(name.to_owned())));
    }
    session.change(SET_ROLE, &[Cell::text(name), Cell::text(role.as_str())])?;
    session.change(END_SESSIONS, &[Cell::text(name)])?;
    let detail = format!("{role}; before: {before}");
    session.record(&AuditEntry::new(AuditAction::ChangeRole, name, &detail, who, now_s))?;
    Ok(Ok(()))
}

/// Removes a person with everything.
pub(crate) fn remove_person<S: Transaction>(session: &mut S, name: &str, who: &str, now_s: u64) -> Changed<(), S> {
    let Some(role) = role_of(session, name)? else { return Ok(Err(PersonError::Missing(name.to_owned()))) };
    let is_alone = number(session, COUNT_PEOPLE, &[])? == 1;
    let others = number(session, OTHER_ADMINISTRATORS, &[Cell::text(name)])?;
    if role == Role::Administrator && others == 0 && !is_alone {
        return Ok(Err(PersonError::LastAdministrator(name.to_owned())));
    }
    for text in [REMOVE_PERSON, REMOVE_TOKENS, END_SESSIONS, END_LINKS] {
        session.change(text, &[Cell::text(name)])?;
    }
    session.record(&AuditEntry::new(AuditAction::RemovePerson, name, role.as_str(), who, now_s))?;
    Ok(Ok(()))
}

/// Begins a session.
pub(crate) fn open_session<S: Transaction>(
    session: &mut S,
    (name, verified): (&str, &HashedPassword),
    secret: &[u8; 32],
    who: &str,
    now_s: u64,
) -> Result<bool, S::Error> {
    if password_of(session, name)?.as_ref() != Some(verified) {
        return Ok(false);
    }
    clean(session, now_s)?;
    session.change(END_OTHER_SESSIONS, &[Cell::text(name), Cell::Integer(i64::from(MAX_SESSIONS) - 1)])?;
    session.change(ADD_SESSION, &[hash(secret), Cell::text(name), seconds(now_s)])?;
    session.record(&AuditEntry::new(AuditAction::SignIn, name, "", who, now_s))?;
    Ok(true)
}

/// A session that has not ended.
pub(crate) fn session_of<S: Transaction>(
    session: &mut S,
    secret: &[u8; 32],
    now_s: u64,
) -> Result<Option<Session>, S::Error> {
    Ok(session.first(SESSION, &[hash(secret)], |row| self::session(row, now_s))?.flatten())
}

/// Ends a session.
pub(crate) fn end_session<S: Transaction>(
    session: &mut S,
    secret: &[u8; 32],
    who: &str,
    now_s: u64,
) -> Result<(), S::Error> {
    let Some(found) = session_of(session, secret, now_s)? else { return Ok(()) };
    session.change(END_SESSION, &[hash(secret)])?;
    session.record(&AuditEntry::new(AuditAction::SignOut, &found.person, "", who, now_s))
}

/// Runs a statement with a secret or a number, and a time.
pub(crate) fn touch<S: Transaction>(session: &mut S, text: &str, key: Cell, now_s: u64) -> Result<(), S::Error> {
    session.change(text, &[key, seconds(now_s)]).map(drop)
}

/// Adds a token.
pub(crate) fn add_token<S: Transaction>(
    session: &mut S,
    token: &NewToken<'_>,
    who: &str,
    now_s: u64,
) -> Changed<u32, S> {
    let NewToken { secret, person, label, role, until_s } = token;
    if role_of(session, person)?.is_none() {
        return Ok(Err(PersonError::Missing((*person).to_owned())));
    }
    clean(session, now_s)?;
    if number(session, COUNT_TOKENS, &[Cell::text(person), seconds(now_s)])? >= u64::from(MAX_TOKENS) {
        return Ok(Err(PersonError::TooManyTokens { person: (*person).to_owned(), most: MAX_TOKENS }));
    }
    let values = [
        hash(secret),
        Cell::text(person),
        Cell::text(label),
        Cell::text(role.as_str()),
        seconds(now_s),
        seconds(*until_s),
    ];
    let id = session.first(ADD_TOKEN, &values, |row| row.small(0))?.unwrap_or(0);
    let object = format!("api token {id}");
    let detail = format!("of {person}, {role}: {label}");
    session.record(&AuditEntry::new(AuditAction::CreateApiToken, &object, &detail, who, now_s))?;
    Ok(Ok(id))
}

/// A token by its secret.
pub(crate) fn token<S: Transaction>(
    session: &mut S,
    secret: &[u8; 32],
    now_s: u64,
) -> Result<Option<ApiToken>, S::Error> {
    session.first(&token_of(), &[seconds(now_s), hash(secret)], |row| api_token(row))
}

/// Tokens, newest first.
pub(crate) fn all_tokens<S: Transaction>(
    session: &mut S,
    person: Option<&str>,
    now_s: u64,
) -> Result<Vec<ApiToken>, S::Error> {
    let values: Vec<Cell> = [seconds(now_s)].into_iter().chain(person.map(Cell::text)).collect();
    session.all(&tokens(person.is_some()), &values, |row| api_token(row))
}

/// Ends a token.
pub(crate) fn end_token<S: Transaction>(
    session: &mut S,
    id: u32,
    person: Option<&str>,
    who: &str,
    now_s: u64,
) -> Changed<(), S> {
    let values = [Cell::Integer(id.into()), seconds(now_s)];
    let owner = session.first(TOKEN_OWNER, &values, |row| row.text(0))?;
    let Some(owner) = owner.filter(|owner| person.is_none_or(|person| person == owner)) else {
        return Ok(Err(PersonError::NoToken(id)));
    };
    session.change(END_TOKEN, &[Cell::Integer(id.into())])?;
    let (object, detail) = (format!("api token {id}"), format!("of {owner}"));
    session.record(&AuditEntry::new(AuditAction::EndApiToken, &object, &detail, who, now_s))?;
    Ok(Ok(()))
}
