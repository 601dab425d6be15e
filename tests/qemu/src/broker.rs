//! The trainer with its broker on this machine, and what the guest says there.

use crate::releases::Retained;
use anyhow::{Context, bail, ensure};
use lapwing_shared::messages::topics::{Kind, Topic, agents_filter};
use lapwing_shared::messages::{Alert, AlertState, Body, MESSAGE_BYTES, Message, UpdateStep};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Between two looks at the file that tells the broker's address, and how many looks.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS: u32 = 1500;

/// The trainer's files.
const KEY: &str = "trainer.key";
const STORE: &str = "store.sqlite";
const ADDRESS_FILE: &str = "address";

/// Reports of health, one in ten seconds, that are heard before a wait is given up.
const REPORTS: u32 = 30;

/// One thing that the guest said.
#[derive(Clone, Debug)]
pub enum Said {
    /// Connected or gone; the release in use and whether it is on trial.
    Status {
        /// Connected.
        online: bool,
        /// Release in use, 0 without one.
        release: u64,
    },
    /// A step of an update.
    Step(u64, UpdateStep),
    /// An episode was opened.
    Opened(Box<Alert>),
    /// Packets seen since its start.
    Packets(u64),
}

/// `lapwing-trainer serve` with its own broker.
pub struct Trainer {
    child: Child,
    program: PathBuf,
    folder: PathBuf,
    /// Where the broker listens.
    pub address: SocketAddr,
}

impl Trainer {
    /// Starts it on a free port of loopback.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let key = folder.join(KEY);
        let made = Command::new(program)
            .args(["keys", "new", "trainer", "--secret"])
            .arg(&key)
            .arg("--public")
            .arg(folder.join("trainer.pub"))
            .stdout(Stdio::null())
            .status()
            .with_context(|| format!("cannot start {}", program.display()))?;
        ensure!(made.success(), "no signing key could be made");
        let child = serve(program, folder, &["--listen", "127.0.0.1:0"])?;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut trainer = Self { child, program: program.to_owned(), folder: folder.to_owned(), address };
        trainer.address = trainer.until_listens()?;
        Ok(trainer)
    }

    /// Ends trainer and broker at once, as a crash would.
    pub fn stop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts again what was stopped: same broker's address, same store.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.stop();
        self.child = serve(&self.program, &self.folder, &["--listen", &self.address.to_string()])?;
        ensure!(self.until_listens()? == self.address, "the trainer's broker has another address now");
        Ok(())
    }

    /// Starts again with the same store, at somebody else's broker.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_at(&mut self, broker: &str) -> anyhow::Result<()> {
        self.stop();
        self.child = serve(&self.program, &self.folder, &["--broker", broker])?;
        Ok(())
    }

    fn until_listens(&mut self) -> anyhow::Result<SocketAddr> {
        let told = self.folder.join(ADDRESS_FILE);
        for _ in 0..LOOKS {
            if let Some(address) = std::fs::read_to_string(&told).ok().and_then(|text| text.trim().parse().ok()) {
                return Ok(address);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the trainer ended with {status} before its broker was up");
            }
            std::thread::sleep(LOOK);
        }
        bail!("the trainer's broker did not come up")
    }

    /// What `lapwing-trainer alerts` lists, an episode each.
    ///
    /// # Errors
    /// When it fails.
    pub fn alerts(&self) -> anyhow::Result<Vec<Value>> {
        let output = Command::new(&self.program)
            .args(["alerts", "--limit", "100000", "--json", "-", "--store"])
            .arg(self.folder.join(STORE))
            .output()?;
        ensure!(output.status.success(), "lapwing-trainer alerts: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// Starts `lapwing-trainer serve` on the files of `folder`.
fn serve(program: &Path, folder: &Path, broker: &[&str]) -> anyhow::Result<Child> {
    let told = folder.join(ADDRESS_FILE);
    // What an earlier one told.
    let _ = std::fs::remove_file(&told);
    let mut command = Command::new(program);
    command
        .args(["--log", "warn", "serve", "--http", "127.0.0.1:0"])
        .args(broker)
        .arg("--store")
        .arg(folder.join(STORE));
    command.arg("--releases").arg(folder.join("releases")).arg("--key").arg(folder.join(KEY));
    if broker.contains(&"--listen") {
        command.arg("--address-file").arg(&told);
    }
    Ok(command.spawn()?)
}

impl Drop for Trainer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Hears the guest, and publishes releases.
pub struct Listener {
    client: AsyncClient,
    said: Receiver<Said>,
}

impl Listener {
    /// Connects and subscribes; a thread of its own keeps the connection.
    ///
    /// # Errors
    /// When the request is refused.
    pub fn start(broker: SocketAddr) -> anyhow::Result<Self> {
        let mut options = MqttOptions::new("bench", broker.ip().to_string(), broker.port());
        options.set_max_packet_size(Some(MESSAGE_BYTES as u32 + 1024)).set_keep_alive(Duration::from_secs(60));
        let (client, events) = AsyncClient::new(options, 64);
        for kind in [Kind::Status, Kind::Alert, Kind::Health, Kind::Update] {
            client.try_subscribe(agents_filter(kind).as_str(), QoS::AtLeastOnce)?;
        }
        let (say, said) = channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || {
            if let Err(error) = runtime.block_on(hear(events, say)) {
                println!("  the listener lost its connection: {error}");
            }
        });
        Ok(Self { client, said })
    }

    /// Publishes retained topics, in order.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn publish(&self, topics: Vec<Retained>) -> anyhow::Result<()> {
        for (topic, payload) in topics {
            self.client.try_publish(topic, QoS::AtLeastOnce, true, payload)?;
        }
        Ok(())
    }

    /// Waits until the guest says something for which `wanted` has an answer; the answer.
    ///
    /// # Errors
    /// When nothing at all was said for `patience`, or nothing but `REPORTS` reports, or the connection was lost.
    pub fn until<T>(
        &mut self,
        what: &str,
        patience: Duration,
        mut wanted: impl FnMut(&Said) -> Option<T>,
    ) -> anyhow::Result<T> {
        let mut reports = 0;
        loop {
            match self.said.recv_timeout(patience) {
                Ok(Said::Packets(packets)) if reports >= REPORTS => {
                    bail!("{reports} reports went by, the last of {packets} packets; waited for: {what}")
                }
                Ok(said) => {
                    reports += u32::from(matches!(said, Said::Packets(_)));
                    if let Some(answer) = wanted(&said) {
                        return Ok(answer);
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("nothing was said for {patience:?}; waited for: {what}"),
                Err(RecvTimeoutError::Disconnected) => bail!("the broker has gone; waited for: {what}"),
            }
        }
    }

    /// Forgets what was said and not asked for.
    pub fn forget(&mut self) {
        while self.said.try_recv().is_ok() {}
    }
}

async fn hear(mut events: EventLoop, say: Sender<Said>) -> anyhow::Result<()> {
    loop {
        let Event::Incoming(Packet::Publish(publish)) = events.poll().await? else { continue };
        let topic = std::str::from_utf8(&publish.topic).ok().and_then(Topic::parse);
        let (Some(Topic::Agent(..)), Ok(message)) = (topic, Message::decode(&publish.payload)) else { continue };
        let said = match message.body {
            Body::Status(status) => Said::Status { online: status.online, release: status.release },
            Body::Update(update) => Said::Step(update.release, update.step),
            Body::Alert(alert) if alert.state == AlertState::Opened => Said::Opened(Box::new(alert)),
            Body::Health(health) => Said::Packets(health.packets),
            _ => continue,
        };
        if !matches!(said, Said::Packets(_) | Said::Opened(_)) {
            println!("  gateway | {said:?}");
        }
        if say.send(said).is_err() {
            return Ok(());
        }
    }
}
