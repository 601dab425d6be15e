//! A person's actions on the open campaign of a group: `rollout pause`, `resume`, `abort` and `approve`.

use super::super::user;
use super::target::{Opened, Target};
use clap::Args;
use lapwing_campaigns::decisions::{Decision, Reach, agents, decide};
use lapwing_common::clock;
use lapwing_common::print_line;
use lapwing_fleet::campaign::{CampaignState, Outcome};

/// `rollout pause` and `rollout resume`.
#[derive(Debug, Args)]
pub(crate) struct ActArgs {
    /// Group.
    #[command(flatten)]
    target: Target,
    /// Name of the person, for the audit log [default: the user's name].
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
}

/// `rollout abort`.
#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = false, args = ["stop", "withdraw"])]
pub(crate) struct AbortArgs {
    /// Group and person.
    #[command(flatten)]
    act: ActArgs,
    /// Agents that run the release keep it; no other agent installs it.
    #[arg(long)]
    stop: bool,
    /// Agents that run the release go back to the one before.
    #[arg(long)]
    withdraw: bool,
}

/// `rollout approve`.
#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// Group and person.
    #[command(flatten)]
    act: ActArgs,
    /// Refuse the campaign instead.
    #[arg(long)]
    refuse: bool,
}

/// `rollout pause`.
pub(super) fn run_pause(args: &ActArgs) -> anyhow::Result<()> {
    args.run(Decision::Pause)
}

/// `rollout resume`.
pub(super) fn run_resume(args: &ActArgs) -> anyhow::Result<()> {
    args.run(Decision::Resume)
}

/// `rollout abort`.
pub(super) fn run_abort(args: &AbortArgs) -> anyhow::Result<()> {
    args.act.run(if args.stop { Decision::Stop } else { Decision::Withdraw })
}

/// `rollout approve`.
pub(super) fn run_approve(args: &ApproveArgs) -> anyhow::Result<()> {
    args.act.run(if args.refuse { Decision::Refuse } else { Decision::Approve })
}

impl ActArgs {
    fn run(&self, decision: Decision) -> anyhow::Result<()> {
        let Opened { handle, group, .. } = self.target.open()?;
        let who = self.who.clone().unwrap_or_else(user);
        let (reach, outcome) = decide(&handle, (&group, decision), None, &who, clock::now_s())?;
        report(&group, &reach, &outcome);
        Ok(())
    }
}

fn report(group: &str, reach: &Reach, outcome: &Outcome) {
    let Reach { version, base, running, offline, .. } = reach;
    let state = outcome.campaign.state();
    print_line!("release {version} of group {group}: the campaign is {} now", state.as_str());
    if state == CampaignState::Aborting {
        print_line!("back to release {base}: {}; offline, so when they return: {offline}", agents(*running));
    }
    if !outcome.effects.is_empty() {
        print_line!("a running `serve` publishes it within seconds");
    }
}
