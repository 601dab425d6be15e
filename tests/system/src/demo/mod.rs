//! The demo's story: [`parties`] starts processes, [`feed`] sends them packets, [`listen`] receives their messages.

mod classes;
mod console;
pub mod feed;
pub mod listen;
mod log;
pub mod parties;

use anyhow::Context;
use console::{chapter, say};
use feed::Played;
use lapwing_shared::messages::UpdateStep;
use lapwing_shared::units::{Nanos, Timestamp};
use listen::{Listener, Reports};
use parties::{Agent, Trainer};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Options of the demo.
pub struct Plan {
    /// Keep everything running at the end.
    pub serve: bool,
    /// Folder of the captures.
    pub captures: PathBuf,
    /// Folder for the demo's files. Default: a temporary one.
    pub keep: Option<PathBuf>,
}

/// Longest wait for a single event.
const PATIENCE: Duration = Duration::from_secs(300);
const DAY: Nanos = Nanos::from_secs(86_400);
const HOMES: [&str; 2] = ["home-a", "home-b"];
/// Samples are sent with later packets, so those of the last interval are still missing after a capture.
const UNSAMPLED: Nanos = Nanos::from_secs(900);

struct Stage {
    trainer: Trainer,
    agents: Vec<Agent>,
    listener: Listener,
}

/// Runs the demo.
///
/// # Errors
/// The first step that failed.
pub fn run(plan: &Plan) -> anyhow::Result<()> {
    let folder = match &plan.keep {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("lapwing-demo-{}", std::process::id())),
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let outcome = play(plan, &folder);
    if plan.keep.is_none() {
        // A leftover temporary folder is not worth failing for.
        let _ = std::fs::remove_dir_all(&folder);
    }
    outcome
}

fn play(plan: &Plan, folder: &Path) -> anyhow::Result<()> {
    let captures = |name: &str| plan.captures.join(format!("{name}.pcap.gz"));
    chapter("Start: a trainer with its broker, and two gateways without a model");
    let mut stage = set_up(folder)?;

    chapter("Learning: one day of benign traffic in each home");
    stage.benign_day(&captures, Nanos(0))?;
    for home in HOMES {
        say(&format!("{home} sent {} feature rows, no packet content", stage.listener.reports().rows(home)));
    }

    chapter("First release: train, quantize, sign, push");
    stage.release(1)?;
    say("trial: both homes continue with more benign traffic");
    say_played("home-a", stage.agents[0].feed.play(&captures("home-a-benign-2"), Nanos(0))?);
    say_played("home-b", stage.agents[1].feed.play(&captures("home-b-benign"), DAY)?);
    stage.confirmed(1)?;
    let false_alerts = stage.listener.reports().alerts();
    say(&format!("false alerts on that traffic: {false_alerts}"));

    chapter("Attack: recorded port scans, floods, brute force and a telnet worm in both homes");
    let mut last = Vec::new();
    for (agent, home) in stage.agents.iter_mut().zip(HOMES) {
        let played = agent.feed.play(&captures(&format!("{home}-attacks")), Nanos(0))?;
        say_played(home, played);
        last.push(played.last);
    }
    stage.sampled(&last)?;
    stage
        .listener
        .until(PATIENCE, "alerts of both homes", |reports| HOMES.iter().all(|home| reports.alerts_of(home) >= 3))?;

    chapter("Classification: by a model trained on home-a's recordings; it has not seen home-b's");
    classes::show(&stage.trainer, &HOMES)?;

    chapter("Retraining with the new samples, without rows of hosts that raised alerts");
    stage.release(2)?;
    let alerts = stage.listener.reports().alerts();
    stage.benign_day(&captures, Nanos(7 * DAY.0))?;
    stage.confirmed(2)?;
    let again = stage.listener.reports().alerts() - alerts;
    say(&format!("false alerts on another day of benign traffic: {again}"));
    say(&format!("the attacks raised {} alerts; both homes run release 2", alerts - false_alerts));

    if plan.serve {
        chapter("Still running: press Ctrl-C to stop");
        say(&format!("dashboard: {}", stage.trainer.dashboard()));
        say(&format!("broker: {}", stage.trainer.url()));
        say(&format!("alerts: lapwing-trainer alerts --store {}", stage.trainer.store().display()));
        stage.trainer.wait()?;
    }
    stage.end()
}

fn set_up(folder: &Path) -> anyhow::Result<Stage> {
    let trainer = Trainer::start(folder, Path::new(classes::CLASSIFIER))?;
    say(&format!("trainer and broker at {}", trainer.url()));
    say(&format!("dashboard at {}", trainer.dashboard()));
    let mut listener = Listener::start(trainer.address())?;
    let mut agents = Vec::new();
    for (home, engine) in HOMES.into_iter().zip(["tract", "int8"]) {
        agents.push(Agent::start(folder, home, engine, &trainer)?);
        say(&format!("{home}: agent started, engine {engine}"));
    }
    listener.until(PATIENCE, "both agents online", |reports| HOMES.iter().all(|home| reports.online(home)))?;
    Ok(Stage { trainer, agents, listener })
}

impl Stage {
    /// Plays a benign day of each home with its times moved by `later`, and waits for the samples.
    fn benign_day(&mut self, captures: &dyn Fn(&str) -> PathBuf, later: Nanos) -> anyhow::Result<()> {
        let mut last = Vec::new();
        for (agent, home) in self.agents.iter_mut().zip(HOMES) {
            let played = agent.feed.play(&captures(&format!("{home}-benign")), later)?;
            say_played(home, played);
            last.push(played.last);
        }
        self.sampled(&last)
    }

    /// Waits until the trainer has the samples up to these times, but for the last [`UNSAMPLED`].
    fn sampled(&mut self, last: &[Timestamp]) -> anyhow::Result<()> {
        self.listener.until(PATIENCE, "samples of both homes", |reports| {
            let mut homes = HOMES.iter().zip(last);
            homes.all(|(home, last)| last.since(reports.sampled(home)) < UNSAMPLED)
        })
    }

    fn release(&mut self, version: u64) -> anyhow::Result<()> {
        self.trainer.retrain()?;
        let (trainer, what) = (&self.trainer, format!("release {version} on trial in both homes"));
        let on_trial = |reports: &Reports| HOMES.iter().all(|home| reports.reached(home, version, &UpdateStep::Trial));
        self.listener.until(PATIENCE, &what, |reports| on_trial(reports) || trainer.holds_a_release())?;
        if trainer.holds_a_release() {
            say(&format!("the gate wants an operator to look at release {version} first; the demo approves it"));
            trainer.approve(version)?;
            self.listener.until(PATIENCE, &what, on_trial)?;
        }
        Ok(())
    }

    fn confirmed(&mut self, version: u64) -> anyhow::Result<()> {
        self.listener.until(PATIENCE, &format!("release {version} confirmed in both homes"), |reports| {
            HOMES.iter().all(|home| reports.reached(home, version, &UpdateStep::Confirmed))
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

fn say_played(home: &str, played: Played) {
    say(&format!("{home}: {} packets", played.packets));
}
