//! The store of a running `serve` → releases that the gate holds back, and an operator's decision: `approve`.

use super::signing::{take_signed, trusted};
use super::store_args::StoreArgs;
use super::user;
use crate::config::SigningPlace;
use anyhow::bail;
use clap::Args;
use lapwing_common::clock;
use lapwing_common::format::ago;
use lapwing_common::output::write_json;
use lapwing_common::print_line;
use lapwing_store::{HeldRelease, HeldState, StoreHandle};
use std::path::PathBuf;

/// `approve`.
#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// Store.
    #[command(flatten)]
    store: StoreArgs,
    /// Version to decide about [default: none, list the releases that wait].
    version: Option<u64>,
    /// Reject the release instead: it is never signed.
    #[arg(long, requires = "version")]
    reject: bool,
    /// The release as `lapwing-trainer sign` signed it on another machine.
    #[arg(long, value_name = "FILE", requires = "version", conflicts_with = "reject")]
    signed: Option<PathBuf>,
    /// Public key file of those who may sign it [default: the root document, otherwise enrolment.keys].
    #[arg(long = "key", value_name = "FILE", requires = "signed")]
    keys: Vec<PathBuf>,
    /// Group of agents [default: the configuration's, of several all].
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Name of the person who decides [default: the user's name].
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// Include releases that are decided, newest first.
    #[arg(long, conflicts_with = "version")]
    all: bool,
    /// Write the list to this file as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE", conflicts_with = "version")]
    json: Option<PathBuf>,
}

/// Releases listed at most.
const LISTED: u32 = 100;

/// `approve`.
pub(crate) fn run_approve(args: &ApproveArgs) -> anyhow::Result<()> {
    let config = args.store.configuration()?;
    let groups: Vec<String> = match &args.group {
        Some(group) => vec![group.clone()],
        None => config.groups().into_iter().map(|group| group.group).collect(),
    };
    let handle = StoreHandle::open(&config.store.path)?;
    let Some(version) = args.version else { return list(&handle, &groups, args) };
    let [group] = &groups[..] else {
        bail!("every group has its own versions; select one with --group: {}", groups.join(", "))
    };
    let who = args.who.clone().unwrap_or_else(user);
    let place =
        config.groups().into_iter().find(|known| known.group == *group).map_or(SigningPlace::Here, |known| known.sign);
    match (&args.signed, place) {
        (Some(_), SigningPlace::Here) => {
            bail!("the server signs releases of group {group} itself; approve without --signed")
        }
        (None, SigningPlace::Elsewhere) if !args.reject => bail!(
            "releases of group {group} are signed on another machine; get this one with `lapwing-trainer candidate {version}`, \
             sign it there with `lapwing-trainer sign`, and approve it with --signed FILE"
        ),
        (Some(signed), SigningPlace::Elsewhere) => {
            let keys = trusted(&args.keys, &config.enrolment.keys)?;
            take_signed(&handle, (group, version), signed, &keys)?;
        }
        (None, _) => {}
    }
    handle.decide_held(group, version, !args.reject, &who, clock::now_s())?;
    if args.reject {
        print_line!("release {version} of group {group} is rejected");
    } else {
        print_line!("release {version} of group {group} is approved; a running `serve` publishes it within a second");
    }
    Ok(())
}

fn list(handle: &StoreHandle, groups: &[String], args: &ApproveArgs) -> anyhow::Result<()> {
    let mut held = Vec::new();
    for group in groups {
        held.extend(handle.held_releases(group, LISTED)?);
    }
    held.retain(|held| args.all || held.state == HeldState::Waiting);
    if let Some(path) = &args.json {
        return write_json(path, &held);
    }
    if held.is_empty() {
        print_line!("no release of group {} waits for approval", groups.join(", "));
    }
    let now_s = clock::now_s();
    for HeldRelease { group, version, made_s, file, reason, findings, state, who, .. } in &held {
        let by = who.as_ref().map_or(String::new(), |who| format!(" by {who}"));
        let (state, age) = (state.as_str(), ago(now_s.saturating_sub(*made_s)));
        print_line!("release {version} of group {group}: {state}{by}, made {age} ago ({reason}); {}", file.display());
        findings.lines().for_each(|finding| print_line!("    {finding}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;
    use lapwing_store::testing::Folder;
    use lapwing_store::{Limits, Store};

    #[test]
    fn an_operator_decides_about_a_waiting_release_once() {
        let folder = Folder::new();
        let handle = Store::open(folder.store(), Limits::default()).unwrap().handle().unwrap();
        let held = HeldRelease {
            group: "default".into(),
            version: 4,
            made_s: 5,
            file: "default-4.held".into(),
            reason: "schedule".into(),
            findings: "one\ntwo".into(),
            state: HeldState::Waiting,
            who: None,
        };
        handle.hold_release(&held).unwrap();
        let store = folder.store();
        let run = |words: &[&str]| {
            let command = ApproveArgs::augment_args(clap::Command::new("test").no_binary_name(true));
            let words = [&["--store", store.to_str().unwrap(), "--who", "an operator"], words].concat();
            run_approve(&ApproveArgs::from_arg_matches(&command.get_matches_from(words)).unwrap())
        };
        let json = folder.path().join("held.json");
        run(&["--json", json.to_str().unwrap()]).unwrap();
        let listed: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        assert_eq!((&listed[0]["version"], &listed[0]["state"]), (&4.into(), &"waiting".into()));
        let config = folder.path().join("trainer.toml");
        std::fs::write(&config, "[[groups]]\nname = 'default'\n[[groups]]\nname = 'shop'\n").unwrap();
        let config = ["--config", config.to_str().unwrap()];
        let error = run(&[&["4"], &config[..]].concat()).unwrap_err().to_string();
        assert!(error.contains("--group: default, shop"), "{error}");
        run(&[&["4", "--reject", "--group", "default"], &config[..]].concat()).unwrap();
        let decided = &handle.held_releases("default", 9).unwrap()[0];
        assert_eq!((decided.state, decided.who.as_deref()), (HeldState::Rejected, Some("an operator")));
        assert!(run(&["4"]).unwrap_err().to_string().contains("waits for approval"));
    }
}
