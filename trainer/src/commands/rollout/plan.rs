//! A release and a plan → what a campaign would do, and its start: `rollout plan` and `rollout start`.

use super::super::user;
use super::simulate::read_plan;
use super::target::{Opened, Target};
use super::text;
use clap::Args;
use lapwing_campaigns::outline::Outline;
use lapwing_campaigns::{Order, propose, start};
use lapwing_common::clock;
use lapwing_common::output::write_json;
use lapwing_common::print_line;
use lapwing_fleet::campaign::{CampaignState, Plan};
use lapwing_pipeline::gate::replay::replay;
use std::path::PathBuf;

/// `rollout plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Group.
    #[command(flatten)]
    target: Target,
    /// Version of the release.
    #[arg(long, value_name = "VERSION")]
    version: u64,
    /// Plan of the campaign, TOML [default: the configuration's].
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// End the group's open campaign; agents on its release keep it until they are reached.
    #[arg(long)]
    supersede: bool,
    /// Write the plan to this file as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// `rollout start`.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// What to start.
    #[command(flatten)]
    plan: PlanArgs,
    /// Start it. Without this option, nothing changes.
    #[arg(long)]
    yes: bool,
    /// Name of the person, for the audit log [default: the user's name].
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
}

/// `rollout plan`.
pub(super) fn run_plan(args: &PlanArgs) -> anyhow::Result<()> {
    let opened = args.target.open()?;
    args.show(&opened, &user())
}

/// `rollout start`.
pub(super) fn run_start(args: &StartArgs) -> anyhow::Result<()> {
    let opened = args.plan.target.open()?;
    let who = args.who.clone().unwrap_or_else(user);
    args.plan.show(&opened, &who)?;
    let is_quiet = args.plan.is_quiet();
    if !args.yes {
        if !is_quiet {
            print_line!("dry run: nothing has changed; start it with --yes");
        }
        return Ok(());
    }
    let (findings, _) = args.plan.findings(&opened);
    let (stored, outcome) = start(&opened.handle, &args.plan.order(&opened, &who, &findings)?, clock::now_s())?;
    if is_quiet {
        return Ok(());
    }
    let (group, version) = (&opened.group, stored.campaign.version());
    match outcome.campaign.state() {
        CampaignState::Waiting => {
            print_line!("release {version} waits for approval by another person: `lapwing-trainer rollout approve`");
        }
        _ => print_line!(
            "started; a running `serve` publishes it within seconds: `lapwing-trainer rollout watch --group {group}`"
        ),
    }
    Ok(())
}

impl PlanArgs {
    fn is_quiet(&self) -> bool {
        self.json.as_deref().is_some_and(|path| path.as_os_str() == "-")
    }

    /// What the release detects worse than the one that the group runs, and a line about the replay.
    fn findings(&self, opened: &Opened) -> (Vec<String>, Option<String>) {
        let Opened { config, handle, group } = opened;
        if !config.has_gate(group) {
            return (Vec::new(), Some("attacks are not replayed: retrain.gate = false".into()));
        }
        match replay(handle, group, self.version) {
            Ok(Some(report)) => (report.findings.clone(), Some(format!("replayed attacks: {}", report.summary()))),
            // The group runs no release made here, or one of other features.
            Ok(None) => (Vec::new(), None),
            // A person who starts it reads this, and can start it where the files are.
            Err(error) => (Vec::new(), Some(format!("attacks are not replayed: {error}"))),
        }
    }

    fn order<'a>(&self, opened: &'a Opened, who: &'a str, findings: &'a [String]) -> anyhow::Result<Order<'a>> {
        let plan: Plan = match &self.plan {
            Some(path) => read_plan(path)?,
            None => opened.config.rollout_of(&opened.group).plan()?,
        };
        let (group, version) = (opened.group.as_str(), self.version);
        Ok(Order { group, version, plan, who, supersede: self.supersede, findings })
    }

    fn show(&self, opened: &Opened, who: &str) -> anyhow::Result<()> {
        let (findings, replayed) = self.findings(opened);
        let proposal = propose(&opened.handle, &self.order(opened, who, &findings)?, clock::now_s())?;
        let outline = Outline::of(&proposal);
        if let Some(path) = &self.json {
            return write_json(path, &outline);
        }
        text::outline(&outline).iter().for_each(|line| print_line!("{line}"));
        replayed.iter().for_each(|line| print_line!("{line}"));
        Ok(())
    }
}
