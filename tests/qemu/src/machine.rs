//! A QEMU process: a gateway that is booted, watched over its console, and whose power is cut.
//!
//! Console lines that begin with `guest:` are the guest's word (see `init` and `start`); what is typed there, the guest's
//! shell runs. Disk operations are counted
//! through QEMU's own monitor (QMP), so that the power goes at a chosen step and not after a chosen time.

use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Console lines that are read before a wait is given up; the guest tells its memory every two seconds.
const LINES: u32 = 300;
/// Between two looks at the disk's counters.
const LOOK: Duration = Duration::from_millis(2);
/// Tries to reach the monitor of a QEMU that has just been started, [`START`] apart.
const TRIES: u32 = 250;
const START: Duration = Duration::from_millis(20);

/// An architecture, as Debian names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Architecture {
    /// Cortex-A53, 128 MB.
    Arm64,
    /// Cortex-A7, 64 MB.
    Armhf,
}

impl Architecture {
    /// Debian's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::Armhf => "armhf",
        }
    }

    /// QEMU's program, machine, processor and memory in MiB.
    fn hardware(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::Arm64 => ("qemu-system-aarch64", "virt", "cortex-a53", "128"),
            Self::Armhf => ("qemu-system-arm", "virt,highmem=off", "cortex-a7", "64"),
        }
    }
}

/// What a machine is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Processor and memory.
    pub architecture: Architecture,
    /// Folder that `tests/qemu/kernel` names.
    pub boot: PathBuf,
    /// First file system, from `tests/qemu/image`.
    pub image: PathBuf,
    /// Disk, mounted at `/state`.
    pub disk: PathBuf,
    /// Folder for the monitor's socket.
    pub folder: PathBuf,
    /// Values that the guest's `init` finds in its environment.
    pub environment: Vec<(&'static str, String)>,
    /// UDP ports of loopback: where QEMU takes frames for the guest's `lan`, and where it sends that port's own.
    pub wire: (u16, u16),
}

impl Parts {
    /// Sets a value for the guests that are switched on from now on.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value.into()));
    }
}

/// A running guest; without power once dropped.
pub struct Machine {
    child: Child,
    keyboard: ChildStdin,
    console: Receiver<String>,
    monitor: BufReader<UnixStream>,
}

impl Machine {
    /// Switches it on.
    ///
    /// # Errors
    /// When QEMU cannot be started.
    pub fn start(parts: &Parts) -> anyhow::Result<Self> {
        let socket = parts.folder.join("monitor");
        // What an earlier machine left there.
        let _ = std::fs::remove_file(&socket);
        let (program, ..) = parts.architecture.hardware();
        let mut child = command(parts, &socket)
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
        machine.hear()?;
        machine.ask("qmp_capabilities", json!({}))?;
        Ok(machine)
    }

    /// Waits for a console line that begins with `beginning`; what stands behind it.
    ///
    /// # Errors
    /// After `patience` without a word, after `LINES` others, or when the guest has ended.
    pub fn until(&mut self, beginning: &str, patience: Duration) -> anyhow::Result<String> {
        for _ in 0..LINES {
            match self.console.recv_timeout(patience) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(beginning) {
                        return Ok(rest.trim().to_owned());
                    }
                    if line.starts_with("guest: ended") {
                        bail!("{line}, before {beginning:?}");
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("the guest said nothing for {patience:?}, before {beginning:?}")
                }
                Err(RecvTimeoutError::Disconnected) => bail!("QEMU has ended before {beginning:?}"),
            }
        }
        bail!("{LINES} console lines, and none begins with {beginning:?}")
    }

    /// Has the guest's shell run a line, and waits for its end; what the guest said meanwhile, a line each.
    ///
    /// # Errors
    /// When the line fails there, and as for [`Machine::until`].
    pub fn order(&mut self, line: &str, patience: Duration) -> anyhow::Result<String> {
        writeln!(self.keyboard, "{line}")?;
        self.keyboard.flush()?;
        let mut said = String::new();
        loop {
            let word = self.until("guest: ", patience)?;
            match word.strip_prefix("done ") {
                Some("0") => return Ok(said),
                Some(status) => bail!("`{line}` ended with {status} in the guest"),
                None => said.extend([&word, "\n"]),
            }
        }
    }

    /// Plugs the cable of a network port in, or out.
    ///
    /// # Errors
    /// When QEMU does not answer.
    pub fn plug(&mut self, port: &str, into: bool) -> anyhow::Result<()> {
        self.ask("set_link", json!({ "name": port, "up": into })).map(drop)
    }

    /// The newest of the console lines that begin with `beginning` and have not been read yet; what stands behind it.
    pub fn newest(&mut self, beginning: &str) -> Option<String> {
        let lines = std::iter::from_fn(|| self.console.try_recv().ok());
        lines.filter_map(|line| line.strip_prefix(beginning).map(|rest| rest.trim().to_owned())).last()
    }

    /// How often the guest has told its disk to make everything durable.
    ///
    /// # Errors
    /// When QEMU does not answer.
    pub fn flushes(&mut self) -> anyhow::Result<u64> {
        let answer = self.ask("query-blockstats", json!({}))?;
        answer[0]["stats"]["flush_operations"].as_u64().context("QEMU tells no count of flushes")
    }

    /// Waits until the guest's disk has been flushed `more` times since it was `flushes`.
    ///
    /// # Errors
    /// After `patience`, or when QEMU has gone.
    pub fn until_flushed(&mut self, flushes: u64, more: u64, patience: Duration) -> anyhow::Result<()> {
        let looks = patience.as_millis() / LOOK.as_millis();
        for _ in 0..looks {
            if self.flushes()? >= flushes + more {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        bail!("the guest's disk was flushed less than {more} times in {patience:?}")
    }

    /// Cuts the power: QEMU is killed, and what the guest had not made durable is gone.
    ///
    /// # Errors
    /// When it was off already.
    pub fn cut(mut self) -> anyhow::Result<()> {
        self.switch_off()
    }

    /// As [`Machine::cut`], of a machine that another will take the place of.
    ///
    /// # Errors
    /// When it was off already.
    pub fn switch_off(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("QEMU had ended by itself: {status}");
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn ask(&mut self, command: &str, arguments: Value) -> anyhow::Result<Value> {
        writeln!(self.monitor.get_mut(), "{}", json!({ "execute": command, "arguments": arguments }))?;
        loop {
            let answer = self.hear()?;
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
            if let Some(error) = answer.get("error") {
                bail!("QEMU refuses {command}: {error}");
            }
        }
    }

    fn hear(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        if self.monitor.read_line(&mut line)? == 0 {
            bail!("QEMU has gone");
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(parts: &Parts, socket: &Path) -> Command {
    let (program, machine, processor, memory) = parts.architecture.hardware();
    let set: String = parts.environment.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    let (to_guest, from_guest) = parts.wire;
    let mut command = Command::new(program);
    command
        .args(["-M", machine, "-cpu", processor, "-m", memory, "-display", "none", "-serial", "stdio", "-no-reboot"])
        .arg("-kernel")
        .arg(parts.boot.join("vmlinuz"))
        .arg("-initrd")
        .arg(&parts.image)
        .args(["-append", &format!("console=ttyAMA0 quiet panic=-1{set}")])
        .args(["-drive", &format!("if=none,id=disk,format=raw,file={}", parts.disk.display())])
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
    for _ in 0..TRIES {
        if let Ok(stream) = UnixStream::connect(socket) {
            return Ok(stream);
        }
        std::thread::sleep(START);
    }
    bail!("QEMU's monitor did not come up at {}", socket.display())
}
