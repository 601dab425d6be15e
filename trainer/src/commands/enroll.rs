//! A group and limits → a token that enrols agents: `enroll`.

use super::store_args::StoreArgs;
use super::user;
use crate::config::{Config, NAME_RULE, Span};
use anyhow::{Context, bail, ensure};
use clap::Args;
use lapwing_authority::{ForeignRequest, Subject, random};
use lapwing_common::format::when;
use lapwing_common::{clock, print_line};
use lapwing_fleet::{Claim, Decision, EnrolmentToken, TokenTerms, recorded_name};
use lapwing_shared::enrolment::{Refusal, SECRET_BYTES, Token};
use lapwing_shared::release::name::parse_name;
use lapwing_store::StoreHandle;
use std::fs;
use std::path::{Path, PathBuf};
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
    #[arg(long)]
    pub(crate) replace: bool,
    /// Issue a certificate to this request of another program (PKCS #10, PEM or DER), instead of creating a token. The name
    /// is its common name, or that of --name. A known key gets its next certificate.
    #[arg(long, value_name = "FILE", requires = "out", conflicts_with_all = ["validity", "uses", "accept", "address"])]
    pub(crate) csr: Option<PathBuf>,
    /// File for the certificate, PEM; an existing one is replaced.
    #[arg(long, value_name = "FILE", requires = "csr")]
    pub(crate) out: Option<PathBuf>,
    /// HOST:PORT by which agents reach the enrolment port; overrides enrolment.address.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) address: Option<String>,
    /// Name of the person who creates or ends the token [default: the user's name].
    #[arg(long, value_name = "NAME")]
    pub(crate) who: Option<String>,
    /// List the tokens that have not ended.
    #[arg(long, conflicts_with_all = ["end", "group", "validity", "uses", "name", "accept", "replace", "address", "who", "csr"])]
    pub(crate) list: bool,
    /// End the token with this number now.
    #[arg(
        long,
        value_name = "NUMBER",
        conflicts_with_all = ["group", "validity", "uses", "name", "accept", "replace", "address", "csr"]
    )]
    pub(crate) end: Option<u32>,
}

/// `enroll`.
pub(crate) fn run_enroll(args: &EnrollArgs) -> anyhow::Result<()> {
    let (config, now_s) = (args.store.configuration()?, clock::now_s());
    if args.list || args.end.is_some() {
        let store = StoreHandle::open(&config.store.path)?;
        return args.end.map_or_else(|| list(&store, now_s), |id| end(&store, id, &who(args), now_s));
    }
    if let (Some(csr), Some(out)) = (&args.csr, &args.out) {
        return sign(args, &config, csr, out, now_s);
    }
    ensure!(!args.replace || args.name.is_some(), "--replace is for one agent; name it with --name");
    let terms = terms(args, now_s)?;
    args.name.as_deref().map_or(Ok(()), |name| config.check_agent_name(name))?;
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

/// Issues a certificate to a request of another program.
fn sign(args: &EnrollArgs, config: &Config, csr: &Path, out: &Path, now_s: u64) -> anyhow::Result<()> {
    let bytes = fs::read(csr).with_context(|| format!("cannot read {}", csr.display()))?;
    let request = ForeignRequest::parse(&bytes).with_context(|| csr.display().to_string())?;
    let name = args.name.as_deref().or(request.name.as_deref());
    let name = name.with_context(|| format!("{} has no common name; use --name", csr.display()))?;
    let name = parse_name(name).with_context(|| format!("invalid name {name}: {NAME_RULE}"))?;
    config.check_agent_name(&name)?;
    let store = StoreHandle::open(&config.store.path)?;
    let authority = config.enrolment.authority_of(&store, now_s)?;
    let lifetime_s = config.enrolment.lifetime_s();
    let mut claim = Claim { token: None, name: name.clone(), fingerprint: request.fingerprint() };
    let mut claimed = store.enrol(&claim, lifetime_s, now_s)?;
    if matches!(claimed.0, Decision::Refuse(Refusal::UnknownKey)) {
        // A token of its own records who did it, and which rules apply to names.
        let once = TokenTerms { name: Some(name.to_string()), uses: 1, ..terms(args, now_s)? };
        let id = store.add_token(&random::<SECRET_BYTES>()?, &once, now_s)?;
        claim.token = Some(id);
        claimed = store.enrol(&claim, lifetime_s, now_s)?;
        store.end_token(id, &who(args), now_s)?;
    }
    let identity = match claimed {
        (Decision::Refuse(refusal), _) => bail!("{name}: {refusal}"),
        (Decision::Create(_) | Decision::Replace(..) | Decision::Issue(_), Some(identity)) => identity,
        _ => bail!("{name} waits; accept it with `lapwing-trainer agents accept {name}`"),
    };
    let (id, issue, until_s) = (identity.id, identity.issued, identity.until_s);
    let certificate = authority.issue_foreign(&request, &Subject { name, id, issue, now_s, until_s })?;
    fs::write(out, certificate).with_context(|| format!("cannot write {}", out.display()))?;
    print_line!("{}: certificate of {} until {} UTC", out.display(), identity.name, when(until_s));
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
            "[store]\npath = {:?}\n[broker]\nclient = 'hub-1'\n[enrolment]\naddress = 'hub:8481'\nauthority = {authority:?}\n",
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
        let error = run_enroll(&parse(&["--config", config, "--name", "hub-1"])).unwrap_err().to_string();
        assert!(error.contains("broker.client = hub-1: an agent cannot have this name"), "{error}");
        assert!(store.tokens(clock::now_s()).unwrap().is_empty());
    }

    #[test]
    fn requests_of_openssl_get_certificates_under_the_rules_of_names() {
        let folder = Folder::new();
        Store::open(folder.store(), Limits::default()).unwrap().close().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let text = format!(
            "[store]\npath = {:?}\n[broker]\nclient = 'hub-1'\n[enrolment]\nauthority = {:?}\nlifetime = '2d'\n",
            folder.store(),
            path("authority")
        );
        std::fs::write(path("trainer.toml"), text).unwrap();
        for (file, subject) in [("one", "/CN=attic"), ("two", "/CN=attic"), ("three", "/O=Home")] {
            let (key, csr) = (path(&format!("{file}.key")), path(&format!("{file}.csr")));
            let asked =
                ["req", "-new", "-newkey", "ed25519", "-nodes", "-keyout", &key, "-out", &csr, "-subj", subject];
            let made = std::process::Command::new("openssl").args(asked).output().expect("openssl is installed");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        let (config, out) = (path("trainer.toml"), path("cert.pem"));
        let sign = |file: &str, more: &[&str]| {
            let csr = path(&format!("{file}.csr"));
            let arguments = [&["--config", &config, "--csr", &csr, "--out", &out, "--who", "eve"], more].concat();
            run_enroll(&parse(&arguments)).map_err(|error| format!("{error:#}"))
        };
        sign("one", &["--group", "home"]).unwrap();
        let first = std::fs::read_to_string(&out).unwrap();
        assert!(first.starts_with("-----BEGIN CERTIFICATE-----"), "{first}");
        let store = StoreHandle::open(folder.store()).unwrap();
        let attic = store.identity("attic").unwrap();
        assert_eq!((attic.group.as_str(), attic.who.as_str(), attic.issued), ("home", "eve", 1));
        assert!(store.tokens(clock::now_s()).unwrap().is_empty(), "its token has ended");
        sign("one", &[]).unwrap();
        assert_eq!(
            (store.identity("attic").unwrap().issued, first == std::fs::read_to_string(&out).unwrap()),
            (2, false)
        );
        assert!(sign("two", &[]).unwrap_err().contains("attic: another key is enrolled under this name"));
        assert!(store.tokens(clock::now_s()).unwrap().is_empty());
        sign("two", &["--replace"]).unwrap();
        assert!(sign("three", &[]).unwrap_err().contains("use --name"));
        assert!(sign("three", &["--name", "_x"]).unwrap_err().contains("invalid name _x"));
        assert!(sign("three", &["--name", "hub-1"]).unwrap_err().contains("an agent cannot have this name"));
        assert!(store.identity("hub-1").is_err());
        sign("three", &["--name", "cellar"]).unwrap();
        std::fs::write(path("bad.csr"), "x").unwrap();
        assert!(sign("bad", &[]).unwrap_err().contains("expected PKCS #10"));
    }

    #[test]
    fn options_that_would_be_ignored_are_rejected() {
        let is_rejected =
            |arguments: &[&str]| Cli::try_parse_from(["lapwing-trainer", "enroll"].iter().chain(arguments)).is_err();
        for more in [["--uses", "2"], ["--for", "1h"], ["--name", "a"], ["--group", "a"], ["--address", "a:1"]] {
            assert!(is_rejected(&[&["--end", "7"][..], &more].concat()), "{more:?}");
            assert!(is_rejected(&[&["--list"][..], &more].concat()), "{more:?}");
        }
        assert!(is_rejected(&["--csr", "x"]) && is_rejected(&["--out", "x"]));
        assert!(is_rejected(&["--csr", "x", "--out", "y", "--uses", "2"]));
        assert!(!is_rejected(&["--end", "7", "--who", "eve"]));
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
