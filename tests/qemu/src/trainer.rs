//! Runs `lapwing-trainer serve` on this machine and queries its store.

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

/// Polling of the file with the broker's address.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(20);
const POLLS: u32 = 1500;

// The trainer's files.
const KEY: &str = "trainer.key";
const STORE: &str = "store.sqlite";
const ADDRESS_FILE: &str = "address";

/// `lapwing-trainer serve` with its own broker.
pub(crate) struct Trainer {
    child: Child,
    program: PathBuf,
    folder: PathBuf,
    /// Address of the trainer's own broker.
    pub(crate) address: SocketAddr,
}

impl Trainer {
    /// Starts the trainer with its own broker on a free port of loopback.
    pub(crate) fn start(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        make_key(program, folder)?;
        let child = serve(program, folder, &["--listen", "127.0.0.1:0"])?;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut trainer = Self { child, program: program.to_owned(), folder: folder.to_owned(), address };
        trainer.address = trainer.until_listens()?;
        Ok(trainer)
    }

    /// Starts the trainer with the ports that a configuration file names.
    pub(crate) fn start_with(program: &Path, folder: &Path, config: &Path) -> anyhow::Result<Self> {
        let child = serve(program, folder, &["--config", &config.to_string_lossy()])?;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Ok(Self { child, program: program.to_owned(), folder: folder.to_owned(), address })
    }

    /// Kills the trainer and its broker, as a crash would.
    pub(crate) fn kill(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Restarts the trainer with its own broker: same address, same store.
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        self.child = serve(&self.program, &self.folder, &["--listen", &self.address.to_string()])?;
        ensure!(self.until_listens()? == self.address, "the address of the trainer's broker changed");
        Ok(())
    }

    /// Restarts the trainer with the same store and an external broker.
    pub(crate) fn restart_with_broker(&mut self, broker: &str) -> anyhow::Result<()> {
        self.kill();
        self.child = serve(&self.program, &self.folder, &["--broker", broker])?;
        Ok(())
    }

    fn until_listens(&mut self) -> anyhow::Result<SocketAddr> {
        let file = self.folder.join(ADDRESS_FILE);
        for _ in 0..POLLS {
            if let Some(address) = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok()) {
                return Ok(address);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the trainer exited with {status} before its broker listened");
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        bail!("the trainer's broker did not start listening")
    }

    /// The output of `lapwing-trainer alerts`: one alert per episode.
    pub(crate) fn alerts(&self) -> anyhow::Result<Vec<Value>> {
        let store = self.folder.join(STORE);
        let arguments = ["alerts", "--limit", "100000", "--json", "-", "--store", &store.to_string_lossy()];
        Ok(serde_json::from_str(&run(&self.program, &arguments)?)?)
    }
}

/// Creates the key that signs releases.
pub(crate) fn make_key(program: &Path, folder: &Path) -> anyhow::Result<()> {
    let [secret, public] = [KEY, "trainer.pub"].map(|name| folder.join(name).to_string_lossy().into_owned());
    run(program, &["keys", "new", "trainer", "--secret", &secret, "--public", &public]).map(drop)
}

/// Waits until something listens at this port of loopback.
pub(crate) fn until_accepts(port: u16) -> anyhow::Result<()> {
    for _ in 0..POLLS {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(());
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    bail!("nothing listens at port {port}")
}

/// Runs the trainer's program; returns what it prints.
pub(crate) fn run(program: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| program.display().to_string())?;
    ensure!(output.status.success(), "lapwing-trainer {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Starts `lapwing-trainer serve` with the files of `folder`.
fn serve(program: &Path, folder: &Path, broker: &[&str]) -> anyhow::Result<Child> {
    let address_file = folder.join(ADDRESS_FILE);
    // Remove the file of an earlier process.
    let _ = std::fs::remove_file(&address_file);
    let mut command = Command::new(program);
    command
        .args(["--log", "warn", "serve", "--http", "127.0.0.1:0"])
        .args(broker)
        .arg("--store")
        .arg(folder.join(STORE));
    command.arg("--releases").arg(folder.join("releases")).arg("--key").arg(folder.join(KEY));
    if broker.contains(&"--listen") {
        command.arg("--address-file").arg(&address_file);
    }
    Ok(command.spawn()?)
}

impl Drop for Trainer {
    fn drop(&mut self) {
        self.kill();
    }
}
