//! A person's actions on the open campaign of a group: `rollout pause`, `resume`, `abort` and `approve`.

use super::super::user;
use super::target::{Opened, Target};
use clap::Args;
use lapwing_campaigns::facts::load;
use lapwing_campaigns::{ChangeError, act, scope_of};
use lapwing_common::clock;
use lapwing_common::print_line;
use lapwing_fleet::SILENT_S;
use lapwing_fleet::campaign::{AbortMode, Action, CampaignState, Outcome};
use lapwing_store::traits::StoredCampaign;

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
pub(crate) struct AbortArgs {
    /// Group and person.
    #[command(flatten)]
    act: ActArgs,
    /// Agents that run the release keep it; no other agent installs it.
    #[arg(long, conflicts_with = "withdraw", required_unless_present = "withdraw")]
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
    args.run(|_| Action::Pause)
}

/// `rollout resume`.
pub(super) fn run_resume(args: &ActArgs) -> anyhow::Result<()> {
    args.run(|_| Action::Resume)
}

/// `rollout abort`. A campaign that has not begun is refused: there is nothing to stop.
pub(super) fn run_abort(args: &AbortArgs) -> anyhow::Result<()> {
    let mode = if args.stop { AbortMode::Stop } else { AbortMode::Withdraw };
    args.act.run(|state| match state {
        CampaignState::Draft | CampaignState::Waiting => Action::Refuse,
        _ => Action::Abort(mode),
    })
}

/// `rollout approve`.
pub(super) fn run_approve(args: &ApproveArgs) -> anyhow::Result<()> {
    args.act.run(|_| if args.refuse { Action::Refuse } else { Action::Approve })
}

impl ActArgs {
    fn run(&self, action: impl Fn(CampaignState) -> Action) -> anyhow::Result<()> {
        let opened = self.target.open()?;
        let Opened { handle, group, .. } = &opened;
        let none = || ChangeError::None { group: group.clone() };
        let open = handle.open_campaign(group)?.ok_or_else(none)?;
        let who = self.who.clone().unwrap_or_else(user);
        let outcome = act(handle, group, action(open.campaign.state()), &who, clock::now_s())?;
        report(&opened, &open, &outcome)
    }
}

fn report(opened: &Opened, before: &StoredCampaign, outcome: &Outcome) -> anyhow::Result<()> {
    let Opened { handle, group, .. } = opened;
    let campaign = &outcome.campaign;
    let (version, state) = (campaign.version(), campaign.state());
    print_line!("release {version} of group {group}: the campaign is {} now", state.as_str());
    if state == CampaignState::Aborting {
        let now_s = clock::now_s();
        let facts = load(handle, &scope_of(before), group, now_s)?;
        let on_version = facts.agents.iter().filter(|agent| agent.running == version);
        let seen: Vec<u64> = on_version.map(|agent| now_s.saturating_sub(agent.last_seen_s)).collect();
        let offline = seen.iter().filter(|age_s| **age_s > SILENT_S).count();
        let (back, base) = (agents(seen.len()), campaign.base());
        print_line!("back to release {base}: {back}; offline, so when they return: {offline}");
    }
    if !outcome.effects.is_empty() {
        print_line!("a running `serve` publishes it within seconds");
    }
    Ok(())
}

/// A number of agents with its noun.
pub(super) fn agents(count: usize) -> String {
    if count == 1 { "1 agent".into() } else { format!("{count} agents") }
}
