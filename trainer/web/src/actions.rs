//! What pages and API change in the store: each action once, for both.

use crate::Shared;
use crate::access::Known;
use crate::api::RequestError;
use crate::counters::count;
use lapwing_authority::random;
use lapwing_common::clock;
use lapwing_fleet::{IdentityState, LABEL_RULE, Label, Way, parse_label};
use lapwing_people::{
    HashedPassword, LINK_S, MAX_TOKEN_S, PERSON_RULE, Role, SALT_BYTES, SECRET_BYTES, Secret, hash_password,
    parse_person, verify,
};
use lapwing_store::{NewToken, StoreError, StoreHandle};
use serde::Serialize;
use std::net::IpAddr;
use utoipa::ToSchema;

const DAY_S: u64 = 86_400;

/// A link that sets a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct LinkView {
    /// Name of the person.
    pub(crate) name: String,
    /// Path of the link on this server. Shown once. Null if a proxy signs people in: they need no password.
    pub(crate) link: Option<String>,
    /// When it ends, seconds since the epoch.
    pub(crate) until_s: Option<u64>,
}

/// A new token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct NewTokenView {
    /// Number.
    pub(crate) id: u32,
    /// The token. Shown once.
    pub(crate) token: String,
    /// When it ends, seconds since the epoch.
    pub(crate) until_s: u64,
}

fn failed(error: impl std::fmt::Display) -> RequestError {
    RequestError::Read(crate::store_reader::ReadError::Failed(error.to_string()))
}

fn secret() -> Result<Secret, RequestError> {
    random::<SECRET_BYTES>().map(Secret::new).map_err(failed)
}

/// A name in the form in which it is stored.
///
/// # Errors
/// When no person can have it.
pub(crate) fn person_name(text: &str) -> Result<String, RequestError> {
    parse_person(text.trim()).ok_or_else(|| RequestError::Body(format!("invalid name: {PERSON_RULE}")))
}

impl Shared {
    /// Changes the store, on a thread that may block.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&StoreHandle) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, RequestError> {
        let missing = || RequestError::Missing("no store; start `serve` with --store FILE".into());
        Ok(self.gate.changes.as_ref().ok_or_else(missing)?.read(work).await?)
    }
}

/// Labels an alert.
pub(crate) async fn label(
    shared: &Shared,
    known: &Known,
    (agent, episode): (String, u64),
    label: Label,
) -> Result<(), RequestError> {
    let (who, now_s) = (known.who(), clock::now_s());
    shared.change(move |handle| handle.label(&agent, episode, label, &who, now_s)).await
}

/// Accepts or revokes the identity that a page showed: the one with this key, given in hexadecimal digits.
pub(crate) async fn decide_identity(
    shared: &Shared,
    known: &Known,
    (name, key): (String, String),
    state: IdentityState,
) -> Result<(), RequestError> {
    let (who, now_s) = (known.who(), clock::now_s());
    let decided = shared.change(move |handle| {
        let identity = handle.identity(&name)?;
        let is_shown = lapwing_shared::release::digest::Hex(&identity.fingerprint).to_string() == key;
        if !is_shown || identity.state == state {
            return Ok(false);
        }
        handle.set_identity_state(&identity, state, &who, now_s).map(|()| true)
    });
    if decided.await? {
        return Ok(());
    }
    let message = "the identity has another key or state than the page showed; look at it again";
    Err(RequestError::Refused(message.into()))
}

/// Fails if a proxy signs people in.
pub(crate) fn by_password(shared: &Shared) -> Result<(), RequestError> {
    let message = "a proxy signs people in here; passwords are disabled";
    if shared.gate.is_by_proxy() { Err(RequestError::Missing(message.into())) } else { Ok(()) }
}

/// Adds a person.
pub(crate) async fn add_person(
    shared: &Shared,
    known: &Known,
    name: &str,
    role: Role,
) -> Result<LinkView, RequestError> {
    let (name, secret, who, now_s) = (person_name(name)?, secret()?, known.who(), clock::now_s());
    let (added, sha256) = (name.clone(), secret.sha256());
    shared.change(move |handle| handle.add_person(&added, role, &sha256, &who, now_s)).await?;
    if shared.gate.is_by_proxy() {
        return Ok(LinkView { name, link: None, until_s: None });
    }
    Ok(link_view(name, &secret, now_s))
}

/// Makes another link for a person, whose password and sessions end.
pub(crate) async fn reset_person(shared: &Shared, known: &Known, name: String) -> Result<LinkView, RequestError> {
    by_password(shared)?;
    let (secret, who, now_s) = (secret()?, known.who(), clock::now_s());
    let (asked, sha256) = (name.clone(), secret.sha256());
    shared.change(move |handle| handle.reset_person(&asked, &sha256, &who, now_s)).await?;
    shared.gate.attempts.forget(&name);
    Ok(link_view(name, &secret, now_s))
}

fn link_view(name: String, secret: &Secret, now_s: u64) -> LinkView {
    let (link, until_s) = (format!("/link/{}", secret.text()), now_s.saturating_add(LINK_S));
    LinkView { name, link: Some(link), until_s: Some(until_s) }
}

/// Sets the role of a person.
pub(crate) async fn set_role(shared: &Shared, known: &Known, name: String, role: Role) -> Result<(), RequestError> {
    let (who, now_s) = (known.who(), clock::now_s());
    shared.change(move |handle| handle.set_role(&name, role, &who, now_s)).await
}

/// Removes a person.
pub(crate) async fn remove_person(shared: &Shared, known: &Known, name: String) -> Result<(), RequestError> {
    let (who, now_s) = (known.who(), clock::now_s());
    shared.change(move |handle| handle.remove_person(&name, &who, now_s)).await
}

/// Makes a token of the caller, with at most the caller's role. One that is made with a token ends no later than that.
pub(crate) async fn add_token(
    shared: &Shared,
    known: &Known,
    (label, role, days): (&str, Role, u64),
) -> Result<NewTokenView, RequestError> {
    let label = parse_label(label).ok_or_else(|| RequestError::Body(format!("label: {LABEL_RULE}")))?.to_owned();
    if role > known.role {
        return Err(RequestError::Forbidden(format!("{} has the role {}, not {role}", known.name, known.role)));
    }
    let most = MAX_TOKEN_S / DAY_S;
    if !(1..=most).contains(&days) {
        return Err(RequestError::Body(format!("days: expected 1 to {most}")));
    }
    let (secret, who, now_s) = (secret()?, known.who(), clock::now_s());
    let until_s = now_s.saturating_add(days * DAY_S).min(known.until_s.unwrap_or(u64::MAX));
    let (sha256, person) = (secret.sha256(), known.name.clone());
    let add = move |handle: &StoreHandle| {
        let token = NewToken { secret: &sha256, person: &person, label: &label, role, until_s };
        handle.add_api_token(&token, &who, now_s)
    };
    let id = shared.change(add).await?;
    Ok(NewTokenView { id, token: secret.token(), until_s })
}

/// Ends a token: the caller's own, or that of any person with the permission to manage people.
pub(crate) async fn end_token(shared: &Shared, known: &Known, id: u32) -> Result<(), RequestError> {
    let manages = known.role.may(lapwing_people::Permission::ManagePeople);
    let (owner, who, now_s) = ((!manages).then(|| known.name.clone()), known.who(), clock::now_s());
    shared.change(move |handle| handle.end_api_token(id, owner.as_deref(), &who, now_s)).await
}

/// Compares a password, after counting the attempt; returns what is stored of it. Only a failure remains counted.
///
/// # Errors
/// Too many attempts, or another password.
pub(crate) async fn compare(
    shared: &Shared,
    name: &str,
    password: String,
    address: IpAddr,
) -> Result<Option<HashedPassword>, RequestError> {
    let gate = &shared.gate;
    if let Err(wait_s) = gate.attempts.attempt(name, address, clock::now_s()) {
        count(&shared.http.limited);
        return Err(RequestError::Wait(wait_s));
    }
    // It fails only on a closed semaphore; this one is never closed.
    let _permit = gate.comparing.acquire().await.ok();
    let (name, person) = (name.to_owned(), name.to_owned());
    let compared = shared.change(move |handle| {
        let stored = handle.password(&name)?;
        let is_right = verify(&password, stored.as_ref());
        Ok(stored.filter(|_| is_right))
    });
    let compared = compared.await?;
    match compared {
        Some(_) => gate.attempts.succeeded(&person, address),
        None => count(&shared.http.wrong_passwords),
    }
    Ok(compared)
}

/// Hashes a new password that was typed twice.
pub(crate) async fn new_password(name: &str, password: String, again: &str) -> Result<HashedPassword, RequestError> {
    if password != again {
        return Err(RequestError::Body("the two passwords differ".into()));
    }
    let (name, salt) = (name.to_owned(), random::<SALT_BYTES>().map_err(failed)?);
    let hashed = tokio::task::spawn_blocking(move || hash_password(&name, &password, salt)).await.map_err(failed)?;
    hashed.map_err(|error| RequestError::Body(error.to_string()))
}

/// Changes the caller's own password and ends the sessions.
pub(crate) async fn change_password(
    shared: &Shared,
    known: &Known,
    (present, new, again): (String, String, String),
    address: IpAddr,
) -> Result<(), RequestError> {
    if known.way != Way::Page {
        let message = "only a person who signed in with a password can change it";
        return Err(RequestError::Forbidden(message.into()));
    }
    if compare(shared, &known.name, present, address).await?.is_none() {
        return Err(RequestError::Body("the present password is another one".into()));
    }
    let hashed = new_password(&known.name, new, &again).await?;
    let (name, who, now_s) = (known.name.clone(), known.who(), clock::now_s());
    shared.change(move |handle| handle.set_password(&name, &hashed, &who, now_s)).await
}

/// Begins a session of the person with this password; `None` if there is no such person.
pub(crate) async fn sign_in(
    shared: &Shared,
    name: &str,
    password: String,
    address: IpAddr,
) -> Result<Option<Secret>, RequestError> {
    let compared = compare(shared, name, password, address).await;
    let now_s = clock::now_s();
    let Some(verified) = compared? else {
        record_failure(shared, name.to_owned(), address, now_s).await?;
        return Ok(None);
    };
    let session = secret()?;
    let (name, sha256) = (name.to_owned(), session.sha256());
    let who = lapwing_fleet::acting(&name, Way::Page);
    let is_open = shared.change(move |handle| handle.open_session(&name, &verified, &sha256, &who, now_s)).await?;
    Ok(is_open.then_some(session))
}

/// Records a failed attempt. An unknown name is not recorded: it may be a password in the wrong field.
async fn record_failure(shared: &Shared, name: String, address: IpAddr, now_s: u64) -> Result<(), RequestError> {
    if !shared.gate.attempts.is_recorded(now_s) {
        return Ok(());
    }
    let record = move |handle: &StoreHandle| {
        let name = handle.role(&name)?.map_or_else(|| "an unknown name".into(), |_| name);
        let (action, detail) = (lapwing_fleet::AuditAction::SignInFailed, format!("from {address}"));
        handle.record(&lapwing_fleet::AuditEntry::new(action, &name, &detail, lapwing_fleet::SERVE, now_s))
    };
    shared.change(record).await
}
