//! A host → its data in the store, counted or removed: `forget host`.

use super::privacy::read_key;
use super::store_args::StoreArgs;
use super::user;
use crate::config::NAME_RULE;
use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use lapwing_common::{clock, print_line};
use lapwing_shared::release::name::parse_name;
use lapwing_shared::units::Address;
use lapwing_shared::verdict::addresses::parse_pseudonym;
use lapwing_store::{HostFilter, StoreHandle};
use std::net::IpAddr;
use std::path::PathBuf;

/// `forget`.
#[derive(Debug, Subcommand)]
pub(crate) enum ForgetCommand {
    /// Remove a host's alert episodes with their messages and labels, and its address from the peers of other alerts.
    #[command(
        after_help = "Examples:\n  lapwing-trainer forget host 192.168.1.23 --agent gateway-1\n  lapwing-trainer forget host 192.168.1.23 --key home.address-key --group home --yes"
    )]
    Host(ForgetHostArgs),
}

/// `forget host`.
#[derive(Debug, Args)]
pub(crate) struct ForgetHostArgs {
    /// Address, or pseudonym as alerts show it.
    #[arg(value_name = "HOST")]
    pub(crate) host: String,
    /// Also the pseudonym of the address under the key in this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Only data of this agent [default: of every agent].
    #[arg(long, value_name = "NAME", conflicts_with = "group")]
    pub(crate) agent: Option<String>,
    /// Only data of agents of this group [default: of every group].
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,
    /// Remove the data [default: count it].
    #[arg(long)]
    pub(crate) yes: bool,
    /// Name of the person who removes it, for the audit log [default: the user's name].
    #[arg(long, value_name = "NAME")]
    pub(crate) who: Option<String>,
    /// Store.
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// The address of a host and whether it is a pseudonym.
fn parse_host(text: &str) -> Option<(Address, bool)> {
    let address = text.parse().ok().map(|address| match address {
        IpAddr::V4(address) => Address::from_v4(address.octets()),
        IpAddr::V6(address) => Address(address.octets()),
    });
    address.map(|address| (address, false)).or_else(|| parse_pseudonym(text).map(|(pseudonym, _)| (pseudonym, true)))
}

fn filters(args: &ForgetHostArgs) -> anyhow::Result<Vec<HostFilter>> {
    let (host, is_pseudonym) = parse_host(&args.host)
        .with_context(|| format!("{}: expected an address, or a pseudonym like p-… or h-…", args.host))?;
    for name in args.agent.iter().chain(&args.group) {
        ensure!(parse_name(name).is_some(), "invalid name {name}: {NAME_RULE}");
    }
    let filter =
        |host, is_pseudonym| HostFilter { host, is_pseudonym, agent: args.agent.clone(), group: args.group.clone() };
    let mut filters = vec![filter(host, is_pseudonym)];
    if let Some(path) = &args.key {
        ensure!(!is_pseudonym, "--key needs an address, whose pseudonym it gives");
        filters.push(filter(read_key(path)?.pseudonym(host), true));
    }
    Ok(filters)
}

/// `forget`.
///
/// # Errors
/// When the host is neither address nor pseudonym, or the store cannot be used.
pub(crate) fn run_forget(command: &ForgetCommand) -> anyhow::Result<()> {
    let ForgetCommand::Host(args) = command;
    let filters = filters(args)?;
    let store = StoreHandle::open(&args.store.url()?)?;
    if let Some(agent) = &args.agent {
        let known = store.agent_row(agent)?;
        ensure!(known.is_some(), "unknown agent {agent}; `lapwing-trainer agents` lists the agents");
    }
    let who = args.who.clone().unwrap_or_else(user);
    for filter in &filters {
        let form = if filter.is_pseudonym { "pseudonym" } else { "address" };
        if args.yes {
            print_line!("removed, by its {form}: {}", store.forget_host(filter, &who, clock::now_s())?);
        } else {
            print_line!("found, by its {form}: {}", store.host_data(filter)?);
        }
    }
    match args.yes {
        true => print_line!("backups, exported files and the agent's own files still have it; see docs/privacy.md"),
        false => print_line!("nothing was removed; add --yes to remove it"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use lapwing_shared::messages::AlertState;
    use lapwing_shared::privacy::AddressKey;
    use lapwing_store::testing::{Folder, alert, received};
    use lapwing_store::{AlertFilter, Limits, Store};

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: ForgetCommand,
    }

    fn parsed(folder: &Folder, more: &[&str]) -> ForgetCommand {
        let store = folder.store();
        let args = ["forget", "host", "--store", store.to_str().unwrap(), "--who", "ann"];
        Line::parse_from(args.iter().chain(more)).command
    }

    #[test]
    fn nothing_is_removed_without_yes() {
        let folder = Folder::new();
        let mut store = Store::open(folder.store(), Limits::default()).unwrap();
        let message = alert(1, 1, 7, AlertState::Opened, (1, 2));
        store.commit(&[received("gw", &message)], 1).unwrap();
        let handle = store.handle().unwrap();
        let episodes = || handle.alerts(&AlertFilter { limit: 9, ..AlertFilter::default() }).unwrap().len();
        run_forget(&parsed(&folder, &["10.0.0.9"])).unwrap();
        for yes in [&[][..], &["--yes"]] {
            let words = [&["10.0.0.9", "--agent", "other"], yes].concat();
            assert!(run_forget(&parsed(&folder, &words)).unwrap_err().to_string().contains("unknown agent other"));
        }
        assert_eq!(episodes(), 1);
        run_forget(&parsed(&folder, &["10.0.0.9", "--agent", "gw", "--yes"])).unwrap();
        assert_eq!(episodes(), 0);
        store.close().unwrap();
    }

    #[test]
    fn a_key_adds_the_pseudonym_of_the_address() {
        let folder = Folder::new();
        let (file, key) = (folder.path().join("key"), AddressKey::new([7; 32]));
        std::fs::write(&file, key.file().to_string()).unwrap();
        let path = file.to_str().unwrap();
        let ForgetCommand::Host(args) = parsed(&folder, &["10.0.0.9", "--key", path]);
        let found = filters(&args).unwrap();
        let host = Address::from_v4([10, 0, 0, 9]);
        assert_eq!((found[0].host, found[0].is_pseudonym), (host, false));
        assert_eq!((found[1].host, found[1].is_pseudonym), (key.pseudonym(host), true));
        let ForgetCommand::Host(args) = parsed(&folder, &["p-00000000000000000000ffff0a000009", "--key", path]);
        assert!(filters(&args).unwrap_err().to_string().contains("--key needs an address"));
        let ForgetCommand::Host(args) = parsed(&folder, &["laptop"]);
        assert!(filters(&args).unwrap_err().to_string().contains("expected an address"));
    }
}
