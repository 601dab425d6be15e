//! The recipes for several processes in `firmware-configs/trainer` → this program accepts their command lines and their
//! configuration.

use super::serve::ServeArgs;
use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::serve::roles::{Role, Roles};
use clap::Parser;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn recipe(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware-configs/trainer").join(file)
}

/// Arguments of a command line of a recipe, with the recipe's configuration.
fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> (ServeArgs, Config, Roles) {
    let configuration = recipe("cluster/trainer.toml");
    let words = words.into_iter().map(|word| match word {
        "/etc/lapwing-trainer/trainer.toml" => configuration.to_str().unwrap().to_owned(),
        word => word.to_owned(),
    });
    let cli = Cli::try_parse_from([String::from("lapwing-trainer")].into_iter().chain(words)).unwrap();
    let Command::Serve(args) = cli.command else { panic!("serve expected") };
    let config = args.configuration().unwrap();
    let (roles, address) = args.roles(&config).unwrap();
    assert_eq!(address.is_some(), roles.has(Role::Web), "only web servers listen");
    (args, config, roles)
}

/// Processes with each role.
fn counts<'a>(roles: impl IntoIterator<Item = &'a Roles>) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    roles.into_iter().flat_map(Roles::iter).for_each(|role| *counts.entry(role.as_str()).or_default() += 1);
    counts
}

#[test]
fn every_process_of_the_compose_file_has_its_roles_and_a_client_of_its_own() {
    let text = std::fs::read_to_string(recipe("cluster/compose.yaml")).unwrap();
    let commands = text.lines().filter_map(|line| line.trim().strip_prefix("command: "));
    let parsed: Vec<_> = commands.map(|command| parse(serde_json::from_str::<Vec<&str>>(command).unwrap())).collect();
    let expected = [("collect", 3), ("publish", 1), ("train", 1), ("web", 2)];
    assert_eq!(counts(parsed.iter().map(|(_, _, roles)| roles)), BTreeMap::from(expected));
    let clients: BTreeSet<_> = parsed.iter().map(|(_, config, _)| config.broker.client.as_str()).collect();
    assert_eq!(clients.len(), parsed.len(), "{clients:?}");
    let (_, config, _) = &parsed[0];
    for outside in config.outside(1, true) {
        let host = outside.url.rsplit_once('@').unwrap().1;
        assert!(text.contains(&format!("\n  {host}:\n")), "compose.yaml has no broker {host}");
    }
    let key = config.retrain.key.as_ref().unwrap().to_str().unwrap();
    assert!(text.contains(&format!(":{key}:ro")), "the key is mounted");
    assert_eq!(text.matches(&format!(":{key}:")).count(), 1, "only where releases are signed");
}

#[test]
fn the_instances_that_the_documentation_names_are_accepted_by_the_unit() {
    let unit = std::fs::read_to_string(recipe("lapwing-trainer@.service")).unwrap();
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/lapwing-trainer ")).unwrap();
    let docs = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md")).unwrap();
    let names = docs.split("lapwing-trainer@").skip(1).filter_map(|rest| {
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
        Some(&rest[..end?]).filter(|name| !name.is_empty())
    });
    let names: BTreeSet<&str> = names.collect();
    let parsed: Vec<_> = names.iter().map(|name| parse(line.replace("%i", name).split_whitespace())).collect();
    let counts = counts(parsed.iter().map(|(_, _, roles)| roles));
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), ["collect", "publish", "train", "web"], "{names:?}");
}
