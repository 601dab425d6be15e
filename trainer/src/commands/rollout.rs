//! Campaigns of a group on the command line: `rollout`.
//!
//! Every command works on the store beside a running `serve`, which publishes what the store has.

mod control;
mod history;
mod plan;
mod simulate;
mod status;
mod target;
mod text;
#[cfg(test)]
mod tests;

use clap::Subcommand;
use control::{AbortArgs, ActArgs, ApproveArgs};
use history::HistoryArgs;
use plan::{PlanArgs, StartArgs};
use simulate::SimulateArgs;
use status::{StatusArgs, WatchArgs};

/// `rollout`.
#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// Show what a campaign would do: the agents of each wave, and what a group of this size cannot find out.
    #[command(
        after_help = "Example:\n  lapwing-trainer rollout plan --version 7 --config /etc/lapwing-trainer/trainer.toml"
    )]
    Plan(PlanArgs),
    /// Start a campaign: a release reaches its group in waves. Without --yes, only show what it would do.
    #[command(
        after_help = "Examples:\n  lapwing-trainer rollout start --group home --version 7 --config /etc/lapwing-trainer/trainer.toml\n  lapwing-trainer rollout start --group home --version 7 --plan plan.toml --yes --store store.sqlite"
    )]
    Start(StartArgs),
    /// Show the waves, gates and late agents of a group's campaign.
    #[command(after_help = "Example:\n  lapwing-trainer rollout status --json - --store store.sqlite")]
    Status(StatusArgs),
    /// Show the same again and again until the campaign ends. Without a terminal, once; with --json, one line for each change.
    #[command(
        after_help = "Examples:\n  lapwing-trainer rollout watch --config /etc/lapwing-trainer/trainer.toml\n  lapwing-trainer rollout watch --json --store store.sqlite"
    )]
    Watch(WatchArgs),
    /// Let no other agent begin; those that have confirmed the release keep it.
    #[command(after_help = "Example:\n  lapwing-trainer rollout pause --group home --store store.sqlite")]
    Pause(ActArgs),
    /// Continue a paused campaign; its wave gets its whole time again.
    #[command(after_help = "Example:\n  lapwing-trainer rollout resume --group home --store store.sqlite")]
    Resume(ActArgs),
    /// End a campaign.
    #[command(
        after_help = "Examples:\n  lapwing-trainer rollout abort --withdraw --group home --store store.sqlite\n  lapwing-trainer rollout abort --stop --group home --store store.sqlite"
    )]
    Abort(AbortArgs),
    /// Approve a campaign that waits for it, or refuse it. Another person than its creator must do so.
    #[command(after_help = "Example:\n  lapwing-trainer rollout approve --group home --who bob --store store.sqlite")]
    Approve(ApproveArgs),
    /// List campaigns, newest first, and why each changed.
    #[command(after_help = "Example:\n  lapwing-trainer rollout history --group home --store store.sqlite")]
    History(HistoryArgs),
    /// Simulate campaigns in virtual time: how many agents a bad release reaches before the gates stop it, and how long a good
    /// one takes. Nothing is published.
    #[command(
        after_help = "Example:\n  lapwing-trainer rollout simulate --fleet 100 --release all\n  lapwing-trainer rollout simulate --plan plan.toml --fleet 10000 --release bad-alerts --seeds 50 --svg bad.svg"
    )]
    Simulate(SimulateArgs),
}

/// `rollout`.
pub(crate) fn run_rollout(command: &RolloutCommand) -> anyhow::Result<()> {
    match command {
        RolloutCommand::Plan(args) => plan::run_plan(args),
        RolloutCommand::Start(args) => plan::run_start(args),
        RolloutCommand::Status(args) => status::run_status(args),
        RolloutCommand::Watch(args) => status::run_watch(args),
        RolloutCommand::Pause(args) => control::run_pause(args),
        RolloutCommand::Resume(args) => control::run_resume(args),
        RolloutCommand::Abort(args) => control::run_abort(args),
        RolloutCommand::Approve(args) => control::run_approve(args),
        RolloutCommand::History(args) => history::run_history(args),
        RolloutCommand::Simulate(args) => simulate::run_simulate(args),
    }
}
