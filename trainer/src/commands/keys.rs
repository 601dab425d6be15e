//! A name → a signing key pair in two files: `keys new`; and the other subcommands of `keys`.

use super::roots::{self, AddArgs, PublishArgs, RootCommand, RotateArgs, WithdrawArgs};
use clap::{Subcommand, ValueEnum};
use lapwing_common::print_line;
use lapwing_pipeline::release::keys::{KeyError, ReleaseKey};
use lapwing_shared::release::manifest::Name;
use lapwing_shared::release::name::parse_name;
use lapwing_shared::release::signature::{KeyUse, Source};
use std::path::PathBuf;

/// `keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Create a key pair: the trainer signs releases with the secret key, agents verify them with the public key.
    #[command(after_help = "Example:\n  lapwing-trainer keys new site-1 --secret site-1.key --public site-1.pub")]
    New {
        /// Key name, 1 to 32 of a-z A-Z 0-9 - _ . with a letter or digit first
        name: String,
        /// Secret key file; readable by its owner only, never overwritten [default: NAME.key].
        #[arg(long, value_name = "FILE")]
        secret: Option<PathBuf>,
        /// Public key file; never overwritten [default: NAME.pub].
        #[arg(long, value_name = "FILE")]
        public: Option<PathBuf>,
        /// Releases for which agents trust the key.
        #[arg(long = "use", value_enum, default_value = "any")]
        key_use: UseArg,
        /// Only group whose releases it signs [default: every group].
        #[arg(long, value_name = "NAME", value_parser = group)]
        group: Option<Name>,
    },
    /// Create, show and sign root documents, which name the keys that agents trust for releases from the broker.
    #[command(subcommand)]
    Root(RootCommand),
    /// Add a key to the root document, or change the terms of one that it has.
    #[command(
        after_help = "Example:\n  lapwing-trainer keys add site.root site-2.pub --group home --for 365d --ceiling 1000 --root root-1.key"
    )]
    Add(AddArgs),
    /// Replace a key of the root document: agents refuse new releases of the old one.
    #[command(after_help = "Example:\n  lapwing-trainer keys rotate site.root site-1 site-2.pub --root root-1.key")]
    Rotate(RotateArgs),
    /// Remove a key from the root document: agents refuse new releases that it signs.
    #[command(after_help = "Example:\n  lapwing-trainer keys withdraw site.root site-1 --root root-1.key")]
    Withdraw(WithdrawArgs),
    /// Add the root documents of a file to the store, from which a running `serve` sends them to the agents.
    #[command(
        after_help = "Example:\n  lapwing-trainer keys publish site.root --config /etc/lapwing-trainer/trainer.toml"
    )]
    Publish(PublishArgs),
}

/// `keys`.
pub(crate) fn run_keys(command: KeysCommand) -> anyhow::Result<()> {
    match command {
        KeysCommand::New { name, secret, public, key_use, group } => {
            Ok(new(&name, NewKey { secret, public, key_use, group })?)
        }
        KeysCommand::Root(command) => roots::run_root(&command),
        KeysCommand::Add(args) => roots::run_add(&args),
        KeysCommand::Rotate(args) => roots::run_rotate(&args),
        KeysCommand::Withdraw(args) => roots::run_withdraw(&args),
        KeysCommand::Publish(args) => roots::run_publish(&args),
    }
}

/// Releases for which agents trust a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum UseArg {
    /// Files and releases from the broker.
    #[default]
    Any,
    /// Files on the agent's machine.
    File,
    /// Releases from the broker.
    Broker,
}

fn group(text: &str) -> Result<Name, String> {
    parse_name(text).ok_or_else(|| "expected 1 to 32 of a-z A-Z 0-9 - _ .".to_owned())
}

/// Where a new key pair goes, and what it may sign.
#[derive(Default)]
pub(crate) struct NewKey {
    pub(crate) secret: Option<PathBuf>,
    pub(crate) public: Option<PathBuf>,
    pub(crate) key_use: UseArg,
    pub(crate) group: Option<Name>,
}

/// `keys new`; the files default to `NAME.key` and `NAME.pub`.
pub(crate) fn new(name: &str, options: NewKey) -> Result<(), KeyError> {
    let key = ReleaseKey::generate(name)?;
    let secret = options.secret.unwrap_or_else(|| format!("{name}.key").into());
    let public = options.public.unwrap_or_else(|| format!("{name}.pub").into());
    let key_use = match options.key_use {
        UseArg::Any => KeyUse::Any,
        UseArg::File => KeyUse::Only(Source::File),
        UseArg::Broker => KeyUse::Only(Source::Broker),
    };
    key.save(&secret, &public, key_use, options.group)?;
    print_line!("secret key: {} (keep it secret: whoever has it can do what this key signs)", secret.display());
    print_line!("public key: {} (name it in a root document, or copy it to the agents)", public.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::release::signature::TrustedKeys;
    use lapwing_store::testing::Folder;

    #[test]
    fn a_new_pair_reads_back_and_is_never_overwritten() {
        let folder = Folder::new();
        let (secret, public) = (folder.path().join("a.key"), folder.path().join("a.pub"));
        let options = || NewKey {
            secret: Some(secret.clone()),
            public: Some(public.clone()),
            key_use: UseArg::Broker,
            group: Some("home".try_into().unwrap()),
        };
        new("site-1", options()).unwrap();
        let key = ReleaseKey::load(&secret).unwrap().public().unwrap();
        let text = std::fs::read_to_string(&public).unwrap();
        assert!(text.ends_with(" use=broker group=home\n"), "{text}");
        let expected = key.bound(KeyUse::Only(Source::Broker), Some("home".try_into().unwrap()));
        assert_eq!(TrustedKeys::parse(&text).unwrap().iter().cloned().collect::<Vec<_>>(), [expected]);
        let error = new("site-1", options()).unwrap_err();
        assert!(error.to_string().contains("never overwritten"), "{error}");
        assert!(new("no name", NewKey::default()).is_err());
    }
}

#[cfg(test)]
#[path = "roots_tests.rs"]
mod root_tests;
