//! The options that select a group and its store.

use super::super::store_args::StoreArgs;
use crate::config::Config;
use anyhow::bail;
use clap::Args;
use lapwing_store::StoreHandle;

/// Options that select a group.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// Store.
    #[command(flatten)]
    store: StoreArgs,
    /// Group of agents [default: the configuration's, if it has one].
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
}

/// A group and its store.
pub(super) struct Opened {
    pub(super) config: Config,
    pub(super) handle: StoreHandle,
    pub(super) group: String,
}

impl Target {
    /// Opens the store and selects the group.
    pub(super) fn open(&self) -> anyhow::Result<Opened> {
        let config = self.store.configuration()?;
        let groups: Vec<String> = match &self.group {
            Some(group) => vec![group.clone()],
            None => config.groups().into_iter().map(|group| group.group).collect(),
        };
        let [group] = &groups[..] else {
            bail!("every group has its own campaigns; select one with --group: {}", groups.join(", "))
        };
        let (handle, group) = (StoreHandle::open(&config.store.path)?, group.clone());
        Ok(Opened { config, handle, group })
    }
}
