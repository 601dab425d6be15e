//! What people and processes change → entries of a log, each with the hash of the entry before it.

use crate::campaign::{Campaign, Transition};
use crate::episode::Label;
use crate::identity::{Identity, IdentityState, TokenTerms};
use crate::text::is_disruptive;
use lapwing_shared::release::digest::{Hex, sha256};
use serde::Serialize;
use std::fmt::Display;

/// Entries to keep; older ones are deleted.
pub const AUDIT_ENTRIES: u64 = 100_000;
/// Name under which `serve` acts without a person.
pub const SERVE: &str = "serve";
/// Longest name of a person or process, characters; the rest is cut.
const WHO_CHARS: usize = 64;
/// Longest object, characters.
const OBJECT_CHARS: usize = 128;
/// Longest detail, characters.
const DETAIL_CHARS: usize = 512;
/// First bytes of what is hashed, so that the hash is of nothing else.
const HASHED: &[u8] = b"lapwing audit entry 1";

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditAction {
    /// An episode got a label.
    Label,
    /// A release that the gate held back was approved.
    Approve,
    /// A release that the gate held back was rejected.
    Reject,
    /// A release was requested.
    Retrain,
    /// A release was signed and added to the store, from which it is published.
    Release,
    /// An agent was removed with everything that it sent.
    ForgetAgent,
    /// The data of a host was removed.
    ForgetHost,
    /// An agent was assigned to a group, or back to the one that it reports.
    AssignGroup,
    /// An agent was assigned settings, or none any more.
    Assign,
    /// The limits of the store changed.
    Limits,
    /// A token that enrols agents was made.
    CreateToken,
    /// A token was ended before its time.
    EndToken,
    /// An identity was accepted.
    AcceptIdentity,
    /// An identity was revoked.
    RevokeIdentity,
    /// An identity got another name.
    RenameIdentity,
    /// The secret of the agents' seal keys was replaced.
    ReplaceSeals,
    /// A root document was published.
    PublishRoot,
    /// A campaign was created, or its state changed.
    Campaign,
    /// Someone signed in.
    SignIn,
    /// An attempt to sign in failed.
    SignInFailed,
    /// Someone signed out.
    SignOut,
    /// A person was added.
    AddPerson,
    /// A person got another role.
    ChangeRole,
    /// A person got another password.
    ChangePassword,
    /// A person's password was removed, so that a link sets another one.
    ResetPassword,
    /// A person was removed.
    RemovePerson,
    /// A token of the API was made.
    CreateApiToken,
    /// A token of the API was ended before its time.
    EndApiToken,
    /// A person did something with an incident.
    Incident,
}

impl AuditAction {
    /// Every action.
    pub const ALL: [Self; 29] = [
        Self::Label,
        Self::Approve,
        Self::Reject,
        Self::Retrain,
        Self::Release,
        Self::ForgetAgent,
        Self::ForgetHost,
        Self::AssignGroup,
        Self::Assign,
        Self::Limits,
        Self::CreateToken,
        Self::EndToken,
        Self::AcceptIdentity,
        Self::RevokeIdentity,
        Self::RenameIdentity,
        Self::ReplaceSeals,
        Self::PublishRoot,
        Self::Campaign,
        Self::SignIn,
        Self::SignInFailed,
        Self::SignOut,
        Self::AddPerson,
        Self::ChangeRole,
        Self::ChangePassword,
        Self::ResetPassword,
        Self::RemovePerson,
        Self::CreateApiToken,
        Self::EndApiToken,
        Self::Incident,
    ];

    /// Its name in the store, in lists and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Retrain => "retrain",
            Self::Release => "release",
            Self::ForgetAgent => "forget-agent",
            Self::ForgetHost => "forget-host",
            Self::AssignGroup => "assign-group",
            Self::Assign => "assign",
            Self::Limits => "limits",
            Self::CreateToken => "create-token",
            Self::EndToken => "end-token",
            Self::AcceptIdentity => "accept-identity",
            Self::RevokeIdentity => "revoke-identity",
            Self::RenameIdentity => "rename-identity",
            Self::ReplaceSeals => "replace-seals",
            Self::PublishRoot => "publish-root",
            Self::Campaign => "campaign",
            Self::SignIn => "sign-in",
            Self::SignInFailed => "sign-in-failed",
            Self::SignOut => "sign-out",
            Self::AddPerson => "add-person",
            Self::ChangeRole => "change-role",
            Self::ChangePassword => "change-password",
            Self::ResetPassword => "reset-password",
            Self::RemovePerson => "remove-person",
            Self::CreateApiToken => "create-api-token",
            Self::EndApiToken => "end-api-token",
            Self::Incident => "incident",
        }
    }
}

/// Something that was done. Texts are cut to their limits, and control characters replaced: names come from command lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Time, seconds since the epoch.
    pub at_s: u64,
    /// Person or process.
    pub who: String,
    /// What was done.
    pub action: AuditAction,
    /// To what: `AGENT/EPISODE`, `GROUP/VERSION`, an agent, a group or a setting.
    pub object: String,
    /// How; may be empty.
    pub detail: String,
}

impl AuditEntry {
    /// An action on `object` at `at_s`.
    pub fn new(action: AuditAction, object: &str, detail: &str, who: &str, at_s: u64) -> Self {
        Self {
            at_s,
            who: clean(who, WHO_CHARS),
            action,
            object: clean(object, OBJECT_CHARS),
            detail: clean(detail, DETAIL_CHARS),
        }
    }

    /// A label of an episode.
    pub fn labelled(agent: &str, episode: u64, label: Label, who: &str, at_s: u64) -> Self {
        Self::new(AuditAction::Label, &numbered(agent, episode), label.as_str(), who, at_s)
    }

    /// A decision about a release that the gate held back.
    pub fn decided(group: &str, version: u64, approve: bool, who: &str, at_s: u64) -> Self {
        let action = if approve { AuditAction::Approve } else { AuditAction::Reject };
        Self::new(action, &numbered(group, version), "", who, at_s)
    }

    /// A release with its reason.
    pub fn released(group: &str, version: u64, reason: Option<&str>, who: &str, at_s: u64) -> Self {
        Self::new(AuditAction::Release, &numbered(group, version), reason.unwrap_or_default(), who, at_s)
    }

    /// A request for a release of a group, or of every group, which became a job.
    pub fn requested(group: Option<&str>, job: i64, who: &str, at_s: u64) -> Self {
        Self::new(AuditAction::Retrain, group.unwrap_or("every group"), &format!("job {job}"), who, at_s)
    }

    /// The removal of an agent.
    pub fn forgot(agent: &str, who: &str, at_s: u64) -> Self {
        Self::new(AuditAction::ForgetAgent, agent, "", who, at_s)
    }

    /// The removal of a host's data. The entry does not name the host: it outlasts the data.
    pub fn forgot_host(scope: &str, removed: impl Display, who: &str, at_s: u64) -> Self {
        Self::new(AuditAction::ForgetHost, &format!("a host of {scope}"), &removed.to_string(), who, at_s)
    }

    /// An agent's group; `None`: the one that it reports.
    pub fn assigned(agent: &str, group: Option<&str>, who: &str, at_s: u64) -> Self {
        let detail = group.map_or_else(|| "the group that it reports".into(), |group| format!("group {group}"));
        Self::new(AuditAction::AssignGroup, agent, &detail, who, at_s)
    }

    /// A token with its terms. The agents that use it are not recorded one by one: their identities name the token.
    pub fn made_token(id: u32, terms: &TokenTerms, at_s: u64) -> Self {
        let TokenTerms { group, name, uses, must_be_accepted, replaces, who, .. } = terms;
        let agent = name.as_ref().map(|name| format!(", agent {name}")).unwrap_or_default();
        let accept = if *must_be_accepted { ", to be accepted" } else { "" };
        let replaces = if *replaces { ", replaces a key" } else { "" };
        let detail = format!("group {group}{agent}, {uses} uses{accept}{replaces}");
        Self::new(AuditAction::CreateToken, &format!("token {id}"), &detail, who, at_s)
    }

    /// The end of a token.
    pub fn ended_token(id: u32, who: &str, at_s: u64) -> Self {
        Self::new(AuditAction::EndToken, &format!("token {id}"), "", who, at_s)
    }

    /// A decision about an identity.
    pub fn decided_identity(identity: &Identity, state: IdentityState, who: &str, at_s: u64) -> Self {
        let action = match state {
            IdentityState::Revoked => AuditAction::RevokeIdentity,
            IdentityState::Accepted | IdentityState::Waiting => AuditAction::AcceptIdentity,
        };
        Self::new(action, &identity.name, &format!("key {}", Hex(&identity.fingerprint)), who, at_s)
    }

    /// Another name of an identity.
    pub fn renamed_identity(name: &str, new: &str, who: &str, at_s: u64) -> Self {
        Self::new(AuditAction::RenameIdentity, name, new, who, at_s)
    }

    /// Another secret of the agents' seal keys.
    pub fn replaced_seals(who: &str, at_s: u64) -> Self {
        Self::new(AuditAction::ReplaceSeals, "store", "", who, at_s)
    }

    /// A root document with the keys that it names.
    pub fn published_root(version: u64, detail: &str, who: &str, at_s: u64) -> Self {
        Self::new(AuditAction::PublishRoot, &format!("root document {version}"), detail, who, at_s)
    }

    /// A root document of other root keys instead of all others.
    pub fn replaced_roots(version: u64, detail: &str, who: &str, at_s: u64) -> Self {
        Self::published_root(version, &format!("replaces all others, other root keys; {detail}"), who, at_s)
    }

    /// What a person did with an incident.
    pub fn changed_incident(id: i64, detail: &str, who: &str, at_s: u64) -> Self {
        Self::new(AuditAction::Incident, &format!("incident {id}"), detail, who, at_s)
    }

    /// A new campaign.
    pub fn created_campaign(id: i64, campaign: &Campaign, now_s: u64) -> Self {
        let (rollout, detail) = (campaign.rollout(), format!("campaign {id}: created"));
        let object = numbered(&rollout.group, campaign.version());
        Self::new(AuditAction::Campaign, &object, &detail, campaign.made_by(), now_s)
    }

    /// A change of a campaign, or of its wave, with its reason.
    pub fn changed_campaign(id: i64, campaign: &Campaign, change: &Transition) -> Self {
        let Transition { at_s, state, wave, who, why } = change;
        // People count waves from 1.
        let wave = wave.map(|(number, state)| format!(", wave {} {}", number + 1, state.as_str())).unwrap_or_default();
        let detail = format!("campaign {id}: {}{wave}: {why}", state.as_str());
        let object = numbered(&campaign.rollout().group, campaign.version());
        Self::new(AuditAction::Campaign, &object, &detail, who.as_deref().unwrap_or(SERVE), *at_s)
    }

    /// New limits of the store.
    pub fn limited(before: &str, now: &str, who: &str, at_s: u64) -> Self {
        Self::new(AuditAction::Limits, "store", &format!("{now}; before: {before}"), who, at_s)
    }
}

fn numbered(name: &str, number: impl Display) -> String {
    format!("{name}/{number}")
}

/// A name of a person or process as it is recorded: at most 64 characters, none of them disruptive.
pub fn recorded_name(text: &str) -> String {
    clean(text, WHO_CHARS)
}

/// At most `most` characters of a text, without those that change what a terminal shows.
fn clean(text: &str, most: usize) -> String {
    let mut chars = text.chars().map(|char| if is_disruptive(char) { '\u{fffd}' } else { char });
    let mut cleaned: String = chars.by_ref().take(most).collect();
    if chars.next().is_some() {
        cleaned.pop();
        cleaned.push('…');
    }
    cleaned
}

/// The newest entry of a log; the default without entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditHead {
    /// Its number; entries count from 1.
    pub number: u64,
    /// Its hash.
    pub sha256: [u8; 32],
}

impl AuditHead {
    /// The entry to continue from: the head as it was stored, or the newest stored entry if that is newer, so that a log
    /// that someone changed still takes entries. `AuditChain` reports what does not fit.
    pub fn of(stored: Option<Self>, newest: Option<&AuditRecord>) -> Self {
        let stored = stored.unwrap_or_default();
        newest.filter(|newest| newest.number > stored.number).map_or(stored, AuditRecord::head)
    }

    /// The entry after this one.
    pub fn next(self, entry: &AuditEntry) -> AuditRecord {
        let AuditEntry { at_s, who, action, object, detail } = entry.clone();
        let (number, action) = (self.number.saturating_add(1), action.as_str().to_owned());
        AuditRecord { number, at_s, who, action, object, detail, previous: self.sha256 }
    }
}

/// An entry as it is stored. Its texts are whatever the store has: someone may have changed them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AuditRecord {
    /// Its number; entries count from 1.
    pub number: u64,
    /// Time, seconds since the epoch.
    pub at_s: u64,
    /// Person or process.
    pub who: String,
    /// Name of an [`AuditAction`].
    pub action: String,
    /// To what it was done.
    pub object: String,
    /// How; may be empty.
    pub detail: String,
    /// Hash of the entry before this one, SHA-256 in hexadecimal digits; zeros for the first one.
    #[serde(serialize_with = "hexadecimal")]
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub previous: [u8; 32],
}

fn hexadecimal<S: serde::Serializer>(digest: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&Hex(digest))
}

impl AuditRecord {
    /// Its hash: SHA-256 of all of its fields, each text after its length.
    pub fn sha256(&self) -> [u8; 32] {
        let mut hashed = HASHED.to_vec();
        hashed.extend(self.number.to_le_bytes());
        hashed.extend(self.at_s.to_le_bytes());
        for text in [&self.who, &self.action, &self.object, &self.detail] {
            hashed.extend((text.len() as u64).to_le_bytes());
            hashed.extend(text.as_bytes());
        }
        hashed.extend(self.previous);
        sha256(&hashed)
    }

    /// Its number and hash.
    pub fn head(&self) -> AuditHead {
        AuditHead { number: self.number, sha256: self.sha256() }
    }
}
