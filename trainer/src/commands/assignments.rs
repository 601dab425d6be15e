//! `agents assign`: settings for single agents, which a running `serve` signs and publishes.

use super::store_args::StoreArgs;
use super::user;
use anyhow::{Context, ensure};
use clap::Args;
use lapwing_common::clock;
use lapwing_common::output::write_json;
use lapwing_common::print_line;
use lapwing_fleet::{AssignedSettings, AssignmentChange, StoredAssignment, channel_name, parse_channel};
use lapwing_shared::rollout::assignment::ALERTS_PER_1000_DAYS;
use lapwing_shared::rollout::message::Channel;
use lapwing_store::{StoreHandle, StoreUrl, StoredAgent};
use std::collections::HashMap;
use std::path::PathBuf;

/// Assignments that one query reads.
const PAGE: u32 = 1_000;

/// `agents assign`.
#[derive(Debug, Args)]
pub(crate) struct AssignArgs {
    /// Store.
    #[command(flatten)]
    pub(super) store: StoreArgs,
    /// Name, as listed by `agents`.
    name: String,
    /// When the agent gets new releases, relative to its group: early, normal or late.
    #[arg(long, value_name = "CHANNEL", value_parser = channel)]
    channel: Option<Channel>,
    /// The only version that the agent installs, unless it is withdrawn.
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u64).range(1..))]
    pin: Option<u64>,
    /// Install nothing new; a withdrawn release is replaced nevertheless.
    #[arg(long)]
    hold: bool,
    /// False-alert budget: accepted false alerts a day, 0.001 to 1000.
    #[arg(long, value_name = "NUMBER", value_parser = budget)]
    alerts_per_day: Option<u32>,
    /// Assign nothing: the agent's own configuration holds again.
    #[arg(long, conflicts_with_all = ["channel", "pin", "hold", "alerts_per_day"])]
    clear: bool,
    /// Write the assignment to this file as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Name of the person who assigns it, for the audit log [default: the user's name].
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
}

fn channel(text: &str) -> Result<Channel, String> {
    parse_channel(text).ok_or_else(|| {
        let names = Channel::ALL.map(channel_name);
        format!("expected {}", names.join(", "))
    })
}

/// Alerts per 1,000 days.
fn budget(text: &str) -> Result<u32, String> {
    let expected = || "expected 0.001 to 1000 alerts a day".to_owned();
    let alerts: f64 = text.parse().map_err(|_| expected())?;
    let scaled = (alerts * 1_000.0).round();
    let is_valid = (1.0..=f64::from(ALERTS_PER_1000_DAYS)).contains(&scaled);
    if is_valid { Ok(scaled as u32) } else { Err(expected()) }
}

impl AssignArgs {
    /// `None`: the command only shows the assignment.
    fn change(&self) -> Option<AssignmentChange> {
        let settings = AssignedSettings {
            channel: self.channel,
            pin: self.pin,
            hold: self.hold,
            alerts_per_1000_days: self.alerts_per_day,
        };
        let is_given = self.clear || settings != AssignedSettings::default();
        is_given.then_some(AssignmentChange::Settings(settings))
    }
}

/// `agents assign`. What is not given is not assigned any more; without any setting, shows what is.
pub(super) fn run(store: &StoreUrl, args: &AssignArgs) -> anyhow::Result<()> {
    let handle = StoreHandle::open(store)?;
    let agents = handle.agents()?;
    let agent = agents.iter().find(|agent| agent.name == args.name);
    let agent = agent.with_context(|| format!("no agent `{}`; `lapwing-trainer agents` lists them", args.name))?;
    let reported = in_force(agent);
    if let Some(change) = args.change() {
        ensure_followed(&handle, agent)?;
        let who = args.who.clone().unwrap_or_else(user);
        handle.assign(&agent.name, change, reported, &who, clock::now_s())?;
    }
    let stored = handle.assignment(&agent.name)?;
    if let Some(path) = &args.json {
        return write_json(path, &json(stored.as_ref(), reported));
    }
    let shown = stored.as_ref().map_or_else(|| "nothing assigned".into(), |stored| describe(stored, reported));
    print_line!("agent {}: {shown}", agent.name);
    if let Some(pin) = args.pin {
        note_pin(&handle, agent, pin)?;
    }
    Ok(())
}

/// Only a signed assignment has an effect, and `serve` signs those of agents in a group with rollouts.
fn ensure_followed(handle: &StoreHandle, agent: &StoredAgent) -> anyhow::Result<()> {
    let group = agent.status.as_ref().map(|status| status.group.as_str());
    let group = group.with_context(|| format!("agent {} never sent a status: its group is not known", agent.name))?;
    ensure!(
        handle.newest_rollout(group)?.is_some(),
        "group {group} has no rollout yet, so its agents accept no assignments: `serve` publishes the first one when it has \
         rollout.key and the group has a release"
    );
    Ok(())
}

/// The brokers have the releases of the group's rollout only.
fn note_pin(handle: &StoreHandle, agent: &StoredAgent, pin: u64) -> anyhow::Result<()> {
    let Some(status) = &agent.status else { return Ok(()) };
    let Some(Ok(rollout)) = handle.newest_rollout(&status.group)?.map(|stored| stored.rollout()) else { return Ok(()) };
    if ![status.release, rollout.base, rollout.highest()].contains(&pin) {
        print_line!(
            "note: release {pin} is neither the group's nor that of its campaign, so brokers do not have it; the agent stays on release {} or the group's",
            status.release
        );
    }
    Ok(())
}

/// Serial of the assignment that the agent reports; 0 without one.
fn in_force(agent: &StoredAgent) -> u64 {
    agent.health.as_ref().map_or(0, |health| health.device.assignment)
}

/// What is assigned, and whether the agent has confirmed it.
fn describe(stored: &StoredAssignment, reported: u64) -> String {
    let set_aside = if stored.is_set_aside { ", set aside (channel late)" } else { "" };
    let state = if reported == stored.serial { "in force" } else { "not confirmed by the agent yet" };
    format!("{} assigned{set_aside}; {state}", stored.settings)
}

/// The assignment as JSON.
fn json(stored: Option<&StoredAssignment>, reported: u64) -> serde_json::Value {
    let mut value = serde_json::to_value(stored).unwrap_or_default();
    if let (Some(fields), Some(stored)) = (value.as_object_mut(), stored) {
        fields.insert("is-in-force".into(), (stored.serial == reported).into());
    }
    value
}

/// Assignments that are not empty, by agent, in the forms of the list of agents.
pub(super) struct Assigned(HashMap<String, StoredAssignment>);

impl Assigned {
    /// Reads all.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn load(handle: &StoreHandle) -> anyhow::Result<Self> {
        let (mut all, mut after) = (HashMap::new(), 0);
        loop {
            let page = handle.assignments(after, PAGE)?;
            let Some(last) = page.last() else { return Ok(Self(all)) };
            after = last.serial;
            all.extend(page.into_iter().filter(|one| !one.is_empty()).map(|one| (one.name.clone(), one)));
        }
    }

    /// End of an agent's line.
    pub(super) fn text(&self, agent: &StoredAgent) -> String {
        self.0.get(&agent.name).map(|stored| format!("  {}", describe(stored, in_force(agent)))).unwrap_or_default()
    }

    /// As JSON; `None` without one.
    pub(super) fn json(&self, agent: &StoredAgent) -> Option<serde_json::Value> {
        Some(json(Some(self.0.get(&agent.name)?), in_force(agent)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use lapwing_campaigns::testing::Stage;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: AssignArgs,
    }

    fn args(line: &str) -> Result<AssignArgs, String> {
        let words = std::iter::once("assign").chain(line.split_whitespace());
        Command::try_parse_from(words).map(|command| command.args).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_read_and_invalid_ones_name_what_is_expected() {
        let all = args("gw-1 --channel late --pin 3 --hold --alerts-per-day 0.25").unwrap();
        let settings = AssignedSettings {
            channel: Some(Channel::Late),
            pin: Some(3),
            hold: true,
            alerts_per_1000_days: Some(250),
        };
        assert_eq!(all.change(), Some(AssignmentChange::Settings(settings)));
        let nothing = AssignmentChange::Settings(AssignedSettings::default());
        assert_eq!((args("gw-1 --clear").unwrap().change(), args("gw-1").unwrap().change()), (Some(nothing), None));
        for (line, expected) in [
            ("gw-1 --channel last", "expected early, normal, late"),
            ("gw-1 --alerts-per-day 0", "0.001 to 1000"),
            ("gw-1 --alerts-per-day nan", "0.001 to 1000"),
            ("gw-1 --pin 0", "1.."),
            ("gw-1 --clear --hold", "cannot be used with"),
        ] {
            let error = args(line).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn an_assignment_replaces_the_one_before_and_is_in_the_list_of_agents() {
        let stage = Stage::new(3, 1_750_000_000);
        let url: StoreUrl = stage.folder.store().into();
        let assign = |line: &str| run(&url, &args(&format!("{line} --who ann")).unwrap());
        assign("gw-1 --channel late --pin 9").unwrap();
        assign("gw-1 --hold").unwrap();
        let stored = stage.handle.assignment("gw-1").unwrap().unwrap();
        assert_eq!((stored.settings.to_string(), stored.serial, &*stored.who), ("held".into(), 2, "ann"));
        let agents = stage.handle.agents().unwrap();
        let assigned = Assigned::load(&stage.handle).unwrap();
        let of = |name: &str| agents.iter().find(|agent| agent.name == name).unwrap();
        assert_eq!(assigned.text(of("gw-1")), "  held assigned; not confirmed by the agent yet");
        assert_eq!(assigned.json(of("gw-1")).unwrap()["is-in-force"], false);
        assert_eq!((assigned.text(of("gw-2")), assigned.json(of("gw-2"))), (String::new(), None));
        assign("gw-1").unwrap();
        assert_eq!(stage.handle.assignment("gw-1").unwrap(), Some(stored), "shown only");
        assign("gw-1 --clear").unwrap();
        assert!(stage.handle.assignment("gw-1").unwrap().unwrap().is_empty());
        assert!(Assigned::load(&stage.handle).unwrap().json(of("gw-1")).is_none());
        assert!(assign("gw-9 --hold").unwrap_err().to_string().starts_with("no agent `gw-9`"));
    }
}
