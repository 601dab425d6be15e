//! Query strings → what to show. Unknown and wrong parameters are refused by name; an empty one is none, since forms
//! send those.

use crate::store::EpisodeFilter;
use crate::words::parse_when;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use utoipa::{IntoParams, ToSchema};

/// Lines of a list, where the query does not say how many.
pub const LINES: u32 = 50;
/// Most lines of a list.
pub const MOST_LINES: u32 = 500;
/// Longest value that is no name: refusals repeat it.
const VALUE_BYTES: usize = 64;
/// Seconds after which a page that lives loads itself again, where the query does not say.
const REFRESH_S: u32 = 30;

/// Alerts that are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AlertQuery {
    /// Of this agent.
    #[serde(deserialize_with = "given")]
    pub agent: Option<String>,
    /// Of this kind, `unknown` included.
    #[serde(deserialize_with = "given")]
    pub kind: Option<String>,
    /// Open or closed ones.
    #[serde(deserialize_with = "parsed")]
    #[param(inline)]
    pub state: Option<Stand>,
    /// Begun then or later: seconds since the epoch, or a date as `2026-11-21` or `2026-11-21T16:44`, UTC.
    #[serde(deserialize_with = "parsed")]
    #[param(value_type = Option<String>)]
    pub from: Option<When>,
    /// Begun then or earlier.
    #[serde(deserialize_with = "parsed")]
    #[param(value_type = Option<String>)]
    pub to: Option<When>,
    /// Next page: what `next` of the page before says.
    #[serde(deserialize_with = "parsed")]
    pub before: Option<i64>,
    /// At most so many, 1 to 500; 50 without.
    #[serde(deserialize_with = "parsed")]
    pub limit: Option<u32>,
    /// Of pages: load again after so many seconds, 0 for never.
    #[serde(deserialize_with = "parsed")]
    pub refresh: Option<u32>,
}

/// Agents that are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AgentQuery {
    /// Whose name has this in it.
    #[serde(deserialize_with = "given")]
    pub agent: Option<String>,
    /// Of this group.
    #[serde(deserialize_with = "given")]
    pub group: Option<String>,
    /// In this state.
    #[serde(deserialize_with = "parsed")]
    #[param(inline)]
    pub state: Option<AgentState>,
    /// Next page: what `next` of the page before says.
    #[serde(deserialize_with = "parsed")]
    pub after: Option<u32>,
    /// At most so many, 1 to 500; 50 without.
    #[serde(deserialize_with = "parsed")]
    pub limit: Option<u32>,
    /// Of pages: load again after so many seconds, 0 for never.
    #[serde(deserialize_with = "parsed")]
    pub refresh: Option<u32>,
}

/// Whether an episode goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stand {
    /// Its end was not told.
    Open,
    /// It ended.
    Closed,
}

impl FromStr for Stand {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "open" => Ok(Self::Open),
            "closed" => Ok(Self::Closed),
            _ => Err(format!("state `{text}`, expected open or closed")),
        }
    }
}

/// How an agent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AgentState {
    /// The broker told its last will, or it said goodbye.
    Offline,
    /// It says that it is online, but was not heard for two minutes.
    Silent,
    /// It never told its status.
    Unknown,
    /// It sees far less than passes its interfaces, or the kernel drops packets.
    Degraded,
    /// Online, and all is well.
    Online,
}

impl AgentState {
    /// Every state, the most troubling first.
    pub const ALL: [Self; 5] = [Self::Offline, Self::Silent, Self::Unknown, Self::Degraded, Self::Online];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Silent => "silent",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
            Self::Online => "online",
        }
    }
}

impl FromStr for AgentState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| format!("state `{text}`, expected offline, silent, unknown, degraded or online"))
    }
}

/// Seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When(pub u64);

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("time `{text}`, expected a date as 2026-11-21 or 2026-11-21T16:44 (UTC), or seconds");
        parse_when(text).map(Self).ok_or_else(wrong)
    }
}

fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: std::fmt::Display>>(from: D) -> Result<Option<T>, D::Error> {
    let text = given(from)?;
    let long = text.as_ref().map(String::len).filter(|length| *length > VALUE_BYTES);
    if let Some(length) = long {
        return Err(D::Error::custom(format!("a value of {length} bytes, expected {VALUE_BYTES} at the most")));
    }
    text.map(|text| text.parse().map_err(|error| D::Error::custom(format!("{error} (`{text}`)")))).transpose()
}

fn lines(limit: Option<u32>) -> u32 {
    limit.unwrap_or(LINES).clamp(1, MOST_LINES)
}

fn seconds(refresh: Option<u32>) -> Option<u32> {
    // Faster than this, one forgotten tab would be a load.
    Some(refresh.unwrap_or(REFRESH_S)).filter(|seconds| *seconds > 0).map(|seconds| seconds.clamp(5, 86_400))
}

impl AlertQuery {
    /// The same as the store understands it.
    pub fn filter(&self) -> EpisodeFilter {
        EpisodeFilter {
            agent: self.agent.clone(),
            kind: self.kind.clone(),
            open: self.state.map(|state| state == Stand::Open),
            from_s: self.from.map(|when| when.0),
            to_s: self.to.map(|when| when.0),
            before: self.before,
            limit: lines(self.limit),
        }
    }

    /// Seconds after which the page loads again; a page further back does not.
    pub fn refresh(&self) -> Option<u32> {
        seconds(self.refresh).filter(|_| self.before.is_none())
    }
}

impl AgentQuery {
    /// At most so many.
    pub fn limit(&self) -> u32 {
        lines(self.limit)
    }

    /// Seconds after which the page loads again.
    pub fn refresh(&self) -> Option<u32> {
        seconds(self.refresh)
    }
}

/// A query string again, `before` or `after` replaced by where the next page begins.
pub(super) fn next_page(query: &str, name: &str, from: &str) -> String {
    let kept = query.split('&').filter(|pair| !pair.is_empty() && pair.split('=').next() != Some(name));
    let mut out: String = kept.map(|pair| format!("{pair}&")).collect();
    out += &format!("{name}={from}");
    out
}
