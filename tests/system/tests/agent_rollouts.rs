//! A real agent in campaigns: it installs what the rollout names, stops for `lapwing-agent update hold`, and goes back to the
//! release in its spare slot, also if it is killed (SIGKILL) in between and restarts without a broker. What it is assigned is in
//! force at once.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_shared::messages::{Body, UpdateStep};
use lapwing_shared::rollout::assignment::Assignment;
use lapwing_shared::rollout::message::{Next, PLACES, Rollout};
use lapwing_shared::rollout::testing::{assignment, rollout};
use lapwing_system_tests::stage::gateway::Gateway;
use lapwing_system_tests::stage::site::Site;
use lapwing_system_tests::stage::{wait_for, wait_for_file};
use std::fs;

/// No broker listens there.
const NO_BROKER: &str = "mqtt://127.0.0.1:1";

fn site(name: &str) -> Site {
    Site::new(name, 0, env!("CARGO_BIN_EXE_lapwing-demo"))
}

/// The answer of a command to the running agent.
fn update(site: &Site, words: &[&str]) -> String {
    let output = site.program().arg("update").args(words).args(["--config", &site.config()]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// An agent that confirmed release 1 before there were rollouts, and release 2 in a campaign; and its run.
fn in_campaign(site: &mut Site) -> (Gateway, u64) {
    let (mut gateway, run) = site.confirmed();
    let release = site.releases.release(2);
    site.station.offer_version(&release);
    site.roll_out(&campaign(1));
    site.until_confirmed(&mut gateway, 2);
    (gateway, run)
}

/// Version 2 for every agent at once, on base 1.
fn campaign(serial: u64) -> Rollout {
    let next = Some(Next { version: 2, salt: [7; 8], reach: [PLACES; 3] });
    Rollout { next, spread_s: 0, expires_s: u64::from(u32::MAX), ..rollout(serial, 1) }
}

/// Version 2 is withdrawn.
fn withdrawal(serial: u64) -> Rollout {
    let mut withdrawn = Rollout { next: None, ..campaign(serial) };
    withdrawn.withdraw(2);
    withdrawn
}

#[test]
fn an_agent_installs_holds_and_goes_back() {
    let mut site = site("rollout");
    let (gateway, _) = in_campaign(&mut site);
    assert!(update(&site, &["status"]).contains("base 1, next 2; up to date"), "{}", update(&site, &["status"]));
    assert!(update(&site, &["channel", "late"]).starts_with("channel late; "));
    assert!(update(&site, &["hold"]).starts_with("channel late, held; "));
    let held = site.station.until("held", |message| matches!(&message.body, Body::Health(h) if h.release.is_held));
    let Body::Health(health) = held.body else { panic!() };
    let release = health.release;
    assert_eq!((release.version, release.serial, release.starts), (2, 1, 1));
    assert!(release.rss_kib > 1_000 && release.rows > 0 && release.rows >= release.anomalous, "{release:?}");
    assert_eq!(release.surprise.iter().map(|count| u64::from(*count)).sum::<u64>(), release.rows);
    // A hold does not keep a withdrawn release.
    site.roll_out(&withdrawal(2));
    site.station.until_step(1, &UpdateStep::Confirmed);
    assert!(update(&site, &["release"]).contains("rollout 2 of group home: base 1; up to date"));
    gateway.end();
}

#[test]
fn killed_while_going_back_it_restarts_without_a_broker_with_the_release_before() {
    let mut site = site("rollout-killed");
    let (gateway, run) = in_campaign(&mut site);
    // A folder in the place of the next state: the agent cannot write it.
    fs::create_dir(site.state("state.new")).unwrap();
    site.roll_out(&withdrawal(2));
    gateway.until_logged("cannot write");
    wait_for_file(&site.state("rollout-home"));
    gateway.kill();
    fs::remove_dir(site.state("state.new")).unwrap();
    let gateway = site.start_at(NO_BROKER);
    wait_for("release 1 in use", &site.state(""), || {
        let output = site.program().args(["status", "--json", "--config", &site.config()]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (text.contains("\"release\":1,") && text.contains("\"serial\":2,")).then_some(())
    });
    gateway.kill();
    let gateway = site.start();
    assert_eq!(site.station.until_online(run).0, 1);
    gateway.end();
}

#[test]
fn an_assignment_is_in_force_at_once_and_after_a_restart_without_a_broker() {
    let mut site = site("assigned");
    let gateway = site.start();
    site.station.until_online(0);
    let agent = "gw".try_into().unwrap();
    let assigned = Assignment { agent, hold: true, alerts_per_1000_days: Some(250), ..assignment(3) };
    site.assign(&assigned);
    let in_force = |message: &lapwing_shared::messages::Message| matches!(&message.body, Body::Health(h) if h.device.assignment == 3);
    let Body::Health(health) = site.station.until("health with the assignment", in_force).body else { panic!() };
    assert_eq!((health.device.alerts_per_1000_days, health.release.is_held), (250, true));
    assert!(health.device.target.contains("linux"), "{}", health.device.target);
    assert!(update(&site, &["status"]).starts_with("channel normal, held, assignment 3"));
    gateway.end();
    let gateway = site.start_at(NO_BROKER);
    wait_for("the stored assignment", &site.state(""), || {
        let output = site.program().args(["status", "--json", "--config", &site.config()]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (text.contains("\"assignment\":3,") && text.contains("\"alerts_per_day\":0.25,")).then_some(())
    });
    gateway.end();
}
