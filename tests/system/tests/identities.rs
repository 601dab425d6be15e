//! Trainer, mosquitto and agents as processes: an agent enrols with a token, reports with its certificate, and may use its
//! own topics only; a revoked one reports nothing.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_authority::{Authority, Subject};
use lapwing_common::clock;
use lapwing_shared::enrolment::{AgentKey, CertificateRequest, Token};
use lapwing_shared::messages::sealed::{SEAL_BYTES, SealKey};
use lapwing_shared::messages::{ACKNOWLEDGEMENT_BYTES, Acknowledgement, AlertState, Body, Message};
use lapwing_store::{AlertFilter, StoreHandle, testing};
use lapwing_system_tests::stage::gateway::journal;
use lapwing_system_tests::stage::operator::Operator;
use lapwing_system_tests::stage::releases::GROUP;
use lapwing_system_tests::stage::{PATIENCE, wait_for};
use std::fs;
use std::process::Command;

#[path = "identities/site.rs"]
mod site;

use site::{DAY_S, Site, start_trainer, text};

#[test]
fn an_enrolled_agent_reports_on_its_own_topics_until_it_is_revoked() {
    let Some(site) = Site::new("enrolled") else { return };
    let token = site.token(&["--name", "attic"]);
    assert!(token.len() <= 120, "{token}");
    let enrolled = site.enrolled("attic", &[&token]);
    assert!(enrolled.starts_with("attic: certificate valid until") && enrolled.contains(GROUP), "{enrolled}");
    let alerts = site.broker.alerts();
    let mut attic = site.start("attic", &[]);
    attic.until_logged("connected to the broker");
    attic.play();
    alerts.recv_timeout(PATIENCE).expect("an alert at the broker");
    wait_for("an alert in the store", site.folder.path(), || {
        site.trainer(&["agents"]).lines().find(|line| line.starts_with("attic "))?.contains("online").then_some(())
    });

    // Another agent's certificate does not admit attic's topics.
    site.enrolled("cellar", &[&site.token(&[]), "--name", "cellar"]);
    let mut foreign = site.start("cellar", &["--agent", "attic"]);
    foreign.until_logged("the certificate is for cellar");
    foreign.play();
    let refused = foreign.until_logged("refused by the broker");
    assert!(refused.contains("lapwing/v1/agent/attic/"), "{refused}");
    foreign.kill();

    // Without a certificate there is no connection.
    let url = format!("mqtts://localhost:{}", site.broker.tls);
    let stranger = site
        .start("stranger", &["--mqtt", &url, "--ca-file", &site.path("trusted.pem"), "--key", &site.path("test.pub")]);
    stranger.until_logged("no connection to the broker");
    stranger.kill();

    site.trainer(&["agents", "revoke", "attic"]);
    site.reload();
    attic.play();
    let refused = attic.until_logged("refused by the broker");
    assert!(refused.contains("lapwing/v1/agent/attic/"), "{refused}");
    let renewal = site.enroll("attic", &[]);
    assert!(text(&renewal.stderr).contains("this identity is revoked"), "{}", text(&renewal.stderr));
    attic.kill();
}

#[test]
fn an_agent_waits_for_its_acceptance_and_a_second_use_of_its_token_is_refused() {
    let Some(site) = Site::new("waiting") else { return };
    let token = site.token(&["--accept"]);
    let waiting = site.enroll("attic", &[&token, "--name", "attic"]);
    assert_eq!(waiting.status.code(), Some(3), "{}", text(&waiting.stderr));
    let waiting = text(&waiting.stdout);
    let fingerprint = waiting.split_whitespace().skip_while(|word| *word != "--fingerprint").nth(1).unwrap();
    assert!(waiting.starts_with("attic waits for an operator"), "{waiting}");
    let listed = site.trainer(&["agents", "identities", "--state", "waiting"]);
    assert!(listed.lines().any(|line| line.starts_with("attic ") && line.contains(fingerprint)), "{listed}");
    let second = site.enroll("cellar", &[&token, "--name", "cellar"]);
    assert!(text(&second.stderr).contains("the token has no uses left"), "{}", text(&second.stderr));
    site.trainer(&["agents", "accept", "attic", "--fingerprint", fingerprint]);
    assert!(site.enrolled("attic", &[]).starts_with("attic: certificate valid until"));
    assert!(site.enrolled("attic", &[]).starts_with("attic: certificate valid until"), "a renewal");
    let foreign = site.enroll("garage", &[&token.replace("lapwing1.", "lapwing1.A")]);
    assert!(text(&foreign.stderr).contains("token: "), "{}", text(&foreign.stderr));
}

#[test]
fn a_running_agent_with_a_token_enrols_and_reports_after_its_restart() {
    let Some(site) = Site::new("running") else { return };
    let config = site.path("agent.toml");
    fs::write(&config, format!("[mqtt]\ntoken = '{}'\n", site.token(&["--name", "attic"]))).unwrap();
    // Without a key: the enrolment brings it, although a release is configured.
    let options = ["--config", &config];
    let first = site.start("attic", &options);
    first.until_logged("enrolled; the agent restarts with its identity");
    first.until_logged("enrolled: start the agent again");
    let second = site.start("attic", &options);
    second.until_logged("connected to the broker");
    second.kill();
}

#[test]
fn an_enrolled_agent_renews_before_during_and_after_a_rotation() {
    let Some(mut site) = Site::new("rotation") else { return };
    site.enrolled("attic", &[&site.token(&[]), "--name", "attic"]);
    site.trainer(&["authority", "announce"]);
    site.restart_trainer();
    site.enrolled("attic", &[]);
    site.trainer(&["authority", "switch", "--early"]);
    site.restart_trainer();
    for _ in 0..2 {
        assert!(site.enrolled("attic", &[]).starts_with("attic: certificate valid until"));
    }
    // Whoever was not enrolled before needs a new token.
    site.enrolled("cellar", &[&site.token(&[]), "--name", "cellar"]);
    // A lost authority is not made again: agents would reject it.
    fs::remove_dir_all(site.folder.join("authority")).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-load"));
    let output = program.args(["trainer", "enroll", "--config", &site.path("trainer.toml")]).output().unwrap();
    assert!(!output.status.success() && text(&output.stderr).contains("authority"), "{}", text(&output.stderr));
    assert!(!site.folder.join("authority").exists());
}

#[test]
fn a_server_of_another_authority_gets_no_request() {
    let Some(site) = Site::new("authority") else { return };
    let token: Token = site.token(&[]).parse().unwrap();
    let other = Token::new([7; 32], token.id, token.secret, token.address()).unwrap();
    let output = site.enroll("attic", &[&other.text(), "--name", "attic"]);
    let error = text(&output.stderr);
    assert!(!output.status.success() && error.contains("is not the one that the token names"), "{error}");
    assert!(!site.trainer(&["agents", "identities"]).contains("attic"));
    site.enrolled("attic", &[&token.text(), "--name", "attic"]);
}

#[test]
fn a_broker_operator_who_forges_acknowledgements_and_alerts_changes_nothing() {
    const ALERT: &str = "lapwing/v1/agent/attic/alert";
    const ACK: &str = "lapwing/v1/agent/attic/ack";
    const FORGED_EPISODE: u64 = 4_242;
    let Some(mut site) = Site::new("operator") else { return };
    site.enrolled("attic", &[&site.token(&[]), "--name", "attic"]);
    site.process.kill();
    let operator = Operator::connect(site.broker.address());
    let mut attic = site.start("attic", &[]);
    attic.play();
    let genuine = operator.next_on(ALERT);
    let message = Message::decode(&genuine[SEAL_BYTES..]).unwrap();
    // As a trainer without seals would confirm them, with another agent's key, and in the agent's own words.
    let ack = Acknowledgement { run: message.run, up_to: u64::MAX, also: heapless::Vec::new() };
    let mut room = [0; ACKNOWLEDGEMENT_BYTES];
    let ack = ack.encode(&mut room).unwrap();
    let other = SealKey::from_bytes([7; 32]);
    for forged in [ack.to_vec(), [&other.seal(ACK, ack)[..], ack].concat(), genuine.clone()] {
        operator.publish(ACK, &forged);
    }
    attic.until_logged("acknowledgement rejected");
    let state = site.folder.join("attic");
    let is_kept = || journal(&state).contains(&(message.run, message.number)).then_some(());
    wait_for("the alert in the outbox", &state, is_kept);
    attic.kill();
    wait_for("the alert in the outbox", &state, is_kept);

    site.process = start_trainer(&site.folder, &site.broker, site.enrolment);
    let mut changed = genuine.clone();
    *changed.last_mut().unwrap() ^= 1;
    let forged = testing::bytes(&testing::alert(message.run, 90, FORGED_EPISODE, AlertState::Opened, (1000, 1010)));
    for payload in [&forged, &[&other.seal(ALERT, &forged)[..], &forged].concat(), &changed] {
        operator.publish(ALERT, payload);
    }
    // The agent starts again, and sends what the trainer has not confirmed. The trainer reads it after the forged messages.
    let is_emptied = (0..5).any(|_| {
        let attic = site.start("attic", &[]);
        attic.until_logged("connected to the broker");
        // It waits 5 s for acknowledgements, which a busy machine may exceed.
        attic.end();
        journal(&state).is_empty()
    });
    assert!(is_emptied, "sealed acknowledgements empty the outbox");
    let stored = StoreHandle::open(site.folder.join("store.sqlite"))
        .unwrap()
        .alerts(&AlertFilter { limit: 100, ..AlertFilter::default() })
        .unwrap();
    let episodes: Vec<u64> = stored.iter().map(|episode| episode.number).collect();
    let Body::Alert(alert) = message.body else { panic!() };
    assert!(episodes.contains(&alert.episode) && !episodes.contains(&FORGED_EPISODE), "{episodes:?}");
}

#[test]
fn a_running_agent_renews_over_mqtt_and_uses_its_new_certificate_at_once() {
    let Some(mut site) = Site::new("renewal") else { return };
    site.set("lifetime", "'1d'");
    site.enrolled("attic", &[&site.token(&[]), "--name", "attic"]);
    site.change("attic", |identity| identity.4.issued_s -= 100 * DAY_S);
    site.set("lifetime", "'365d'");
    let alerts = site.broker.alerts();
    let mut attic = site.start("attic", &[]);
    attic.until_logged("asking for the next certificate");
    attic.until_logged("connecting with the new certificate");
    attic.until_logged("connected to the broker");
    wait_for("a confirmed certificate", site.folder.path(), || {
        let (.., enrolled, previous) = site.identity("attic");
        (enrolled.until_s > clock::now_s() + 300 * DAY_S && previous.is_none()).then_some(())
    });
    attic.play();
    alerts.recv_timeout(PATIENCE).expect("an alert with the new certificate");
    // A renewal by hand beside the running agent.
    site.enrolled("attic", &[]);
    attic.until_logged("connecting with the new certificate");
    attic.until_logged("connected to the broker");
    attic.kill();
}

#[test]
fn a_running_agent_renews_at_the_port_when_the_broker_says_that_its_certificate_has_expired() {
    let Some(site) = Site::new("expired") else { return };
    site.enrolled("attic", &[&site.token(&[]), "--name", "attic"]);
    let authority = Authority::open(&site.folder.join("authority"), None).unwrap();
    let now_s = clock::now_s();
    site.change("attic", |(name, seed, .., enrolled, _)| {
        let request = CertificateRequest::parse(&AgentKey::from_seed(seed).request(name)).unwrap();
        let subject = Subject { name: name.clone(), id: 1, issue: 1, now_s: now_s - 2 * DAY_S, until_s: now_s - 60 };
        let expired = authority.issue(&request, &subject).unwrap();
        enrolled.certificate = expired.as_ref().try_into().unwrap();
    });
    let attic = site.start("attic", &[]);
    attic.until_logged("no connection to the broker");
    attic.until_logged("connected to the broker");
    attic.kill();
}

#[test]
fn an_agent_whose_new_certificate_is_rejected_connects_with_the_last_one() {
    let Some(site) = Site::new("fallback") else { return };
    site.enrolled("attic", &[&site.token(&[]), "--name", "attic"]);
    site.change("attic", |(.., enrolled, previous)| {
        *previous = Some(Box::new(enrolled.clone()));
        // In the signature of the authority.
        *enrolled.certificate.last_mut().unwrap() ^= 1;
    });
    let attic = site.start("attic", &[]);
    attic.until_logged("no connection to the broker");
    attic.until_logged("connected to the broker");
    assert!(site.identity("attic").5.is_some(), "the broker did not accept the newest");
    attic.kill();
}

#[test]
fn serve_keeps_the_access_list_and_reloads_the_broker_when_an_agent_is_revoked() {
    let Some(mut site) = Site::new("list") else { return };
    let (list, process) = (site.path("acl"), site.broker.process());
    site.set("access-list", &format!("'{list}'"));
    let reloads = site.path("reloads");
    site.set("reload", &format!("['sh', '-c', 'kill -HUP {process} && echo x >> {reloads}']"));
    site.enrolled("attic", &[&site.token(&[]), "--name", "attic"]);
    let alerts = site.broker.alerts();
    let mut attic = site.start("attic", &[]);
    attic.until_logged("connected to the broker");
    attic.play();
    alerts.recv_timeout(PATIENCE).expect("an alert at the broker");
    site.trainer(&["agents", "revoke", "attic"]);
    wait_for("a second reload", site.folder.path(), || {
        (fs::read_to_string(&reloads).unwrap_or_default().lines().count() == 2).then_some(())
    });
    assert!(fs::read_to_string(&list).unwrap().starts_with("user attic\ntopic deny #"));
    attic.play();
    let refused = attic.until_logged("refused by the broker");
    assert!(refused.contains("lapwing/v1/agent/attic/"), "{refused}");
    attic.kill();
}
