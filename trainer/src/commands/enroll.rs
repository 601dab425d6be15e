//! A group and limits → a token that enrols agents: `enroll`.

use super::store_args::StoreArgs;
use super::user;
use crate::config::{NAME_RULE, Span};
use anyhow::{Context, ensure};
use clap::Args;
use lapwing_authority::random;
use lapwing_common::format::when;
use lapwing_common::{clock, print_line};
use lapwing_fleet::{EnrolmentToken, TokenTerms, recorded_name};
use lapwing_shared::enrolment::{SECRET_BYTES, Token};
use lapwing_shared::release::name::parse_name;
use lapwing_store::StoreHandle;
use std::time::Duration;

/// Longest validity of a token.
const LONGEST_S: u64 = 90 * 86_400;
/// Most agents of a token.
const MOST_USES: u32 = 100_000;

/// `enroll`.
#[derive(Debug, Args)]
pub(crate) struct EnrollArgs {
    /// Store.
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Group of the agents.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) group: String,
    /// Validity of the token, at most 90d.
    #[arg(long = "for", value_name = "SPAN", default_value = "24h")]
    pub(crate) validity: Span,
    /// Number of agents that it enrols.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub(crate) uses: u32,
    /// Name of the agent [default: the name that the agent has].
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Let each agent wait until `agents accept` names it.
    #[arg(long)]
    pub(crate) accept: bool,
    /// Let the new agent take the place of the one that has its name and another key, e.g. on new hardware.
    #[arg(long, requires = "name")]
    pub(crate) replace: bool,
    /// HOST:PORT by which agents reach the enrolment port; overrides enrolment.address.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) address: Option<String>,
    /// Name of the person who creates or ends the token [default: the user's name].
    #[arg(long, value_name = "NAME")]
    pub(crate) who: Option<String>,
    /// List the tokens that have not ended.
    #[arg(long, conflicts_with = "end")]
    pub(crate) list: bool,
    /// End the token with this number now.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) end: Option<u32>,
}

/// `enroll`.
pub(crate) fn run_enroll(args: &EnrollArgs) -> anyhow::Result<()> {
    let (config, now_s) = (args.store.configuration()?, clock::now_s());
    if args.list || args.end.is_some() {
        let store = StoreHandle::open(&config.store.path)?;
        return args.end.map_or_else(|| list(&store, now_s), |id| end(&store, id, &who(args), now_s));
    }
    let terms = terms(args, now_s)?;
    let address = args.address.clone().or(config.enrolment.address.clone());
    let address = address.context("no address for agents; set enrolment.address, or --address HOST:PORT")?;
    // Checked before the token is stored.
    Token::new([0; 32], 0, [0; SECRET_BYTES], &address)?;
    let store = StoreHandle::open(&config.store.path)?;
    let authority = config.enrolment.authority_of(&store, now_s)?;
    let secret = random::<SECRET_BYTES>()?;
    let id = store.add_token(&secret, &terms, now_s)?;
    let token = Token::new(*authority.public_hash(), id, secret, &address)?;
    print_line!("token {id}: {}", described(&terms));
    print_line!("run on the gateway, as root:");
    print_line!("  lapwing-agent enroll {}", token.text());
    Ok(())
}

fn terms(args: &EnrollArgs, now_s: u64) -> anyhow::Result<TokenTerms> {
    for name in args.name.iter().chain([&args.group]) {
        ensure!(parse_name(name).is_some(), "invalid name {name}: {NAME_RULE}");
    }
    let validity_s = Duration::from(args.validity.0).as_secs();
    ensure!((1..=LONGEST_S).contains(&validity_s), "--for: expected 1s to 90d");
    ensure!((1..=MOST_USES).contains(&args.uses), "--uses: expected 1 to {MOST_USES}");
    ensure!(args.name.is_none() || args.uses == 1, "--name is for one agent; leave --uses out");
    Ok(TokenTerms {
        group: args.group.clone(),
        name: args.name.clone(),
        uses: args.uses,
        until_s: now_s.saturating_add(validity_s),
        must_be_accepted: args.accept,
        replaces: args.replace,
        who: who(args),
    })
}

fn described(terms: &TokenTerms) -> String {
    let TokenTerms { group, name, uses, until_s, must_be_accepted, replaces, who: _ } = terms;
    let agents = match (name, uses) {
        (Some(name), _) if *replaces => format!("agent {name}, in place of its present key"),
        (Some(name), _) => format!("agent {name}"),
        (None, 1) => "1 agent".to_owned(),
        (None, uses) => format!("{uses} agents"),
    };
    let accept = if *must_be_accepted { ", each to be accepted" } else { "" };
    format!("{agents} of group {group}{accept}, until {} UTC", when(*until_s))
}

/// The person.
fn who(args: &EnrollArgs) -> String {
    recorded_name(&args.who.clone().unwrap_or_else(user))
}

fn list(store: &StoreHandle, now_s: u64) -> anyhow::Result<()> {
    for EnrolmentToken { id, terms, used, .. } in store.tokens(now_s)? {
        print_line!("token {id}: {}; used {used} times; created by {}", described(&terms), terms.who);
    }
    Ok(())
}

fn end(store: &StoreHandle, id: u32, who: &str, now_s: u64) -> anyhow::Result<()> {
    store.end_token(id, who, now_s)?;
    print_line!("token {id} has ended");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;
    use lapwing_store::testing::Folder;
    use lapwing_store::{Limits, Store};

    fn parse(arguments: &[&str]) -> EnrollArgs {
        let cli = Cli::try_parse_from(["lapwing-trainer", "enroll"].iter().chain(arguments)).unwrap();
        let Command::Enroll(args) = cli.command else { panic!("enroll expected") };
        args
    }

    #[test]
    fn a_token_is_stored_with_its_terms_and_ends_on_request() {
        let folder = Folder::new();
        Store::open(folder.store(), Limits::default()).unwrap().close().unwrap();
        let config = folder.path().join("trainer.toml");
        let authority = folder.path().join("authority");
        let text = format!(
            "[store]\npath = {:?}\n[enrolment]\naddress = 'hub:8481'\nauthority = {authority:?}\n",
            folder.store()
        );
        std::fs::write(&config, text).unwrap();
        let config = config.to_str().unwrap();
        run_enroll(&parse(&["--config", config, "--group", "home", "--for", "1h", "--name", "attic", "--who", "eve"]))
            .unwrap();
        assert!(authority.join("authority.key").exists());
        let store = StoreHandle::open(folder.store()).unwrap();
        let [token] = &store.tokens(clock::now_s()).unwrap()[..] else { panic!("one token expected") };
        let TokenTerms { group, name, uses, who, .. } = &token.terms;
        assert_eq!((group.as_str(), name.as_deref(), *uses, who.as_str()), ("home", Some("attic"), 1, "eve"));
        assert_ne!(token.secret, [0; SECRET_BYTES]);
        run_enroll(&parse(&["--config", config, "--list"])).unwrap();
        run_enroll(&parse(&["--config", config, "--end", &token.id.to_string()])).unwrap();
        assert!(store.tokens(clock::now_s()).unwrap().is_empty());
        let error = run_enroll(&parse(&["--config", config, "--end", "77"])).unwrap_err().to_string();
        assert!(error.contains("enroll --list"), "{error}");
    }

    #[test]
    fn terms_out_of_range_are_errors() {
        let error = |arguments: &[&str]| terms(&parse(arguments), 1_000).unwrap_err().to_string();
        assert!(error(&["--for", "91d"]).contains("--for: expected 1s to 90d"));
        assert!(error(&["--uses", "0"]).contains("--uses: expected 1 to 100000"));
        assert!(error(&["--group", "_all"]).contains("invalid name _all"));
        assert!(error(&["--name", "attic", "--uses", "2"]).contains("--name is for one agent"));
        let batch = terms(&parse(&["--uses", "500", "--accept"]), 1_000).unwrap();
        assert_eq!(
            described(&batch),
            "500 agents of group default, each to be accepted, until 1970-01-02 00:16:40 UTC"
        );
    }
}
