//! An outside broker → the collector's link: rumqttc's MQTT 5 client on its own thread.
//!
//! The client confirms deliveries (PUBACK) after the store's commit, in order of arrival. The broker keeps the session and
//! redelivers unconfirmed messages. It sends at most `RECEIVE_MAXIMUM` unconfirmed deliveries, which fit into the
//! queue: that is the backpressure.
//! Every collector reads statuses; the other topics use shared subscriptions (MQTT 5 §4.8.2), so that several collectors
//! with the same share name divide the messages. The default share name is the store's, so that a second trainer with
//! another store takes no messages from the first. Each topic has its own share name, because some brokers keep one
//! position per name.

mod driver;
mod options;
mod pauses;

use super::counts::Counts;
use super::kept::{Expected, Kept};
use super::link::{Delivery, Ends, Inlet, Link, LinkError, Outlet, Receipt, Releases};
use super::link_state::LinkState;
use driver::Driver;
use pauses::Pauses;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Publish};
use rumqttc::v5::{AsyncClient, ClientError};
use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

/// Unconfirmed deliveries that the broker may send (MQTT 5 §3.1.2.11.3).
const RECEIVE_MAXIMUM: u16 = 2_048;
/// Additional queue capacity for QoS 0 deliveries.
const SLACK: usize = 1_024;
/// Capacity of the client's request queue.
const REQUESTS: usize = 2 * RECEIVE_MAXIMUM as usize;
/// Retained publications that wait for the broker's answer, at most: 2 MiB of chunks.
const UNANSWERED: u64 = 64;

/// Connection settings of an outside broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    /// `mqtt://[user:password@]host[:port]`, or `mqtts://` for TLS.
    pub url: String,
    /// MQTT client identifier, unique per collector.
    pub client: String,
    /// PEM file with the authority that signed the broker's certificate. Default: the system's trusted authorities.
    pub authority: Option<PathBuf>,
    /// Share name: collectors with the same one divide the messages between them.
    pub share: String,
    /// Subscribes to agents' messages. Otherwise, the link publishes only, and has no session at the broker.
    pub collects: bool,
}

/// Starts the client, which connects and reconnects in the background.
///
/// # Errors
/// When the URL or the certificates are invalid.
pub fn start(outside: &Outside, counts: Arc<Counts>) -> Result<Link, LinkError> {
    let (client, events) = AsyncClient::new(options::options(outside)?, REQUESTS);
    let (queue, deliveries) = sync_channel(usize::from(RECEIVE_MAXIMUM) + SLACK);
    let (state, kept) = (Arc::new(LinkState::new(&outside.url)), Arc::new(Kept::default()));
    let driver = Driver {
        client: client.clone(),
        events,
        queue,
        state: Arc::clone(&state),
        counts,
        share: outside.share.clone(),
        collects: outside.collects,
        kept: Arc::clone(&kept),
        pauses: Pauses::default(),
        warned: None,
        unreachable: None,
        refusal_logged: false,
    };
    let failed = |error: std::io::Error| LinkError::Ended { reason: error.to_string() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    thread::Builder::new().name("mqtt".into()).spawn(move || runtime.block_on(driver.run())).map_err(failed)?;
    let outlet = || {
        Box::new(ClientOutlet {
            client: client.clone(),
            unsent: VecDeque::new(),
            state: Arc::clone(&state),
            kept: Arc::clone(&kept),
            filters: BTreeSet::new(),
        })
    };
    let inlet = Box::new(QueueInlet { deliveries });
    Ok(Link {
        ends: Ends { inlet, outlet: outlet(), state: Arc::clone(&state) },
        releases: Releases { outlet: outlet(), state: Arc::clone(&state) },
        renewals: outlet(),
    })
}

struct QueueInlet {
    deliveries: Receiver<Delivery>,
}

impl Inlet for QueueInlet {
    fn next(&mut self, timeout: Duration) -> Result<Option<Delivery>, LinkError> {
        match self.deliveries.recv_timeout(timeout) {
            Ok(delivery) => Ok(Some(delivery)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                Err(LinkError::Ended { reason: "the client's thread has stopped".into() })
            }
        }
    }
}

struct ClientOutlet {
    client: AsyncClient,
    /// Confirmations that did not fit into the request queue; at most the receive maximum.
    unsent: VecDeque<Receipt>,
    state: Arc<LinkState>,
    kept: Arc<Kept>,
    /// Filters of the running check.
    filters: BTreeSet<String>,
}

impl Outlet for ClientOutlet {
    fn publish(&mut self, topic: &str, payload: Vec<u8>, retain: bool) -> Result<(), LinkError> {
        // Acknowledgements wait for the connection where they can be merged; the queue would keep them one by one.
        if !self.state.is_connected() || (retain && self.state.unanswered() >= UNANSWERED) {
            return Err(LinkError::Full);
        }
        let quality = if retain { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        self.client.try_publish(topic, quality, retain, payload).map_err(client_error)?;
        if retain {
            self.state.asked();
        }
        Ok(())
    }

    fn confirm(&mut self, receipts: &[Receipt]) -> Result<(), LinkError> {
        let connection = self.state.connections.get();
        if self.state.is_connected() {
            self.unsent.extend(receipts);
        } else {
            self.unsent.clear();
        }
        // The broker redelivers messages that an earlier connection did not confirm.
        self.unsent.retain(|receipt| receipt.connection == connection);
        while let Some(receipt) = self.unsent.front() {
            let publish = Publish { pkid: receipt.packet, qos: QoS::AtLeastOnce, ..Publish::default() };
            match self.client.try_ack(&publish).map_err(client_error) {
                Ok(()) => drop(self.unsent.pop_front()),
                Err(LinkError::Full) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn check(&mut self, expected: Vec<Expected>) -> Result<(), LinkError> {
        // Those of a check that a new release or connection interrupted.
        self.end_check();
        self.filters = expected.iter().map(Expected::filter).collect();
        self.kept.expect(expected);
        let filters = self.filters.iter().map(|filter| Filter::new(filter.as_str(), QoS::AtMostOnce));
        self.client.try_subscribe_many(filters).map_err(client_error)
    }

    fn missing(&self) -> Vec<String> {
        self.kept.missing()
    }

    fn other_root(&self, topic: &str) -> Option<Vec<u8>> {
        self.kept.other_root(topic)
    }

    fn end_check(&mut self) {
        for filter in std::mem::take(&mut self.filters) {
            // If the queue is full, the subscription costs a copy of the next release.
            drop(self.client.try_unsubscribe(filter));
        }
    }
}

fn client_error(error: ClientError) -> LinkError {
    match error {
        ClientError::TryRequest(_) => LinkError::Full,
        other => LinkError::Ended { reason: other.to_string() },
    }
}
