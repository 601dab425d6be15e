//! The commands on a store with a group that follows rollouts.

use super::target::Opened;
use super::*;
use crate::config::Config;
use clap::FromArgMatches;
use lapwing_campaigns::outline::Outline;
use lapwing_campaigns::testing::{Conduct, NEXT, Stage};
use lapwing_campaigns::{FactsReader, Order, advance, propose, start};
use lapwing_common::clock;
use lapwing_fleet::campaign::{CampaignState, Plan};
use serde_json::Value;
use std::path::Path;

fn run(stage: &Stage, words: &[&str]) -> anyhow::Result<()> {
    let store = stage.store();
    let words = [words, &["--store", &store, "--group", "home"]].concat();
    let command = RolloutCommand::augment_subcommands(clap::Command::new("rollout").no_binary_name(true));
    run_rollout(&RolloutCommand::from_arg_matches(&command.try_get_matches_from(words)?)?)
}

/// What a command writes as JSON.
fn json(stage: &Stage, words: &[&str]) -> Value {
    let file = stage.folder.path().join("out.json");
    run(stage, &[words, &["--json", file.to_str().unwrap()]].concat()).unwrap();
    serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap()
}

fn stage(agents: usize) -> Stage {
    Stage::new(agents, clock::now_s())
}

fn state(stage: &Stage) -> Option<CampaignState> {
    stage.handle.campaigns(Some("home"), 1).unwrap().pop().map(|stored| stored.campaign.state())
}

#[test]
fn start_changes_nothing_without_yes() {
    let stage = stage(30);
    run(&stage, &["start", "--version", "4"]).unwrap();
    assert!(state(&stage).is_none() && stage.rollout().next.is_none());
    run(&stage, &["start", "--version", "4", "--yes", "--who", "ann"]).unwrap();
    assert_eq!(state(&stage), Some(CampaignState::Running));
    assert_eq!(stage.rollout().next.unwrap().version, NEXT);
    let error = run(&stage, &["start", "--version", "4", "--yes"]).unwrap_err().to_string();
    assert!(error.contains("--supersede"), "{error}");
}

#[test]
fn the_dry_run_names_the_agents_that_the_campaign_then_reaches() {
    let mut stage = stage(100);
    let plan = json(&stage, &["plan", "--version", "4"]);
    let waves = plan["waves"].as_array().unwrap();
    assert_eq!(waves.len(), 4, "5 % of 100 are the canary: {plan}");
    assert_eq!((&waves[0]["agents"], &waves[1]["agents"]), (&2.into(), &5.into()));
    assert!(plan["control"].as_u64().unwrap() > 0 && plan["notes"].as_array().unwrap().is_empty(), "{plan}");
    run(&stage, &["start", "--version", "4", "--yes"]).unwrap();
    stage.hour();
    let first: Vec<&str> = waves[0]["adds"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    for agent in &stage.agents {
        assert_eq!(agent.release.version == NEXT, first.contains(&agent.name.as_str()), "{}", agent.name);
    }
}

#[test]
fn a_small_group_says_what_it_cannot_know() {
    let stage = stage(1);
    let plan = json(&stage, &["plan", "--version", "4"]);
    let notes = plan["notes"].to_string();
    assert!(notes.contains("there is no control") && notes.contains("the only agent is the first wave"), "{notes}");
    assert_eq!(plan["waves"].as_array().unwrap().len(), 1);
}

#[test]
fn status_and_history_show_why_a_campaign_stopped() {
    let mut stage = stage(100);
    stage.conduct = Conduct::Refuses;
    assert!(json(&stage, &["status"])["campaign"].is_null());
    run(&stage, &["start", "--version", "4", "--yes", "--who", "ann"]).unwrap();
    stage.hour();
    let running = json(&stage, &["status"]);
    let gate = &running["campaign"]["gates"][0];
    assert_eq!((&gate["gate"], &gate["verdict"], &gate["numerator"]), (&"golden".into(), &"fail".into(), &2.0.into()));
    assert_eq!(running["last-change"]["who"], "ann");
    advance(&stage.handle, &mut FactsReader::default(), "home", stage.now_s).unwrap();
    let status = json(&stage, &["status"]);
    assert_eq!(
        (&status["campaign"]["state"], &status["campaign"]["waves"][0]["state"]),
        (&"aborting".into(), &"failed".into())
    );
    let history = json(&stage, &["history"]);
    let changes = history[0]["changes"].as_array().unwrap();
    assert!(changes[0]["why"].as_str().unwrap().starts_with("golden vectors failed"), "{history}");
    assert_eq!((&changes[1]["why"], &changes[1]["who"]), (&"started".into(), &"ann".into()));
    for command in ["status", "watch", "history"] {
        run(&stage, &[command]).unwrap();
    }
}

#[test]
fn another_person_approves() {
    let stage = stage(30);
    let plan = stage.folder.path().join("plan.toml");
    std::fs::write(&plan, "approval = true\n").unwrap();
    run(&stage, &["start", "--version", "4", "--plan", plan.to_str().unwrap(), "--yes", "--who", "ann"]).unwrap();
    assert_eq!(state(&stage), Some(CampaignState::Waiting));
    let error = run(&stage, &["approve", "--who", "ann"]).unwrap_err().to_string();
    assert!(error.contains("another person than its creator"), "{error}");
    run(&stage, &["approve", "--who", "bob"]).unwrap();
    assert_eq!(state(&stage), Some(CampaignState::Running));
    std::fs::write(&plan, "approval = 5\n").unwrap();
    let error = run(&stage, &["plan", "--version", "4", "--plan", plan.to_str().unwrap()]).unwrap_err();
    assert!(format!("{error:#}").contains("plan.toml"), "{error:#}");
}

#[test]
fn a_campaign_is_paused_resumed_and_ended() {
    let stage = stage(30);
    let error = run(&stage, &["pause"]).unwrap_err().to_string();
    assert!(error.contains("no open campaign"), "{error}");
    run(&stage, &["start", "--version", "4", "--yes"]).unwrap();
    run(&stage, &["pause"]).unwrap();
    let error = run(&stage, &["pause"]).unwrap_err().to_string();
    assert!(error.contains("the campaign is paused") && error.contains("rollout resume"), "{error}");
    run(&stage, &["resume"]).unwrap();
    assert!(run(&stage, &["abort"]).unwrap_err().to_string().contains("--stop"), "neither mode");
    run(&stage, &["abort", "--withdraw"]).unwrap();
    assert_eq!(state(&stage), Some(CampaignState::Aborting));
    assert!(stage.rollout().is_withdrawn(NEXT));
}

#[test]
fn a_campaign_that_waits_is_refused_by_an_abort() {
    let stage = stage(30);
    let plan = stage.folder.path().join("plan.toml");
    std::fs::write(&plan, "approval = true\n").unwrap();
    run(&stage, &["start", "--version", "4", "--plan", plan.to_str().unwrap(), "--yes"]).unwrap();
    run(&stage, &["abort", "--stop"]).unwrap();
    assert_eq!(state(&stage), Some(CampaignState::Refused));
}

/// A campaign of 100 gateways in virtual time → what the commands print of it, which docs/rollouts.md shows.
struct Example {
    stage: Stage,
    opened: Opened,
}

impl Example {
    fn new(conduct: Conduct) -> Self {
        let mut stage = Stage::new(100, 1_796_000_400);
        stage.conduct = conduct;
        let handle = lapwing_store::StoreHandle::open(stage.folder.store()).unwrap();
        Self { stage, opened: Opened { config: Config::default(), handle, group: "home".into() } }
    }

    /// The lines of the dry run, without which nothing starts.
    fn started(&mut self) -> Vec<String> {
        let order =
            Order { group: "home", version: NEXT, plan: Plan::default(), who: "ann", supersede: false, findings: &[] };
        let lines = text::outline(&Outline::of(&propose(&self.stage.handle, &order, self.stage.now_s).unwrap()));
        start(&self.stage.handle, &order, self.stage.now_s).unwrap();
        lines
    }

    fn hours(&mut self, hours: usize, until: CampaignState) {
        for _ in 0..hours {
            self.stage.hour();
            let outcome = advance(&self.stage.handle, &mut FactsReader::default(), "home", self.stage.now_s).unwrap();
            if outcome.is_none_or(|outcome| outcome.campaign.state() == until) {
                return;
            }
        }
    }

    fn status(&self) -> Vec<String> {
        status::Status::read(&self.opened, self.stage.now_s).unwrap().lines()
    }

    fn history(&self) -> Vec<String> {
        history::read(&self.stage.handle, "home", 1).unwrap().iter().flat_map(history::CampaignHistory::lines).collect()
    }
}

#[test]
fn watch_prints_a_line_of_json_for_each_change() {
    let mut example = Example::new(Conduct::Good);
    example.started();
    let mut changes = status::Changes::default();
    let mut line = |example: &Example| {
        let status = status::Status::read(&example.opened, example.stage.now_s).unwrap();
        changes.line(&status).unwrap()
    };
    let first: Value = serde_json::from_str(&line(&example).unwrap()).unwrap();
    assert_eq!((&first["campaign"]["state"], &first["last-change"]["why"]), (&"running".into(), &"started".into()));
    example.stage.now_s += 60;
    assert_eq!(line(&example), None, "only the time has passed");
    example.hours(1, CampaignState::Completed);
    let second = line(&example).unwrap();
    assert!(!second.contains('\n'), "{second}");
    let second: Value = serde_json::from_str(&second).unwrap();
    assert_eq!(second["campaign"]["tally"]["confirmed"], 2, "{second}");
    assert_eq!(line(&example), None);
}

#[test]
fn the_document_shows_what_the_commands_print() {
    let (mut good, mut bad) = (Example::new(Conduct::Good), Example::new(Conduct::Alerts));
    let mut shown = vec![("PLAN", good.started())];
    good.hours(20, CampaignState::Completed);
    shown.push(("STATUS", good.status()));
    good.hours(24 * 7, CampaignState::Completed);
    shown.push(("HISTORY", good.history()));
    bad.started();
    bad.hours(24 * 7, CampaignState::Aborting);
    shown.push(("BAD", bad.status()));
    bad.hours(24, CampaignState::Aborted);
    shown.push(("BADHISTORY", bad.history()));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/rollouts.md");
    let document = std::fs::read_to_string(path).unwrap();
    let shown: Vec<(&str, String)> = shown.into_iter().map(|(name, lines)| (name, trimmed(&lines))).collect();
    // To write them into the document: a folder for the texts.
    if let Some(folder) = std::env::var_os("LAPWING_SHOWN") {
        shown.iter().for_each(|(name, text)| std::fs::write(Path::new(&folder).join(name), text).unwrap());
    }
    for (name, text) in shown {
        assert!(document.contains(&text), "docs/rollouts.md does not show this ({name}):\n{text}");
    }
}

fn trimmed(lines: &[String]) -> String {
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}
