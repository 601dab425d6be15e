//! One gateway: its folders and configuration, and a broker at which the test acts as trainer.

use super::gateway::Gateway;
use super::releases::Releases;
use super::station::Station;
use super::{Folder, path_text};
use lapwing_shared::messages::UpdateStep;
use lapwing_shared::release::testing::trusted;
use lapwing_shared::rollout::assignment::Assignment;
use lapwing_shared::rollout::message::Rollout;
use lapwing_shared::rollout::testing::{signed_assignment, signed_rollout};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Seed of the rollout key.
const SEED: u8 = 5;

/// Broker, releases and folders of one gateway, which trusts the key of the releases and the rollout key.
pub struct Site {
    /// Its files.
    pub folder: Folder,
    /// Makes releases that it accepts.
    pub releases: Releases,
    /// The broker.
    pub station: Station,
    /// Path of `lapwing-demo`, whose subcommand `agent` is the agent.
    program: &'static str,
}

impl Site {
    /// A site whose first `unacknowledged` alerts are not acknowledged.
    pub fn new(name: &str, unacknowledged: usize, program: &'static str) -> Self {
        let folder = Folder::new(name);
        let releases = Releases::new(1);
        releases.write_public(&folder.join("test.pub"));
        let key = trusted("r1", SEED).iter().map(|key| format!("{key}\n")).collect::<String>();
        fs::write(folder.join("rollout.pub"), key).unwrap();
        let path = |name: &str| path_text(&folder, name);
        let text = format!(
            "[update]\nstate-dir = '{}'\nkeys = ['{}']\nrollout-keys = ['{}']\n[status]\nsocket = '{}'\n",
            path("state"),
            path("test.pub"),
            path("rollout.pub"),
            path("agent.sock")
        );
        fs::write(folder.join("agent.toml"), text).unwrap();
        Self { folder, releases, station: Station::start(unacknowledged), program }
    }

    /// A path in the agent's state folder.
    pub fn state(&self, path: &str) -> PathBuf {
        self.folder.join("state").join(path)
    }

    /// Its configuration file.
    pub fn config(&self) -> String {
        path_text(&self.folder, "agent.toml")
    }

    /// The agent, without a subcommand of its own.
    pub fn program(&self) -> Command {
        let mut program = Command::new(self.program);
        program.arg("agent");
        program
    }

    /// Starts the agent with the site's broker.
    pub fn start(&self) -> Gateway {
        self.start_at(&self.station.url())
    }

    /// Starts the agent with another broker.
    pub fn start_at(&self, url: &str) -> Gateway {
        Gateway::start(self.program(), &["--agent", "gw", "--mqtt", url, "--config", &self.config()])
    }

    /// Publishes a rollout.
    pub fn roll_out(&mut self, rollout: &Rollout) {
        self.station.roll_out(rollout, signed_rollout(rollout, SEED));
    }

    /// Publishes an assignment.
    pub fn assign(&mut self, assignment: &Assignment) {
        self.station.assign(&assignment.agent, signed_assignment(assignment, SEED));
    }

    /// Feeds the agent until a release on trial is confirmed.
    pub fn until_confirmed(&mut self, gateway: &mut Gateway, version: u64) {
        self.station.until_step(version, &UpdateStep::Trial);
        gateway.play();
        gateway.play();
        self.station.until_step(version, &UpdateStep::Confirmed);
    }

    /// A gateway that has confirmed release 1 without a rollout; and its run.
    pub fn confirmed(&mut self) -> (Gateway, u64) {
        let mut gateway = self.start();
        let (.., run) = self.station.until_online(0);
        let release = self.releases.release(1);
        self.station.offer(&release, 0);
        self.until_confirmed(&mut gateway, 1);
        (gateway, run)
    }
}
