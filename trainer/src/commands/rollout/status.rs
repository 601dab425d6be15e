//! The campaign of a group and its gates now: `rollout status` and `rollout watch`.

use super::target::{Opened, Target};
use super::text;
use clap::Args;
use lapwing_campaigns::Scope;
use lapwing_campaigns::facts::load_agents;
use lapwing_campaigns::history::Change;
use lapwing_campaigns::view::{CampaignReport, CampaignView, StageView};
use lapwing_common::clock;
use lapwing_common::output::write_json;
use lapwing_common::print_line;
use lapwing_store::traits::StoredCampaign;
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{ErrorKind, IsTerminal, Write};
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
    /// Print one JSON object per line: the status now and after each change. Needs no terminal.
    #[arg(long)]
    json: bool,
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
        let (campaign, last_change, (agents, without_rollout)) = match stored {
            Some(stored) => {
                let CampaignReport { campaign, mut changes, .. } = CampaignReport::read(handle, &stored, now_s)?;
                let counts = (campaign.agents, campaign.last);
                let last_change = (!changes.is_empty()).then(|| changes.swap_remove(0));
                (Some(campaign), last_change, counts)
            }
            None => {
                let scope = Scope { version: u64::MAX, base: 0, salt: [0; 8], since_s: now_s };
                let facts = load_agents(handle, &scope, group, now_s)?;
                (None, None, (facts.agents.len(), facts.last.len()))
            }
        };
        Ok(Self { group: group.clone(), at_s: now_s, campaign, last_change, agents, without_rollout })
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

    /// What counts as a change.
    fn key(&self) -> Value {
        let Self { campaign, last_change, agents, without_rollout, .. } = self;
        let of = |campaign: &CampaignView| {
            let CampaignView { id, state, waves, tally, gates, stages, set_aside, .. } = campaign;
            let gates: Vec<_> = gates.iter().map(|finding| (finding.gate, finding.verdict.as_str())).collect();
            let named = |stage: &StageView| stage.named.iter().map(|named| named.agent.clone()).collect::<Vec<_>>();
            let stages: Vec<_> = stages.iter().map(|stage| (stage.stage, stage.agents, named(stage))).collect();
            json!([id, state, waves, tally, gates, stages, set_aside])
        };
        json!([campaign.as_ref().map(of), last_change, agents, without_rollout])
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
    let every = Duration::from_secs(args.every);
    if args.json {
        return print_changes(&opened, every);
    }
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
        std::thread::sleep(every);
    }
}

/// Prints the status as one line of JSON now and after each change, until the campaign ends.
fn print_changes(opened: &Opened, every: Duration) -> anyhow::Result<()> {
    let mut changes = Changes::default();
    loop {
        let status = Status::read(opened, clock::now_s())?;
        if let Some(line) = changes.line(&status)? {
            let mut out = std::io::stdout().lock();
            match writeln!(out, "{line}").and_then(|()| out.flush()) {
                // The reader has what it wanted.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                written => written?,
            }
        }
        if status.has_ended() {
            return Ok(());
        }
        std::thread::sleep(every);
    }
}

/// Statuses → lines of JSON, one for each change.
#[derive(Default)]
pub(super) struct Changes(Option<Value>);

impl Changes {
    /// The status as a line, unless nothing has changed since the last one but the time and the numbers of the gates, which
    /// grow all the time.
    pub(super) fn line(&mut self, status: &Status) -> anyhow::Result<Option<String>> {
        let key = status.key();
        if self.0.as_ref() == Some(&key) {
            return Ok(None);
        }
        self.0 = Some(key);
        Ok(Some(serde_json::to_string(status)?))
    }
}
