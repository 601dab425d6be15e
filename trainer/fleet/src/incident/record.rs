//! What is stored of an incident, and what people do with it.

use super::cause::Cause;
use super::severity::Severity;
use serde::Serialize;

/// Time after its first episode for which an incident accepts episodes, seconds.
pub const ACCEPTS_S: u64 = 7 * 86_400;
/// Time without a new episode or message after which an incident is quiet, seconds.
pub const QUIET_S: u64 = 86_400;
/// How much earlier than the first episode one that arrives late may have begun, seconds.
const EARLIER_S: u64 = 6 * 3_600;

/// Why episodes belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// They began soon after a switch to the same release.
    Release,
    /// They have the same outside peer.
    Remote,
    /// They began at the same time at several sites.
    Burst,
    /// A person decided it.
    Raised,
}

impl Rule {
    /// Its name in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Remote => "remote",
            Self::Burst => "burst",
            Self::Raised => "raised",
        }
    }

    /// The rule with this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Release, Self::Remote, Self::Burst, Self::Raised].into_iter().find(|rule| rule.as_str() == name)
    }
}

/// Where an incident is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum IncidentState {
    /// No operator has seen it.
    Open,
    /// A person has seen it.
    Seen,
    /// No new episode or message for [`QUIET_S`].
    Quiet,
    /// A person gave it a verdict.
    Resolved,
    /// A person merged it into another one.
    Merged,
}

impl IncidentState {
    /// All.
    pub const ALL: [Self; 5] = [Self::Open, Self::Seen, Self::Quiet, Self::Resolved, Self::Merged];

    /// Its name in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Seen => "seen",
            Self::Quiet => "quiet",
            Self::Resolved => "resolved",
            Self::Merged => "merged",
        }
    }

    /// The state with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// What an incident was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = IncidentVerdict))]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Verdict {
    Attack,
    Benign,
    Release,
    Unknown,
}

impl Verdict {
    /// All.
    pub const ALL: [Self; 4] = [Self::Attack, Self::Benign, Self::Release, Self::Unknown];

    /// Its name in the store and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attack => "attack",
            Self::Benign => "benign",
            Self::Release => "release",
            Self::Unknown => "unknown",
        }
    }

    /// The verdict with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == name)
    }
}

/// An incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Number in the store.
    pub id: i64,
    /// Why its episodes belong together.
    pub rule: Rule,
    /// Their cause.
    pub cause: Cause,
    /// What all of them have in common, in the form of [`joined_key`].
    pub key: String,
    /// Group of the first agent that reported one.
    pub group: String,
    /// Release of the rule [`Rule::Release`], otherwise 0.
    pub release: u64,
    /// Its state.
    pub state: IncidentState,
    /// What a person decided; `None` until it is resolved.
    pub verdict: Option<Verdict>,
    /// The highest that its episodes ever had.
    pub severity: Severity,
    /// Earliest start of an episode, seconds since the epoch, by the agents' clocks.
    pub first_s: u64,
    /// Latest message of an episode, by the agents' clocks.
    pub last_s: u64,
    /// When the trainer last added an episode or a message, seconds since the epoch.
    pub active_s: u64,
    /// Agents with episodes in it.
    pub sites: u64,
    /// Its episodes.
    pub episodes: u64,
    /// Who deals with it.
    pub assigned: Option<String>,
    /// Who saw it first.
    pub seen_by: Option<String>,
    /// Who resolved it.
    pub resolved_by: Option<String>,
    /// An earlier incident with the same key, which accepts no more episodes.
    pub again_of: Option<i64>,
    /// The incident into which a person merged it. Later episodes with its key belong there.
    pub merged_into: Option<i64>,
    /// When it was made, seconds since the epoch.
    pub made_s: u64,
}

impl Incident {
    /// Whether an episode that began at `since_s` may still join.
    pub fn accepts(&self, since_s: u64) -> bool {
        let is_alive = matches!(self.state, IncidentState::Open | IncidentState::Seen | IncidentState::Quiet);
        let range = self.first_s.saturating_sub(EARLIER_S)..=self.first_s.saturating_add(ACCEPTS_S);
        is_alive && range.contains(&since_s)
    }
}

impl Incident {
    /// What happened, in a few words.
    pub fn title(&self) -> String {
        let (cause, sites) = (&self.cause, self.sites);
        let at = if sites == 1 { "1 site".to_owned() } else { format!("{sites} sites") };
        match self.rule {
            Rule::Release => format!("{cause} at {at} after release {}", self.release),
            Rule::Remote => format!("{cause} at {at} with peers in {}", self.compared()),
            Rule::Burst => format!("{cause} at {at} at once, {}", self.compared()),
            Rule::Raised => format!("{cause} at {at}, raised by hand"),
        }
    }

    /// What a person should do next.
    pub fn advice(&self) -> String {
        if let Some(into) = self.merged_into {
            return format!("It was merged. Run `lapwing-trainer incidents show {into}`: that one has its episodes.");
        }
        let first = match self.rule {
            Rule::Release => format!(
                "Check whether these alerts are false: run `lapwing-trainer rollout status --group {}`, and pause or abort the \
                 campaign of release {} if they are.",
                self.group, self.release
            ),
            Rule::Remote => format!(
                "Find out what uses {}. If nothing should, block it at the gateways and check the hosts below.",
                self.compared()
            ),
            Rule::Burst => {
                "Find out what these hosts have in common: the device, its firmware, a service that they use."
                    .to_owned()
            }
            Rule::Raised => "Check the hosts below.".to_owned(),
        };
        format!(
            "{first} Then run `lapwing-trainer incidents resolve {} attack` (or benign, release, unknown).",
            self.id
        )
    }

    /// Whether a release caused it.
    pub const fn is_of_release(&self) -> bool {
        matches!(self.rule, Rule::Release)
    }

    /// The part of the key between rule and cause.
    pub fn compared(&self) -> &str {
        let key = self.key.strip_prefix(self.rule.as_str()).unwrap_or(&self.key);
        key.strip_suffix(self.cause.as_str()).unwrap_or(key).trim()
    }
}

/// The key of an incident: the rule, the cause and what the rule compares.
pub fn joined_key(rule: Rule, cause: &Cause, compared: &str) -> String {
    format!("{} {compared} {cause}", rule.as_str())
}

/// A note of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Note {
    pub who: String,
    pub at_s: u64,
    pub text: String,
}

/// What a person does with incidents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IncidentAction {
    /// Marks it as seen.
    See,
    /// Assigns it to a person; `None`: remove the assignment.
    Assign(Option<String>),
    /// Adds a note.
    Note(String),
    /// Ends it.
    Resolve(Verdict),
    /// Continues a resolved or quiet one.
    Reopen,
    /// Merges another one into it; the other one's key leads here from then on.
    Merge(i64),
    /// Takes episodes out of it, agent and number, into an incident of their own. The joiner leaves them there.
    Split(Vec<(String, u64)>),
}

impl IncidentAction {
    /// As the audit log describes it.
    pub fn detail(&self) -> String {
        match self {
            Self::See => "seen".into(),
            Self::Assign(Some(name)) => format!("assigned to {name}"),
            Self::Assign(None) => "assignment removed".into(),
            Self::Note(text) => format!("note: {text}"),
            Self::Resolve(verdict) => format!("resolved: {}", verdict.as_str()),
            Self::Reopen => "reopened".into(),
            Self::Merge(other) => format!("incident {other} merged into it"),
            Self::Split(episodes) => {
                let names: Vec<String> = episodes.iter().map(|(agent, episode)| format!("{agent}/{episode}")).collect();
                format!("split off: {}", names.join(", "))
            }
        }
    }
}
