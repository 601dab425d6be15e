//! [`Session`] ↔ broker: the socket, the waits between connections, and the thread for both.

use super::backoff::Backoff;
use super::session::{Action, Session};
use super::trouble::explain;
use super::{FromPipeline, ToPipeline};
use crate::clock;
use crate::outbox::MessageId;
use crate::status::Board;
use crate::update::disk::Disk;
use crate::update::engine::EngineFactory;
use lapwing_shared::messages::MESSAGE_BYTES;
use lapwing_shared::messages::broker_url::BrokerUrl;
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Requests that wait for the socket.
const REQUESTS: usize = 256;
/// Events that wait for the session.
const EVENTS: usize = 64;
/// Between two ticks of the session, milliseconds.
const TICK_MS: u64 = 1_000;
/// After the packet side has gone, undelivered messages have this long on a standing connection, milliseconds; then
/// they stay in the journal, where there is one.
const FAREWELL_MS: u64 = 5_000;
/// How long a connection may take to be made, seconds: longer than a resolver without an answer (musl's gives up after
/// five), so that its error is told and not just that it took long.
const CONNECT_S: u64 = 15;
/// Silence after which broker and agent ask whether the other is there, seconds.
const KEEP_ALIVE_S: u64 = 30;

/// How to reach the broker.
#[derive(Clone, Debug)]
pub struct Connection {
    url: BrokerUrl,
    client_id: String,
    #[cfg(feature = "tls")]
    tls: Option<std::sync::Arc<rustls::ClientConfig>>,
    board: Board,
    seed: u64,
}

impl Connection {
    /// `client_id` is the agent's name, `ca_pem` what the file of certificates to trust holds (without one, those that
    /// the system trusts), `seed` that of the waits' jitter, different for each agent.
    ///
    /// # Errors
    /// [`ClientError`] for `mqtts` with nothing to trust, or to an address that no certificate can name.
    pub fn new(url: BrokerUrl, client_id: String, ca_pem: Option<&[u8]>, seed: u64) -> Result<Self, ClientError> {
        if url.tls && !cfg!(feature = "tls") {
            return Err(ClientError::NoTls);
        }
        if url.tls && url.host.starts_with('[') {
            return Err(ClientError::Address);
        }
        #[cfg(feature = "tls")]
        let tls = if url.tls { Some(super::tls::client_config(ca_pem)?) } else { None };
        #[cfg(not(feature = "tls"))]
        let _ = ca_pem;
        Ok(Self {
            url,
            client_id,
            #[cfg(feature = "tls")]
            tls,
            board: Board::default(),
            seed,
        })
    }

    /// Where.
    pub fn url(&self) -> &BrokerUrl {
        &self.url
    }

    /// The same, with a board that is told the connection's state.
    pub fn telling(self, board: Board) -> Self {
        Self { board, ..self }
    }
}

/// Why the client ends.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No runtime.
    #[error("cannot start the network runtime: {0}")]
    Runtime(#[from] std::io::Error),
    /// No TLS in this build.
    #[error("this build has no TLS: use mqtt://, or a build with the feature tls")]
    NoTls,
    /// Nothing to trust.
    #[error("certificates for mqtts: {0}")]
    Certificates(String),
    /// The client checks names and IPv4 addresses only.
    #[error("mqtts does not take an IPv6 address: use a name that the broker's certificate holds")]
    Address,
}

/// Runs until the packet side drops its sender; call on a thread of its own.
///
/// # Errors
/// [`ClientError`] at the start; later trouble is logged and tried again.
pub fn run<D: Disk, F: EngineFactory>(
    mut session: Session<D, F>,
    connection: &Connection,
    said: mpsc::Receiver<FromPipeline>,
    installs: SyncSender<ToPipeline<F::Engine>>,
) -> Result<(), ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut link = Link { said, installs, open: true, gone_ms: None };
    let mut backoff = Backoff::new(connection.seed);
    runtime.block_on(async {
        while link.open {
            let reason = link.connect(&mut session, connection, &mut backoff).await;
            session.disconnected();
            if let Some(reason) = reason {
                connection.board.connection(&reason);
                let wait_ms = backoff.wait_ms();
                tracing::warn!(%reason, wait_ms, "no connection to the broker");
                link.wait(&mut session, &connection.board, wait_ms).await;
            }
        }
        session.finish();
        Ok(())
    })
}

/// Options without the last will.
fn options(connection: &Connection) -> MqttOptions {
    let url = &connection.url;
    let mut options = MqttOptions::new(connection.client_id.clone(), url.host.as_str(), url.port);
    options.set_keep_alive(Duration::from_secs(KEEP_ALIVE_S)).set_clean_start(true).set_connection_timeout(CONNECT_S);
    options.set_max_packet_size(Some(MESSAGE_BYTES as u32 + 1024));
    // The client keeps room for so many; its own limit would take 10 MB.
    options.set_outgoing_inflight_upper_limit(REQUESTS as u16);
    if let Some((user, password)) = &url.login {
        options.set_credentials(user.as_str(), password.as_str());
    }
    #[cfg(feature = "tls")]
    if let Some(config) = &connection.tls {
        let config = rumqttc::TlsConfiguration::Rustls(std::sync::Arc::clone(config));
        options.set_transport(rumqttc::Transport::tls_with_config(config));
    }
    options
}

struct Link<E> {
    said: mpsc::Receiver<FromPipeline>,
    installs: SyncSender<ToPipeline<E>>,
    open: bool,
    /// When the packet side went, milliseconds.
    gone_ms: Option<u64>,
}

/// Which publish a packet identifier stands for: identifiers come in the order of the requests.
#[derive(Default)]
struct Underway {
    requested: VecDeque<Option<MessageId>>,
    identified: HashMap<u16, MessageId>,
}

impl Underway {
    fn sent(&mut self, identifier: u16) {
        if let Some(Some(id)) = self.requested.pop_front().filter(|_| identifier != 0) {
            self.identified.insert(identifier, id);
        }
    }
}

impl<E> Link<E> {
    /// One connection, to its end; the reason, or nothing when the packet side has gone.
    async fn connect<D: Disk, F: EngineFactory<Engine = E>>(
        &mut self,
        session: &mut Session<D, F>,
        connection: &Connection,
        backoff: &mut Backoff,
    ) -> Option<String> {
        let mut options = options(connection);
        if let Some((topic, payload)) = session.status(false) {
            options.set_last_will(LastWill::new(topic, payload, QoS::AtLeastOnce, true, None));
        }
        let (client, events) = AsyncClient::new(options, REQUESTS);
        let (tell, mut told) = mpsc::channel(EVENTS);
        // A task of its own: a connection attempt does not survive being dropped halfway.
        let polling = tokio::spawn(poll(events, tell));
        let mut tick = tokio::time::interval(Duration::from_millis(TICK_MS));
        let (mut underway, mut held) = (Underway::default(), None);
        let reason = loop {
            tokio::select! {
                event = told.recv() => match event {
                    Some(Ok(event)) => {
                        if matches!(event, Event::Incoming(Packet::ConnAck(_))) {
                            connection.board.connection("connected");
                        }
                        handle(event, session, &mut underway, backoff);
                    }
                    Some(Err(error)) => break Some(explain(&error, &connection.url)),
                    None => break Some("the connection's task ended".to_owned()),
                },
                said = self.said.recv(), if self.gone_ms.is_none() => match said {
                    Some(said) => session.from_pipeline(said, clock::monotonic_ms(), clock::wall_s()),
                    None => self.gone_ms = Some(clock::monotonic_ms()),
                },
                _ = tick.tick() => Self::tick(session, &connection.board),
            }
            self.hand_over(session);
            request(session, &client, &mut underway, &mut held);
            if self.is_done(session.outbox().counts().waiting) {
                break None;
            }
        };
        self.open = reason.is_some();
        polling.abort();
        reason
    }

    /// The packet side has gone, and what it left was delivered or had its time.
    fn is_done(&self, waiting: u32) -> bool {
        let late = |gone_ms| clock::monotonic_ms().saturating_sub(gone_ms) >= FAREWELL_MS;
        self.gone_ms.is_some_and(|gone_ms| waiting == 0 || late(gone_ms))
    }

    /// Time goes on, and the report learns how the outbox does.
    fn tick<D: Disk, F: EngineFactory<Engine = E>>(session: &mut Session<D, F>, board: &Board) {
        session.tick(clock::monotonic_ms(), clock::wall_s());
        let counts = session.outbox().counts();
        let mut report = board.edit();
        report.outbox_waiting = counts.waiting;
        report.outbox_dropped_alerts = counts.dropped_alerts;
        report.outbox_dropped_telemetry = counts.dropped_telemetry;
    }

    /// Between connections the packet side is still heard.
    async fn wait<D: Disk, F: EngineFactory<Engine = E>>(
        &mut self,
        session: &mut Session<D, F>,
        board: &Board,
        wait_ms: u64,
    ) {
        let end = tokio::time::sleep(Duration::from_millis(wait_ms));
        tokio::pin!(end);
        let mut tick = tokio::time::interval(Duration::from_millis(TICK_MS));
        while self.open {
            tokio::select! {
                () = &mut end => return,
                said = self.said.recv() => match said {
                    Some(said) => session.from_pipeline(said, clock::monotonic_ms(), clock::wall_s()),
                    None => self.open = false,
                },
                _ = tick.tick() => Self::tick(session, board),
            }
            self.hand_over(session);
        }
    }

    fn hand_over<D: Disk, F: EngineFactory<Engine = E>>(&mut self, session: &mut Session<D, F>) {
        while let Some(install) = session.next_install() {
            match self.installs.try_send(install) {
                Ok(()) => {}
                Err(TrySendError::Full(install)) => return session.return_install(install),
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }
}

async fn poll(mut events: EventLoop, tell: mpsc::Sender<Result<Event, ConnectionError>>) {
    loop {
        let event = events.poll().await;
        let ended = event.is_err();
        if tell.send(event).await.is_err() || ended {
            return;
        }
    }
}

fn handle<D: Disk, F: EngineFactory>(
    event: Event,
    session: &mut Session<D, F>,
    underway: &mut Underway,
    backoff: &mut Backoff,
) {
    let now_ms = clock::monotonic_ms();
    match event {
        Event::Incoming(Packet::ConnAck(_)) => {
            tracing::info!("connected to the broker");
            backoff.reset();
            session.connected(now_ms);
        }
        Event::Incoming(Packet::Publish(publish)) => {
            if let Ok(topic) = std::str::from_utf8(&publish.topic) {
                session.message(topic, &publish.payload, now_ms, clock::at_least_s());
            }
        }
        Event::Incoming(Packet::PubAck(ack)) => {
            if let Some(id) = underway.identified.remove(&ack.pkid) {
                session.delivered(id, now_ms);
            }
        }
        Event::Outgoing(Outgoing::Publish(identifier)) => underway.sent(identifier),
        _ => {}
    }
}

/// Hands actions to the socket while it takes them; `held` is the one that it did not take.
fn request<D: Disk, F: EngineFactory>(
    session: &mut Session<D, F>,
    client: &AsyncClient,
    underway: &mut Underway,
    held: &mut Option<Action>,
) {
    while let Some(action) = held.take().or_else(|| session.next_action()) {
        let taken = match action.clone() {
            Action::Subscribe(topic) => client.try_subscribe(topic, QoS::AtLeastOnce),
            Action::Unsubscribe(topic) => client.try_unsubscribe(topic),
            Action::Publish { topic, payload, acknowledged, retain, .. } => {
                let qos = if acknowledged { QoS::AtLeastOnce } else { QoS::AtMostOnce };
                client.try_publish(topic, qos, retain, payload)
            }
        };
        if taken.is_err() {
            *held = Some(action);
            return;
        }
        if let Action::Publish { id, .. } = action {
            underway.requested.push_back(id);
        }
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
