//! A QEMU process: boots a guest, controls it over its console, and cuts its power.
//!
//! The guest's messages are console lines that start with `guest:` (see `init` and `start`). The guest's shell runs
//! lines written to the console. QEMU's monitor (QMP) counts disk operations, so that the power can be cut at a chosen
//! step instead of after a chosen time.

use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Console lines after which a wait fails; the guest prints its memory use every two seconds.
const LINES: u32 = 300;
/// Interval for polling the disk's counters.
const DISK_POLL: Duration = Duration::from_millis(2);
/// Attempts to connect to the monitor after starting QEMU.
const CONNECT_ATTEMPTS: u32 = 250;
const CONNECT_INTERVAL: Duration = Duration::from_millis(20);

/// Architecture of the guest, by Debian's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Architecture {
    /// Cortex-A53, 128 MB.
    Arm64,
    /// Cortex-A7, 64 MB.
    Armhf,
}

impl Architecture {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::Armhf => "armhf",
        }
    }

    fn hardware(self) -> Hardware {
        let (program, machine, processor, memory_mib) = match self {
            Self::Arm64 => ("qemu-system-aarch64", "virt", "cortex-a53", "128"),
            Self::Armhf => ("qemu-system-arm", "virt,highmem=off", "cortex-a7", "64"),
        };
        Hardware { program, machine, processor, memory_mib }
    }
}

/// QEMU's program and its options for an architecture.
struct Hardware {
    program: &'static str,
    machine: &'static str,
    processor: &'static str,
    memory_mib: &'static str,
}

/// UDP ports of loopback that carry the frames of the guest's `lan`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WirePorts {
    /// QEMU receives frames for the guest here.
    pub(crate) to_guest: u16,
    /// QEMU sends the guest's frames here.
    pub(crate) from_guest: u16,
}

/// Files and options of a machine.
#[derive(Clone, Debug)]
pub(crate) struct MachineConfig {
    pub(crate) architecture: Architecture,
    /// Folder that `tests/qemu/kernel` prints.
    pub(crate) boot: PathBuf,
    /// Initial file system, from `tests/qemu/image`.
    pub(crate) image: PathBuf,
    /// Disk, mounted at `/state`.
    pub(crate) disk: PathBuf,
    /// Folder for the monitor's socket.
    pub(crate) folder: PathBuf,
    /// Environment variables of the guest's `init`.
    pub(crate) variables: Vec<(&'static str, String)>,
    pub(crate) wire: WirePorts,
}

impl MachineConfig {
    /// Sets a variable for machines started from now on.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.into()));
    }
}

/// A running guest; killed on drop.
pub(crate) struct Machine {
    child: Child,
    keyboard: ChildStdin,
    console: Receiver<String>,
    monitor: BufReader<UnixStream>,
}

impl Machine {
    pub(crate) fn start(config: &MachineConfig) -> anyhow::Result<Self> {
        let socket = config.folder.join("monitor");
        // Remove the socket of an earlier machine.
        let _ = std::fs::remove_file(&socket);
        let program = config.architecture.hardware().program;
        let mut child = command(config, &socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let output = child.stdout.take().context("no console")?;
        let keyboard = child.stdin.take().context("no keyboard")?;
        let (say, console) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(output).split(b'\n').map_while(Result::ok);
            for line in lines.map(|line| String::from_utf8_lossy(&line).trim_end().to_owned()) {
                println!("  \x1b[2mconsole | {line}\x1b[0m");
                if say.send(line).is_err() {
                    return;
                }
            }
        });
        let mut machine = Self { child, keyboard, console, monitor: BufReader::new(connect(&socket)?) };
        machine.receive()?;
        machine.ask("qmp_capabilities", json!({}))?;
        Ok(machine)
    }

    /// Waits for a console line that starts with `prefix`; returns the rest of the line. Fails after `patience` without
    /// output, after [`LINES`] other lines, or when the guest ends.
    pub(crate) fn until(&mut self, prefix: &str, patience: Duration) -> anyhow::Result<String> {
        for _ in 0..LINES {
            match self.console.recv_timeout(patience) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(prefix) {
                        return Ok(rest.trim().to_owned());
                    }
                    if line.starts_with("guest: ended") {
                        bail!("the guest ended ({line}) while waiting for {prefix:?}");
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("no console output for {patience:?} while waiting for {prefix:?}")
                }
                Err(RecvTimeoutError::Disconnected) => bail!("QEMU ended while waiting for {prefix:?}"),
            }
        }
        bail!("none of {LINES} console lines starts with {prefix:?}")
    }

    /// Waits for a console line that contains `text`; as [`Machine::until`].
    pub(crate) fn until_any(&mut self, text: &str, patience: Duration) -> anyhow::Result<()> {
        for _ in 0..LINES {
            match self.console.recv_timeout(patience) {
                Ok(line) if line.contains(text) => return Ok(()),
                Ok(_) => {}
                Err(error) => bail!("no console line with {text:?}: {error}"),
            }
        }
        bail!("none of {LINES} console lines contains {text:?}")
    }

    /// Runs a line in the guest's shell and waits for its end; returns the guest's messages until then, one per line.
    /// Fails if the line fails.
    pub(crate) fn run(&mut self, line: &str, patience: Duration) -> anyhow::Result<String> {
        writeln!(self.keyboard, "{line}")?;
        self.keyboard.flush()?;
        let mut output = String::new();
        loop {
            let message = self.until("guest: ", patience)?;
            match message.strip_prefix("done ") {
                Some("0") => return Ok(output),
                Some(status) => bail!("`{line}` exited with {status} in the guest"),
                None => output.extend([&message, "\n"]),
            }
        }
    }

    /// Expands `words` in the guest's shell, e.g. `$(date +%s)`; returns the result.
    pub(crate) fn expand(&mut self, words: &str, patience: Duration) -> anyhow::Result<String> {
        let output = self.run(&format!("echo \"guest: says {words}\""), patience)?;
        Ok(output.lines().find_map(|line| line.strip_prefix("says")).unwrap_or_default().trim().to_owned())
    }

    /// Connects or disconnects the cable of a network port.
    pub(crate) fn set_link(&mut self, port: &str, up: bool) -> anyhow::Result<()> {
        self.ask("set_link", json!({ "name": port, "up": up })).map(drop)
    }

    /// The rest of the newest unread console line that starts with `prefix`.
    pub(crate) fn newest(&mut self, prefix: &str) -> Option<String> {
        let lines = std::iter::from_fn(|| self.console.try_recv().ok());
        lines.filter_map(|line| line.strip_prefix(prefix).map(|rest| rest.trim().to_owned())).last()
    }

    /// How often the guest has flushed its disk.
    pub(crate) fn flushes(&mut self) -> anyhow::Result<u64> {
        let answer = self.ask("query-blockstats", json!({}))?;
        answer[0]["stats"]["flush_operations"].as_u64().context("QEMU reports no flush_operations")
    }

    /// Waits until the guest has flushed its disk `flushes + more` times.
    pub(crate) fn until_flushed(&mut self, flushes: u64, more: u64, patience: Duration) -> anyhow::Result<()> {
        for _ in 0..patience.as_millis() / DISK_POLL.as_millis() {
            if self.flushes()? >= flushes + more {
                return Ok(());
            }
            std::thread::sleep(DISK_POLL);
        }
        bail!("the guest flushed its disk less than {more} times in {patience:?}")
    }

    /// Cuts the power by killing QEMU; the guest loses everything it has not flushed.
    pub(crate) fn cut_power(mut self) -> anyhow::Result<()> {
        self.kill()
    }

    /// As [`Machine::cut_power`], before another machine replaces this one.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("QEMU had already exited: {status}");
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn ask(&mut self, command: &str, arguments: Value) -> anyhow::Result<Value> {
        writeln!(self.monitor.get_mut(), "{}", json!({ "execute": command, "arguments": arguments }))?;
        loop {
            let answer = self.receive()?;
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
            if let Some(error) = answer.get("error") {
                bail!("QEMU rejected {command}: {error}");
            }
        }
    }

    fn receive(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        if self.monitor.read_line(&mut line)? == 0 {
            bail!("QEMU closed its monitor");
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(config: &MachineConfig, socket: &Path) -> Command {
    let Hardware { program, machine, processor, memory_mib } = config.architecture.hardware();
    let variables: String = config.variables.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    let WirePorts { to_guest, from_guest } = config.wire;
    let mut command = Command::new(program);
    command
        .args([
            "-M",
            machine,
            "-cpu",
            processor,
            "-m",
            memory_mib,
            "-display",
            "none",
            "-serial",
            "stdio",
            "-no-reboot",
        ])
        .arg("-kernel")
        .arg(config.boot.join("vmlinuz"))
        .arg("-initrd")
        .arg(&config.image)
        .args(["-append", &format!("console=ttyAMA0 quiet panic=-1{variables}")])
        .args(["-drive", &format!("if=none,id=disk,format=raw,file={}", config.disk.display())])
        .args(["-device", "virtio-blk-device,drive=disk"])
        .args(["-netdev", "user,id=wan", "-device", "virtio-net-device,netdev=wan,mac=52:54:00:00:00:01"])
        .args([
            "-netdev",
            &format!(
                "dgram,id=lan,local.type=inet,local.host=127.0.0.1,local.port={to_guest},\
                 remote.type=inet,remote.host=127.0.0.1,remote.port={from_guest}"
            ),
        ])
        .args(["-device", "virtio-net-device,netdev=lan,mac=52:54:00:00:00:02"])
        .arg("-qmp")
        .arg(format!("unix:{},server=on,wait=off", socket.display()));
    command
}

fn connect(socket: &Path) -> anyhow::Result<UnixStream> {
    for _ in 0..CONNECT_ATTEMPTS {
        if let Ok(stream) = UnixStream::connect(socket) {
            return Ok(stream);
        }
        std::thread::sleep(CONNECT_INTERVAL);
    }
    bail!("QEMU's monitor did not come up at {}", socket.display())
}
