//! Past campaigns of a group, and why each changed: `rollout history`.

use super::target::{Opened, Target};
use clap::Args;
use lapwing_campaigns::history::{CHANGES, Change, changes};
use lapwing_common::format::when;
use lapwing_common::output::write_json;
use lapwing_common::print_line;
use lapwing_fleet::campaign::CampaignState;
use lapwing_store::StoreHandle;
use serde::Serialize;
use std::path::PathBuf;

/// `rollout history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Group.
    #[command(flatten)]
    target: Target,
    /// Maximum number of campaigns.
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    /// Write the list to this file as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct CampaignHistory {
    group: String,
    version: u64,
    state: CampaignState,
    made_by: String,
    made_s: u64,
    /// Newest first.
    changes: Vec<Change>,
}

/// At most `limit` campaigns of a group, newest first.
pub(super) fn read(handle: &StoreHandle, group: &str, limit: u32) -> anyhow::Result<Vec<CampaignHistory>> {
    let mut list = Vec::new();
    for stored in handle.campaigns(Some(group), limit)? {
        let changes = changes(handle, stored.id, CHANGES)?;
        let campaign = &stored.campaign;
        list.push(CampaignHistory {
            version: campaign.version(),
            state: campaign.state(),
            made_by: campaign.made_by().to_owned(),
            made_s: stored.made_s,
            group: stored.group,
            changes,
        });
    }
    Ok(list)
}

impl CampaignHistory {
    /// Its lines for people.
    pub(super) fn lines(&self) -> Vec<String> {
        let Self { group, version, state, made_by, made_s, changes } = self;
        let state = state.as_str();
        let first = format!("release {version} of group {group}: {state}; created {} UTC by {made_by}", when(*made_s));
        std::iter::once(first).chain(changes.iter().map(|change| format!("  {}", change.line()))).collect()
    }
}

/// `rollout history`.
pub(super) fn run_history(args: &HistoryArgs) -> anyhow::Result<()> {
    let Opened { handle, group, .. } = args.target.open()?;
    let list = read(&handle, &group, args.limit)?;
    if let Some(path) = &args.json {
        return write_json(path, &list);
    }
    if list.is_empty() {
        print_line!("group {group} has had no campaign; start one with `lapwing-trainer rollout start`");
    }
    list.iter().flat_map(CampaignHistory::lines).for_each(|line| print_line!("{line}"));
    Ok(())
}
