//! Configuration → a running mosquitto.

use super::PATIENCE;
use lapwing_shared::messages::Message;
use lapwing_shared::messages::topics::{Kind, Topic, agents_filter};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Client, Event, MqttOptions};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
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

/// The program. Debian installs it in a folder that is not in the PATH of ordinary users.
pub fn mosquitto() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    places.map(|place| place.join("mosquitto")).find(|program| program.is_file())
}

/// Starts the program and waits until it logs that it is running.
fn run(config: &Path) -> (Child, Receiver<String>) {
    let mut command = Command::new(mosquitto().unwrap());
    let mut child = command.arg("-c").arg(config).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let (sender, log) = channel();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    // Reads to the end, as the broker would block on a full pipe.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(sender.send(line))));
    while !log.recv_timeout(PATIENCE).expect("mosquitto logs that it is running").ends_with(" running") {}
    (child, log)
}

/// Unused ports of the loopback.
pub fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let probes = [(); COUNT].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    probes.map(|probe| probe.local_addr().unwrap().port())
}

impl Mosquitto {
    /// Starts it with these lines in its configuration, which must say who may connect. With a certificate and its key it
    /// listens for TLS too.
    pub fn start(folder: &Path, lines: &str, certificate: Option<&[PathBuf; 2]>) -> Self {
        let [tls, plain] = free_ports();
        // As root it would switch to the user mosquitto, who cannot read the test's files.
        let user = "user root\nper_listener_settings false\n";
        let mut text = format!("{user}{lines}listener {plain} 127.0.0.1\n");
        if let Some([certificate, key]) = certificate {
            let (certificate, key) = (certificate.display(), key.display());
            text += &format!("listener {tls} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\n");
        }
        let config = folder.join(format!("mosquitto-{plain}.conf"));
        fs::write(&config, text).unwrap();
        let (child, log) = run(&config);
        Self { child, log, config, tls, plain }
    }

    /// Starts it with a port for TLS, configured by these lines, and a port without TLS for everyone.
    pub fn start_for_agents(folder: &Path, lines: &str) -> Self {
        let [tls, plain] = free_ports();
        let open = format!("user root\nper_listener_settings true\nlistener {plain} 127.0.0.1\nallow_anonymous true\n");
        let config = folder.join("mosquitto-agents.conf");
        fs::write(&config, format!("{open}listener {tls} 127.0.0.1\n{lines}")).unwrap();
        let (child, log) = run(&config);
        Self { child, log, config, tls, plain }
    }

    /// Makes it read its access lists again (SIGHUP).
    pub fn reload(&self) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::HUP).unwrap();
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
        (self.child, self.log) = run(&self.config);
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
                        let message = Message::decode(&publish.payload).unwrap();
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
