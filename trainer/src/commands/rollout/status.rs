//! The campaign of a group and its gates now: `rollout status` and `rollout watch`.

use super::history::Change;
use super::target::{Opened, Target};
use super::text;
use crate::rollout::facts::load;
use crate::rollout::view::CampaignView;
use crate::rollout::{Scope, scope_of};
use clap::Args;
use lapwing_common::clock;
use lapwing_common::output::write_json;
use lapwing_common::print_line;
use lapwing_store::traits::StoredCampaign;
use serde::Serialize;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

/// Clears a terminal and moves its cursor to the beginning.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// `rollout status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Group.
    #[command(flatten)]
    target: Target,
    /// Write the status to this file as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// `rollout watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Group.
    #[command(flatten)]
    target: Target,
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    every: u64,
}

/// A campaign with its last change.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Status {
    group: String,
    at_s: u64,
    /// The open campaign, otherwise the last one; none if there was no campaign.
    campaign: Option<CampaignView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_change: Option<Change>,
    /// Agents that have accepted a rollout, and those that have not.
    agents: usize,
    without_rollout: usize,
}

impl Status {
    pub(super) fn read(opened: &Opened, now_s: u64) -> anyhow::Result<Self> {
        let Opened { handle, group, .. } = opened;
        let open = handle.open_campaign(group)?;
        let newest = || -> anyhow::Result<Option<StoredCampaign>> { Ok(handle.campaigns(Some(group), 1)?.pop()) };
        let stored = open.map_or_else(newest, |open| Ok(Some(open)))?;
        // Without a campaign, only the numbers of agents count.
        let none = Scope { version: u64::MAX, base: 0, salt: [0; 8], since_s: now_s };
        let facts = load(handle, &stored.as_ref().map_or(none, scope_of), group, now_s)?;
        let (agents, without_rollout) = (facts.agents.len(), facts.last.len());
        let mut status =
            Self { group: group.clone(), at_s: now_s, campaign: None, last_change: None, agents, without_rollout };
        if let Some(stored) = stored {
            let results = handle.newest_gate_results(stored.id)?;
            status.campaign = Some(CampaignView::new(&stored, &results, &facts, now_s));
            status.last_change = handle.transitions(stored.id, 1)?.pop().map(Change::from);
        }
        Ok(status)
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let Some(campaign) = &self.campaign else {
            let Self { group, agents, without_rollout, .. } = self;
            return vec![
                format!("agents of group {group} that have accepted a rollout: {agents}; others: {without_rollout}"),
                format!("no campaign yet; start one with `lapwing-trainer rollout start --group {group} --version N`"),
            ];
        };
        let last = self.last_change.as_ref().map(Change::line);
        text::campaign(&self.group, campaign, last.as_deref(), self.at_s)
    }

    fn has_ended(&self) -> bool {
        self.campaign.as_ref().is_none_or(|campaign| campaign.state.is_final())
    }
}

/// `rollout status`.
pub(super) fn run_status(args: &StatusArgs) -> anyhow::Result<()> {
    let status = Status::read(&args.target.open()?, clock::now_s())?;
    if let Some(path) = &args.json {
        return write_json(path, &status);
    }
    status.lines().iter().for_each(|line| print_line!("{line}"));
    Ok(())
}

/// `rollout watch`.
pub(super) fn run_watch(args: &WatchArgs) -> anyhow::Result<()> {
    let opened = args.target.open()?;
    let is_terminal = std::io::stdout().is_terminal();
    loop {
        let status = Status::read(&opened, clock::now_s())?;
        let text = status.lines().join("\n");
        let clear = if is_terminal { CLEAR } else { "" };
        print_line!("{clear}{text}");
        if status.has_ended() || !is_terminal {
            return Ok(());
        }
        print_line!("\nreads the store every {} s; Ctrl-C ends this", args.every);
        std::thread::sleep(Duration::from_secs(args.every));
    }
}
