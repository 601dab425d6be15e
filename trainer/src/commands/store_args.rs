//! The options that select a store → where it is.

use crate::config::Config;
use clap::Args;
use lapwing_store::StoreUrl;
use std::path::PathBuf;

/// Options that select a store.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// Configuration file [default: none].
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Store: the path of an SQLite file, or postgres://USER@HOST/DATABASE; overrides the configuration [default:
    /// lapwing.sqlite].
    #[arg(long, value_name = "STORE")]
    pub(crate) store: Option<StoreUrl>,
}

impl StoreArgs {
    /// The configuration, with the store of the command line.
    pub(crate) fn configuration(&self) -> anyhow::Result<Config> {
        let mut config = self.config.as_deref().map_or_else(|| Ok(Config::default()), Config::load)?;
        config.store.path = self.store.clone().unwrap_or(config.store.path);
        Ok(config)
    }

    pub(crate) fn url(&self) -> anyhow::Result<StoreUrl> {
        Ok(self.configuration()?.store.path)
    }
}
