//! Roles in separate processes on one PostgreSQL store: collecting, web, and two that train and publish, of which one works.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_common::clock;
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_shared::messages::topics::{Kind, agent_topic};
use lapwing_shared::release::signature::KeyUse;
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
    /// Starts it and waits until it serves HTTP.
    fn start(folder: &Folder, instance: &str, broker: &Mosquitto, store: &str) -> Self {
        let file = folder.join(format!("{instance}.http"));
        let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-load"));
        program.args(["trainer", "serve", "--log", "warn", "--group", GROUP, "--instance", instance]);
        program.args(["--store", store, "--broker", &broker.url(), "--http", "127.0.0.1:0", "--http-address-file"]);
        program.arg(&file).arg("--key").arg(folder.join("key")).arg("--releases").arg(folder.join("releases"));
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

    fn holds_leases(&self) -> bool {
        let metrics = self.page("/metrics");
        ["train", "publish"].iter().all(|role| metrics.contains(&format!("lease_held{{role=\"{role}\"}} 1\n")))
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
    let start = |instance: &str, broker: &Mosquitto| Process::start(&folder, instance, broker, &store);
    let collect = start("collect-1", &broker);
    let mut trainers = [start("train-publish-1", &broker), start("train-publish-2", &broker)];
    let web = start("web-1", &broker);
    assert_eq!(trainers.iter().filter(|process| process.holds_leases()).count(), 1, "one works");
    let before = retained(&broker, "before", chunks as usize + 1);
    let first = usize::from(trainers[1].holds_leases());
    trainers[first].trainer.kill();
    until("no process took the leases", || trainers[1 - first].holds_leases());
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
