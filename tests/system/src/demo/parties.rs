//! The demo's processes: this program as trainer and as agents.

use super::feed::Feed;
use super::log::{Signals, relay};
use crate::watch;
use anyhow::{Context, bail, ensure};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Longest wait for the trainer's broker.
const START: Duration = Duration::from_secs(30);

/// This program as trainer or as agent.
pub(super) fn this_program(party: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(party);
    Ok(command)
}

/// The process `lapwing-trainer serve` with its embedded broker.
pub struct Trainer {
    child: Child,
    address: SocketAddr,
    /// Address of the dashboard.
    http: SocketAddr,
    /// Receives a message whenever alerts were classified.
    classified: Receiver<()>,
    /// It holds a release back.
    held: Arc<AtomicBool>,
    folder: PathBuf,
}

impl Trainer {
    /// Makes a key and starts `serve` on a free port.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(folder: &Path, classifier: &Path) -> anyhow::Result<Self> {
        let made = this_program("trainer")?
            .args(["keys", "new", "demo", "--secret"])
            .arg(folder.join("demo.key"))
            .arg("--public")
            .arg(folder.join("demo.pub"))
            .stdout(Stdio::null())
            .status()?;
        ensure!(made.success(), "cannot make a signing key");
        let (address_file, http_file) = (folder.join("address"), folder.join("http-address"));
        for old in [&address_file, &http_file] {
            // With --keep, the folder may have those of an earlier demo.
            let _ = std::fs::remove_file(old);
        }
        let mut child = this_program("trainer")?
            .args([
                "--log",
                "warn,lapwing_trainer=info,lapwing_trainer::serve::classify=debug",
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--address-file",
            ])
            .arg(&address_file)
            .args(["--http", "127.0.0.1:0", "--http-address-file"])
            .arg(&http_file)
            .arg("--store")
            .arg(folder.join("store.sqlite"))
            .arg("--releases")
            .arg(folder.join("releases"))
            .arg("--key")
            .arg(folder.join("demo.key"))
            .arg("--kinds-model")
            .arg(classifier)
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .spawn()?;
        let (sender, classified) = channel();
        let held = Arc::new(AtomicBool::new(false));
        if let Some(log) = child.stderr.take() {
            relay("trainer", log, Some(Signals { classified: sender, held: Arc::clone(&held) }));
        }
        let address = wait_for_address(&address_file, &mut child)?;
        // The trainer writes this file before the broker's.
        let http = std::fs::read_to_string(&http_file)?.trim().parse()?;
        Ok(Self { child, address, http, classified, held, folder: folder.to_owned() })
    }

    /// Address of the broker.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// URL of the broker.
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    /// URL of the dashboard.
    pub fn dashboard(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Path of the store.
    pub fn store(&self) -> PathBuf {
        self.folder.join("store.sqlite")
    }

    /// Waits until it has classified alerts again.
    ///
    /// # Errors
    /// When it does not within `patience`, or exits.
    pub(super) fn wait_for_classification(&self, patience: Duration) -> anyhow::Result<()> {
        self.classified.recv_timeout(patience).context("the trainer did not classify its alerts")
    }

    /// Requests a new release.
    ///
    /// # Errors
    /// When the request fails.
    pub fn retrain(&self) -> anyhow::Result<()> {
        self.ask(&["retrain", "--who", "the demo"], "the request for a release")
    }

    /// Whether the gate holds a release back.
    pub fn holds_a_release(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// Approves a release that the gate holds back.
    ///
    /// # Errors
    /// When none waits.
    pub fn approve(&self, version: u64) -> anyhow::Result<()> {
        self.held.store(false, Ordering::Relaxed);
        self.ask(&["approve", &version.to_string(), "--who", "the demo"], "the approval of a release")
    }

    /// Runs a command of the trainer on the same store.
    fn ask(&self, command: &[&str], what: &str) -> anyhow::Result<()> {
        let mut command_line = this_program("trainer")?;
        command_line.args(command).arg("--store").arg(self.store()).stdout(Stdio::null());
        let status = command_line.status().with_context(|| format!("cannot start the trainer for {what}"))?;
        ensure!(status.success(), "the trainer rejected {what}");
        Ok(())
    }

    /// Waits until it exits.
    ///
    /// # Errors
    /// When it fails.
    pub fn wait(&mut self) -> anyhow::Result<()> {
        let status = self.child.wait()?;
        ensure!(status.success(), "the trainer failed: {status}");
        Ok(())
    }

    /// Stops it (SIGTERM) and waits until it exits.
    ///
    /// # Errors
    /// When it fails.
    pub fn end(mut self) -> anyhow::Result<()> {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM)?;
        self.wait()
    }
}

fn wait_for_address(file: &Path, child: &mut Child) -> anyhow::Result<SocketAddr> {
    let folder = file.parent().context("the address file is in no folder")?;
    let found = watch::until(folder, START, || {
        if let Some(address) = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()) {
            return Some(Ok(address));
        }
        child.try_wait().transpose().map(Err)
    })?;
    match found {
        Some(Ok(address)) => Ok(address),
        Some(Err(status)) => bail!("the trainer exited before its broker listened: {}", status?),
        None => bail!("the trainer's broker did not start within {} s", START.as_secs()),
    }
}

impl Drop for Trainer {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// The agent process of one home.
pub struct Agent {
    child: Child,
    name: String,
    /// Its standard input.
    pub feed: Feed,
}

impl Agent {
    /// Starts the agent's subcommand `run` on a pipe.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn start(folder: &Path, name: &str, engine: &str, trainer: &Trainer) -> anyhow::Result<Self> {
        let mut child = this_program("agent")?
            .args(["run", "--input", "-", "--engine", engine, "--agent", name, "--mqtt", &trainer.url()])
            .arg("--key")
            .arg(folder.join("demo.pub"))
            .arg("--state-dir")
            .arg(folder.join(name))
            // The default socket serves one agent on a machine.
            .arg("--status-socket")
            .arg(folder.join(format!("{name}.sock")))
            .arg("--alerts")
            .arg(folder.join(format!("{name}.alerts.jsonl")))
            .env("LAPWING_LOG", "warn")
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().context("the agent has no standard input")?;
        if let Some(log) = child.stderr.take() {
            relay(name, log, None);
        }
        Ok(Self { child, name: name.to_owned(), feed: Feed::begin(input)? })
    }

    /// Closes its input and waits until it exits.
    ///
    /// # Errors
    /// When it fails.
    pub fn end(mut self) -> anyhow::Result<()> {
        let name = std::mem::take(&mut self.name);
        let mut child = self.child;
        drop(self.feed);
        let status = child.wait()?;
        ensure!(status.success(), "{name} failed: {status}");
        Ok(())
    }
}
