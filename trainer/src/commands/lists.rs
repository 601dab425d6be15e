//! The store of a running `serve` → `agents`, `alerts`, `label` and `retrain`.

use super::assignments::{self, AssignArgs, Assigned};
use super::identities::{self, IdentityAction};
use super::store_args::StoreArgs;
use super::user;
use crate::config::NAME_RULE;
use anyhow::ensure;
use clap::{Args, Subcommand, ValueEnum};
use lapwing_common::clock;
use lapwing_common::format::ago;
use lapwing_common::output::write_json;
use lapwing_common::print_line;
use lapwing_shared::release::name::parse_name;
use lapwing_store::{AlertFilter, Classification, Episode, Label, StoreHandle, StoreUrl, StoredAgent};
use serde::Serialize;
use std::iter;
use std::path::PathBuf;

/// `agents`.
#[derive(Debug, Args)]
pub(crate) struct AgentsArgs {
    /// Store.
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Write the list to this file as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// What to do with the agents [default: list them].
    #[command(subcommand)]
    pub(crate) action: Option<AgentsAction>,
}

/// What to do with agents.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentsAction {
    /// Remove agents with their alerts, labels, feature rows and reports. An agent that sends again is a new one.
    #[command(after_help = "Example:\n  lapwing-trainer agents forget gateway-1 --store /var/lib/lapwing/store.sqlite")]
    Forget {
        /// Store.
        #[command(flatten)]
        store: StoreArgs,
        /// Names, as listed by `agents`.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Name of the person who removes them, for the audit log [default: the user's name].
        #[arg(long, value_name = "NAME")]
        who: Option<String>,
    },
    /// Assign an agent to a group, whatever its status reports: its rows train releases of this group. The agent installs
    /// the releases of the group in its own configuration.
    #[command(
        after_help = "Example:\n  lapwing-trainer agents group gateway-1 shops --store /var/lib/lapwing/store.sqlite"
    )]
    Group {
        /// Store.
        #[command(flatten)]
        store: StoreArgs,
        /// Name, as listed by `agents`.
        name: String,
        /// Group [default: none, the group that it reports].
        group: Option<String>,
        /// Name of the person who assigns it, for the audit log [default: the user's name].
        #[arg(long, value_name = "NAME")]
        who: Option<String>,
    },
    /// Assign settings to an agent, which a running `serve` signs and publishes: channel, pin, hold and false-alert budget take
    /// precedence over the agent's configuration. What is not given is not assigned any more; without any, shows what is.
    #[command(
        after_help = "Examples:\n  lapwing-trainer agents assign gateway-1 --channel late --alerts-per-day 0.2 --store /var/lib/lapwing/store.sqlite\n  lapwing-trainer agents assign gateway-1 --clear --store /var/lib/lapwing/store.sqlite"
    )]
    Assign(AssignArgs),
    /// Identities.
    #[command(flatten)]
    Identity(IdentityAction),
}

/// `alerts`.
#[derive(Debug, Args)]
pub(crate) struct AlertsArgs {
    /// Store.
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Only episodes of this agent.
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Only episodes without a label.
    #[arg(long)]
    pub(crate) unlabelled: bool,
    /// Maximum number of episodes.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub(crate) limit: u32,
    /// Write the list to this file as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Label of an episode.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LabelArg {
    /// A false alert.
    Benign,
    /// A true alert.
    Attack,
}

/// `label`.
#[derive(Debug, Args)]
pub(crate) struct LabelArgs {
    /// Store.
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Agent that reported the episode.
    pub(crate) agent: String,
    /// Episode number, as listed by `alerts`.
    pub(crate) episode: u64,
    /// Label.
    pub(crate) label: LabelArg,
    /// Name of the person who sets the label [default: the user's name].
    #[arg(long, value_name = "NAME")]
    pub(crate) who: Option<String>,
}

/// `retrain`.
#[derive(Debug, Args)]
pub(crate) struct RetrainArgs {
    /// Store.
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Name of the person who requests the release [default: the user's name].
    #[arg(long, value_name = "NAME")]
    pub(crate) who: Option<String>,
    /// Group of agents [default: every group of the trainer].
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,
}

/// Maximum number of reasons printed per episode.
const REASONS: usize = 2;

/// `agents`.
pub(crate) fn agents(store: &StoreUrl, args: &AgentsArgs) -> anyhow::Result<()> {
    let json = args.json.as_deref();
    let url = |own: &StoreArgs| if own.store.is_some() || own.config.is_some() { own.url() } else { Ok(store.clone()) };
    match &args.action {
        Some(AgentsAction::Forget { store: own, names, who }) => return forget(&url(own)?, names, &by(who)),
        Some(AgentsAction::Group { store: own, name, group, who }) => {
            return assign(&url(own)?, name, group.as_deref(), &by(who));
        }
        Some(AgentsAction::Assign(args)) => return assignments::run(&url(&args.store)?, args),
        Some(AgentsAction::Identity(action)) => return identities::run(args.store.configuration()?, action),
        None => {}
    }
    let handle = StoreHandle::open(store)?;
    let (agents, assignments) = (handle.agents()?, Assigned::load(&handle)?);
    if let Some(path) = json {
        let lines: Vec<_> = agents.iter().map(|agent| with_status(agent, &assignments)).collect();
        return write_json(path, &lines);
    }
    print_line!("{:<32} {:>8} {:>10} {:>8} {:>8}  {:<8} group", "agent", "seen", "rows", "alerts", "release", "state");
    let now_s = clock::now_s();
    for agent in &agents {
        let release = agent.status.as_ref().map_or_else(|| "-".into(), |status| status.release.to_string());
        let state = state(agent);
        let group = agent.group().unwrap_or_default();
        let assigned = if agent.assigned_group.is_some() { " (assigned)" } else { "" };
        let seen = ago(now_s.saturating_sub(agent.last_seen_s));
        let StoredAgent { name, sample_rows, alerts, .. } = agent;
        print_line!(
            "{name:<32} {seen:>8} {sample_rows:>10} {alerts:>8} {release:>8}  {state:<8} {group}{assigned}{}",
            assignments.text(agent)
        );
    }
    Ok(())
}

/// State of an agent; a revoked one may be connected.
fn state(agent: &StoredAgent) -> &'static str {
    match &agent.status {
        _ if agent.revoked => "revoked",
        None => "unknown",
        Some(status) if !status.online => "offline",
        Some(status) if status.on_trial => "on trial",
        Some(_) => "online",
    }
}

/// The name on the command line, or the user's.
fn by(who: &Option<String>) -> String {
    who.clone().unwrap_or_else(user)
}

fn assign(store: &StoreUrl, name: &str, group: Option<&str>, who: &str) -> anyhow::Result<()> {
    if let Some(group) = group {
        ensure!(parse_name(group).is_some(), "invalid group {group}: {NAME_RULE}");
    }
    StoreHandle::open(store)?.assign_group(name, group, who, clock::now_s())?;
    match group {
        Some(group) => print_line!("agent {name} is in group {group}, whatever it reports"),
        None => print_line!("agent {name} is in the group that it reports"),
    }
    Ok(())
}

fn forget(store: &StoreUrl, names: &[String], who: &str) -> anyhow::Result<()> {
    let handle = StoreHandle::open(store)?;
    for name in names {
        handle.forget_agent(name, who, clock::now_s())?;
        print_line!("removed agent {name} and everything that it sent");
    }
    Ok(())
}

fn with_status(agent: &StoredAgent, assignments: &Assigned) -> serde_json::Value {
    let mut value = serde_json::to_value(agent).unwrap_or_default();
    if let (Some(fields), Some(assignment)) = (value.as_object_mut(), assignments.json(agent)) {
        fields.insert("assignment".into(), assignment);
    }
    if let (Some(fields), Some(health)) = (value.as_object_mut(), &agent.health) {
        let device = &health.device;
        let alerts = (device.alerts_per_1000_days > 0).then(|| f64::from(device.alerts_per_1000_days) / 1_000.0);
        fields.insert("target".into(), (!device.target.is_empty()).then(|| device.target.as_str()).into());
        fields.insert("alerts-per-day".into(), alerts.into());
    }
    if let (Some(fields), Some(group)) = (value.as_object_mut(), agent.group()) {
        fields.insert("group".into(), group.into());
    }
    if let (Some(fields), Some(status)) = (value.as_object_mut(), &agent.status) {
        fields.insert("online".into(), status.online.into());
        fields.insert("reported-group".into(), status.group.as_str().into());
        fields.insert("release".into(), status.release.into());
        fields.insert("on-trial".into(), status.on_trial.into());
        fields.insert("engine".into(), status.engine.as_str().into());
        fields.insert("agent-version".into(), status.agent_version.as_str().into());
    }
    value
}

pub(crate) fn alerts(store: &StoreUrl, args: &AlertsArgs) -> anyhow::Result<()> {
    let filter = AlertFilter { agent: args.agent.clone(), unlabelled: args.unlabelled, limit: args.limit };
    let alerts = StoreHandle::open(store)?.alerts(&filter)?;
    if let Some(path) = &args.json {
        let lines: Vec<_> = alerts.iter().map(AlertLine::new).collect();
        return write_json(path, &lines);
    }
    print_line!(
        "{:<20} {:>20} {:<8} {:<24} {:<6} {:>7} {:>6}  {:<23} label",
        "agent",
        "episode",
        "state",
        "host",
        "role",
        "peak",
        "flows",
        "attack type"
    );
    for line in &alerts {
        let Episode { agent, number: episode, record, label, .. } = line;
        let (state, role, host) = (line.state(), line.role(), record.shown_host().to_string());
        let (peak_nats, flows) = (record.peak_nats, record.flows);
        let (class, label) = (attack_class(line), label.map_or("-", Label::as_str));
        print_line!(
            "{agent:<20} {episode:>20} {state:<8} {host:<24} {role:<6} {peak_nats:>7.1} {flows:>6}  {class:<23} {label}"
        );
        for sentence in sentences(line) {
            print_line!("{sentence}");
        }
    }
    Ok(())
}

/// An episode in indented sentences: who did what to whom, and the strongest reasons.
fn sentences(line: &Episode) -> Vec<String> {
    let (Some(alert), Some(summary)) = (&line.message, line.summary()) else { return Vec::new() };
    let reasons = alert.reasons.iter().take(REASONS).map(|reason| format!("      {}", reason.finding()));
    iter::once(format!("    {summary}")).chain(reasons).collect()
}

/// Attack class and its probability. For `unknown` it is the probability of the likeliest class, which was too low.
fn attack_class(line: &Episode) -> String {
    let Some(Classification { class, probability, .. }) = &line.class else { return "-".into() };
    probability.map_or_else(|| class.clone(), |probability| format!("{class} {probability:.2}"))
}

/// An episode in the JSON file of `alerts`.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct AlertLine<'a> {
    agent: &'a str,
    episode: u64,
    state: &'static str,
    /// What the host is: `plain` for an address, `pseudonym`, or `none` for a pseudonym that no key resolves.
    addresses: &'static str,
    /// Identifier of the key of a pseudonym.
    address_key: Option<String>,
    host: String,
    role: &'static str,
    since_s: u64,
    at_s: u64,
    peak_nats: f64,
    limit_nats: f64,
    flows: u32,
    odd_flows: u32,
    service_port: u16,
    resembles: Option<&'a str>,
    release: u64,
    kind: Option<&'a str>,
    kind_probability: Option<f64>,
    kind_rows: Option<u32>,
    label: Option<Label>,
    labelled_by: Option<&'a str>,
}

impl<'a> AlertLine<'a> {
    fn new(episode: &'a Episode) -> Self {
        let (record, class) = (&episode.record, episode.class.as_ref());
        Self {
            agent: &episode.agent,
            episode: episode.number,
            state: episode.state(),
            addresses: record.addresses.name(),
            address_key: record.addresses.key().map(|key| key.to_string()),
            host: record.shown_host().to_string(),
            role: episode.role(),
            since_s: record.since.as_secs(),
            at_s: record.at.as_secs(),
            peak_nats: record.peak_nats,
            limit_nats: record.limit_nats,
            flows: record.flows,
            odd_flows: record.odd_flows,
            service_port: record.service_port,
            resembles: record.resembles.as_deref(),
            release: record.release,
            kind: class.map(|class| class.class.as_str()),
            kind_probability: class.and_then(|class| class.probability),
            kind_rows: class.map(|class| class.rows),
            label: episode.label,
            labelled_by: episode.labelled_by.as_deref(),
        }
    }
}

pub(crate) fn label(store: &StoreUrl, args: &LabelArgs) -> anyhow::Result<()> {
    let label = match args.label {
        LabelArg::Benign => Label::Benign,
        LabelArg::Attack => Label::Attack,
    };
    StoreHandle::open(store)?.label(&args.agent, args.episode, label, &by(&args.who), clock::now_s())?;
    print_line!("episode {} of {} is labelled {}", args.episode, args.agent, label.as_str());
    Ok(())
}

pub(crate) fn retrain(store: &StoreUrl, args: &RetrainArgs) -> anyhow::Result<()> {
    let handle = StoreHandle::open(store)?;
    let job = handle.request_retraining(args.group.as_deref(), &by(&args.who), clock::now_s())?;
    print_line!("requested a new release (job {job}); a running `serve` starts training within a second");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::messages::{AlertState, Body, Reason};
    use lapwing_store::testing::{Folder, alert, received, status, update};
    use lapwing_store::{Limits, Store};

    #[test]
    fn an_episode_is_printed_as_sentences() {
        let folder = Folder::new();
        let mut store = Store::open(folder.store(), Limits::default()).unwrap();
        let mut message = alert(1, 1, 77, AlertState::Opened, (1_741_276_811, 1_741_276_900));
        let Body::Alert(content) = &mut message.body else { unreachable!() };
        let reason = Reason { feature: 47, value: 339.4, normal_low: 0.0, normal_high: 2.04, share_permille: 640 };
        content.reasons.extend([reason; 3]);
        content.resembles = "port-scan".try_into().ok();
        store.commit(&[received("gw-1", &message)], 1).unwrap();
        let lines = store.handle().unwrap().alerts(&AlertFilter { limit: 9, ..AlertFilter::default() }).unwrap();
        let reason =
            "      flows went to about 339 different ports of the target within 30 to 60 s; here normally 0 to 2";
        let head = "    10.0.0.9 started 12 flows since 2025-03-06 16:00:11 UTC, 9 anomalous, busiest port 23; looks \
                    like port-scan";
        assert_eq!(sentences(&lines[0]), [head, reason, reason]);
        store.close().unwrap();
    }

    #[test]
    fn a_revoked_agent_is_no_agent_that_is_online() {
        let folder = Folder::new();
        let mut store = Store::open(folder.store(), Limits::default()).unwrap();
        store.commit(&[received("gw-1", &status(1)), received("gw-2", &update(1, 1))], 1).unwrap();
        let mut agents = store.handle().unwrap().agents().unwrap();
        assert_eq!([state(&agents[0]), state(&agents[1])], ["online", "unknown"]);
        agents[0].revoked = true;
        assert_eq!(state(&agents[0]), "revoked");
        store.close().unwrap();
    }
}
