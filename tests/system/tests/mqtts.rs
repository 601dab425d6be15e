//! The agent with a real broker (mosquitto), TLS and passwords: which connections it accepts, what it logs about those
//! it rejects, and that it keeps detecting and stores its alerts meanwhile.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_system_tests::stage::authority::Authority;
use lapwing_system_tests::stage::gateway::{Gateway, journal};
use lapwing_system_tests::stage::mosquitto::{Mosquitto, mosquitto};
use lapwing_system_tests::stage::releases::Releases;
use lapwing_system_tests::stage::{Folder, PATIENCE, wait_for};
use std::fs;
use std::process::Command;

/// Lets everyone connect.
const OPEN: &str = "allow_anonymous true\n";

/// A gateway's files: a release that raises alerts, its key, a state folder.
struct Site(Folder);

impl Site {
    fn new(name: &str) -> Option<Self> {
        if mosquitto().is_none() {
            lapwing_skips::skip("no mosquitto (Debian package mosquitto)");
            return None;
        }
        let folder = Folder::new(name);
        let releases = Releases::new(1);
        releases.write_public(&folder.join("test.pub"));
        fs::write(folder.join("1.lwr"), releases.release(1).file).unwrap();
        Some(Self(folder))
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn start(&self, url: &str, more: &[&str], trusted_by_system: Option<&str>) -> Gateway {
        let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-demo"));
        program.arg("agent");
        if let Some(file) = trusted_by_system {
            program.env("SSL_CERT_FILE", file);
        }
        let (release, key, state) = (self.path("1.lwr"), self.path("test.pub"), self.path("state"));
        let files = ["--release", &release, "--key", &key, "--state-dir", &state];
        let named = ["--agent", "gw", "--mqtt", url, "--delivery", "broker"];
        Gateway::start(program, &[&files, &named, more].concat())
    }

    /// A gateway that cannot connect logs `expected`, keeps detecting, and stores its alerts.
    fn fails_to_connect(&self, url: &str, more: &[&str], expected: &[&str]) {
        let state = self.0.join("state");
        let before = journal(&state).len();
        let mut gateway = self.start(url, more, None);
        let line = gateway.until_logged("no connection to the broker");
        assert!(expected.iter().all(|text| line.contains(text)), "{line}\nlacks one of {expected:?}");
        assert!(!line.contains("sesame"), "the log contains the password: {line}");
        gateway.play();
        wait_for("new alerts in the journal", self.0.path(), || (journal(&state).len() > before).then_some(()));
        gateway.kill();
    }

    /// A gateway that connects delivers every alert of its journal.
    fn delivers(&self, broker: &Mosquitto, url: &str, more: &[&str], trusted_by_system: Option<&str>) {
        let mut undelivered = journal(&self.0.join("state"));
        let alerts = broker.alerts();
        let mut gateway = self.start(url, more, trusted_by_system);
        gateway.play();
        undelivered.remove(&alerts.recv_timeout(PATIENCE).unwrap());
        while !undelivered.is_empty() {
            undelivered.remove(&alerts.recv_timeout(PATIENCE).unwrap());
        }
        gateway.end();
    }
}

#[test]
fn the_agent_connects_only_to_a_broker_with_the_right_certificate() {
    let Some(site) = Site::new("mqtts") else { return };
    let folder = site.0.path();
    let (ours, other) = (Authority::new("ours"), Authority::new("another"));
    let (good, wrong) = (site.path("ours.pem"), site.path("other.pem"));
    fs::write(&good, ours.pem()).unwrap();
    fs::write(&wrong, other.pem()).unwrap();

    let broker = Mosquitto::start(folder, OPEN, Some(&ours.issue(folder, "localhost", 2100)));
    let url = format!("mqtts://localhost:{}", broker.tls);
    site.fails_to_connect(
        &url,
        &["--ca-file", &wrong],
        &["UnknownIssuer", "ca-file must contain the certificate of the authority"],
    );
    site.fails_to_connect(&url, &[], &["UnknownIssuer", "without ca-file, the system must trust that authority"]);
    let by_address = format!("mqtts://127.0.0.1:{}", broker.tls);
    site.fails_to_connect(
        &by_address,
        &["--ca-file", &good],
        &["use a host name in the broker's URL that its certificate contains"],
    );
    let not_tls = format!("mqtts://localhost:{}", broker.plain);
    site.fails_to_connect(&not_tls, &["--ca-file", &good], &["port"]);

    let expired = Mosquitto::start(folder, OPEN, Some(&ours.issue(folder, "localhost", 2021)));
    let stale = format!("mqtts://localhost:{}", expired.tls);
    site.fails_to_connect(&stale, &["--ca-file", &good], &["expired", "renew the broker's certificate", "clock"]);
    let elsewhere = Mosquitto::start(folder, OPEN, Some(&ours.issue(folder, "broker.example", 2100)));
    let misnamed = format!("mqtts://localhost:{}", elsewhere.tls);
    site.fails_to_connect(&misnamed, &["--ca-file", &good], &["broker.example", "use a host name"]);

    site.delivers(&broker, &url, &["--ca-file", &good], None);
    site.delivers(&broker, &url, &[], Some(&good));
}

#[test]
fn a_wrong_password_is_logged_and_the_right_one_connects() {
    let Some(site) = Site::new("password") else { return };
    let passwords = site.0.join("passwords");
    let made = Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&passwords).args(["gw", "open sesame"]).status();
    if !made.is_ok_and(|status| status.success()) {
        return lapwing_skips::skip("mosquitto_passwd does not run");
    }
    // This broker has no anonymous listener for the test, so the agent's log has to show the connection.
    let access = format!("allow_anonymous false\npassword_file {}\n", passwords.display());
    let broker = Mosquitto::start(site.0.path(), &access, None);
    let url = |login: &str| format!("mqtt://{login}127.0.0.1:{}", broker.plain);
    let expected = ["the broker rejected the login", "check user and password"];
    site.fails_to_connect(&url("gw:close%20sesame@"), &[], &expected);
    site.fails_to_connect(&url(""), &[], &expected);
    let gateway = site.start(&url("gw:open%20sesame@"), &[], None);
    gateway.until_logged("connected to the broker");
    gateway.end();
}

#[test]
fn a_ca_file_without_certificates_is_an_error_at_start() {
    let folder = Folder::new("no-certificates");
    let file = folder.join("none.pem");
    fs::write(&file, "not a certificate\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_lapwing-demo"))
        .args(["agent", "run", "--input", "/dev/null", "--mqtt", "mqtts://localhost", "--ca-file"])
        .arg(&file)
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && log.contains("ca-file must be a PEM file with certificates"), "{log}");
}
