//! An MQTT client that acts as an agent and keeps what it receives.

use super::PATIENCE;
use super::mosquitto::Mosquitto;
use lapwing_shared::messages::topics::{Kind, agent_topic};
use lapwing_shared::messages::{Acknowledgement, AgentName, Body, MESSAGE_BYTES, Message, Update, UpdateStep};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{Client, Event, MqttOptions};
use std::sync::mpsc::{Receiver, channel};

/// A name.
///
/// # Panics
/// When it is invalid.
pub fn name(text: &str) -> AgentName {
    AgentName::try_from(text).unwrap()
}

/// An MQTT client and what it receives.
pub struct Listener {
    /// Its end of the connection.
    pub client: Client,
    /// Publications of its subscriptions.
    pub received: Receiver<Publish>,
}

impl Listener {
    /// Connects and subscribes.
    ///
    /// # Panics
    /// When the broker does not answer.
    pub fn new(broker: &Mosquitto, id: &str, filters: &[&str]) -> Self {
        let address = broker.address();
        let mut options = MqttOptions::new(id, address.ip().to_string(), address.port());
        options.set_max_packet_size(Some(70_000));
        let (client, mut connection) = Client::new(options, 1_000);
        let (sender, received) = channel();
        let (ready, subscribed) = channel();
        std::thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        if sender.send(publish).is_err() {
                            return;
                        }
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => drop(ready.send(())),
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        });
        for filter in filters {
            client.subscribe(*filter, QoS::AtLeastOnce).unwrap();
            subscribed.recv_timeout(PATIENCE).unwrap();
        }
        Self { client, received }
    }

    /// Publishes a numbered message of run 1 of an agent.
    ///
    /// # Panics
    /// When the client has stopped.
    pub fn send_update(&self, agent: &str, number: u64) {
        let body = Body::Update(Update { release: 4, step: UpdateStep::Downloading });
        let mut buffer = vec![0; MESSAGE_BYTES];
        let payload = Message { run: 1, number, sent_s: 0, body }.encode(&mut buffer).unwrap().to_vec();
        let topic = agent_topic(&name(agent), Kind::Update);
        self.client.publish(topic.as_str(), QoS::AtLeastOnce, false, payload).unwrap();
    }

    /// Waits until these numbers of run 1 are acknowledged.
    ///
    /// # Panics
    /// After [`PATIENCE`].
    pub fn wait_for_acknowledgements(&self, mut missing: Vec<u64>) {
        while !missing.is_empty() {
            let publish =
                self.received.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("not acknowledged: {missing:?}"));
            let acknowledgement = Acknowledgement::decode(&publish.payload).unwrap();
            missing.retain(|number| !acknowledgement.covers(1, *number));
        }
    }
}

/// Retained topics of releases that a new client receives, until `count` arrived. The trainer waits 60 s before it publishes
/// again what a slow broker did not return.
///
/// # Panics
/// After three times [`PATIENCE`] without another one.
pub fn retained(broker: &Mosquitto, id: &str, count: usize) -> Vec<String> {
    let listener = Listener::new(broker, id, &["lapwing/v1/group/#", "lapwing/v1/artifact/#"]);
    let mut topics = Vec::new();
    while topics.len() < count {
        let publish = listener.received.recv_timeout(3 * PATIENCE);
        let publish = publish.unwrap_or_else(|_| panic!("{topics:?}, expected {count}"));
        let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
        if !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    topics.sort();
    topics
}
