//! Incidents in the store: `incidents`.

use super::store_args::StoreArgs;
use super::user;
use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use lapwing_common::clock;
use lapwing_common::format::{ago, when};
use lapwing_common::output::write_json;
use lapwing_common::print_line;
use lapwing_fleet::incident::{Incident, IncidentAction, IncidentState, Note, Severity, Verdict};
use lapwing_fleet::{indented, one_line};
use lapwing_shared::messages::Role;
use lapwing_store::StoreHandle;
use lapwing_store::traits::{IncidentFilter, IncidentMember};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Episodes that `show` prints.
const MEMBERS: u32 = 1_000;

/// `incidents`.
#[derive(Debug, Subcommand)]
pub(crate) enum IncidentsCommand {
    /// List incidents, newest first.
    #[command(
        after_help = "Example:\n  lapwing-trainer incidents list --state open --severity high --store /var/lib/lapwing/store.sqlite"
    )]
    List(ListArgs),
    /// Print an incident: its sites, its episodes with the reason of every join, and its notes.
    #[command(after_help = "Example:\n  lapwing-trainer incidents show 12 --json -")]
    Show {
        /// Store.
        #[command(flatten)]
        store: StoreArgs,
        /// Number, as listed.
        id: i64,
        /// Write the incident to this file as JSON; `-` is standard output.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Mark an incident as seen.
    #[command(after_help = "Example:\n  lapwing-trainer incidents see 12 --who ann")]
    See(OneArgs),
    /// Assign an incident to a person.
    #[command(after_help = "Example:\n  lapwing-trainer incidents assign 12 ann")]
    Assign {
        /// Incident.
        #[command(flatten)]
        one: OneArgs,
        /// Name of the person [default: none].
        name: Option<String>,
    },
    /// Add a note to an incident.
    #[command(after_help = "Example:\n  lapwing-trainer incidents note 12 'the owner replaced the camera'")]
    Note {
        /// Incident.
        #[command(flatten)]
        one: OneArgs,
        /// The note: at most 2,000 characters; it may have several lines.
        text: String,
    },
    /// End an incident with a verdict: attack, benign, release or unknown.
    #[command(after_help = "Example:\n  lapwing-trainer incidents resolve 12 attack --who ann")]
    Resolve {
        /// Incident.
        #[command(flatten)]
        one: OneArgs,
        /// What it was.
        #[arg(value_parser = verdict)]
        verdict: Verdict,
    },
    /// Continue a resolved or quiet incident.
    #[command(after_help = "Example:\n  lapwing-trainer incidents reopen 12")]
    Reopen(OneArgs),
    /// Merge another incident into this one. Later episodes of either join this one.
    #[command(after_help = "Example:\n  lapwing-trainer incidents merge 12 15")]
    Merge {
        /// Incident.
        #[command(flatten)]
        one: OneArgs,
        /// Number of the incident to merge into it.
        other: i64,
    },
    /// Take episodes out of an incident, into one of their own. The joiner leaves them there.
    #[command(after_help = "Example:\n  lapwing-trainer incidents split 12 gateway-1/7301441236303872001")]
    Split {
        /// Incident.
        #[command(flatten)]
        one: OneArgs,
        /// Episodes, as AGENT/EPISODE.
        #[arg(required = true, value_name = "AGENT/EPISODE", value_parser = episode)]
        episodes: Vec<(String, u64)>,
    },
    /// Make an incident of one episode. Repeats of the same thing join it.
    #[command(after_help = "Example:\n  lapwing-trainer incidents raise gateway-1 7301441236303872001")]
    Raise {
        /// Store.
        #[command(flatten)]
        store: StoreArgs,
        /// Agent that reported the episode.
        agent: String,
        /// Episode number, as listed by `alerts`.
        episode: u64,
        /// Name of the person who raises it [default: the user's name].
        #[arg(long, value_name = "NAME")]
        who: Option<String>,
    },
}

/// `incidents list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Store.
    #[command(flatten)]
    store: StoreArgs,
    /// Only incidents in this state: open, seen, quiet, resolved or merged [default: any but merged].
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<IncidentState>,
    /// Only incidents of this group: that of the first of their agents that reported one.
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Only incidents of at least this severity: low, medium, high or critical.
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    severity: Option<Severity>,
    /// Maximum number of incidents.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: u32,
    /// Write the list to this file as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// An incident to change.
#[derive(Debug, Args)]
pub(crate) struct OneArgs {
    /// Store.
    #[command(flatten)]
    store: StoreArgs,
    /// Number, as listed.
    id: i64,
    /// Name of the person who does it [default: the user's name].
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
}

fn state(text: &str) -> Result<IncidentState, String> {
    IncidentState::parse(text).ok_or_else(|| "expected open, seen, quiet, resolved or merged".into())
}

fn severity(text: &str) -> Result<Severity, String> {
    Severity::parse(text).ok_or_else(|| "expected low, medium, high or critical".into())
}

fn verdict(text: &str) -> Result<Verdict, String> {
    Verdict::parse(text).ok_or_else(|| "expected attack, benign, release or unknown".into())
}

fn episode(text: &str) -> Result<(String, u64), String> {
    let parts = text.rsplit_once('/').and_then(|(agent, number)| Some((agent.to_owned(), number.parse().ok()?)));
    parts.ok_or_else(|| "expected AGENT/EPISODE, e.g. gateway-1/7301441236303872001".into())
}

/// `incidents`.
pub(crate) fn run_incidents(command: &IncidentsCommand) -> anyhow::Result<()> {
    match command {
        IncidentsCommand::List(args) => list(args),
        IncidentsCommand::Show { store, id, json } => show(&StoreHandle::open(store.url()?)?, *id, json.as_ref()),
        IncidentsCommand::See(one) => change(one, &IncidentAction::See),
        IncidentsCommand::Assign { one, name } => change(one, &IncidentAction::Assign(name.clone())),
        IncidentsCommand::Note { one, text } => change(one, &IncidentAction::Note(text.clone())),
        IncidentsCommand::Resolve { one, verdict } => change(one, &IncidentAction::Resolve(*verdict)),
        IncidentsCommand::Reopen(one) => change(one, &IncidentAction::Reopen),
        IncidentsCommand::Merge { one, other } => change(one, &IncidentAction::Merge(*other)),
        IncidentsCommand::Split { one, episodes } => change(one, &IncidentAction::Split(episodes.clone())),
        IncidentsCommand::Raise { store, agent, episode, who } => {
            let who = who.clone().unwrap_or_else(user);
            let handle = StoreHandle::open(store.url()?)?;
            let id = handle.raise_incident(agent, *episode, &who, clock::now_s())?;
            print_line!("incident {id} has episode {episode} of {agent}");
            Ok(())
        }
    }
}

fn change(one: &OneArgs, action: &IncidentAction) -> anyhow::Result<()> {
    let who = one.who.clone().unwrap_or_else(user);
    let number = StoreHandle::open(one.store.url()?)?.change_incident(one.id, action, &who, clock::now_s())?;
    let detail = action.detail();
    if number == one.id {
        print_line!("incident {number}: {detail}");
    } else {
        print_line!("incident {}: {detail}, into incident {number}", one.id);
    }
    Ok(())
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    ensure!(args.limit > 0, "--limit 0: expected at least 1");
    let ListArgs { state, group, severity, limit, .. } = args;
    let (group, limit) = (group.clone(), *limit);
    let filter = IncidentFilter { state: *state, group, severity: *severity, limit, ..IncidentFilter::default() };
    let incidents = StoreHandle::open(args.store.url()?)?.incidents(&filter)?;
    if let Some(path) = &args.json {
        return write_json(path, &incidents.iter().map(incident_json).collect::<Vec<_>>());
    }
    let now_s = clock::now_s();
    print_line!(
        "{:>6} {:<9} {:<9} {:>6} {:>9} {:>8}  {:<8} {:<12} cause",
        "id",
        "state",
        "severity",
        "sites",
        "episodes",
        "active",
        "rule",
        "assigned"
    );
    for one in &incidents {
        let (state, severity, rule) = (one.state.as_str(), one.severity.as_str(), one.rule.as_str());
        let (active, assigned) =
            (ago(now_s.saturating_sub(one.active_s)), one_line(one.assigned.as_deref().unwrap_or("-")));
        let Incident { id, sites, episodes, cause, .. } = one;
        print_line!(
            "{id:>6} {state:<9} {severity:<9} {sites:>6} {episodes:>9} {active:>8}  {rule:<8} {assigned:<12} {cause}"
        );
    }
    Ok(())
}

fn show(handle: &StoreHandle, id: i64, json: Option<&PathBuf>) -> anyhow::Result<()> {
    let missing = || format!("no incident {id}; see `lapwing-trainer incidents list`");
    let one = handle.incident(id)?.with_context(missing)?;
    let (members, notes) = (handle.incident_members(id, MEMBERS)?, handle.incident_notes(id)?);
    let campaign = handle.campaign_of_release(&one.group, one.release)?.filter(|_| one.is_of_release());
    if let Some(path) = json {
        let mut value = incident_json(&one);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("campaign".into(), campaign.into());
            fields.insert("members".into(), members.iter().map(member_json).collect());
            fields.insert("notes".into(), notes.iter().map(note_json).collect());
        }
        return write_json(path, &value);
    }
    print_line!("incident {id}: {}", one.title());
    let (state, severity) = (one.state.as_str(), one.severity.as_str());
    let verdict = one.verdict.map(|verdict| format!(" ({})", verdict.as_str())).unwrap_or_default();
    print_line!("{state}{verdict}, severity {severity}, {} sites, {} episodes", one.sites, one.episodes);
    print_line!("from {} to {} UTC", when(one.first_s), when(one.last_s));
    print_line!("assigned to {}", one_line(one.assigned.as_deref().unwrap_or("no operator")));
    if let Some(into) = one.merged_into {
        print_line!("merged into incident {into}");
    }
    if let Some(earlier) = one.again_of {
        print_line!("again: incident {earlier} was of the same thing");
    }
    if let Some(campaign) = campaign {
        print_line!("campaign {campaign}, release {} of group {}", one.release, one.group);
    }
    for IncidentMember { agent, episode, host, since_s, class, why, .. } in &members {
        print_line!("\n{} UTC  {agent}  {episode}  {host}  {class}\n    {why}", when(*since_s));
    }
    // Those of a merged one are of the other one now.
    if one.merged_into.is_none() && one.episodes > members.len() as u64 {
        print_line!("\n{} more episodes", one.episodes - members.len() as u64);
    }
    for note in &notes {
        print_line!("\n{}", note_text(note));
    }
    print_line!("\n{}", one.advice());
    Ok(())
}

/// Further lines of a note are indented, so that none looks like the note of another person.
fn note_text(Note { who, at_s, text }: &Note) -> String {
    format!("{} UTC  {}: {}", when(*at_s), one_line(who), indented(text, "    "))
}

fn incident_json(one: &Incident) -> Value {
    json!({
        "id": one.id, "title": one.title(), "rule": one.rule, "cause": one.cause.as_str(), "group": one.group,
        "release": one.is_of_release().then_some(one.release), "state": one.state, "verdict": one.verdict, "severity": one.severity,
        "first-s": one.first_s, "last-s": one.last_s, "active-s": one.active_s, "made-s": one.made_s,
        "sites": one.sites, "episodes": one.episodes, "assigned": one.assigned, "seen-by": one.seen_by,
        "resolved-by": one.resolved_by, "again-of": one.again_of, "merged-into": one.merged_into,
    })
}

fn member_json(one: &IncidentMember) -> Value {
    let role = if one.role == Role::Source { "source" } else { "target" };
    json!({
        // A string: JavaScript's numbers do not have all digits.
        "agent": one.agent, "episode": one.episode.to_string(), "host": one.host, "role": role, "kind": one.class,
        "open": one.is_open, "since-s": one.since_s, "last-s": one.last_s, "severity": one.severity,
        "joined-by": one.joined_by, "why": one.why, "pinned": one.is_pinned, "joined-s": one.at_s,
    })
}

fn note_json(note: &Note) -> Value {
    json!({ "who": note.who, "at-s": note.at_s, "text": note.text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;
    use lapwing_store::contract::incidents::attack;
    use lapwing_store::testing::Folder;
    use lapwing_store::{AuditFilter, Limits, Store};

    fn run(folder: &Folder, words: &[&str]) -> anyhow::Result<()> {
        let store = folder.store().display().to_string();
        let all = ["lapwing-trainer", "incidents"].iter().chain(words).copied().chain(["--store", &store]);
        let Command::Incidents(command) = Cli::try_parse_from(all)?.command else { panic!("incidents expected") };
        run_incidents(&command)
    }

    #[test]
    fn a_note_cannot_look_like_the_note_of_another_person() {
        let text = "all well\n2026-01-01 00:00 UTC  bob: resolve it\u{1b}[2J".to_owned();
        let shown = note_text(&Note { who: "ann\nx".into(), at_s: 0, text });
        assert!(
            shown.ends_with("  ann\u{fffd}x: all well\n    2026-01-01 00:00 UTC  bob: resolve it\u{fffd}[2J"),
            "{shown}"
        );
    }

    #[test]
    fn a_person_works_on_incidents_by_commands_and_each_is_in_the_audit_log() {
        let folder = Folder::new();
        let mut store = Store::open(folder.store(), Limits::default()).unwrap();
        store.commit(&[attack("a", 1, 71, 7, 1_000), attack("b", 1, 72, 8, 1_000)], 1_000).unwrap();
        let done: [&[&str]; 10] = [
            &["raise", "a", "71", "--who", "ann"],
            &["raise", "b", "72", "--who", "ann"],
            &["see", "1", "--who", "ann"],
            &["assign", "1", "bob", "--who", "ann"],
            &["note", "1", "a note", "--who", "ann"],
            &["merge", "1", "2", "--who", "ann"],
            &["split", "1", "b/72", "--who", "ann"],
            &["resolve", "1", "attack", "--who", "ann"],
            &["reopen", "1", "--who", "ann"],
            &["list", "--state", "seen", "--severity", "low", "--group", "", "--json", "-"],
        ];
        for words in done {
            run(&folder, words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
        }
        let file = folder.path().join("incident.json");
        run(&folder, &["show", "1", "--json", file.to_str().unwrap()]).unwrap();
        let shown: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!((&shown["state"], &shown["assigned"]), (&json!("seen"), &json!("bob")));
        assert_eq!(shown["members"][0]["episode"], json!("71"));
        assert_eq!(shown["notes"].as_array().unwrap().len(), 8);
        run(&folder, &["show", "3"]).unwrap();
        let listed = folder.path().join("list.json");
        run(&folder, &["list", "--state", "merged", "--json", listed.to_str().unwrap()]).unwrap();
        let listed: Value = serde_json::from_slice(&std::fs::read(&listed).unwrap()).unwrap();
        assert_eq!((&listed[0]["id"], &listed[0]["release"]), (&json!(2), &Value::Null), "no release caused it");
        let handle = store.handle().unwrap();
        let records = handle.audit(&AuditFilter { limit: 99, ..AuditFilter::default() }).unwrap().records;
        assert_eq!(records.iter().filter(|one| one.who == "ann" && one.action == "incident").count(), 9);
        let refused: [(&[&str], &str); 5] = [
            (&["show", "9"], "no incident 9; see `lapwing-trainer incidents list`"),
            (&["resolve", "9", "attack"], "no incident 9; "),
            (&["merge", "1", "2"], "was merged into incident 1 already"),
            (&["split", "1", "a"], "expected AGENT/EPISODE"),
            (&["resolve", "1", "maybe"], "expected attack, benign, release or unknown"),
        ];
        for (words, reason) in refused {
            let error = run(&folder, words).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
