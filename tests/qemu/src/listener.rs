//! MQTT client on the trainer's broker: receives the gateway's messages and publishes releases.

use crate::releases::Retained;
use anyhow::bail;
use lapwing_shared::messages::topics::{Kind, Topic, agents_filter};
use lapwing_shared::messages::{Alert, AlertState, Body, MESSAGE_BYTES, Message, UpdateStep};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Health messages, one every ten seconds, after which a wait fails.
const HEALTH_MESSAGES: u32 = 30;

/// A message from the guest's agent.
#[derive(Clone, Debug)]
pub(crate) enum Report {
    Status {
        online: bool,
        /// Release in use, 0 without one.
        release: u64,
    },
    /// A release's version and the step of its update.
    Step(u64, UpdateStep),
    /// An alert that opens an episode.
    Opened(Box<Alert>),
    /// Packets seen since the agent's start.
    Packets(u64),
}

/// Receives the gateway's messages and publishes releases.
pub(crate) struct Listener {
    client: AsyncClient,
    reports: Receiver<Report>,
}

impl Listener {
    /// Connects and subscribes; a thread serves the connection.
    pub(crate) fn start(broker: SocketAddr) -> anyhow::Result<Self> {
        let mut options = MqttOptions::new("bench", broker.ip().to_string(), broker.port());
        options.set_max_packet_size(Some(MESSAGE_BYTES as u32 + 1024)).set_keep_alive(Duration::from_secs(60));
        let (client, events) = AsyncClient::new(options, 64);
        for kind in [Kind::Status, Kind::Alert, Kind::Health, Kind::Update] {
            client.try_subscribe(agents_filter(kind).as_str(), QoS::AtLeastOnce)?;
        }
        let (sender, reports) = channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || {
            if let Err(error) = runtime.block_on(receive(events, sender)) {
                println!("  listener disconnected: {error}");
            }
        });
        Ok(Self { client, reports })
    }

    /// Publishes retained topics, in order.
    pub(crate) fn publish(&self, topics: Vec<Retained>) -> anyhow::Result<()> {
        for (topic, payload) in topics {
            self.client.try_publish(topic, QoS::AtLeastOnce, true, payload)?;
        }
        Ok(())
    }

    /// Waits for a message for which `select` returns a value; returns that value. Fails after `patience` without a
    /// message, after [`HEALTH_MESSAGES`] health messages, or when the connection is lost.
    pub(crate) fn until<T>(
        &mut self,
        what: &str,
        patience: Duration,
        mut select: impl FnMut(&Report) -> Option<T>,
    ) -> anyhow::Result<T> {
        let mut health_messages = 0;
        loop {
            match self.reports.recv_timeout(patience) {
                Ok(Report::Packets(packets)) if health_messages >= HEALTH_MESSAGES => {
                    bail!("{health_messages} health messages, the last with {packets} packets, but not: {what}")
                }
                Ok(report) => {
                    health_messages += u32::from(matches!(report, Report::Packets(_)));
                    if let Some(value) = select(&report) {
                        return Ok(value);
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("no message for {patience:?} while waiting for: {what}"),
                Err(RecvTimeoutError::Disconnected) => bail!("the broker disconnected while waiting for: {what}"),
            }
        }
    }

    /// Discards the messages received so far.
    pub(crate) fn clear(&mut self) {
        while self.reports.try_recv().is_ok() {}
    }
}

async fn receive(mut events: EventLoop, sender: Sender<Report>) -> anyhow::Result<()> {
    loop {
        let Event::Incoming(Packet::Publish(publish)) = events.poll().await? else { continue };
        let topic = std::str::from_utf8(&publish.topic).ok().and_then(Topic::parse);
        let (Some(Topic::Agent(..)), Ok(message)) = (topic, Message::decode(&publish.payload)) else { continue };
        let report = match message.body {
            Body::Status(status) => Report::Status { online: status.online, release: status.release },
            Body::Update(update) => Report::Step(update.release, update.step),
            Body::Alert(alert) if alert.state == AlertState::Opened => Report::Opened(Box::new(alert)),
            Body::Health(health) => Report::Packets(health.packets),
            _ => continue,
        };
        if !matches!(report, Report::Packets(_) | Report::Opened(_)) {
            println!("  gateway | {report:?}");
        }
        if sender.send(report).is_err() {
            return Ok(());
        }
    }
}
