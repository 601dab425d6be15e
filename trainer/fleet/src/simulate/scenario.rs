//! What is simulated.

use crate::campaign::Plan;

/// A kind of release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseKind {
    /// As good as the one before.
    Good,
    /// Several times the alerts; its trial passes.
    BadAlerts,
    /// It finds almost nothing anomalous; its trial passes.
    Blind,
    /// It needs 2.5 times the CPU time.
    Slow,
    /// Every agent refuses it, because it does not reproduce the golden vectors.
    Refusing,
    /// The agent crashes whenever it uses it.
    Crashing,
}

impl ReleaseKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::BadAlerts, Self::Blind, Self::Slow, Self::Refusing, Self::Crashing, Self::Good];

    /// Its name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::BadAlerts => "bad-alerts",
            Self::Blind => "blind",
            Self::Slow => "slow",
            Self::Refusing => "refusing",
            Self::Crashing => "crashing",
        }
    }

    /// The kind with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Plan of the campaign.
    pub plan: Plan,
    /// Agents of the group.
    pub agents: u32,
    /// The release.
    pub release: ReleaseKind,
    /// Mean alert episodes per agent and day on the release before. Homes differ: their rates are distributed exponentially.
    pub alerts_per_day: f64,
    /// Factor of the alerts on a [`ReleaseKind::BadAlerts`] release.
    pub alerts_factor: f64,
    /// Probability that a message is lost until the next connection, and that an old one is delivered again.
    pub loss: f64,
    /// Probability that a good release is rolled back on an agent.
    pub roll_back: f64,
}

impl Scenario {
    /// A scenario with the default plan: 0.6 alerts per day, as measured on captures of other homes
    /// (docs/measurements.md), 2 % of the messages lost, 0.2 % of the agents roll a good release back.
    pub fn new(agents: u32, release: ReleaseKind) -> Self {
        Self {
            plan: Plan::default(),
            agents,
            release,
            alerts_per_day: 0.6,
            alerts_factor: 4.0,
            loss: 0.02,
            roll_back: 0.002,
        }
    }
}
