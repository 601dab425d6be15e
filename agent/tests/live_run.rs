//! The agent's program on live interfaces, in a network namespace that the test makes: what it chooses, tells and gives
//! up. Skipped loudly without root, `unshare` and `ip`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Tries that a wait for the agent has; each starts a program, some milliseconds.
const TRIES: usize = 3_000;
const DATAGRAMS: usize = 500;

fn in_namespace(name: &str, test: fn()) {
    if std::env::var_os("LAPWING_NAMESPACE").is_some() {
        return test();
    }
    let works = |program: &str, argument: &str| {
        let status = Command::new(program).args(["--net", argument]).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if !works("unshare", "true") || Command::new("ip").arg("-V").output().is_err() {
        return println!("SKIPPED: {name}: needs root, unshare and ip");
    }
    let mut inside = Command::new("unshare");
    inside.arg("--net").arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]);
    assert!(inside.env("LAPWING_NAMESPACE", "1").status().unwrap().success(), "{name} failed in its namespace");
}

#[track_caller]
fn ip(arguments: &str) {
    assert!(Command::new("ip").args(arguments.split_whitespace()).status().unwrap().success(), "ip {arguments}");
}

struct Agent {
    child: Child,
    folder: PathBuf,
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_lapwing-agent"))
}

impl Agent {
    fn start(name: &str, arguments: &[&str], configuration: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("lapwing-run-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let socket = folder.join("agent.sock");
        let summary = folder.join("summary.json");
        let text = format!("[status]\nsocket = {socket:?}\n[output]\nsummary-json = {summary:?}\n{configuration}");
        std::fs::write(folder.join("agent.toml"), text).unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut command = program();
        command.arg("run").arg("--config").arg(folder.join("agent.toml")).args(arguments);
        Self { child: command.stderr(log).spawn().unwrap(), folder }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap()
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        program().args(arguments).arg("--socket").arg(self.folder.join("agent.sock")).output().unwrap()
    }

    /// Asks for the report until it is as wanted.
    #[track_caller]
    fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..TRIES {
            assert_eq!(self.child.try_wait().unwrap(), None, "the agent ended: {}", self.log());
            let output = self.ask(&["status", "--json"]);
            if let Ok(report) = serde_json::from_slice(&output.stdout)
                && wanted(&report)
            {
                return report;
            }
        }
        panic!("{what} did not come to pass: {}", self.log());
    }

    /// Ends it in order; gives its summary.
    fn end(mut self) -> Value {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
        let summary = std::fs::read_to_string(self.folder.join("summary.json")).unwrap();
        assert!(!self.folder.join("agent.sock").exists());
        serde_json::from_str(&summary).unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn field(path: &Path, name: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).trim().to_owned()
}

#[test]
fn a_live_run_tells_what_it_sees_and_has_given_up_its_rights() {
    in_namespace("a_live_run_tells_what_it_sees_and_has_given_up_its_rights", || {
        ip("link set lo up");
        let mut agent = Agent::start("lo", &["--interface", "lo"], "[resources]\nmemory = \"24MiB\"\n");
        agent.until("listening", |report| report["interfaces"][0]["link"] == "up");
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..DATAGRAMS {
            socket.send_to(b"a datagram", other.local_addr().unwrap()).unwrap();
        }
        let report = agent.until("the packets", |report| report["packets"].as_u64() >= Some(DATAGRAMS as u64));
        assert_eq!(report["packets"], DATAGRAMS, "loopback shows each packet once: {report}");
        assert_eq!((report["interfaces"][0]["dropped"].as_u64(), report["flows"]["held"].as_u64()), (Some(0), Some(1)));
        assert_eq!((&report["release"], &report["connection"]), (&Value::from(0), &Value::from("none")));
        let shown = agent.ask(&["status"]);
        assert!(String::from_utf8_lossy(&shown.stdout).contains("coverage good"));
        let tried = agent.ask(&["test-alert"]);
        assert!(!tried.status.success() && String::from_utf8_lossy(&tried.stderr).contains("no broker"), "{tried:?}");
        let process = PathBuf::from(format!("/proc/{}/status", agent.child.id()));
        let rights = ["CapEff", "CapPrm", "NoNewPrivs", "Seccomp"].map(|name| field(&process, name));
        assert_eq!(rights, ["0000000000000000", "0000000000000000", "1", "2"], "{}", report["confinement"]);
        let summary = agent.end();
        assert_eq!((&summary["packets"], &summary["kernel_drops"]), (&Value::from(DATAGRAMS), &Value::from(0)));
        assert_eq!(summary["records"], 1);
    });
}

#[test]
fn an_interface_that_was_away_is_heard_again_without_any_rights() {
    in_namespace("an_interface_that_was_away_is_heard_again_without_any_rights", || {
        let mut agent = Agent::start("away", &["--interface", "lan0"], "");
        agent.until("the start", |report| report["interfaces"][0]["link"] == "absent");
        for losses in 1..3 {
            ip("link add lan0 type veth peer name host0");
            ip("addr add 10.9.0.1/24 dev lan0");
            ip("link set lan0 up");
            ip("link set host0 up");
            agent.until("the interface", |report| report["interfaces"][0]["link"] == "up");
            let before = agent.until("a report", |_| true)["packets"].as_u64();
            let socket = UdpSocket::bind("10.9.0.1:0").unwrap();
            // Nobody answers the question for the neighbour's address, but it is asked.
            socket.send_to(b"a datagram", "10.9.0.2:9").unwrap();
            agent.until("a packet", |report| report["packets"].as_u64() > before);
            ip("link delete lan0");
            agent.until("the loss", |report| {
                report["interfaces"][0]["link"] == "absent" && report["interfaces"][0]["losses"] == losses
            });
        }
        agent.end();
    });
}

#[test]
fn without_any_configuration_the_private_side_is_watched_and_the_log_says_why() {
    in_namespace("without_any_configuration_the_private_side_is_watched_and_the_log_says_why", || {
        let refused = program().args(["run", "--status-socket", ""]).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("--interface"), "{said}");
        ip("link add lan0 type veth peer name host0");
        ip("addr add 192.168.77.1/24 dev lan0");
        ip("link set lan0 up");
        let mut agent = Agent::start("first", &[], "");
        let link = |report: &Value, told: &str| {
            report["interfaces"][0]["name"] == "lan0" && report["interfaces"][0]["link"] == told
        };
        agent.until("an interface whose other end is off", |report| link(report, "down"));
        ip("link set host0 up");
        agent.until("a link", |report| link(report, "up"));
        let log = agent.log();
        assert!(log.contains("interface chosen") && log.contains("private network 192.168.77.0"), "{log}");
        agent.end();
    });
}
