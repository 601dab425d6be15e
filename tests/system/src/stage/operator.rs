//! A client with the rights of the broker's operator: it reads and publishes every topic.

use super::PATIENCE;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Client, Event, MqttOptions};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};

/// The client, connected.
pub struct Operator {
    client: Client,
    seen: Receiver<(String, Vec<u8>)>,
}

impl Operator {
    /// Connects and subscribes to every topic.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn connect(broker: SocketAddr) -> Self {
        let mut options = MqttOptions::new("operator", broker.ip().to_string(), broker.port());
        options.set_max_packet_size(Some(70_000));
        let (client, mut events) = Client::new(options, 1_000);
        client.subscribe("#", QoS::AtLeastOnce).unwrap();
        let (sender, seen) = channel();
        let (subscribe, subscribed) = channel();
        std::thread::spawn(move || {
            for event in events.iter() {
                match event {
                    Ok(Event::Incoming(Packet::SubAck(_))) => subscribe.send(()).unwrap(),
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
                        if sender.send((topic, publish.payload.to_vec())).is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        });
        subscribed.recv_timeout(PATIENCE).unwrap();
        Self { client, seen }
    }

    /// The next payload on a topic.
    ///
    /// # Panics
    /// After [`PATIENCE`] without a message.
    pub fn next_on(&self, topic: &str) -> Vec<u8> {
        loop {
            let (found, payload) = self.seen.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("nothing on {topic}"));
            if found == topic {
                return payload;
            }
        }
    }

    /// Publishes at QoS 1.
    ///
    /// # Panics
    /// When the client has ended.
    pub fn publish(&self, topic: &str, payload: &[u8]) {
        self.client.publish(topic, QoS::AtLeastOnce, false, payload.to_vec()).unwrap();
    }
}
