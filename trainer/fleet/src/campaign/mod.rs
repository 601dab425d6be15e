//! Plan, agents and the time → the waves of a release, and the rollout to publish.
//!
//! [`Campaign::step`] is a pure function of the campaign, the facts about the agents and the time. It returns every
//! transition with its reason, and the rollout to publish. The caller stores the campaign first and publishes afterwards:
//! after a crash between the two it publishes [`Campaign::rollout`] again, with the same serial and the same bytes.
//!
//! A release passes through waves of growing size. In each, [`gates`] compare the agents on the new release with their own
//! past and with the agents on the old one in the same hours. A failed gate aborts the campaign, a gate that is undecided
//! at the deadline pauses it, and the next wave begins only when all gates have passed.

mod actions;
mod alert_hours;
mod canary;
mod facts;
pub mod gates;
mod plan;
mod serial;
mod stage;
mod standing;
mod state;
mod step;
mod stored;
mod telemetry;
#[cfg(test)]
pub(crate) mod tests;

pub use actions::{Action, ActionError};
pub use alert_hours::{AgentCount, AgentHour, AlertCounts, AlertHours, Arm, HISTORY_DAYS, usual_rate};
pub use canary::{choose_salt, wave_reach};
pub use facts::{AgentFacts, AgentStep, Facts, Observations, Progress, Tally};
pub use plan::{AbortMode, Gates, Limits, Plan, PlanError, WavePlan, WaveSize};
pub use stage::AgentStage;
pub use standing::{ROWS_PER_DAY, Standing};
pub use state::{Campaign, CampaignState, Effect, Outcome, Terms, Transition, Wave, WaveState};
pub use stored::CampaignError;
pub use telemetry::telemetry_budget;
