//! The agent with a real broker (mosquitto) that refuses messages or subscriptions, accepts only small packets, or has two
//! agents of one name.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_system_tests::stage::gateway::{Gateway, journal};
use lapwing_system_tests::stage::mosquitto::{Mosquitto, mosquitto};
use lapwing_system_tests::stage::releases::Releases;
use lapwing_system_tests::stage::{Folder, PATIENCE, wait_for};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// The plugin that can refuse subscriptions; mosquitto's access lists cannot.
const DYNAMIC_SECURITY: &str = "/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so";

/// A release that raises alerts, its key, and state folders.
struct Site(Folder);

impl Site {
    fn new(name: &str) -> Option<Self> {
        if mosquitto().is_none() {
            lapwing_skips::skip("no mosquitto (Debian package mosquitto)");
            return None;
        }
        let folder = Folder::new(name);
        let releases = Releases::new(1);
        releases.write_public(&folder.join("test.pub"));
        fs::write(folder.join("1.lwr"), releases.release(1).file).unwrap();
        Some(Self(folder))
    }

    fn broker(&self, lines: &str) -> Mosquitto {
        Mosquitto::start(self.0.path(), &format!("allow_anonymous true\n{lines}"), None)
    }

    /// An agent with the name `gw`.
    fn agent(&self, broker: &Mosquitto, state: &str, more: &[&str]) -> Gateway {
        let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-demo"));
        program.arg("agent");
        let path = |name: &str| self.0.join(name).to_str().unwrap().to_owned();
        let (release, key, state) = (path("1.lwr"), path("test.pub"), path(state));
        let url = format!("mqtt://127.0.0.1:{}", broker.plain);
        let files = ["--release", &release, "--key", &key, "--state-dir", &state, "--status-socket", ""];
        Gateway::start(program, &[&files, &["--agent", "gw", "--mqtt", &url][..], more].concat())
    }
}

#[test]
fn alerts_that_the_broker_refuses_wait_and_the_log_names_the_refusal() {
    let Some(site) = Site::new("puback") else { return };
    let access = site.0.join("access");
    fs::write(&access, "topic read #\n").unwrap();
    fs::set_permissions(&access, fs::Permissions::from_mode(0o700)).unwrap();
    let broker = site.broker(&format!("acl_file {}\n", access.display()));
    let mut agent = site.agent(&broker, "state", &["--delivery", "broker"]);
    agent.play();
    agent.until_logged("messages on lapwing/v1/agent/gw/alert (not authorized, 0x87)");
    let state = site.0.join("state");
    let waiting = wait_for("alerts in the journal", &state, || Some(journal(&state)).filter(|ids| !ids.is_empty()));
    agent.end();
    assert!(waiting.is_subset(&journal(&state)), "{waiting:?}");
}

#[test]
fn refused_subscriptions_are_in_the_log() {
    let Some(site) = Site::new("suback") else { return };
    if !Path::new(DYNAMIC_SECURITY).exists() {
        return lapwing_skips::skip("no mosquitto_dynamic_security.so");
    }
    let access = site.0.join("access.json");
    let rules = r#"{"defaultACLAccess":{"publishClientSend":true,"publishClientReceive":true,"subscribe":false,
        "unsubscribe":true},"clients":[],"roles":[],"groups":[{"groupname":"anonymous","roles":[]}],
        "anonymousGroup":"anonymous"}"#;
    fs::write(&access, rules).unwrap();
    let broker = site.broker(&format!("plugin {DYNAMIC_SECURITY}\nplugin_opt_config_file {}\n", access.display()));
    let agent = site.agent(&broker, "state", &[]);
    agent.until_logged("the subscription to lapwing/v1/agent/gw/ack (not authorized, 0x87)");
    agent.until_logged("the subscription to lapwing/v1/group/home/release (not authorized, 0x87)");
    agent.end();
}

#[test]
fn with_a_packet_limit_every_alert_arrives_over_one_connection() {
    let Some(site) = Site::new("size") else { return };
    let broker = site.broker("max_packet_size 2048\n");
    let alerts = broker.alerts();
    let samples = ["--delivery", "broker", "--sample-rows", "64", "--sample-interval", "10s"];
    let mut agent = site.agent(&broker, "state", &samples);
    agent.play();
    agent.until_logged("connected to the broker");
    alerts.recv_timeout(PATIENCE).unwrap();
    let rest = agent.end();
    assert!(!rest.iter().any(|line| line.contains("no connection to the broker")), "{rest:#?}");
    assert_eq!(journal(&site.0.join("state")).len(), 0, "alerts that were not delivered");
    assert_eq!(broker.logged("New client connected"), 2, "this test and the agent");
}

#[test]
fn an_agent_whose_name_another_agent_uses_names_the_cause() {
    let Some(site) = Site::new("name") else { return };
    let broker = site.broker("");
    let agents = ["a", "b"].map(|state| site.agent(&broker, state, &[]));
    agents[0].until_logged("set mqtt.agent to a different name on each gateway");
    agents.into_iter().for_each(|agent| drop(agent.end()));
}
