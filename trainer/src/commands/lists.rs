//! `agents`, `alerts`, `label` and `retrain`: all beside a running `serve`, through the store.

use super::{user, write_json};
use crate::cli::{AlertsArgs, LabelArgs, LabelWord};
use crate::clock;
use crate::store::{AgentLine, AlertFilter, AlertLine, Desk, Label};
use crate::tell::tell;
use crate::words::ago;
use std::iter;
use std::path::Path;

/// Reasons that are told of an episode.
const REASONS: usize = 2;

/// `agents`.
pub(crate) fn agents(store: &Path, json: Option<&Path>) -> anyhow::Result<()> {
    let agents = Desk::open(store)?.agents()?;
    if let Some(path) = json {
        let lines: Vec<_> = agents.iter().map(with_status).collect();
        return write_json(path, &lines);
    }
    tell!("{:<32} {:>8} {:>10} {:>8} {:>8}  {:<8} group", "agent", "seen", "rows", "alerts", "release", "state");
    let now_s = clock::now_s();
    for agent in &agents {
        let (release, state, group) = match agent.told_status() {
            Some(status) => {
                let state = if !status.online {
                    "offline"
                } else if status.on_trial {
                    "on trial"
                } else {
                    "online"
                };
                (status.release.to_string(), state, status.group.to_string())
            }
            None => ("-".into(), "unknown", String::new()),
        };
        let seen = ago(now_s.saturating_sub(agent.last_seen_s));
        let AgentLine { name, sample_rows, alerts, .. } = agent;
        tell!("{name:<32} {seen:>8} {sample_rows:>10} {alerts:>8} {release:>8}  {state:<8} {group}");
    }
    Ok(())
}

fn with_status(agent: &AgentLine) -> serde_json::Value {
    let mut value = serde_json::to_value(agent).unwrap_or_default();
    if let (Some(fields), Some(status)) = (value.as_object_mut(), agent.told_status()) {
        fields.insert("online".into(), status.online.into());
        fields.insert("group".into(), status.group.as_str().into());
        fields.insert("release".into(), status.release.into());
        fields.insert("on-trial".into(), status.on_trial.into());
        fields.insert("engine".into(), status.engine.as_str().into());
        fields.insert("agent-version".into(), status.agent_version.as_str().into());
    }
    value
}

/// `alerts`.
pub(crate) fn alerts(store: &Path, args: &AlertsArgs) -> anyhow::Result<()> {
    let filter = AlertFilter { agent: args.agent.clone(), unlabelled: args.unlabelled, limit: args.limit };
    let alerts = Desk::open(store)?.alerts(&filter)?;
    if let Some(path) = &args.json {
        return write_json(path, &alerts);
    }
    tell!(
        "{:<20} {:>20} {:<8} {:<24} {:<6} {:>7} {:>6}  {:<23} label",
        "agent",
        "episode",
        "state",
        "host",
        "role",
        "peak",
        "flows",
        "kind"
    );
    for line in &alerts {
        let AlertLine { agent, episode, state, host, role, peak_nats, flows, label, .. } = line;
        let (kind, label) = (kind(line), label.as_deref().unwrap_or("-"));
        tell!(
            "{agent:<20} {episode:>20} {state:<8} {host:<24} {role:<6} {peak_nats:>7.1} {flows:>6}  {kind:<23} {label}"
        );
        for sentence in sentences(line) {
            tell!("{sentence}");
        }
    }
    Ok(())
}

/// An episode in words, indented: who did what to whom, and what was most off.
fn sentences(line: &AlertLine) -> Vec<String> {
    let Some(told) = line.told() else { return Vec::new() };
    let reasons = told.reasons.iter().take(REASONS).map(|reason| format!("      {}", reason.finding()));
    iter::once(format!("    {}", line.head(&told))).chain(reasons).collect()
}

/// The kind and its probability; of an unknown one that of the likeliest kind, which was too low to be told.
fn kind(line: &AlertLine) -> String {
    match (line.kind.as_deref(), line.kind_probability) {
        (Some(kind), Some(probability)) => format!("{kind} {probability:.2}"),
        (Some(kind), None) => kind.into(),
        (None, _) => "-".into(),
    }
}

/// `label`.
pub(crate) fn label(store: &Path, args: &LabelArgs) -> anyhow::Result<()> {
    let label = match args.label {
        LabelWord::Benign => Label::Benign,
        LabelWord::Attack => Label::Attack,
    };
    let who = args.who.clone().unwrap_or_else(user);
    Desk::open(store)?.label(&args.agent, args.episode, label, &who, clock::now_s())?;
    tell!("episode {} of {} is called {}", args.episode, args.agent, label.as_str());
    Ok(())
}

/// `retrain`.
pub(crate) fn retrain(store: &Path, who: Option<&str>) -> anyhow::Result<()> {
    let who = who.map_or_else(user, str::to_owned);
    let job = Desk::open(store)?.ask(&who, clock::now_s())?;
    tell!("asked for a new release (job {job}); a running `serve` takes it up within a second");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Folder, alert, received};
    use crate::store::{Limits, Store};
    use lapwing_shared::messages::{AlertState, Body, Reason};

    #[test]
    fn an_episode_is_told_in_sentences() {
        let folder = Folder::new();
        let mut store = Store::open(&folder.store(), Limits::default()).unwrap();
        let mut message = alert(1, 1, 77, AlertState::Opened, (1_741_276_811, 1_741_276_900));
        let Body::Alert(told) = &mut message.body else { unreachable!() };
        let reason = Reason { feature: 47, value: 339.4, normal_low: 0.0, normal_high: 2.04, share_permille: 640 };
        told.reasons.extend([reason; 3]);
        told.resembles = "port-scan".try_into().ok();
        store.commit(&[received("gw-1", &message)], 1).unwrap();
        let lines = store.desk().unwrap().alerts(&AlertFilter { limit: 9, ..AlertFilter::default() }).unwrap();
        let reason =
            "      flows were aimed at about 339 different ports of the target within 30 to 60 s; here normally 0 to 2";
        let head = "    10.0.0.9 started 12 flows since 2025-03-06 16:00:11 UTC, 9 odd, busiest port 23; looks like \
                    port-scan";
        assert_eq!(sentences(&lines[0]), [head, reason, reason]);
        store.close().unwrap();
    }
}
