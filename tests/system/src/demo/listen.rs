//! What agents say over MQTT → what has happened so far, told as it happens.

use super::{missed, say};
use lapwing_shared::messages::topics::{Kind, Topic, agents_filter};
use lapwing_shared::messages::{Alert, AlertState, Body, MESSAGE_BYTES, Message, UpdateStep};
use lapwing_shared::units::Timestamp;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Alerts that are told in full, each home; the rest is counted.
const TOLD_ALERTS: u32 = 4;

#[derive(Default)]
struct Home {
    online: bool,
    rows: u64,
    /// Newest row's time.
    sampled: Timestamp,
    alerts: u32,
    steps: Vec<(u64, UpdateStep)>,
}

/// What has been heard.
#[derive(Default)]
pub struct Heard {
    homes: HashMap<String, Home>,
}

impl Heard {
    fn home(&self, name: &str) -> Option<&Home> {
        self.homes.get(name)
    }

    /// The agent has said that it is online.
    pub fn online(&self, home: &str) -> bool {
        self.home(home).is_some_and(|home| home.online)
    }

    /// Sample rows.
    pub fn rows(&self, home: &str) -> u64 {
        self.home(home).map_or(0, |home| home.rows)
    }

    /// Time of the newest sample row.
    pub fn sampled(&self, home: &str) -> Timestamp {
        self.home(home).map_or(Timestamp::EPOCH, |home| home.sampled)
    }

    /// Episodes that one home opened.
    pub fn alerts_of(&self, home: &str) -> u32 {
        self.home(home).map_or(0, |home| home.alerts)
    }

    /// Episodes that all homes opened.
    pub fn opened(&self) -> u32 {
        self.homes.values().map(|home| home.alerts).sum()
    }

    /// The agent has reported this step of this release.
    pub fn reached(&self, home: &str, version: u64, step: &UpdateStep) -> bool {
        self.home(home).is_some_and(|home| home.steps.iter().any(|taken| *taken == (version, step.clone())))
    }

    /// A step that ends an update badly.
    fn failure(&self) -> Option<String> {
        self.homes.iter().find_map(|(name, home)| {
            home.steps.iter().find_map(|(version, step)| match step {
                UpdateStep::Refused(why) => Some(format!("{name} refused release {version}: {why}")),
                UpdateStep::RolledBack(why) => Some(format!("{name} rolled release {version} back: {why}")),
                _ => None,
            })
        })
    }

    fn note(&mut self, name: &str, body: Body) {
        let home = self.homes.entry(name.to_owned()).or_default();
        match body {
            Body::Status(status) => home.online = status.online,
            Body::Samples(samples) => {
                home.rows += samples.rows.len() as u64;
                home.sampled = samples.rows.iter().map(|row| row.at).fold(home.sampled, Timestamp::max);
            }
            Body::Update(update) => {
                say(&format!("{name}: release {} {}", update.release, step_text(&update.step)));
                // A message may come twice; a step taken twice is one.
                if !home.steps.contains(&(update.release, update.step.clone())) {
                    home.steps.push((update.release, update.step));
                }
            }
            Body::Alert(alert) if alert.state == AlertState::Opened => {
                home.alerts += 1;
                match home.alerts {
                    count if count <= TOLD_ALERTS => tell_alert(name, &alert),
                    count if count == TOLD_ALERTS + 1 => {
                        say(&format!("{name}: more alerts; they are counted at the end"))
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

fn step_text(step: &UpdateStep) -> String {
    match step {
        UpdateStep::Downloading => "is fetched".into(),
        UpdateStep::Verified => "verified: signature, version, schema, digest, golden vectors".into(),
        UpdateStep::Trial => "on trial".into(),
        UpdateStep::Confirmed => "confirmed".into(),
        UpdateStep::Refused(why) => format!("REFUSED: {why}"),
        UpdateStep::RolledBack(why) => format!("ROLLED BACK: {why}"),
    }
}

fn tell_alert(name: &str, alert: &Alert) {
    say(&format!("\x1b[31mALERT\x1b[0m {name}: {}", alert.head()));
    let (evidence, limit) = (alert.evidence_nats, alert.limit_nats);
    say(&format!("        evidence {evidence:.0} nats over a limit of {limit:.0} (release {})", alert.release));
    for reason in alert.reasons.iter().take(3) {
        say(&format!("        {}", reason.finding()));
    }
}

/// A subscriber to everything that agents say.
pub struct Listener {
    runtime: Runtime,
    events: EventLoop,
    _client: AsyncClient,
    heard: Heard,
}

impl Listener {
    /// Connects and subscribes.
    ///
    /// # Errors
    /// When the runtime cannot be made or the request is refused.
    pub fn start(broker: SocketAddr) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut options = MqttOptions::new("demo-listener", broker.ip().to_string(), broker.port());
        options.set_max_packet_size(Some(MESSAGE_BYTES as u32 + 1024)).set_keep_alive(Duration::from_secs(60));
        let (client, events) = AsyncClient::new(options, 16);
        for kind in [Kind::Status, Kind::Alert, Kind::Sample, Kind::Update] {
            client.try_subscribe(agents_filter(kind).as_str(), QoS::AtLeastOnce)?;
        }
        Ok(Self { runtime, events, _client: client, heard: Heard::default() })
    }

    /// What has been heard so far.
    pub fn heard(&self) -> &Heard {
        &self.heard
    }

    /// Listens until `happened` says yes.
    ///
    /// # Errors
    /// After `patience`, when the connection is lost, or when an agent refuses a release.
    pub fn until(&mut self, patience: Duration, what: &str, happened: impl Fn(&Heard) -> bool) -> anyhow::Result<()> {
        let Self { runtime, events, heard, .. } = self;
        let listening = async {
            while !happened(heard) {
                if let Some(failure) = heard.failure() {
                    anyhow::bail!("{failure}");
                }
                if let Event::Incoming(Packet::Publish(publish)) = events.poll().await? {
                    let topic = std::str::from_utf8(&publish.topic).ok().and_then(Topic::parse);
                    let (Some(Topic::Agent(agent, _)), Ok(message)) = (topic, Message::decode(&publish.payload)) else {
                        continue;
                    };
                    heard.note(&agent, message.body);
                }
            }
            Ok(())
        };
        match runtime.block_on(async { tokio::time::timeout(patience, listening).await }) {
            Ok(outcome) => outcome,
            Err(_) => missed(what, patience),
        }
    }
}
