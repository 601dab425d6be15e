//! Query strings → filters and page options. Errors name the unknown or invalid parameter; empty values count as not
//! set, because forms send them.

mod incidents;

pub(crate) use incidents::IncidentQuery;
use lapwing_common::format::parse_when;
use lapwing_fleet::AgentState;
use lapwing_fleet::IdentityState;
use lapwing_store::traits::{CampaignFilter, IdentityFilter};
use lapwing_store::{AgentFilter, AuditFilter, EpisodeFilter};
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use utoipa::{IntoParams, ToSchema};

/// Default number of rows in a list.
const ROWS: u32 = 50;
/// Most rows in a list.
const MOST_ROWS: u32 = 500;
/// Longest value of a parameter that is not a name, bytes: error messages repeat it.
const VALUE_BYTES: usize = 64;
/// Default refresh interval of pages, seconds.
const REFRESH_S: u32 = 30;

/// Filter of the alert list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AlertQuery {
    /// Name of the agent.
    #[serde(deserialize_with = "given")]
    pub(crate) agent: Option<String>,
    /// Attack type, or `unknown`.
    #[serde(deserialize_with = "given")]
    pub(crate) kind: Option<String>,
    /// `open` or `closed`.
    #[serde(deserialize_with = "parsed")]
    #[param(inline)]
    pub(crate) state: Option<EpisodeState>,
    /// Earliest start: seconds since the epoch, or a date such as `2026-11-21` or `2026-11-21T16:44`, UTC.
    #[serde(deserialize_with = "parsed")]
    #[param(value_type = Option<String>)]
    pub(crate) from: Option<When>,
    /// Latest start, same forms.
    #[serde(deserialize_with = "parsed")]
    #[param(value_type = Option<String>)]
    pub(crate) to: Option<When>,
    /// Start of the page: `next` of the previous page.
    #[serde(deserialize_with = "parsed")]
    pub(crate) before: Option<i64>,
    /// Maximum number of entries to return, 1 to 500. Default: 50.
    #[serde(deserialize_with = "parsed")]
    pub(crate) limit: Option<u32>,
    /// Refresh interval of HTML pages, 5 to 86400 seconds; 0 disables it. Default: 30.
    #[serde(deserialize_with = "parsed")]
    pub(crate) refresh: Option<u32>,
}

/// Filter of the agent list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AgentQuery {
    /// Part of the name.
    #[serde(deserialize_with = "given")]
    pub(crate) agent: Option<String>,
    /// Beginning of the name. Faster than a part of the name.
    #[serde(deserialize_with = "given")]
    pub(crate) prefix: Option<String>,
    /// Group.
    #[serde(deserialize_with = "given")]
    pub(crate) group: Option<String>,
    /// State.
    #[serde(deserialize_with = "parsed")]
    #[param(inline)]
    pub(crate) state: Option<AgentState>,
    /// Start of the page: `next` of the previous page.
    #[serde(deserialize_with = "parsed")]
    pub(crate) after: Option<u64>,
    /// Maximum number of entries to return, 1 to 500. Default: 50.
    #[serde(deserialize_with = "parsed")]
    pub(crate) limit: Option<u32>,
    /// Refresh interval of HTML pages, 5 to 86400 seconds; 0 disables it. Default: 30.
    #[serde(deserialize_with = "parsed")]
    pub(crate) refresh: Option<u32>,
}

/// Filter of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Earliest time: seconds since the epoch, or a date such as `2026-11-21` or `2026-11-21T16:44`, UTC.
    #[serde(deserialize_with = "parsed")]
    #[param(value_type = Option<String>)]
    pub(crate) since: Option<When>,
    /// Name of a person, whatever the way by which the person acted, or of a process.
    #[serde(deserialize_with = "given")]
    pub(crate) who: Option<String>,
    /// Name of an action, e.g. `label` or `sign-in`.
    #[serde(deserialize_with = "given")]
    pub(crate) action: Option<String>,
    /// Start of the page: `next` of the previous page.
    #[serde(deserialize_with = "parsed")]
    pub(crate) before: Option<u64>,
    /// Maximum number of entries to return, 1 to 500. Default: 50.
    #[serde(deserialize_with = "parsed")]
    pub(crate) limit: Option<u32>,
    /// Refresh interval of HTML pages, 5 to 86400 seconds; 0 disables it. Default: 30.
    #[serde(deserialize_with = "parsed")]
    pub(crate) refresh: Option<u32>,
}

/// Part of the audit log to export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportQuery {
    /// Only entries after this number: that of the last line of the previous part. Default: 0.
    #[serde(deserialize_with = "parsed")]
    pub(crate) after: Option<u64>,
}

/// Filter of the identities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct IdentityQuery {
    /// State: waiting, accepted, revoked, or ending: accepted, with a certificate that ends soon or has ended.
    #[serde(deserialize_with = "parsed")]
    #[param(value_type = Option<String>)]
    pub(crate) state: Option<IdentityChoice>,
    /// Start of the page: `next` of the previous page, the last name.
    #[serde(deserialize_with = "given")]
    pub(crate) after: Option<String>,
    /// Maximum number of entries to return, 1 to 500. Default: 50.
    #[serde(deserialize_with = "parsed")]
    pub(crate) limit: Option<u32>,
    /// Refresh interval of HTML pages, 5 to 86400 seconds; 0 disables it. Default: 30.
    #[serde(deserialize_with = "parsed")]
    pub(crate) refresh: Option<u32>,
}

/// Filter of the campaigns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CampaignQuery {
    /// Group.
    #[serde(deserialize_with = "given")]
    pub(crate) group: Option<String>,
    /// `open`: only campaigns that have not ended.
    #[serde(deserialize_with = "parsed")]
    #[param(inline)]
    pub(crate) state: Option<CampaignChoice>,
    /// Start of the page: `next` of the previous page.
    #[serde(deserialize_with = "parsed")]
    pub(crate) before: Option<i64>,
    /// Maximum number of entries to return, 1 to 500. Default: 50.
    #[serde(deserialize_with = "parsed")]
    pub(crate) limit: Option<u32>,
    /// Refresh interval of HTML pages, 5 to 86400 seconds; 0 disables it. Default: 30.
    #[serde(deserialize_with = "parsed")]
    pub(crate) refresh: Option<u32>,
}

/// Campaigns to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CampaignChoice {
    /// Those that have not ended.
    Open,
}

impl FromStr for CampaignChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "open" { Ok(Self::Open) } else { Err(format!("invalid state `{text}`, expected open")) }
    }
}

impl CampaignQuery {
    /// The filter in the form that the store takes.
    pub(crate) fn filter(&self) -> CampaignFilter {
        CampaignFilter {
            group: self.group.clone(),
            version: None,
            is_open: self.state == Some(CampaignChoice::Open),
            before: self.before,
            limit: rows(self.limit),
        }
    }

    /// Refresh interval of the page, seconds; only the first page refreshes.
    pub(crate) fn refresh(&self) -> Option<u32> {
        seconds(self.refresh).filter(|_| self.before.is_none())
    }
}

/// Identities to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdentityChoice {
    State(IdentityState),
    /// Whose certificate ends soon, or has ended.
    Ending,
}

impl IdentityChoice {
    pub(crate) const ALL: [Self; 4] = [
        Self::State(IdentityState::Waiting),
        Self::State(IdentityState::Accepted),
        Self::State(IdentityState::Revoked),
        Self::Ending,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::State(state) => state.as_str(),
            Self::Ending => "ending",
        }
    }
}

impl FromStr for IdentityChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|choice| choice.as_str() == text);
        found.ok_or_else(|| format!("invalid state `{text}`, expected waiting, accepted, revoked or ending"))
    }
}

impl IdentityQuery {
    /// The filter in the form that the store takes; certificates that end before `soon_s` end soon.
    pub(crate) fn filter(&self, soon_s: u64) -> IdentityFilter {
        let (state, ends_before_s) = match self.state {
            Some(IdentityChoice::State(state)) => (Some(state), None),
            Some(IdentityChoice::Ending) => (None, Some(soon_s)),
            None => (None, None),
        };
        IdentityFilter { state, after: self.after.clone(), ends_before_s, limit: rows(self.limit) }
    }

    /// Refresh interval of the page, seconds; only the first page refreshes.
    pub(crate) fn refresh(&self) -> Option<u32> {
        seconds(self.refresh).filter(|_| self.after.is_none())
    }
}

/// State of an alert episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EpisodeState {
    /// The agent has not reported its end.
    Open,
    /// The agent has reported its end.
    Closed,
}

impl EpisodeState {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

impl FromStr for EpisodeState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "open" => Ok(Self::Open),
            "closed" => Ok(Self::Closed),
            _ => Err(format!("invalid state `{text}`, expected open or closed")),
        }
    }
}

/// Seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct When(pub(crate) u64);

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || {
            format!("invalid time `{text}`, expected a date such as 2026-11-21 or 2026-11-21T16:44 (UTC), or seconds")
        };
        parse_when(text).map(Self).ok_or_else(invalid)
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
        return Err(D::Error::custom(format!("a value of {length} bytes, expected at most {VALUE_BYTES}")));
    }
    text.map(|text| text.parse().map_err(|error| D::Error::custom(format!("{error} (`{text}`)")))).transpose()
}

fn rows(limit: Option<u32>) -> u32 {
    limit.unwrap_or(ROWS).clamp(1, MOST_ROWS)
}

fn seconds(refresh: Option<u32>) -> Option<u32> {
    // A shorter interval would let one forgotten tab load the server.
    Some(refresh.unwrap_or(REFRESH_S)).filter(|seconds| *seconds > 0).map(|seconds| seconds.clamp(5, 86_400))
}

impl AlertQuery {
    /// The filter in the form that the store takes.
    pub(crate) fn filter(&self) -> EpisodeFilter {
        EpisodeFilter {
            agent: self.agent.clone(),
            kind: self.kind.clone(),
            open: self.state.map(|state| state == EpisodeState::Open),
            from_s: self.from.map(|when| when.0),
            to_s: self.to.map(|when| when.0),
            before: self.before,
            limit: rows(self.limit),
        }
    }

    /// Refresh interval of the page, seconds; only the first page refreshes.
    pub(crate) fn refresh(&self) -> Option<u32> {
        seconds(self.refresh).filter(|_| self.before.is_none())
    }
}

impl AuditQuery {
    /// The filter in the form that the store takes.
    pub(crate) fn filter(&self) -> AuditFilter {
        AuditFilter {
            since_s: self.since.map(|when| when.0),
            before: self.before,
            who: self.who.clone(),
            action: self.action.clone(),
            limit: rows(self.limit),
        }
    }

    /// Refresh interval of the page, seconds; only the first page refreshes.
    pub(crate) fn refresh(&self) -> Option<u32> {
        seconds(self.refresh).filter(|_| self.before.is_none())
    }
}

impl AgentQuery {
    /// The filter in the form that the store takes.
    pub(crate) fn filter(&self) -> AgentFilter {
        AgentFilter {
            prefix: self.prefix.clone(),
            contains: self.agent.clone(),
            group: self.group.clone(),
            state: self.state,
            after: self.after.map(|place| place.min(i64::MAX.cast_unsigned()).cast_signed()),
            limit: rows(self.limit),
        }
    }

    /// Refresh interval of the page, seconds; only the first page refreshes.
    pub(crate) fn refresh(&self) -> Option<u32> {
        seconds(self.refresh).filter(|_| self.after.is_none())
    }
}

/// The query string with the parameter `name` set to `value`.
pub(crate) fn with_parameter(query: &str, name: &str, value: &str) -> String {
    let others = query.split('&').filter(|pair| !pair.is_empty() && pair.split('=').next() != Some(name));
    let mut out: String = others.map(|pair| format!("{pair}&")).collect();
    out += &format!("{name}={value}");
    out
}
