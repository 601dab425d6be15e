//! The agent at a real broker (mosquitto) with TLS and passwords: what it takes, what it refuses and says of it, and
//! that it goes on detecting and keeps its alerts meanwhile.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_shared::messages::Message;
use lapwing_shared::messages::topics::{Kind, Topic, agents_filter};
use lapwing_system_tests::stage::gateway::{Gateway, journal};
use lapwing_system_tests::stage::releases::Releases;
use lapwing_system_tests::stage::{Folder, PATIENCE, look_until, skipped};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Client, Event, MqttOptions};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// An authority of the test's own.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Writes a certificate for a host name, with its key, good until a year's first day.
    fn issue(&self, folder: &Path, host: &str, until: i32) -> [PathBuf; 2] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = ["crt", "key"].map(|ending| folder.join(format!("{host}-{until}.{ending}")));
        fs::write(&files[0], certificate.pem()).unwrap();
        fs::write(&files[1], key.serialize_pem()).unwrap();
        files
    }
}

/// A broker of this test; ends with it.
struct Mosquitto {
    child: Child,
    /// TLS, where it has a certificate.
    tls: u16,
    plain: u16,
}

/// Debian's package puts it where users' PATH does not look.
fn mosquitto() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    places.map(|place| place.join("mosquitto")).find(|program| program.is_file())
}

impl Mosquitto {
    fn start(folder: &Path, certificate: Option<&[PathBuf; 2]>, passwords: Option<&Path>) -> Self {
        let [tls, plain] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap()).map(|probe| {
            let port = probe.local_addr().unwrap().port();
            drop(probe);
            port
        });
        let access = match passwords {
            Some(file) => format!("allow_anonymous false\npassword_file {}\n", file.display()),
            None => "allow_anonymous true\n".to_owned(),
        };
        // Started by root it would give up root's rights, and with them the right to read the test's files.
        let user = "user root\nper_listener_settings false\n";
        let mut text = format!("{user}{access}listener {plain} 127.0.0.1\n");
        if let Some([certificate, key]) = certificate {
            let (certificate, key) = (certificate.display(), key.display());
            text += &format!("listener {tls} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\n");
        }
        let config = folder.join(format!("mosquitto-{plain}.conf"));
        fs::write(&config, text).unwrap();
        let mut command = Command::new(mosquitto().unwrap());
        let child = command.arg("-c").arg(config).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        look_until("the broker listens", || TcpStream::connect(("127.0.0.1", plain)).ok());
        Self { child, tls, plain }
    }

    /// Run and number of every alert that reaches the broker.
    fn alerts(&self) -> Receiver<(u64, u64)> {
        let mut options = MqttOptions::new("test", "127.0.0.1", self.plain);
        options.set_max_packet_size(Some(66 * 1024));
        let (client, mut events) = Client::new(options, 16);
        client.subscribe(agents_filter(Kind::Alert).as_str(), QoS::AtLeastOnce).unwrap();
        let (tell, told) = channel();
        let (subscribe, subscribed) = channel();
        std::thread::spawn(move || {
            let _kept = client;
            for event in events.iter() {
                match event {
                    Ok(Event::Incoming(Packet::SubAck(_))) => subscribe.send(()).unwrap(),
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        let topic = std::str::from_utf8(&publish.topic).unwrap();
                        assert!(matches!(Topic::parse(topic), Some(Topic::Agent(_, Kind::Alert))));
                        let message = Message::decode(&publish.payload).unwrap();
                        if tell.send((message.run, message.number)).is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        });
        subscribed.recv_timeout(PATIENCE).unwrap();
        told
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A gateway's files: a release that raises alerts, its key, a state folder.
struct Site(Folder);

impl Site {
    fn new(name: &str) -> Option<Self> {
        if mosquitto().is_none() {
            skipped(name, "mosquitto is not installed (Debian: apt-get install mosquitto)");
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

    /// A gateway that the broker does not get: it says `expected`, and detects and keeps what it finds.
    fn refused(&self, url: &str, more: &[&str], expected: &[&str]) {
        let state = self.0.join("state");
        let before = journal(&state).len();
        let mut gateway = self.start(url, more, None);
        let line = gateway.until_logged("no connection to the broker");
        assert!(expected.iter().all(|text| line.contains(text)), "{line}\nhas not {expected:?}");
        assert!(!line.contains("sesame"), "the password stands in the log: {line}");
        gateway.play();
        look_until("new alerts in the journal", || (journal(&state).len() > before).then_some(()));
        gateway.kill();
    }

    /// A gateway that the broker gets: every alert that the journal holds reaches the broker.
    fn accepted(&self, broker: &Mosquitto, url: &str, more: &[&str], trusted_by_system: Option<&str>) {
        let mut kept = journal(&self.0.join("state"));
        let heard = broker.alerts();
        let mut gateway = self.start(url, more, trusted_by_system);
        gateway.play();
        let first = heard.recv_timeout(PATIENCE).unwrap();
        kept.retain(|id| *id != first);
        while !kept.is_empty() {
            let id = heard.recv_timeout(PATIENCE).unwrap();
            kept.retain(|kept| *kept != id);
        }
        gateway.end();
    }
}

#[test]
fn only_a_broker_with_the_right_certificate_is_spoken_to_and_alerts_wait_for_it() {
    let Some(site) = Site::new("mqtts") else { return };
    let folder = site.0.path();
    let (ours, other) = (Authority::new("ours"), Authority::new("another"));
    let (good, wrong) = (site.path("ours.pem"), site.path("other.pem"));
    fs::write(&good, &ours.pem).unwrap();
    fs::write(&wrong, &other.pem).unwrap();

    let broker = Mosquitto::start(folder, Some(&ours.issue(folder, "localhost", 2100)), None);
    let url = format!("mqtts://localhost:{}", broker.tls);
    site.refused(
        &url,
        &["--ca-file", &wrong],
        &["UnknownIssuer", "ca-file must hold the certificate of the authority"],
    );
    site.refused(&url, &[], &["UnknownIssuer", "without ca-file the system must trust it"]);
    let by_address = format!("mqtts://127.0.0.1:{}", broker.tls);
    site.refused(
        &by_address,
        &["--ca-file", &good],
        &["use a host name in the broker's URL that its certificate names"],
    );
    let not_tls = format!("mqtts://localhost:{}", broker.plain);
    site.refused(&not_tls, &["--ca-file", &good], &["port"]);

    let expired = Mosquitto::start(folder, Some(&ours.issue(folder, "localhost", 2021)), None);
    let stale = format!("mqtts://localhost:{}", expired.tls);
    site.refused(&stale, &["--ca-file", &good], &["expired", "renew the broker's certificate", "clock"]);
    let elsewhere = Mosquitto::start(folder, Some(&ours.issue(folder, "broker.example", 2100)), None);
    let misnamed = format!("mqtts://localhost:{}", elsewhere.tls);
    site.refused(&misnamed, &["--ca-file", &good], &["broker.example", "use a host name"]);

    site.accepted(&broker, &url, &["--ca-file", &good], None);
    site.accepted(&broker, &url, &[], Some(&good));
}

#[test]
fn a_wrong_password_is_told_and_alerts_wait_for_the_right_one() {
    let Some(site) = Site::new("password") else { return };
    let passwords = site.0.join("passwords");
    let made = Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&passwords).args(["gw", "open sesame"]).status();
    if !made.is_ok_and(|status| status.success()) {
        return skipped("a wrong password", "mosquitto_passwd does not run");
    }
    // Anonymous listeners for the test's own ear would need another broker, so it is told by the agent's own log.
    let broker = Mosquitto::start(site.0.path(), None, Some(&passwords));
    let url = |login: &str| format!("mqtt://{login}127.0.0.1:{}", broker.plain);
    let expected = ["the broker refuses us", "check user and password"];
    site.refused(&url("gw:close%20sesame@"), &[], &expected);
    site.refused(&url(""), &[], &expected);
    let gateway = site.start(&url("gw:open%20sesame@"), &[], None);
    gateway.until_logged("connected to the broker");
    gateway.end();
}

#[test]
fn nothing_to_trust_is_an_error_at_the_start() {
    let folder = Folder::new("no-certificates");
    let file = folder.join("none.pem");
    fs::write(&file, "not a certificate\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_lapwing-demo"))
        .args(["agent", "run", "--input", "/dev/null", "--mqtt", "mqtts://localhost", "--ca-file"])
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("ca-file must be a PEM file with certificates"), "{said}");
}
