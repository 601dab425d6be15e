//! An agent's last status, health and message time → its state.

use lapwing_shared::messages::{Health, Status};
use serde::Serialize;
use std::str::FromStr;

/// Time without messages after which an online agent counts as silent, seconds. Agents report every ten seconds.
pub const SILENT_S: u64 = 120;

/// State of an agent, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum AgentState {
    /// It disconnected, or the broker published its last will.
    Offline,
    /// Its status is online, but it sent no message for two minutes.
    Silent,
    /// It has never sent its status.
    Unknown,
    /// It sees far less traffic than its interfaces carry, or the kernel drops packets.
    Degraded,
    /// Online without problems.
    Online,
}

impl AgentState {
    /// Every state, worst first.
    pub const ALL: [Self; 5] = [Self::Offline, Self::Silent, Self::Unknown, Self::Degraded, Self::Online];

    /// Its name in lists and queries.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Silent => "silent",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
            Self::Online => "online",
        }
    }

    /// The state of an agent at `now_s`, from its last status and health and the time of its last message.
    pub fn of(status: Option<&Status>, health: Option<&Health>, last_seen_s: u64, now_s: u64) -> Self {
        match status {
            None => Self::Unknown,
            Some(status) if !status.online => Self::Offline,
            Some(_) if now_s.saturating_sub(last_seen_s) > SILENT_S => Self::Silent,
            Some(_) if health.is_some_and(|health| health.coverage_degraded) => Self::Degraded,
            Some(_) => Self::Online,
        }
    }
}

impl FromStr for AgentState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let state = Self::ALL.into_iter().find(|state| state.as_str() == text);
        state.ok_or_else(|| format!("invalid state `{text}`, expected offline, silent, unknown, degraded or online"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(online: bool) -> Status {
        Status {
            online,
            group: "home".try_into().unwrap(),
            agent_version: heapless_text("0.1.0"),
            engine: heapless_text("int8"),
            release: 3,
            on_trial: false,
            schema: [7; 32],
        }
    }

    fn heapless_text<T: for<'a> TryFrom<&'a str>>(text: &str) -> T {
        T::try_from(text).ok().unwrap()
    }

    #[test]
    fn an_agent_is_silent_two_minutes_after_its_last_message() {
        let state = |now_s| AgentState::of(Some(&status(true)), None, 1_000, now_s);
        assert_eq!(state(1_000 + SILENT_S), AgentState::Online);
        assert_eq!(state(1_001 + SILENT_S), AgentState::Silent);
        assert_eq!(state(10), AgentState::Online, "the trainer's clock was set back");
    }

    #[test]
    fn the_worst_state_that_applies_is_reported() {
        let degraded = Health { coverage_degraded: true, ..Health::default() };
        let state = |online: Option<bool>, health| {
            AgentState::of(online.map(status).as_ref(), health, 1_000, 1_000 + 2 * SILENT_S)
        };
        assert_eq!(state(None, Some(&degraded)), AgentState::Unknown);
        assert_eq!(state(Some(false), Some(&degraded)), AgentState::Offline);
        assert_eq!(state(Some(true), Some(&degraded)), AgentState::Silent);
        assert_eq!(AgentState::of(Some(&status(true)), Some(&degraded), 5, 5), AgentState::Degraded);
        assert!(AgentState::Offline < AgentState::Online, "worst first");
    }
}
