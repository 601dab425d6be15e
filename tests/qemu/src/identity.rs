//! An image with a batch token: the gateway enrols at its first start, waits for its acceptance over a power cut, reports
//! with its certificate, renews it, and is revoked. The broker is the trainer's own, with TLS.
//!
//! A renewal over MQTT is answered after half of the certificate's life by the trainer's clock, so this one uses the
//! enrolment port; the system tests have the other.

use crate::gateway::{Gateway, number};
use crate::machine::Machine;
use crate::mosquitto::{HOST, free_port};
use crate::setup::{PACKAGED, PATIENCE, Plan, Setup, heading, install, say};
use crate::trainer::{self, Trainer};
use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};

/// Uses of the token.
const USES: &str = "20";
/// Life of a certificate, days.
const LIFETIME_DAYS: u64 = 90;
/// Queries of the trainer's list after which a wait fails.
const POLLS: u32 = 240;

pub(crate) fn run(plan: &Plan) -> anyhow::Result<()> {
    let ports = [free_port()?, free_port()?];
    let folder = plan.folder.join("site");
    let config = configure(plan, &folder, ports)?;
    let process = Trainer::start_with(&plan.trainer, &folder, &config)?;
    let site = Site { program: plan.trainer.clone(), config };
    trainer::until_accepts(ports[0])?;
    let token = site.token()?;
    let mut setup = Setup::new(plan, |key, memory, files| {
        install(plan, key, memory, files)?;
        put_into_image(&token, files)
    })?;
    setup.trainer = process;
    setup.config.set("SOURCE", "wire");
    setup.config.set("ENROLS", "yes");

    heading("A gateway with a batch token in its image enrols, and waits for an operator");
    let machine = boot(&setup)?;
    let waiting = site.identity("waiting")?;
    say(&format!("{} waits, key {}", waiting.name, waiting.fingerprint));

    heading("After a power cut it waits with the same key");
    machine.cut_power()?;
    let machine = boot(&setup)?;
    let again = site.identity("waiting")?;
    ensure!(again.fingerprint == waiting.fingerprint, "another key: {again:?}, expected {waiting:?}");
    site.run(&["agents", "accept", &waiting.name, "--fingerprint", &waiting.fingerprint])?;
    let mut gateway = Gateway::new(&mut setup, machine, PACKAGED);
    gateway.connected()?;
    gateway.reports()?;

    heading("After a power cut it needs no token, and reports with its certificate");
    gateway.machine.cut_power()?;
    let machine = boot(gateway.setup)?;
    let mut gateway = Gateway::new(&mut setup, machine, PACKAGED);
    gateway.connected()?;
    gateway.reports()?;
    let uses = site.run(&["enroll", "--list"])?;
    ensure!(uses.contains("; used 1 times;"), "expected one use of the token: {uses}");

    heading("It renews its certificate, and the running agent uses the new one");
    let (until, before) = (site.identity("accepted")?.until, gateway.status("an uptime", |_| true)?);
    let renewed =
        gateway.machine.expand("$(lapwing-agent enroll --identity-dir /state/lapwing | head -n 1)", PATIENCE)?;
    say(&renewed);
    ensure!(renewed.contains("certificate valid until"), "{renewed}");
    site.until("a later end of the certificate", |identity| identity.until != until)?;
    gateway.machine.until_any("connecting with the new certificate", PATIENCE)?;
    gateway.connected()?;
    gateway.reports()?;
    let after = gateway.status("an uptime", |_| true)?;
    ensure!(number(&after, "uptime_s")? >= number(&before, "uptime_s")?, "the agent started again: {after}");

    heading("A revoked gateway is refused at broker and enrolment port, and detects");
    site.run(&["agents", "revoke", &waiting.name])?;
    gateway.status("a refused connection", |status| status["connection"] != "connected")?;
    let (scanner, status) = gateway.detect_scan_offline()?;
    say(&format!("status: {}; alert about {scanner} in the status", status["connection"]));
    let refused =
        gateway.machine.expand("$(lapwing-agent enroll --identity-dir /state/lapwing 2>&1 | tail -n 1)", PATIENCE)?;
    ensure!(refused.contains("this identity is revoked"), "{refused}");
    gateway.check_not_stored(scanner)?;
    gateway.machine.cut_power()
}

fn boot(setup: &Setup) -> anyhow::Result<Machine> {
    let mut machine = Machine::start(&setup.config)?;
    machine.until("guest: agent starts at", PATIENCE)?;
    Ok(machine)
}

/// Writes the trainer's key and configuration: an enrolment port and a broker with TLS.
fn configure(plan: &Plan, folder: &Path, [enrolment, broker]: [u16; 2]) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    trainer::make_key(&plan.trainer, folder)?;
    let (file, folder) = (folder.join("trainer.toml"), folder.display());
    let text = format!(
        "[store]\npath = '{folder}/store.sqlite'\n\
         [broker]\nlisten = '127.0.0.1:0'\ntls-listen = '127.0.0.1:{broker}'\nnames = ['{HOST}']\n\
         [enrolment]\nlisten = '127.0.0.1:{enrolment}'\naddress = '10.0.2.2:{enrolment}'\n\
         authority = '{folder}/authority'\nbrokers = ['mqtts://{HOST}:{broker}']\nkeys = ['{folder}/trainer.pub']\n\
         lifetime = '{LIFETIME_DAYS}d'\n"
    );
    std::fs::write(&file, text)?;
    Ok(file)
}

/// Sets the token in the packaged configuration.
fn put_into_image(token: &str, files: &Path) -> anyhow::Result<()> {
    let file = files.join("etc/lapwing/agent.toml");
    let text = std::fs::read_to_string(&file)?;
    ensure!(text.contains("[mqtt]\n"), "no section [mqtt] in {}", file.display());
    std::fs::write(&file, text.replace("[mqtt]\n", &format!("[mqtt]\ntoken = \"{token}\"\n")))?;
    Ok(())
}

/// The operator's side.
struct Site {
    program: PathBuf,
    config: PathBuf,
}

/// An entry of the trainer's list of identities.
#[derive(Clone, Debug)]
struct Listed {
    name: String,
    fingerprint: String,
    until: String,
}

impl Site {
    fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let config = self.config.to_string_lossy();
        trainer::run(&self.program, &[arguments, &["--config", &config]].concat())
    }

    /// A batch token, whose agents an operator must accept.
    fn token(&self) -> anyhow::Result<String> {
        let printed = self.run(&["enroll", "--uses", USES, "--accept"])?;
        let token = printed.split_whitespace().find(|word| word.starts_with("lapwing1."));
        token.map(str::to_owned).with_context(|| format!("no token in: {printed}"))
    }

    /// Waits for the only identity, in this state.
    fn identity(&self, state: &str) -> anyhow::Result<Listed> {
        for _ in 0..POLLS {
            let listed = self.run(&["agents", "identities", "--state", state, "--json", "-"])?;
            let listed: serde_json::Value = serde_json::from_str(&listed)?;
            if let Some(identity) = listed.as_array().and_then(|all| all.first()) {
                let field = |name: &str| identity[name].as_str().unwrap_or_default().to_owned();
                return Ok(Listed {
                    name: field("name"),
                    fingerprint: field("fingerprint"),
                    until: identity["until-s"].to_string(),
                });
            }
            std::thread::sleep(trainer::POLL_INTERVAL * 25);
        }
        anyhow::bail!("no identity is {state}")
    }

    /// Waits until the accepted identity meets the condition.
    fn until(&self, what: &str, condition: impl Fn(&Listed) -> bool) -> anyhow::Result<()> {
        for _ in 0..POLLS {
            if condition(&self.identity("accepted")?) {
                return Ok(());
            }
            std::thread::sleep(trainer::POLL_INTERVAL * 25);
        }
        anyhow::bail!("not in the trainer's list: {what}")
    }
}

impl Gateway<'_> {
    fn connected(&mut self) -> anyhow::Result<()> {
        self.status("a connection", |status| status["connection"] == "connected").map(drop)
    }

    /// A scan is in the trainer's store.
    fn reports(&mut self) -> anyhow::Result<()> {
        let (scanner, _) = self.scan()?;
        self.wait_until_stored(scanner)
    }

    fn check_not_stored(&self, scanner: std::net::Ipv4Addr) -> anyhow::Result<()> {
        let host = scanner.to_string();
        let stored = self.setup.trainer.alerts()?.iter().any(|alert| alert["host"] == host.as_str());
        ensure!(!stored, "the trainer stored an alert of a revoked gateway about {scanner}");
        Ok(())
    }
}
