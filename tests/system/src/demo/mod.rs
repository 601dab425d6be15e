//! The demo's plot; [`parties`] starts processes, [`feed`] gives them packets, [`listen`] hears what they say.

pub mod feed;
mod kinds;
pub mod listen;
pub mod parties;

use anyhow::{Context, bail};
use feed::Played;
use lapwing_shared::messages::UpdateStep;
use lapwing_shared::units::{Nanos, Timestamp};
use listen::Listener;
use parties::{Agent, Trainer, this_program};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How the demo goes.
pub struct Plan {
    /// Keep everything running at the end.
    pub serve: bool,
    /// Folder of the captures.
    pub captures: PathBuf,
    /// Folder for the demo's files; temporary when absent.
    pub keep: Option<PathBuf>,
}

/// Longest wait for any one thing to happen.
const PATIENCE: Duration = Duration::from_secs(300);
const DAY: Nanos = Nanos::from_secs(86_400);
const HOMES: [&str; 2] = ["home-a", "home-b"];
/// A home's last samples wait for the next packets: one interval's, and some minutes without a flow.
const UNSAMPLED: Nanos = Nanos::from_secs(900);

struct Stage {
    trainer: Trainer,
    agents: Vec<Agent>,
    listener: Listener,
}

/// Plays the demo.
///
/// # Errors
/// The first step that did not happen.
pub fn run(plan: &Plan) -> anyhow::Result<()> {
    let folder = match &plan.keep {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("lapwing-demo-{}", std::process::id())),
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let outcome = play(plan, &folder);
    if plan.keep.is_none() {
        // A folder left over in /tmp is not worth failing for.
        let _ = std::fs::remove_dir_all(&folder);
    }
    outcome
}

fn play(plan: &Plan, folder: &Path) -> anyhow::Result<()> {
    let captures = |name: &str| plan.captures.join(format!("{name}.pcap.gz"));
    chapter("A trainer with its broker, and two gateways that know nothing yet");
    let mut stage = set_up(plan, folder)?;

    chapter("Learning: a day of ordinary traffic in both homes");
    stage.ordinary_day(&captures, Nanos(0))?;
    for home in HOMES {
        say(&format!("{home} sent {} feature rows, no packet content", stage.listener.heard().rows(home)));
    }

    chapter("First release: trained, quantized, signed, pushed");
    stage.release(1)?;
    say("on trial: both homes go on with another stretch of ordinary traffic");
    tell_fed("home-a", stage.agents[0].feed.play(&captures("home-a-benign-2"), Nanos(0))?);
    tell_fed("home-b", stage.agents[1].feed.play(&captures("home-b-benign"), DAY)?);
    stage.confirmed(1)?;
    let false_alerts = stage.listener.heard().opened();
    say(&format!("false alerts on that traffic: {false_alerts}"));

    chapter("An attack: recorded port scans, floods, brute force and a telnet worm against hosts of both homes");
    let mut last = Vec::new();
    for (agent, home) in stage.agents.iter_mut().zip(HOMES) {
        let played = agent.feed.play(&captures(&format!("{home}-attacks")), Nanos(0))?;
        tell_fed(home, played);
        last.push(played.last);
    }
    stage.sampled(&last)?;
    stage
        .listener
        .until(PATIENCE, "alerts of both homes", |heard| HOMES.iter().all(|home| heard.alerts_of(home) >= 3))?;

    chapter("What kind of attack: a model that learned home-a's recordings names the alerts; home-b's are the test");
    kinds::tell(&stage.trainer, &HOMES)?;

    chapter("Retraining with the new samples; rows of the alerted hosts are kept out");
    stage.release(2)?;
    let found = stage.listener.heard().opened();
    stage.ordinary_day(&captures, Nanos(7 * DAY.0))?;
    stage.confirmed(2)?;
    let again = stage.listener.heard().opened() - found;
    say(&format!("false alerts on another day of ordinary traffic: {again}"));
    let found = found - false_alerts;
    say(&format!("{found} alert episodes were opened by the attacks; both homes run release 2"));

    if plan.serve {
        chapter("Still running; Ctrl-C ends it");
        say(&format!("dashboard: {}", stage.trainer.dashboard()));
        say(&format!("broker: {}", stage.trainer.url()));
        say(&format!("alerts: lapwing-trainer alerts --store {}", stage.trainer.store().display()));
        stage.trainer.wait()?;
    }
    stage.end()
}

fn set_up(plan: &Plan, folder: &Path) -> anyhow::Result<Stage> {
    let model = folder.join("kinds.lwm");
    kinds::learn(&plan.captures, HOMES[0], &model)?;
    let trainer = Trainer::start(folder, &model)?;
    say(&format!("trainer and broker at {}", trainer.url()));
    say(&format!("dashboard at {}", trainer.dashboard()));
    let mut listener = Listener::start(trainer.address())?;
    let mut agents = Vec::new();
    for (home, engine) in HOMES.into_iter().zip(["tract", "int8"]) {
        agents.push(Agent::start(folder, home, engine, &trainer)?);
        say(&format!("{home} watches its packets, engine {engine}"));
    }
    listener.until(PATIENCE, "both agents online", |heard| HOMES.iter().all(|home| heard.online(home)))?;
    Ok(Stage { trainer, agents, listener })
}

impl Stage {
    /// Plays each home's day, so much later than it was recorded, and waits for its samples.
    fn ordinary_day(&mut self, captures: &dyn Fn(&str) -> PathBuf, later: Nanos) -> anyhow::Result<()> {
        let mut last = Vec::new();
        for (agent, home) in self.agents.iter_mut().zip(HOMES) {
            let played = agent.feed.play(&captures(&format!("{home}-benign")), later)?;
            tell_fed(home, played);
            last.push(played.last);
        }
        self.sampled(&last)
    }

    /// Waits until the trainer has nearly all samples up to these times.
    fn sampled(&mut self, last: &[Timestamp]) -> anyhow::Result<()> {
        self.listener.until(PATIENCE, "samples of both homes", |heard| {
            let mut homes = HOMES.iter().zip(last);
            homes.all(|(home, last)| last.since(heard.sampled(home)) < UNSAMPLED)
        })
    }

    fn release(&mut self, version: u64) -> anyhow::Result<()> {
        self.trainer.retrain()?;
        self.listener.until(PATIENCE, &format!("release {version} on trial in both homes"), |heard| {
            HOMES.iter().all(|home| heard.reached(home, version, &UpdateStep::Trial))
        })
    }

    fn confirmed(&mut self, version: u64) -> anyhow::Result<()> {
        self.listener.until(PATIENCE, &format!("release {version} confirmed in both homes"), |heard| {
            HOMES.iter().all(|home| heard.reached(home, version, &UpdateStep::Confirmed))
        })
    }

    fn end(self) -> anyhow::Result<()> {
        for agent in self.agents {
            agent.end()?;
        }
        self.trainer.end()?;
        chapter("Done");
        Ok(())
    }
}

fn chapter(text: &str) {
    println!("\n\x1b[1m{text}\x1b[0m");
}

fn say(text: &str) {
    println!("  {text}");
}

fn tell_fed(home: &str, played: Played) {
    say(&format!("{home}: {} packets", played.packets));
}

/// Bails with what was waited for.
fn missed(what: &str, patience: Duration) -> anyhow::Result<()> {
    bail!("waited {} s in vain for: {what}", patience.as_secs())
}
