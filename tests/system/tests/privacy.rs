//! What an agent publishes in each privacy mode, seen at a real broker (mosquitto): every payload and topic of a replay of
//! captures with many hosts.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_shared::messages::topics::{Kind, agent_topic};
use lapwing_shared::messages::{Alert, Body, Message};
use lapwing_shared::privacy::AddressKey;
use lapwing_shared::units::Address;
use lapwing_shared::verdict::alert::NO_HOST;
use lapwing_system_tests::stage::listener::{Listener, name};
use lapwing_system_tests::stage::mosquitto::{Mosquitto, mosquitto};
use lapwing_system_tests::stage::{Folder, PATIENCE, capture};
use rumqttc::v5::mqttbytes::QoS;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};

const AGENT: &str = "gw";
const CAPTURES: [&str; 3] = ["home-a-benign.pcap.gz", "home-a-attacks.pcap.gz", "home-b-attacks.pcap.gz"];

/// A broker, and a client that receives everything.
struct Site {
    folder: Folder,
    broker: Mosquitto,
    listener: Listener,
}

/// What one run published, and the addresses that it saw.
struct Run {
    published: Vec<(String, Vec<u8>)>,
    /// In text form, by the flow records.
    seen: BTreeSet<String>,
    /// Hosts and peers of the local list of alerts.
    reported: BTreeSet<String>,
}

impl Site {
    fn new() -> Option<Self> {
        if mosquitto().is_none() {
            lapwing_skips::skip("no mosquitto (Debian package mosquitto)");
            return None;
        }
        let folder = Folder::new("privacy");
        let broker = Mosquitto::start(folder.path(), "allow_anonymous true\n", None);
        let listener = Listener::new(&broker, "observer", &["#"]);
        Some(Self { folder, broker, listener })
    }

    /// Replays the captures with this `[privacy] addresses`.
    fn replay(&self, mode: &str) -> Run {
        let packaged = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../firmware-configs/release");
        let config = self.folder.join("agent.toml");
        let path = |name: &str| self.folder.join(name).display().to_string();
        let text = format!(
            "[privacy]\naddresses = '{mode}'\n[detector]\nengine = 'int8'\nalerts-per-day = 100\nrelease = '{release}'\n\
             [update]\nstate-dir = '{state}'\nkeys = ['{key}']\n[mqtt]\nurl = '{url}'\nagent = '{AGENT}'\ndelivery = 'broker'\n\
             [output]\nrecords = '{records}'\nalerts = '{alerts}'\n",
            release = packaged.join("release.lwr").display(),
            key = packaged.join("release.pub").display(),
            url = self.broker.url(),
            state = path("state"),
            records = path("records.csv"),
            alerts = path("alerts.jsonl"),
        );
        fs::write(&config, text).unwrap();
        let mut agent = Command::new(env!("CARGO_BIN_EXE_lapwing-demo"));
        agent.args(["agent", "replay", "--config"]).arg(&config).args(CAPTURES.map(capture));
        assert!(agent.stderr(Stdio::null()).status().unwrap().success());
        Run { published: self.published(), seen: seen(&path("records.csv")), reported: reported(&path("alerts.jsonl")) }
    }

    /// Everything that the broker passed on until now.
    fn published(&self) -> Vec<(String, Vec<u8>)> {
        self.listener.client.publish("end", QoS::AtLeastOnce, false, "").unwrap();
        let mut published = Vec::new();
        loop {
            let publish = self.listener.received.recv_timeout(PATIENCE).unwrap();
            let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
            if topic == "end" {
                return published;
            }
            published.push((topic, publish.payload.to_vec()));
        }
    }
}

/// Sources and destinations of flow records.
fn seen(records: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(records).unwrap();
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    let place = |name: &str| columns.iter().position(|column| *column == name).unwrap();
    let (source, destination) = (place("source"), place("destination"));
    let fields = lines.flat_map(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        [fields[source].to_owned(), fields[destination].to_owned()]
    });
    fields.filter(|field| field.parse::<IpAddr>().is_ok_and(|address| !address.is_unspecified())).collect()
}

/// Hosts and peers of a file of alerts.
fn reported(alerts: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(alerts).unwrap();
    // Every value of the keys `host` and `address`.
    let values = ["\"host\":\"", "\"address\":\""].into_iter().flat_map(|key| {
        text.match_indices(key).map(|(at, key)| text[at + key.len()..].split('"').next().unwrap().to_owned())
    });
    values.filter(|address| address != "0.0.0.0").collect()
}

fn bytes_of(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(address) => Address::from_v4(address.octets()),
        IpAddr::V6(address) => Address(address.octets()),
    }
}

impl Run {
    /// Addresses that occur in a topic or payload: as text, as 16 bytes, or a private IPv4 address as 4 bytes. There are
    /// too many other IPv4 addresses: random bytes would contain some.
    fn leaked(&self) -> BTreeSet<String> {
        let (mut long, mut short) = (HashMap::new(), HashMap::new());
        for text in &self.seen {
            let parsed = text.parse().unwrap();
            long.insert(bytes_of(parsed).0, text);
            if let IpAddr::V4(v4) = parsed
                && v4.is_private()
            {
                short.insert(v4.octets(), text);
            }
        }
        let parts = self.published.iter().flat_map(|(topic, payload)| [topic.as_bytes(), payload]);
        let mut leaked = BTreeSet::new();
        for part in parts {
            leaked.extend(part.windows(16).filter_map(|bytes| long.get(bytes)).map(|text| (*text).clone()));
            leaked.extend(part.windows(4).filter_map(|bytes| short.get(bytes)).map(|text| (*text).clone()));
            let text = String::from_utf8_lossy(part);
            let words = text.split(|char: char| !char.is_ascii_hexdigit() && char != '.' && char != ':');
            leaked.extend(words.map(|word| word.trim_matches('.').to_owned()).filter(|word| self.seen.contains(word)));
        }
        leaked
    }

    fn alerts(&self) -> Vec<Alert> {
        let topic = agent_topic(&name(AGENT), Kind::Alert).to_string();
        let payloads = self.published.iter().filter(|(of, _)| *of == topic).map(|(_, payload)| payload);
        let alerts = payloads.filter_map(|payload| match Message::decode(payload).unwrap().body {
            Body::Alert(alert) => Some(alert),
            _ => None,
        });
        alerts.collect()
    }

    /// Hosts and peers of the published alerts.
    fn hosts(&self) -> BTreeSet<Address> {
        let alerts = self.alerts();
        let hosts = alerts.iter().flat_map(|alert| alert.peers.iter().map(|peer| peer.address).chain([alert.host]));
        hosts.filter(|address| *address != NO_HOST).collect()
    }

    /// Number of published payloads of this kind.
    fn count(&self, kind: Kind) -> usize {
        let topic = agent_topic(&name(AGENT), kind).to_string();
        self.published.iter().filter(|(of, _)| *of == topic).count()
    }
}

#[test]
fn no_address_leaves_the_agent_unless_they_are_plain() {
    let Some(site) = Site::new() else { return };
    let plain = site.replay("plain");
    let expected: BTreeSet<Address> = plain.reported.iter().map(|text| bytes_of(text.parse().unwrap())).collect();
    assert!(plain.alerts().len() > 20 && plain.seen.len() > 100 && plain.count(Kind::Sample) > 5);
    assert_eq!(plain.hosts(), expected);
    assert!(plain.leaked().is_superset(&plain.reported), "the search finds what is there");

    let first = site.replay("pseudonym");
    assert_eq!(first.leaked(), BTreeSet::new());
    assert_eq!(first.count(Kind::AlertJson), first.alerts().len());
    assert!(first.published.iter().any(|(_, payload)| payload.windows(10).any(|part| part == b"\"host\":\"p-")));
    let key = AddressKey::parse(&fs::read_to_string(site.folder.join("state/address-key")).unwrap()).unwrap();
    let resolved: BTreeSet<Address> = first.hosts().iter().map(|host| key.address(*host)).collect();
    assert_eq!(resolved, expected);
    assert_eq!(site.replay("pseudonym").hosts(), first.hosts(), "the same after a restart");

    let (hidden, again) = (site.replay("none"), site.replay("none"));
    assert_eq!((hidden.leaked(), again.leaked()), (BTreeSet::new(), BTreeSet::new()));
    assert_eq!(hidden.hosts().len(), expected.len(), "hosts stay apart within a run");
    assert!(hidden.hosts().is_disjoint(&again.hosts()) && hidden.hosts().is_disjoint(&first.hosts()));
}
