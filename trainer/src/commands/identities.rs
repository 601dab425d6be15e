//! Identities of agents: `agents identities`, `accept`, `revoke` and `rename`.

use super::store_args::StoreArgs;
use super::user;
use crate::access::all_identities;
use crate::config::{Config, NAME_RULE};
use anyhow::{bail, ensure};
use clap::{Subcommand, ValueEnum};
use lapwing_common::clock;
use lapwing_common::format::when;
use lapwing_common::output::write_json;
use lapwing_common::print_line;
use lapwing_fleet::{Identity, IdentityState};
use lapwing_shared::release::digest::Hex;
use lapwing_shared::release::name::parse_name;
use lapwing_store::StoreHandle;
use serde_json::json;
use std::path::PathBuf;

/// Digits of a fingerprint that lists show; 64 bits.
const SHOWN_DIGITS: usize = 16;

/// States to list.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum StateArg {
    /// Wait to be accepted.
    Waiting,
    /// Have a certificate.
    Accepted,
    /// Get no certificate.
    Revoked,
}

/// What to do with identities.
#[derive(Debug, Subcommand)]
pub(crate) enum IdentityAction {
    /// List enrolled agents with the fingerprints of their keys.
    #[command(after_help = "Example:\n  lapwing-trainer agents identities --state waiting --store store.sqlite")]
    Identities {
        /// Store.
        #[command(flatten)]
        store: StoreArgs,
        /// Only those in this state.
        #[arg(long, value_enum)]
        state: Option<StateArg>,
        /// Write the list to this file as JSON; `-` is standard output.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Accept agents that wait, after comparing the fingerprints that they show.
    #[command(after_help = "Example:\n  lapwing-trainer agents accept attic --fingerprint 5d1f30a2c7e94b08")]
    Accept {
        /// Store.
        #[command(flatten)]
        store: StoreArgs,
        /// Names, as listed by `agents identities`.
        #[arg(required_unless_present = "all", value_name = "NAME")]
        names: Vec<String>,
        /// First 16 digits or more of the fingerprint that the agent shows; with one name.
        #[arg(long, value_name = "DIGITS", conflicts_with = "all")]
        fingerprint: Option<String>,
        /// Accept all that wait now.
        #[arg(long, conflicts_with = "names")]
        all: bool,
    },
    /// Revoke agents for good: the enrolment port rejects their keys from now on. Also update the access list of each broker
    /// (`broker-config`), which otherwise admits them until their certificates end.
    #[command(after_help = "Example:\n  lapwing-trainer agents revoke attic --store /var/lib/lapwing/store.sqlite")]
    Revoke {
        /// Store.
        #[command(flatten)]
        store: StoreArgs,
        /// Names, as listed by `agents identities`.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Rename an enrolled agent. It keeps its certificate and its name until it requests the next certificate.
    #[command(
        after_help = "Example:\n  lapwing-trainer agents rename attic loft --store /var/lib/lapwing/store.sqlite"
    )]
    Rename {
        /// Store.
        #[command(flatten)]
        store: StoreArgs,
        /// Present name.
        name: String,
        /// New name.
        new: String,
    },
}

/// Runs an action on the store that it names, otherwise on that of `config`.
pub(crate) fn run(config: Config, action: &IdentityAction) -> anyhow::Result<()> {
    let own = match action {
        IdentityAction::Identities { store, .. }
        | IdentityAction::Accept { store, .. }
        | IdentityAction::Revoke { store, .. }
        | IdentityAction::Rename { store, .. } => store,
    };
    let is_own = own.store.is_some() || own.config.is_some();
    let config = if is_own { own.configuration()? } else { config };
    let handle = StoreHandle::open(&config.store.path)?;
    let (who, now_s) = (user(), clock::now_s());
    match action {
        IdentityAction::Identities { state, json, .. } => list(&handle, *state, json.as_ref()),
        IdentityAction::Accept { names, fingerprint, all, .. } => {
            let waiting =
                if *all { all_identities(&handle, Some(IdentityState::Waiting))? } else { named(&handle, names)? };
            accept(&handle, &waiting, fingerprint.as_deref(), (&who, now_s))
        }
        IdentityAction::Revoke { names, .. } => {
            for identity in named(&handle, names)? {
                handle.set_identity_state(&identity, IdentityState::Revoked, &who, now_s)?;
                print_line!("revoked {}; its last certificate ends {}", identity.name, end(&identity));
            }
            Ok(())
        }
        IdentityAction::Rename { name, new, .. } => {
            ensure!(parse_name(new).is_some(), "invalid name {new}: {NAME_RULE}");
            config.check_agent_name(new)?;
            handle.rename_identity(name, new, &who, now_s)?;
            print_line!("{name} will be {new}; its agent learns it at its next request");
            Ok(())
        }
    }
}

fn named(handle: &StoreHandle, names: &[String]) -> anyhow::Result<Vec<Identity>> {
    Ok(names.iter().map(|name| handle.identity(name)).collect::<Result<_, _>>()?)
}

fn accept(
    handle: &StoreHandle,
    waiting: &[Identity],
    fingerprint: Option<&str>,
    (who, now_s): (&str, u64),
) -> anyhow::Result<()> {
    if let Some(digits) = fingerprint {
        let [identity] = waiting else { bail!("--fingerprint is for one agent") };
        let found = Hex(&identity.fingerprint).to_string();
        ensure!(digits.len() >= SHOWN_DIGITS, "--fingerprint: expected at least {SHOWN_DIGITS} digits");
        ensure!(
            found.starts_with(&digits.to_ascii_lowercase()),
            "{} has the fingerprint {found}: another device asks for this name; end its token, and do not accept it",
            identity.name
        );
    }
    for identity in waiting {
        ensure!(identity.state != IdentityState::Accepted, "{} is accepted already", identity.name);
        handle.set_identity_state(identity, IdentityState::Accepted, who, now_s)?;
        print_line!("accepted {} with the key {}", identity.name, shown(identity));
    }
    Ok(())
}

fn shown(identity: &Identity) -> String {
    Hex(&identity.fingerprint).to_string().chars().take(SHOWN_DIGITS).collect()
}

fn end(identity: &Identity) -> String {
    if identity.until_s == 0 { "never: it has none".into() } else { format!("{} UTC", when(identity.until_s)) }
}

fn list(handle: &StoreHandle, state: Option<StateArg>, json: Option<&PathBuf>) -> anyhow::Result<()> {
    let state = state.map(|state| match state {
        StateArg::Waiting => IdentityState::Waiting,
        StateArg::Accepted => IdentityState::Accepted,
        StateArg::Revoked => IdentityState::Revoked,
    });
    let identities = all_identities(handle, state)?;
    if let Some(path) = json {
        return write_json(path, &identities.iter().map(line).collect::<Vec<_>>());
    }
    print_line!("{:<32} {:<8} {:<16} {:<16} {:<23} by", "agent", "state", "group", "key", "certificate until");
    for identity in &identities {
        let Identity { name, state, group, who, until_s, .. } = identity;
        let until = if *until_s == 0 { "-".into() } else { format!("{} UTC", when(*until_s)) };
        print_line!("{name:<32} {:<8} {group:<16} {} {until:<23} {who}", state.as_str(), shown(identity));
    }
    Ok(())
}

fn line(identity: &Identity) -> serde_json::Value {
    json!({
        "name": identity.name,
        "state": identity.state.as_str(),
        "group": identity.group,
        "fingerprint": Hex(&identity.fingerprint).to_string(),
        "certificates": identity.issued,
        "until-s": identity.until_s,
        "enrolled-s": identity.enrolled_s,
        "who": identity.who,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_fleet::{Claim, TokenTerms};
    use lapwing_store::testing::Folder;
    use lapwing_store::{Limits, Store};

    #[test]
    fn no_agent_is_renamed_to_the_trainers_client_identifier() {
        let folder = Folder::new();
        Store::open(folder.store(), Limits::default()).unwrap().close().unwrap();
        let file = folder.path().join("trainer.toml");
        let text = format!("[store]\npath = {:?}\n[broker]\nclient = 'hub-1'\n", folder.store());
        std::fs::write(&file, text).unwrap();
        let rename = |new: &str| {
            let store = StoreArgs { config: Some(file.clone()), store: None };
            let action = IdentityAction::Rename { store, name: "attic".into(), new: new.into() };
            run(Config::default(), &action).unwrap_err().to_string()
        };
        assert!(rename("hub-1").contains("an agent cannot have this name"), "{}", rename("hub-1"));
        assert!(rename("loft").contains("attic"), "only the store refuses others");
    }

    #[test]
    fn agents_are_accepted_by_fingerprint_or_all_at_once() {
        let folder = Folder::new();
        let handle = Store::open(folder.store(), Limits::default()).unwrap().handle().unwrap();
        let terms = TokenTerms {
            group: "home".into(),
            name: None,
            uses: 9,
            until_s: 2_000,
            must_be_accepted: true,
            replaces: false,
            who: "eve".into(),
        };
        let token = handle.add_token(&[1; 16], &terms, 1_000).unwrap();
        for (number, name) in ["attic", "cellar", "garage"].into_iter().enumerate() {
            let claim = Claim { token: Some(token), name: parse_name(name).unwrap(), fingerprint: [number as u8; 32] };
            handle.enrol(&claim, 60, 1_000).unwrap();
        }
        let attic = named(&handle, &["attic".into()]).unwrap();
        let by = |fingerprint| accept(&handle, &attic, Some(fingerprint), ("eve", 1_000));
        assert!(by("00000000").unwrap_err().to_string().contains("at least 16 digits"));
        assert!(by("0101010101010101").unwrap_err().to_string().contains("another device asks for this name"));
        by("0000000000000000").unwrap();
        let waiting = all_identities(&handle, Some(IdentityState::Waiting)).unwrap();
        assert_eq!(waiting.iter().map(|identity| identity.name.as_str()).collect::<Vec<_>>(), ["cellar", "garage"]);
        accept(&handle, &waiting, None, ("eve", 1_000)).unwrap();
        assert_eq!(all_identities(&handle, Some(IdentityState::Accepted)).unwrap().len(), 3);
        assert!(accept(&handle, &waiting, None, ("eve", 1_000)).is_err(), "no longer as listed");
        assert!(named(&handle, &["loft".into()]).unwrap_err().to_string().contains("agents identities"));
    }
}
