//! Configuration → a running mosquitto.

use super::ports::free_port;
use super::{Folder, PATIENCE};
use lapwing_shared::messages::Message;
use lapwing_shared::messages::sealed::{SEAL_BYTES, SEALED};
use lapwing_shared::messages::topics::{Kind, Topic, agents_filter};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Client, Event, MqttOptions};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// A broker process; killed when dropped.
pub struct Mosquitto {
    child: Child,
    log: Receiver<String>,
    config: PathBuf,
    /// Port for TLS; unused without a certificate.
    pub tls: u16,
    /// Port without TLS.
    pub plain: u16,
}

/// Starts of the program, each with new ports, before a test fails.
const START_ATTEMPTS: usize = 5;

/// The program. Debian installs it in a folder that is not in the PATH of ordinary users.
pub fn mosquitto() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    places.map(|place| place.join("mosquitto")).find(|program| program.is_file())
}

/// Starts the program and waits until it logs that it is running.
///
/// # Errors
/// What it logged, if it ended before.
fn run(config: &Path) -> Result<(Child, Receiver<String>), String> {
    let mut command = Command::new(mosquitto().unwrap());
    let mut child = command.arg("-c").arg(config).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let (sender, log) = channel();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    // Reads to the end, as the broker would block on a full pipe.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(sender.send(line))));
    let mut logged = String::new();
    loop {
        match log.recv_timeout(PATIENCE) {
            Ok(line) if line.ends_with(" running") => return Ok((child, log)),
            Ok(line) => logged += &(line + "\n"),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{error}; it logged: {logged}"));
            }
        }
    }
}

/// The configuration file: these lines, a listener at port `plain`, and with a certificate one for TLS.
fn configuration(lines: &str, [tls, plain]: [u16; 2], certificate: Option<&[PathBuf; 2]>) -> String {
    // As root it would switch to the user mosquitto, who cannot read the test's files.
    let user = "user root\nper_listener_settings false\n";
    let mut text = format!("{user}{lines}listener {plain} 127.0.0.1\n");
    if let Some([certificate, key]) = certificate {
        let (certificate, key) = (certificate.display(), key.display());
        text += &format!("listener {tls} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\n");
    }
    text
}

impl Mosquitto {
    /// Starts it with these lines in its configuration, which must say who may connect. With a certificate and its key it
    /// listens for TLS too.
    ///
    /// # Panics
    /// When it does not start, with what it logged.
    pub fn start(folder: &Path, lines: &str, certificate: Option<&[PathBuf; 2]>) -> Self {
        Self::start_as(folder, |ports| configuration(lines, ports, certificate))
    }

    /// Starts the broker with the configuration that `broker-config` printed, and these files of the folder: `trusted.pem`,
    /// `hub.pem`, `hub.key` and `acl`.
    pub fn start_as_printed(folder: &Folder, printed: &str) -> Self {
        let mut config = printed.to_owned();
        for (place, file) in [("-ca.pem", "trusted.pem"), (".pem", "hub.pem"), (".key", "hub.key"), (".acl", "acl")] {
            config = config.replace(&format!("/etc/mosquitto/lapwing{place}"), folder.join(file).to_str().unwrap());
        }
        let is_ours = |line: &&str| !line.starts_with("listener ") && !line.starts_with("per_listener_settings ");
        let lines: Vec<&str> = config.lines().filter(is_ours).collect();
        Self::start_for_agents(folder.path(), &(lines.join("\n") + "\n"))
    }

    /// Starts it with a port for TLS, configured by these lines, and a port without TLS for everyone.
    ///
    /// # Panics
    /// As [`Mosquitto::start`].
    fn start_for_agents(folder: &Path, lines: &str) -> Self {
        Self::start_as(folder, |[tls, plain]| {
            let open =
                format!("user root\nper_listener_settings true\nlistener {plain} 127.0.0.1\nallow_anonymous true\n");
            format!("{open}listener {tls} 127.0.0.1\n{lines}")
        })
    }

    /// Starts it with the configuration for a port for TLS and one without.
    fn start_as(folder: &Path, configuration: impl Fn([u16; 2]) -> String) -> Self {
        let mut failures = Vec::new();
        for _ in 0..START_ATTEMPTS {
            let [tls, plain] = [free_port(), free_port()];
            let config = folder.join(format!("mosquitto-{plain}.conf"));
            fs::write(&config, configuration([tls, plain])).unwrap();
            match run(&config) {
                Ok((child, log)) => return Self { child, log, config, tls, plain },
                // Another program may have taken a port in between.
                Err(failure) => failures.push(failure),
            }
        }
        panic!("mosquitto does not start: {failures:?}");
    }

    /// Makes it read its access lists again (SIGHUP).
    pub fn reload(&self) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::HUP).unwrap();
    }

    /// Its process id.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Its URL without TLS.
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address())
    }

    /// Its address without TLS.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.plain).into()
    }

    /// Kills it, with everything that it holds in memory, and starts it on the same ports.
    pub fn restart(&mut self) {
        self.end();
        (self.child, self.log) = run(&self.config).expect("mosquitto starts again");
    }

    /// SIGKILL; [`Mosquitto::restart`] starts it again.
    pub fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Number of lines of its log since the last call that contain `text`.
    pub fn logged(&self, text: &str) -> usize {
        self.log.try_iter().filter(|line| line.contains(text)).count()
    }

    /// Run and number of every alert that reaches the broker.
    ///
    /// # Panics
    /// When the subscription fails.
    pub fn alerts(&self) -> Receiver<(u64, u64)> {
        let mut options = MqttOptions::new("test", "127.0.0.1", self.plain);
        options.set_max_packet_size(Some(66 * 1024));
        let (client, mut events) = Client::new(options, 16);
        client.subscribe(agents_filter(Kind::Alert).as_str(), QoS::AtLeastOnce).unwrap();
        let (sender, alerts) = channel();
        let (subscribe, subscribed) = channel();
        std::thread::spawn(move || {
            let _client = client;
            for event in events.iter() {
                match event {
                    Ok(Event::Incoming(Packet::SubAck(_))) => subscribe.send(()).unwrap(),
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        let topic = std::str::from_utf8(&publish.topic).unwrap();
                        assert!(matches!(Topic::parse(topic), Some(Topic::Agent(_, Kind::Alert))));
                        let sealed = publish.payload.first() == Some(&SEALED);
                        let payload = publish.payload.get(if sealed { SEAL_BYTES } else { 0 }..).unwrap();
                        let message = Message::decode(payload).unwrap();
                        if sender.send((message.run, message.number)).is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        });
        subscribed.recv_timeout(PATIENCE).unwrap();
        alerts
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.end();
    }
}
