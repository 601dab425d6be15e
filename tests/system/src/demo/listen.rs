//! MQTT messages of the agents → what has happened so far, shown as it happens.

use super::console::{alert as show_alert_line, say};
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

/// Alerts of each home that are shown in full; the others are counted.
const SHOWN_ALERTS: u32 = 4;

#[derive(Default)]
struct Home {
    online: bool,
    rows: u64,
    /// Time of the newest row.
    sampled: Timestamp,
    alerts: u32,
    steps: Vec<(u64, UpdateStep)>,
}

/// What the agents have reported.
#[derive(Default)]
pub struct Reports {
    homes: HashMap<String, Home>,
}

impl Reports {
    fn home(&self, name: &str) -> Option<&Home> {
        self.homes.get(name)
    }

    /// Whether the agent is online.
    pub fn online(&self, home: &str) -> bool {
        self.home(home).is_some_and(|home| home.online)
    }

    /// Number of sample rows.
    pub fn rows(&self, home: &str) -> u64 {
        self.home(home).map_or(0, |home| home.rows)
    }

    /// Time of the newest sample row.
    pub fn sampled(&self, home: &str) -> Timestamp {
        self.home(home).map_or(Timestamp::EPOCH, |home| home.sampled)
    }

    /// Alert episodes of one home.
    pub fn alerts_of(&self, home: &str) -> u32 {
        self.home(home).map_or(0, |home| home.alerts)
    }

    /// Alert episodes of all homes.
    pub fn alerts(&self) -> u32 {
        self.homes.values().map(|home| home.alerts).sum()
    }

    /// Whether the agent has reported this step of this release.
    pub fn reached(&self, home: &str, version: u64, step: &UpdateStep) -> bool {
        self.home(home).is_some_and(|home| home.steps.iter().any(|taken| *taken == (version, step.clone())))
    }

    /// A rejected or rolled back release.
    fn failure(&self) -> Option<String> {
        self.homes.iter().find_map(|(name, home)| {
            home.steps.iter().find_map(|(version, step)| match step {
                UpdateStep::Refused(why) => Some(format!("{name} rejected release {version}: {why}")),
                UpdateStep::RolledBack(why) => Some(format!("{name} rolled back release {version}: {why}")),
                _ => None,
            })
        })
    }

    fn add(&mut self, name: &str, body: Body) {
        let home = self.homes.entry(name.to_owned()).or_default();
        match body {
            Body::Status(status) => home.online = status.online,
            Body::Samples(samples) => {
                home.rows += samples.rows.len() as u64;
                home.sampled = samples.rows.iter().map(|row| row.at).fold(home.sampled, Timestamp::max);
            }
            Body::Update(update) => {
                say(&format!("{name}: release {} {}", update.release, step_text(&update.step)));
                // The same message may be delivered twice.
                if !home.steps.contains(&(update.release, update.step.clone())) {
                    home.steps.push((update.release, update.step));
                }
            }
            Body::Alert(alert) if alert.state == AlertState::Opened => {
                home.alerts += 1;
                match home.alerts {
                    count if count <= SHOWN_ALERTS => show_alert(name, &alert),
                    count if count == SHOWN_ALERTS + 1 => say(&format!("{name}: more alerts, counted below")),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

fn step_text(step: &UpdateStep) -> String {
    match step {
        UpdateStep::Downloading => "downloading".into(),
        UpdateStep::Verified => "verified: signature, version, schema, digest, golden vectors".into(),
        UpdateStep::Trial => "on trial".into(),
        UpdateStep::Confirmed => "confirmed".into(),
        UpdateStep::Refused(why) => format!("REJECTED: {why}"),
        UpdateStep::RolledBack(why) => format!("ROLLED BACK: {why}"),
    }
}

fn show_alert(name: &str, alert: &Alert) {
    show_alert_line(&format!("{name}: {}", alert.summary()));
    let (evidence, limit) = (alert.evidence_nats, alert.limit_nats);
    say(&format!("        evidence {evidence:.0} nats, limit {limit:.0} nats (release {})", alert.release));
    for reason in alert.reasons.iter().take(3) {
        say(&format!("        {}", reason.finding()));
    }
}

/// A subscriber to all messages of the agents.
pub struct Listener {
    runtime: Runtime,
    events: EventLoop,
    _client: AsyncClient,
    reports: Reports,
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
        // Health reports come all the time, so that a wait notices what it learns elsewhere.
        for kind in [Kind::Status, Kind::Health, Kind::Alert, Kind::Sample, Kind::Update] {
            client.try_subscribe(agents_filter(kind).as_str(), QoS::AtLeastOnce)?;
        }
        Ok(Self { runtime, events, _client: client, reports: Reports::default() })
    }

    /// What the agents have reported so far.
    pub fn reports(&self) -> &Reports {
        &self.reports
    }

    /// Processes messages until `is_done` is true.
    ///
    /// # Errors
    /// After `patience`, when the connection is lost, or when an agent rejects a release.
    pub fn until(&mut self, patience: Duration, what: &str, is_done: impl Fn(&Reports) -> bool) -> anyhow::Result<()> {
        let Self { runtime, events, reports, .. } = self;
        let listening = async {
            while !is_done(reports) {
                if let Some(failure) = reports.failure() {
                    anyhow::bail!("{failure}");
                }
                if let Event::Incoming(Packet::Publish(publish)) = events.poll().await? {
                    let topic = std::str::from_utf8(&publish.topic).ok().and_then(Topic::parse);
                    let (Some(Topic::Agent(agent, _)), Ok(message)) = (topic, Message::decode(&publish.payload)) else {
                        continue;
                    };
                    reports.add(&agent, message.body);
                }
            }
            Ok(())
        };
        match runtime.block_on(async { tokio::time::timeout(patience, listening).await }) {
            Ok(outcome) => outcome,
            Err(_) => anyhow::bail!("no {what} within {} s", patience.as_secs()),
        }
    }
}
