//! Roles in separate processes on one PostgreSQL store: collecting, web, and two that train and publish, of which one works.
//! A campaign continues when that one is killed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_common::clock;
use lapwing_fleet::campaign::CampaignState::{Aborted, Aborting};
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_shared::messages::topics::{Kind, agent_topic};
use lapwing_shared::release::signature::KeyUse;
use lapwing_system_tests::stage::fleet::{Fleet, Programs};
use lapwing_system_tests::stage::listener::{Listener, name, retained};
use lapwing_system_tests::stage::mosquitto::{Mosquitto, mosquitto};
use lapwing_system_tests::stage::postgres::Postgres;
use lapwing_system_tests::stage::releases::{GROUP, Releases};
use lapwing_system_tests::stage::trainer::Trainer;
use lapwing_system_tests::stage::{Folder, PATIENCE, wait_for};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

/// A process of the trainer.
struct Process {
    trainer: Trainer,
    http: SocketAddr,
}

impl Process {
    /// `lapwing-trainer serve` with the options that every process of the first test has.
    fn program(folder: &Folder, broker: &Mosquitto, store: &str) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-load"));
        program.args(["trainer", "serve", "--log", "warn", "--group", GROUP, "--store", store]);
        program.args(["--broker", &broker.url()]).arg("--key").arg(folder.join("key"));
        program.arg("--releases").arg(folder.join("releases"));
        program
    }

    /// Starts a program as this instance and waits until it serves HTTP.
    fn start(folder: &Folder, instance: &str, mut program: Command) -> Self {
        let file = folder.join(format!("{instance}.http"));
        let _ = std::fs::remove_file(&file);
        program.args(["--instance", instance, "--http", "127.0.0.1:0", "--http-address-file"]).arg(&file);
        let mut trainer = Trainer::start(&mut program);
        let http = wait_for(instance, folder.path(), || {
            trainer.assert_running();
            std::fs::read_to_string(&file).ok()?.trim().parse().ok()
        });
        Self { trainer, http }
    }

    fn page(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.http).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    fn holds(&self, roles: &[&str]) -> bool {
        let metrics = self.page("/metrics");
        roles.iter().all(|role| metrics.contains(&format!("lease_held{{role=\"{role}\"}} 1\n")))
    }
}

/// Waits until a condition holds.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = clock::after(PATIENCE);
    while !condition() {
        assert!(clock::monotonic() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn another_process_publishes_when_the_one_with_the_lease_is_killed_and_collecting_goes_on() {
    let folder = Folder::new("roles");
    let Some(server) = Postgres::start(folder.path()) else {
        return lapwing_skips::skip("PostgreSQL is not installed");
    };
    if mosquitto().is_none() {
        return lapwing_skips::skip("mosquitto is not installed");
    }
    let mut broker = Mosquitto::start(folder.path(), "allow_anonymous true\npersistence false\n", None);
    std::fs::create_dir(folder.join("releases")).unwrap();
    let release = Releases::new(1).release(5);
    std::fs::write(folder.join(format!("releases/{GROUP}-5.lwr")), &release.file).unwrap();
    let chunks: u32 = release.manifest.artifacts.iter().map(|artifact| artifact.chunks()).sum();
    ReleaseKey::generate("test").unwrap().save(&folder.join("key"), &folder.join("pub"), KeyUse::Any, None).unwrap();
    let store = server.url();
    let start = |instance: &str, broker: &Mosquitto| {
        Process::start(&folder, instance, Process::program(&folder, broker, &store))
    };
    let collect = start("collect-1", &broker);
    let mut trainers = [start("train-publish-1", &broker), start("train-publish-2", &broker)];
    let web = start("web-1", &broker);
    assert_eq!(trainers.iter().filter(|process| process.holds(&["train", "publish"])).count(), 1, "one works");
    let before = retained(&broker, "before", chunks as usize + 1);
    let first = usize::from(trainers[1].holds(&["train", "publish"]));
    trainers[first].trainer.kill();
    until("no process took the leases", || trainers[1 - first].holds(&["train", "publish"]));
    broker.restart();
    assert_eq!(retained(&broker, "after", chunks as usize + 1), before, "the other one refills the broker");
    let agent = Listener::new(&broker, "gw", &[agent_topic(&name("gw"), Kind::Ack).as_str()]);
    let mut number = 0;
    until("no message was acknowledged", || {
        number += 1;
        agent.send_update("gw", number);
        agent.received.recv_timeout(std::time::Duration::from_millis(200)).is_ok()
    });
    assert!(web.page("/api/v1/agents").contains("\"gw\""), "another process shows what one stored");
    assert!(collect.page("/metrics").contains("lapwing_trainer_role{role=\"collect\"} 1\n"));
    assert!(!collect.page("/metrics").contains("lease_held"));
}

/// Smallest group whose plan has all its waves.
const AGENTS: usize = 20;
/// The first two waves are decided by the installation; the last one, which needs days of traffic, is ended by its operator.
const PLAN: &str = "spread-s = 0
control-percent = 0.0
[[waves]]
percent = 0.0
agents = 2
confirmed-percent = 100
soak-hours = 0
gates = \"install\"
[[waves]]
percent = 50.0
confirmed-percent = 100
soak-hours = 0
gates = \"install\"
[[waves]]
percent = 100.0
";

/// The process with the lease of the role publish; never two have it.
fn leader(publishers: &[Option<Process>; 2]) -> Option<usize> {
    let held = publishers.each_ref().map(|process| process.as_ref().is_some_and(|process| process.holds(&["publish"])));
    assert_ne!(held, [true; 2], "two processes hold the lease");
    held.iter().position(|is_held| *is_held)
}

/// Kills the process with the lease while the other one waits, which then has it.
fn kill_leader(publishers: &mut [Option<Process>; 2]) -> usize {
    let first = leader(publishers).unwrap();
    publishers[first].take().unwrap().trainer.kill();
    until("no process took the lease", || leader(publishers) == Some(1 - first));
    first
}

#[test]
fn a_campaign_goes_on_in_another_process_when_the_one_with_the_lease_is_killed() {
    let database = Folder::new("pg");
    let Some(server) = Postgres::start(database.path()) else {
        return lapwing_skips::skip("PostgreSQL is not installed");
    };
    if mosquitto().is_none() {
        return lapwing_skips::skip("mosquitto is not installed");
    }
    let programs = Programs { load: env!("CARGO_BIN_EXE_lapwing-load"), demo: env!("CARGO_BIN_EXE_lapwing-demo") };
    let mut fleet = Fleet::start("campaign", programs, AGENTS, PLAN, &server.url());
    let start = |fleet: &Fleet, instance: &str| {
        Process::start(&fleet.folder, instance, fleet.trainer(&["serve", "--log", "warn"]))
    };
    fleet.add(&fleet.releases.quiet(1));
    let _collect = start(&fleet, "collect-1");
    let mut publishers = [1, 2].map(|number| Some(start(&fleet, &format!("publish-{number}"))));
    fleet.until("release 1 on every agent", |fleet| fleet.with_packets(1, 0) == AGENTS);
    fleet.add(&fleet.releases.quiet(2));
    fleet.until("a trial", |fleet| leader(&publishers).is_some() && !fleet.at_step(2, "trial").is_empty());
    let killed = kill_leader(&mut publishers);
    fleet.until("the second wave", |fleet| {
        leader(&publishers).is_some() && fleet.campaign().unwrap().wave.is_some_and(|(number, _)| number >= 1)
    });
    // It returns, and waits.
    publishers[killed] = Some(start(&fleet, &format!("publish-{}", killed + 1)));
    fleet.until("the last wave", |fleet| {
        leader(&publishers) == Some(1 - killed) && fleet.campaign().unwrap().wave.is_some_and(|(number, _)| number == 2)
    });
    fleet.until("release 2 on every agent", |fleet| fleet.on(2) == AGENTS);
    fleet.rollout(&["abort", "--withdraw", "--who", "ann"]);
    assert!(fleet.is_in(2, Aborting), "{:?}", fleet.campaign());
    kill_leader(&mut publishers);
    fleet.until("the end of the campaign", |fleet| leader(&publishers) == Some(killed) && fleet.is_in(2, Aborted));
    fleet.until("every agent back on release 1", |fleet| fleet.on(1) == AGENTS);
    assert_eq!((fleet.serials(), fleet.stored_serial()), (vec![1, 2, 3, 4, 5], 5), "one rollout for each change");
    assert!(fleet.newest().is_withdrawn(2));
}
