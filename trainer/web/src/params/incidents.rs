//! Which incidents to list.

use super::{given, parsed, rows, seconds};
use lapwing_fleet::incident::{IncidentState, Severity};
use lapwing_store::traits::IncidentFilter;
use serde::Deserialize;
use std::str::FromStr;
use utoipa::IntoParams;

/// Filter of the incidents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct IncidentQuery {
    /// State: open, seen, quiet, resolved or merged. Default: any but merged.
    #[serde(deserialize_with = "parsed")]
    #[param(value_type = Option<String>)]
    pub(crate) state: Option<StateChoice>,
    /// Group of the first of the incident's agents that reported one.
    #[serde(deserialize_with = "given")]
    pub(crate) group: Option<String>,
    /// Lowest severity: low, medium, high or critical.
    #[serde(deserialize_with = "parsed")]
    #[param(value_type = Option<String>)]
    pub(crate) severity: Option<SeverityChoice>,
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

/// State of incidents to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StateChoice(pub(crate) IncidentState);

impl FromStr for StateChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("invalid state `{text}`, expected open, seen, quiet, resolved or merged");
        IncidentState::parse(text).map(Self).ok_or_else(invalid)
    }
}

/// Lowest severity of incidents to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeverityChoice(pub(crate) Severity);

impl FromStr for SeverityChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("invalid severity `{text}`, expected low, medium, high or critical");
        Severity::parse(text).map(Self).ok_or_else(invalid)
    }
}

impl IncidentQuery {
    /// The filter in the form that the store takes.
    pub(crate) fn filter(&self) -> IncidentFilter {
        IncidentFilter {
            state: self.state.map(|state| state.0),
            group: self.group.clone(),
            severity: self.severity.map(|severity| severity.0),
            unseen: false,
            before: self.before,
            limit: rows(self.limit),
        }
    }

    /// Refresh interval of the page, seconds; only the first page refreshes.
    pub(crate) fn refresh(&self) -> Option<u32> {
        seconds(self.refresh).filter(|_| self.before.is_none())
    }
}
