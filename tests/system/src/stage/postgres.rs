//! A PostgreSQL server of a test's own, which can be killed and started again.

use super::authority::Authority;
use super::ports::free_port;
use super::wait_for;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Attempts to start a server.
const MAX_STARTS: u32 = 50;

/// A server process on a Unix socket; killed when dropped. Other than the server of `tests/postgres`, it waits for the disk.
pub struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    /// Arguments of the server.
    settings: Vec<String>,
    child: Child,
}

/// Folder of the newest server programs; `None` without any, or for root without the user postgres, as the server refuses to
/// run as root.
pub fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin"));
    let newest = versions.filter(|folder| folder.join("initdb").is_file()).max();
    newest.filter(|_| !rustix::process::getuid().is_root() || account().is_some())
}

/// User and group of the account postgres.
fn account() -> Option<(u32, u32)> {
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let fields: Vec<&str> = accounts.lines().find(|line| line.starts_with("postgres:"))?.split(':').collect();
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

/// A program of the server, as an account that it accepts.
fn program(programs: &Path, name: &str) -> Command {
    let mut command = Command::new(programs.join(name));
    if rustix::process::getuid().is_root()
        && let Some((user, group)) = account()
    {
        command.uid(user).gid(group);
    }
    command
}

impl Postgres {
    /// Creates a cluster below `folder`, whose path must be short, as it is a socket's; `None` if PostgreSQL is not installed.
    pub fn start(folder: &Path) -> Option<Self> {
        let (programs, folder) = (programs()?, initialise(folder)?);
        let settings = vec!["-c".into(), "listen_addresses=".into()];
        let child = run(&programs, &folder, &settings);
        Some(Self { programs, folder, settings, child })
    }

    /// As [`Postgres::start`], and accepts TLS connections for the name `localhost` at the port that it returns, and none
    /// without TLS there.
    pub fn start_with_tls(folder: &Path, authority: &Authority) -> Option<(Self, u16)> {
        let (programs, folder) = (programs()?, initialise(folder)?);
        let [certificate, key] = authority.issue(&folder, "localhost", 2100);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        own(&key);
        let rules = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n";
        fs::write(folder.join("data/pg_hba.conf"), rules).unwrap();
        let (certificate, key) = (certificate.display(), key.display());
        let mut settings = vec!["listen_addresses=127.0.0.1".into(), "ssl=on".into()];
        settings.extend([format!("ssl_cert_file={certificate}"), format!("ssl_key_file={key}")]);
        let port = free_port();
        settings.push(format!("port={port}"));
        let settings: Vec<String> = settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]).collect();
        let child = run(&programs, &folder, &settings);
        Some((Self { programs, folder, settings, child }, port))
    }

    /// URL of its database.
    pub fn url(&self) -> String {
        format!("postgres://lapwing@{}/postgres", self.folder.display().to_string().replace('/', "%2F"))
    }

    /// Kills every process of the server with SIGKILL.
    pub fn kill(&mut self) {
        let parent = self.child.id();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        self.child.kill().unwrap();
        for child in children.split_whitespace().filter_map(|child| Pid::from_raw(child.parse().ok()?)) {
            // Some end on their own without their parent.
            let _ = kill_process(child, Signal::KILL);
        }
        self.child.wait().unwrap();
    }

    /// Starts the server again after [`Self::kill`].
    pub fn start_again(&mut self) {
        self.child = run(&self.programs, &self.folder, &self.settings);
    }
}

/// Gives a file or folder to the account as which the server runs.
fn own(path: &Path) {
    if let Some((user, group)) = account().filter(|_| rustix::process::getuid().is_root()) {
        std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
    }
}

/// The folder `pg` with an empty cluster below it in `data`.
fn initialise(folder: &Path) -> Option<PathBuf> {
    let (programs, folder) = (programs()?, folder.join("pg"));
    fs::create_dir(&folder).unwrap();
    own(&folder);
    let mut initdb = program(&programs, "initdb");
    initdb.arg("-D").arg(folder.join("data"));
    initdb.args(["--auth=trust", "-U", "lapwing", "--encoding=UTF8", "--locale=C"]);
    assert!(initdb.current_dir(&folder).stdout(Stdio::null()).status().unwrap().success());
    Some(folder)
}

/// Starts the server and waits until it accepts connections.
fn run(programs: &Path, folder: &Path, settings: &[String]) -> Child {
    let (data, log) = (folder.join("data"), folder.join("log"));
    let start = || {
        let mut server = program(programs, "postgres");
        server.arg("-D").arg(&data).arg("-k").arg(folder).args(["-c", "fsync=on"]).args(settings);
        let log = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        server.current_dir(folder).stderr(log).stdout(Stdio::null()).spawn().unwrap()
    };
    let (mut child, mut starts) = (start(), 1);
    wait_for("PostgreSQL", &data, || {
        if child.try_wait().unwrap().is_some() {
            // Processes of a server that was killed may not have ended yet; a new one then refuses to use their memory.
            assert!(starts < MAX_STARTS, "PostgreSQL does not start: {}", fs::read_to_string(&log).unwrap());
            (child, starts) = (start(), starts + 1);
        }
        let state = fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let lines: Vec<&str> = state.lines().collect();
        (lines.first() == Some(&child.id().to_string().as_str()) && lines.get(7)?.trim() == "ready").then_some(())
    });
    child
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
