//! Why a campaign cannot be created or changed, with the next step.

use lapwing_fleet::HeldState;
use lapwing_fleet::campaign::{ActionError, CampaignState};
use lapwing_store::StoreError;

/// See the module.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the variants")]
pub enum ChangeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The campaign does not allow an action.
    #[error("{error}{}", next_step(error))]
    Action { error: ActionError },
    #[error("group {group} has no open campaign; start one with `lapwing-trainer rollout start`")]
    None { group: String },
    #[error(
        "the campaign of release {version} of group {group} is {}; wait for its end, abort it with `lapwing-trainer rollout \
         abort`, or replace it with --supersede", state.as_str()
    )]
    Open { group: String, version: u64, state: CampaignState },
    #[error(
        "group {group} has no rollout yet: `serve` publishes the first one when it has rollout.key (create the key with \
         `lapwing-trainer keys new`) and the group has a release; until then a release reaches all agents at once"
    )]
    NoRollout { group: String },
    #[error("the newest rollout of group {group} is damaged in the store: {reason}; restore a backup")]
    Damaged { group: String, reason: String },
    #[error("group {group} has no release {version}; it has {known}")]
    NoRelease { group: String, version: u64, known: String },
    #[error(
        "release {version} leads no agent below its floor {floor}, but the group runs {base}: agents could not go back to it; \
         first bring a release from {floor} on to the group, or sign with a floor of at most {base}"
    )]
    Floor { version: u64, floor: u64, base: u64 },
    #[error("the gate holds release {version} back; approve it first with `lapwing-trainer approve {version}`")]
    Held { version: u64 },
    #[error("release {version} is {}, not published; start a campaign of another release", state.as_str())]
    NotPublished { version: u64, state: HeldState },
    #[error(
        "no agent of group {group} has accepted a rollout; agents need a version that reads rollouts, and a root document \
         that lists the rollout key"
    )]
    NoAgents { group: String },
    #[error("another process changed the campaign of group {group} at the same time; try again")]
    Changed { group: String },
}

// Not a source: the text contains it.
impl From<ActionError> for ChangeError {
    fn from(error: ActionError) -> Self {
        Self::Action { error }
    }
}

/// What to do instead of an action that the state of the campaign does not allow.
fn next_step(error: &ActionError) -> &'static str {
    match error {
        ActionError::State(CampaignState::Paused) => "; continue with `lapwing-trainer rollout resume`, or abort it",
        ActionError::State(CampaignState::Waiting) => {
            "; approve it with `lapwing-trainer rollout approve`, or refuse it with --refuse"
        }
        ActionError::State(CampaignState::Running) => "; see `lapwing-trainer rollout status`",
        ActionError::State(CampaignState::Aborting) => "; agents are going back, see `lapwing-trainer rollout status`",
        _ => "",
    }
}
