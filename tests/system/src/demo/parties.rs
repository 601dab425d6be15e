//! The demo's processes: this very program as trainer and as agents.

use super::feed::Feed;
use anyhow::{Context, ensure};
use lapwing_trainer::kinds::LOOKED;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Between two looks at the file that tells the broker's address.
const LOOK: Duration = Duration::from_millis(20);
/// Looks before the trainer is given up.
const LOOKS: u32 = 1500;

/// This very program, as one of the parties.
pub(super) fn this_program(party: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(party);
    Ok(command)
}

/// Prints a process's log lines behind its name, but for those of level debug: `looked` hears when alerts were looked at.
fn relay(name: &str, log: impl Read + Send + 'static, looked: Option<Sender<()>>) {
    let name = name.to_owned();
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            if line.contains("DEBUG") {
                if let Some(looked) = looked.as_ref().filter(|_| line.contains(LOOKED)) {
                    // Who no longer waits has gone.
                    let _ = looked.send(());
                }
                continue;
            }
            // Time and module are for log files.
            let line = line.split_once(" INFO ").map_or(line.as_str(), |(_, said)| said);
            let line = line.split_once(": ").filter(|_| line.starts_with("lapwing_")).map_or(line, |(_, said)| said);
            println!("  \x1b[2m{name} | {line}\x1b[0m");
        }
    });
}

/// Collector, store, training and the embedded broker.
pub struct Trainer {
    child: Child,
    address: SocketAddr,
    /// Where the dashboard listens.
    http: SocketAddr,
    /// Hears when alerts were looked at, to name them.
    looked: Receiver<()>,
    folder: PathBuf,
}

impl Trainer {
    /// Makes a key and starts `serve` on a free port, with a model that names alerts.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(folder: &Path, kinds_model: &Path) -> anyhow::Result<Self> {
        let made = this_program("trainer")?
            .args(["keys", "new", "demo", "--secret"])
            .arg(folder.join("demo.key"))
            .arg("--public")
            .arg(folder.join("demo.pub"))
            .stdout(Stdio::null())
            .status()?;
        ensure!(made.success(), "no signing key could be made");
        let (address_file, http_file) = (folder.join("address"), folder.join("http-address"));
        for old in [&address_file, &http_file] {
            // A kept folder has those of the demo before.
            let _ = std::fs::remove_file(old);
        }
        let mut child = this_program("trainer")?
            .args([
                "--log",
                "warn,lapwing_trainer=info,lapwing_trainer::kinds=debug",
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
            .arg(kinds_model)
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .spawn()?;
        let (told, looked) = channel();
        if let Some(log) = child.stderr.take() {
            relay("trainer", log, Some(told));
        }
        let address = wait_for_address(&address_file, &mut child)?;
        // Written before the broker's.
        let http = std::fs::read_to_string(&http_file)?.trim().parse()?;
        Ok(Self { child, address, http, looked, folder: folder.to_owned() })
    }

    /// Where the broker listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same for agents.
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    /// The dashboard.
    pub fn dashboard(&self) -> String {
        format!("http://{}", self.http)
    }

    /// The store's file.
    pub fn store(&self) -> PathBuf {
        self.folder.join("store.sqlite")
    }

    /// Waits until it has looked at alerts again.
    ///
    /// # Errors
    /// When it does not within `patience`, or has ended.
    pub(super) fn looked(&self, patience: Duration) -> anyhow::Result<()> {
        self.looked.recv_timeout(patience).context("the trainer did not look at its alerts")
    }

    /// Asks for a new release.
    ///
    /// # Errors
    /// When the request cannot be made.
    pub fn retrain(&self) -> anyhow::Result<()> {
        let asked = this_program("trainer")?
            .args(["retrain", "--who", "the demo", "--store"])
            .arg(self.store())
            .stdout(Stdio::null())
            .status()
            .context("cannot ask for a release")?;
        ensure!(asked.success(), "the trainer took no request for a release");
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it fails.
    pub fn wait(&mut self) -> anyhow::Result<()> {
        let status = self.child.wait()?;
        ensure!(status.success(), "the trainer ended with {status}");
        Ok(())
    }

    /// Ends it in order.
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
    for _ in 0..LOOKS {
        if let Some(address) = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()) {
            return Ok(address);
        }
        if let Some(status) = child.try_wait()? {
            anyhow::bail!("the trainer ended with {status} before its broker was up");
        }
        std::thread::sleep(LOOK);
    }
    anyhow::bail!("the trainer's broker did not come up")
}

impl Drop for Trainer {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// One gateway.
pub struct Agent {
    child: Child,
    name: String,
    /// Its packets.
    pub feed: Feed,
}

impl Agent {
    /// Starts `run` on a pipe.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(folder: &Path, name: &str, engine: &str, trainer: &Trainer) -> anyhow::Result<Self> {
        let mut child = this_program("agent")?
            .args(["run", "--input", "-", "--engine", engine, "--agent", name, "--mqtt", &trainer.url()])
            .arg("--key")
            .arg(folder.join("demo.pub"))
            .arg("--state-dir")
            .arg(folder.join(name))
            // Each its own: by default there is one agent on a machine.
            .arg("--status-socket")
            .arg(folder.join(format!("{name}.sock")))
            .arg("--alerts")
            .arg(folder.join(format!("{name}.alerts.jsonl")))
            .env("LAPWING_LOG", "warn")
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().context("no pipe to the agent")?;
        if let Some(log) = child.stderr.take() {
            relay(name, log, None);
        }
        Ok(Self { child, name: name.to_owned(), feed: Feed::begin(input)? })
    }

    /// Closes its input and waits for its end.
    ///
    /// # Errors
    /// When it fails.
    pub fn end(mut self) -> anyhow::Result<()> {
        let name = std::mem::take(&mut self.name);
        let mut child = self.child;
        drop(self.feed);
        let status = child.wait()?;
        ensure!(status.success(), "{name} ended with {status}");
        Ok(())
    }
}
