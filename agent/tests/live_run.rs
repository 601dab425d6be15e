//! The agent's program on live interfaces, in a network namespace of its own: chosen interface, report, signals, privileges
//! and blocking. Skipped loudly without root, `unshare` and `ip`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_agent::config::ResponseMode;
use lapwing_agent::response::{Helper, Outcome, Settings};
use lapwing_shared::units::Address;
use serde_json::Value;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Attempts of a wait for the agent; each starts a program, which takes some milliseconds.
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
        return lapwing_skips::skip("needs root, unshare and ip");
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

    /// Requests the report until `is_expected` returns true.
    #[track_caller]
    fn until(&mut self, what: &str, is_expected: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..TRIES {
            assert_eq!(self.child.try_wait().unwrap(), None, "the agent stopped: {}", self.log());
            let output = self.ask(&["status", "--json"]);
            if let Ok(report) = serde_json::from_slice(&output.stdout)
                && is_expected(&report)
            {
                return report;
            }
        }
        panic!("timeout waiting for {what}: {}", self.log());
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Stops the agent with SIGTERM; returns its summary.
    fn end(mut self) -> Value {
        self.signal("-TERM");
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
        let summary = std::fs::read_to_string(self.folder.join("summary.json")).unwrap();
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
fn a_live_run_reports_its_packets_and_has_no_privileges() {
    in_namespace("a_live_run_reports_its_packets_and_has_no_privileges", || {
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
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", agent.child.id())).unwrap();
        let data = limits.lines().find(|line| line.starts_with("Max data size")).unwrap();
        // One and a half times the budget of 24 MiB, and 20 MiB of stacks.
        let expected = (56_u64 << 20).to_string();
        assert_eq!(data.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), [&expected; 2], "{data}");
        let socket = agent.folder.join("agent.sock");
        let summary = agent.end();
        assert!(!socket.exists());
        assert_eq!((&summary["packets"], &summary["kernel_drops"]), (&Value::from(DATAGRAMS), &Value::from(0)));
        assert_eq!(summary["records"], 1);
    });
}

#[test]
fn an_interface_that_returns_is_captured_without_privileges() {
    in_namespace("an_interface_that_returns_is_captured_without_privileges", || {
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
            // There is no neighbour to answer, but the ARP request is a packet.
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
fn the_default_interface_is_in_a_private_network_and_the_log_has_the_reason() {
    in_namespace("the_default_interface_is_in_a_private_network_and_the_log_has_the_reason", || {
        let refused = program().args(["run", "--status-socket", ""]).output().unwrap();
        let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && stderr.contains("--interface"), "{stderr}");
        ip("link add lan0 type veth peer name host0");
        ip("addr add 192.168.77.1/24 dev lan0");
        ip("link set lan0 up");
        let mut agent = Agent::start("first", &[], "");
        let link = |report: &Value, state: &str| {
            report["interfaces"][0]["name"] == "lan0" && report["interfaces"][0]["link"] == state
        };
        agent.until("an interface whose other end is off", |report| link(report, "down"));
        ip("link set host0 up");
        agent.until("a link", |report| link(report, "up"));
        let log = agent.log();
        assert!(log.contains("interface chosen") && log.contains("private network 192.168.77.0"), "{log}");
        agent.end();
    });
}

#[test]
fn an_absent_interface_is_reported_by_validate_log_status_and_coverage() {
    in_namespace("an_absent_interface_is_reported_by_validate_log_status_and_coverage", || {
        ip("link set lo up");
        let text = "[capture]\ninterfaces = [\"lo\", \"any\"]\n";
        let mut agent = Agent::start("absent", &[], text);
        let report = agent.until("the coverage", |report| report["coverage_degraded"].is_string());
        let reason = report["coverage_degraded"].as_str().unwrap();
        assert!(reason.starts_with("no such interface now: any;"), "{reason}");
        let shown = agent.ask(&["status"]);
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.contains("COVERAGE DEGRADED: no such interface now: any"), "{shown}");
        let log = agent.log();
        assert!(log.contains("no interface named any exists now") && log.contains("name each one"), "{log}");
        let validated =
            program().arg("validate").arg("--config").arg(agent.folder.join("agent.toml")).output().unwrap();
        let validated = String::from_utf8_lossy(&validated.stdout).into_owned();
        assert!(validated.contains("  warning: no interface named any exists now"), "{validated}");
        assert!(!validated.contains("named lo"), "{validated}");
        agent.end();
    });
}

#[test]
fn a_hangup_is_ignored_with_a_line_in_the_log() {
    in_namespace("a_hangup_is_ignored_with_a_line_in_the_log", || {
        ip("link set lo up");
        let mut agent = Agent::start("hangup", &["--interface", "lo"], "");
        agent.until("the start", |report| report["interfaces"][0]["link"] == "up");
        agent.signal("-HUP");
        for _ in 0..TRIES {
            agent.until("an answer after the signal", |_| true);
            if agent.log().contains("SIGHUP ignored") {
                break;
            }
        }
        assert!(agent.log().contains("SIGHUP ignored: to use a changed configuration, restart"), "{}", agent.log());
        agent.end();
    });
}

#[test]
fn an_unreadable_capture_prints_the_error_only() {
    let folder = std::env::temp_dir().join(format!("lapwing-unreadable-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let text = folder.join("text.pcap");
    std::fs::write(&text, "this is no capture, and long enough to be one").unwrap();
    for path in [&folder.join("missing.pcap"), &text, &folder] {
        let output = program().arg("replay").arg(path).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && stderr.starts_with("lapwing-agent: "), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_missing_state_folder_is_created_for_the_agents_user() {
    in_namespace("a_missing_state_folder_is_created_for_the_agents_user", || {
        use std::os::unix::fs::MetadataExt;
        ip("link set lo up");
        let state = std::env::temp_dir().join(format!("lapwing-state-{}/a/state", std::process::id()));
        let text = format!(
            "[capture]\ninterfaces = [\"lo\"]\n[mqtt]\nurl = \"mqtt://127.0.0.1:1\"\n[update]\nstate-dir = {state:?}\n\
             [resources]\nuser = \"nobody\"\n"
        );
        let mut agent = Agent::start("state", &[], &text);
        agent.until("the state folder", |_| state.join("run").exists());
        let owners = [&state, &state.join("run"), &agent.folder.join("agent.sock"), &agent.folder];
        let owners = owners.map(|path| std::fs::symlink_metadata(path).unwrap().uid());
        assert_eq!(owners, [65_534, 65_534, 65_534, 0], "the socket's folder stays root's");
        let file = state.parent().unwrap().join("file");
        std::fs::write(&file, "").unwrap();
        let mut refused = program();
        refused.args(["run", "--interface", "lo", "--status-socket", ""]);
        let refused = refused_with(&mut refused, &file.join("state"));
        assert!(
            refused.contains("update.state-dir: cannot create the folder")
                && refused.contains("/file: File exists")
                && refused.lines().count() < 9,
            "{refused}"
        );
        std::fs::remove_dir_all(state.parent().unwrap().parent().unwrap()).unwrap();
    });
}

fn refused_with(command: &mut Command, state: &Path) -> String {
    let output = command.arg("--state-dir").arg(state).args(["--mqtt", "mqtt://127.0.0.1:1"]).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn ruleset() -> String {
    let output = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn has_nft() -> bool {
    let has = Path::new("/usr/sbin/nft").exists();
    if !has {
        lapwing_skips::skip("needs nft");
    }
    has
}

#[test]
fn blocking_leaves_the_agent_without_rights_and_its_table_goes_with_it() {
    in_namespace("blocking_leaves_the_agent_without_rights_and_its_table_goes_with_it", || {
        if !has_nft() {
            return;
        }
        ip("link set lo up");
        let text = "[resources]\nuser = \"nobody\"\n[response]\nmode = \"block\"\n";
        let mut agent = Agent::start("block", &["--interface", "lo"], text);
        let report = agent.until("the start", |report| report["interfaces"][0]["link"] == "up");
        assert!(ruleset().contains("set blocked4"), "{}", ruleset());
        let measures = report["confinement"].to_string();
        assert!(!measures.contains("CAP_NET_ADMIN") && measures.contains("landlock"), "{measures}");
        let process = PathBuf::from(format!("/proc/{}/status", agent.child.id()));
        assert_eq!(["CapEff", "CapPrm", "CapAmb"].map(|name| field(&process, name)), ["0000000000000000"; 3]);
        // The service manager may signal every process of the service; the table is deleted in any case.
        agent.signal("-KILL");
        agent.child.wait().unwrap();
        assert!((0..TRIES).any(|_| ruleset().is_empty()), "{}", ruleset());
    });
}

#[test]
fn the_helper_blocks_proven_addresses_and_spares_those_that_the_gateway_needs() {
    in_namespace("the_helper_blocks_proven_addresses_and_spares_those_that_the_gateway_needs", || {
        if !has_nft() {
            return;
        }
        ip("link set lo up");
        ip("link add lan0 type veth peer name host0");
        ip("addr add 10.9.0.1/24 dev lan0");
        ip("link set lan0 up");
        ip("route add default via 10.9.0.254");
        let settings = Settings {
            mode: ResponseMode::Block,
            nft: "/usr/sbin/nft".into(),
            seconds: 600,
            never: vec!["10.9.0.128/25".into()],
            brokers: vec!["192.0.2.9".into()],
            user: Some("nobody".into()),
        };
        let program = Path::new(env!("CARGO_BIN_EXE_lapwing-agent"));
        let mut helper = Helper::start_program(program, &settings).unwrap();
        for (octets, is_proven, expected) in [
            ([203, 0, 113, 5], true, Outcome::Blocked),
            ([203, 0, 113, 6], false, Outcome::Unproven),
            ([192, 0, 2, 9], true, Outcome::Spared),
            ([10, 9, 0, 1], true, Outcome::Spared),
            ([10, 9, 0, 254], true, Outcome::Spared),
            ([10, 9, 0, 200], true, Outcome::Spared),
        ] {
            assert_eq!(helper.block(&Address::from_v4(octets), is_proven).unwrap(), expected, "{octets:?}");
        }
        let rules = ruleset();
        assert!(rules.contains("203.0.113.5") && !rules.contains("203.0.113.6"), "{rules}");
        helper.end();
        assert_eq!(ruleset(), "");
        let wrong = Settings { nft: "/nowhere/nft".into(), ..settings };
        let error = Helper::start_program(program, &wrong).err().unwrap().to_string();
        assert!(error.contains("/nowhere/nft cannot create the table: No such file"), "{error}");
    });
}
