//! [`Session`] ↔ broker: one connection after the other, and the waits between them.

use super::backoff::{Backoff, SUSPICIOUS};
use super::choice;
use super::conversation::{Conversation, KEEP_ALIVE_S};
use super::error::ClientError;
use super::mqtt::decode::BrokerLimits;
use super::mqtt::encode::{Connect, Will};
use super::mqtt::reason;
use super::mqtt::socket::{self, Dial, Ended};
use super::session::Session;
#[cfg(feature = "tls")]
use super::tls::Own;
use super::trouble::{explain, hint, log};
use super::{FromPipeline, ToPipeline};
use crate::clock;
use crate::config::BROKERS;
use crate::disk::Disk;
use crate::identity::Identity;
use crate::report::SharedReport;
use crate::update::engine::EngineFactory;
use lapwing_shared::messages::MESSAGE_BYTES;
use lapwing_shared::messages::broker_url::BrokerUrl;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Capacity of the queue to the socket, packets.
const REQUESTS: usize = 32;
/// Capacity of the queue from the socket, packets.
const EVENTS: usize = 16;
/// Largest packet that the agent accepts, bytes.
const PACKET_BYTES: u32 = MESSAGE_BYTES as u32 + 1024;
/// Interval between two ticks of the session, milliseconds.
const TICK_MS: u64 = 1_000;
/// Time to deliver the remaining messages after the pipeline has ended, milliseconds; then they stay in the journal, if
/// there is one.
const DRAIN_MS: u64 = 5_000;
/// Time for the last packets to reach the socket, milliseconds.
const FLUSH_MS: u64 = 1_000;

/// What TLS needs from files.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TlsFiles<'a> {
    /// Certificates to trust. `None`: those of the identity, otherwise the system's.
    pub(crate) ca_pem: Option<&'a [u8]>,
    /// Certificate and key of this agent, if it is enrolled.
    pub(crate) identity: Option<&'a Identity>,
    /// Certificate and key of this agent from another authority, PEM, instead of those of the identity.
    pub(crate) own_pem: Option<[&'a [u8]; 2]>,
}

/// How to reach the brokers.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// The first choice first.
    urls: Vec<BrokerUrl>,
    client_id: String,
    #[cfg(feature = "tls")]
    tls: Tls,
    /// Attempts since a broker accepted a connection.
    failed: usize,
    report: SharedReport,
    seed: u64,
}

/// TLS to the brokers.
#[cfg(feature = "tls")]
#[derive(Clone, Debug)]
struct Tls {
    ca_pem: Option<Vec<u8>>,
    /// Certificate and key of another authority; the identity's are not used then.
    own: Option<Own>,
    newest: Option<std::sync::Arc<rustls::ClientConfig>>,
    /// With the last certificate, until a broker has accepted the newest.
    last: Option<std::sync::Arc<rustls::ClientConfig>>,
}

#[cfg(feature = "tls")]
impl Tls {
    fn new(files: &TlsFiles<'_>) -> Result<Self, ClientError> {
        let own = files.own_pem.map(|[certificate, key]| Own::from_pem(certificate, key)).transpose()?;
        Self::with(files.ca_pem, own, files.identity)
    }

    fn with(ca_pem: Option<&[u8]>, own: Option<Own>, identity: Option<&Identity>) -> Result<Self, ClientError> {
        let config = |identity| super::tls::client_config(ca_pem, own.as_ref(), identity);
        let before = identity.filter(|_| own.is_none()).and_then(Identity::before);
        let last = before.as_ref().map(|before| config(Some(before))).transpose()?;
        let newest = Some(config(identity)?);
        Ok(Self { ca_pem: ca_pem.map(<[u8]>::to_vec), own, newest, last })
    }

    /// Uses another identity from now on. With one that cannot be used, everything stays as it is.
    fn use_identity(&mut self, identity: &Identity) {
        if self.newest.is_none() {
            return;
        }
        match Self::with(self.ca_pem.as_deref(), self.own.clone(), Some(identity)) {
            Ok(tls) => *self = tls,
            Err(error) => tracing::warn!(%error, "cannot use the new certificate"),
        }
    }
}

impl Connection {
    /// `client_id` is the agent's name, `seed` the seed of the back-off's jitter, which should differ between agents.
    ///
    /// # Errors
    /// [`ClientError`] for `mqtts` without usable certificates, or to an IPv6 address.
    pub(crate) fn new(
        mut urls: Vec<BrokerUrl>,
        client_id: String,
        files: &TlsFiles<'_>,
        seed: u64,
    ) -> Result<Self, ClientError> {
        let uses_tls = urls.iter().any(|url| url.tls);
        if uses_tls && !cfg!(feature = "tls") {
            return Err(ClientError::NoTls);
        }
        if urls.iter().any(|url| url.tls && url.host.starts_with('[')) {
            return Err(ClientError::Address);
        }
        choice::sort(&mut urls, &client_id);
        #[cfg(feature = "tls")]
        let tls = if uses_tls { Tls::new(files)? } else { Tls { ca_pem: None, own: None, newest: None, last: None } };
        #[cfg(not(feature = "tls"))]
        let _ = (files.ca_pem, files.identity, files.own_pem);
        Ok(Self {
            urls,
            client_id,
            #[cfg(feature = "tls")]
            tls,
            failed: 0,
            report: SharedReport::default(),
            seed,
        })
    }

    /// In the order in which the agent tries them.
    pub(crate) fn urls(&self) -> &[BrokerUrl] {
        &self.urls
    }

    /// Keeps the state of the connection in `report`.
    pub(crate) fn with_report(self, report: SharedReport) -> Self {
        Self { report, ..self }
    }
}

/// Runs until the pipeline drops its sender; call on a thread of its own.
///
/// # Errors
/// [`ClientError`] at the start; later errors are logged, and the connection is retried.
pub(crate) fn run<D: Disk, F: EngineFactory>(
    mut session: Session<D, F>,
    connection: &Connection,
    from_pipeline: mpsc::Receiver<FromPipeline>,
    to_pipeline: SyncSender<ToPipeline<F::Engine>>,
) -> Result<(), ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut link =
        Link { from_pipeline, to_pipeline, open: true, ended_ms: None, limits: [BrokerLimits::default(); BROKERS] };
    let mut backoff = Backoff::new(connection.seed, connection.urls.len());
    let mut connection = connection.clone();
    runtime.block_on(async {
        while link.open {
            connection.adopt(&mut session);
            let at = backoff.broker();
            connection.report.edit().broker_url = connection.urls[at].to_string();
            let Some((ended, lasted_ms)) = link.connect(&mut session, &connection, at).await else {
                session.disconnected();
                break;
            };
            session.disconnected();
            connection.ended(&ended, lasted_ms.is_some());
            backoff.ended(lasted_ms, ended.is_by_broker());
            let mut reason = explain(&ended, &connection.urls[at], &connection.client_id);
            if backoff.short_lived() >= SUSPICIOUS {
                reason += &hint(backoff.short_lived(), &connection.client_id);
            }
            connection.report.set_connection(&reason);
            let wait_ms = backoff.wait_ms(ended.refusal().is_some_and(reason::asks_for_patience));
            log(&ended, &reason, wait_ms);
            link.wait(&mut session, &connection.report, wait_ms).await;
        }
        session.finish();
        Ok(())
    })
}

impl Connection {
    /// Whether the last certificate is to be used now: in every second round of the brokers, if there are two.
    fn uses_last(&self) -> bool {
        #[cfg(feature = "tls")]
        let has_last = self.tls.last.is_some();
        #[cfg(not(feature = "tls"))]
        let has_last = false;
        has_last && choice::is_second_round(self.failed, self.urls.len())
    }

    /// TLS with the certificate that is to be used now.
    #[cfg(feature = "tls")]
    fn tls(&self) -> Option<std::sync::Arc<rustls::ClientConfig>> {
        let Tls { newest, last, .. } = &self.tls;
        last.as_ref().filter(|_| self.uses_last()).or(newest.as_ref()).cloned()
    }

    /// Uses the identity of the session from now on.
    fn adopt<D: Disk, F: EngineFactory>(&mut self, session: &mut Session<D, F>) {
        let Some(identity) = session.new_identity() else { return };
        self.failed = 0;
        #[cfg(feature = "tls")]
        self.tls.use_identity(identity);
        #[cfg(not(feature = "tls"))]
        let _ = identity;
    }

    /// A connection ended, or was not accepted.
    fn ended(&mut self, ended: &Ended, was_accepted: bool) {
        self.failed = if was_accepted { 0 } else { self.failed.wrapping_add(1) };
        #[cfg(feature = "tls")]
        {
            let is_refused = super::trouble::is_certificate_expired(ended);
            let mut report = self.report.edit();
            report.certificate_expired = is_refused || report.certificate_expired && !was_accepted;
        }
        #[cfg(not(feature = "tls"))]
        let _ = ended;
    }
}

/// The address and the first packet.
fn dial(connection: &Connection, at: usize, will: Option<Will>) -> Dial {
    let url = &connection.urls[at];
    let login = url.login.as_ref().map(|(user, password)| (user.as_str().to_owned(), password.as_str().to_owned()));
    Dial {
        address: format!("{}:{}", url.host, url.port),
        #[cfg(feature = "tls")]
        tls: connection.tls().filter(|_| url.tls).map(|config| (url.host.as_str().to_owned(), config)),
        connect: Connect {
            client_id: connection.client_id.clone(),
            keep_alive_s: KEEP_ALIVE_S,
            packet_bytes: PACKET_BYTES,
            login,
            will,
        },
    }
}

struct Link<E> {
    from_pipeline: mpsc::Receiver<FromPipeline>,
    to_pipeline: SyncSender<ToPipeline<E>>,
    open: bool,
    /// When the pipeline ended, milliseconds.
    ended_ms: Option<u64>,
    /// What each broker supports, from its last answer: the last will is sent before the next one.
    limits: [BrokerLimits; BROKERS],
}

impl<E> Link<E> {
    /// Runs one connection; returns why it ended and how long it lasted, milliseconds, if the broker accepted it; `None` if
    /// the pipeline has ended and its messages are delivered.
    async fn connect<D: Disk, F: EngineFactory<Engine = E>>(
        &mut self,
        session: &mut Session<D, F>,
        connection: &Connection,
        at: usize,
    ) -> Option<(Ended, Option<u64>)> {
        let BrokerLimits { acknowledges: acknowledged, retains: retain, .. } = self.limits[at];
        let will = session.status(false).map(|(topic, payload)| Will { topic, payload, acknowledged, retain });
        let (to_socket, requests) = mpsc::channel(REQUESTS);
        let (events, mut received) = mpsc::channel(EVENTS);
        // A separate task, since `select!` would cancel a read or a connection attempt in progress.
        let socket = tokio::spawn(socket::run(dial(connection, at, will), requests, to_socket.clone(), events));
        let mut conversation = Conversation::new(to_socket, connection.report.clone(), clock::monotonic_ms());
        let mut tick = tokio::time::interval(Duration::from_millis(TICK_MS));
        let ended = loop {
            let outcome = tokio::select! {
                event = received.recv() => match event {
                    Some(Ok(packet)) => conversation.receive(packet, session, clock::monotonic_ms()),
                    Some(Err(ended)) => Err(ended),
                    None => Err(Ended::Closed),
                },
                message = self.from_pipeline.recv(), if self.ended_ms.is_none() => {
                    match message {
                        Some(message) => session.handle_pipeline(message, clock::monotonic_ms(), clock::wall_s()),
                        None => self.ended_ms = Some(clock::monotonic_ms()),
                    }
                    Ok(())
                },
                _ = tick.tick() => {
                    Self::tick(session, &connection.report);
                    if conversation.accepted_ms().is_some() && !connection.uses_last() {
                        session.confirm_identity();
                    }
                    conversation.tick(session, clock::monotonic_ms())
                }
            };
            if let Err(ended) = outcome {
                break Some(ended);
            }
            if session.has_new_identity() {
                break Some(Ended::NewIdentity);
            }
            self.hand_over(session);
            conversation.request(session, clock::monotonic_ms());
            if self.is_done(session.outbox().counts().waiting) {
                let _ = tokio::time::timeout(Duration::from_millis(FLUSH_MS), conversation.drained()).await;
                break None;
            }
        };
        socket.abort();
        let ended = ended?;
        self.learn(&conversation, &ended, at);
        let lasted_ms = conversation.accepted_ms().map(|at_ms| clock::monotonic_ms().saturating_sub(at_ms));
        Some((ended, lasted_ms))
    }

    /// Remembers what the broker supports: one that refuses the last will is asked again with a simpler one.
    fn learn(&mut self, conversation: &Conversation, ended: &Ended, at: usize) {
        let limits = &mut self.limits[at];
        if conversation.accepted_ms().is_some() {
            *limits = conversation.limits();
        }
        match ended.refusal() {
            Some(reason::RETAIN_NOT_SUPPORTED) => limits.retains = false,
            Some(reason::QOS_NOT_SUPPORTED) => limits.acknowledges = false,
            _ => {}
        }
    }

    /// Whether the pipeline has ended, and its messages are delivered or out of time.
    fn is_done(&self, waiting: u32) -> bool {
        let timed_out = |ended_ms| clock::monotonic_ms().saturating_sub(ended_ms) >= DRAIN_MS;
        self.ended_ms.is_some_and(|ended_ms| waiting == 0 || timed_out(ended_ms))
    }

    /// Ticks the session and updates the report.
    fn tick<D: Disk, F: EngineFactory<Engine = E>>(session: &mut Session<D, F>, report: &SharedReport) {
        session.tick(clock::monotonic_ms(), clock::wall_s());
        let counts = session.outbox().counts();
        let mut report = report.edit();
        if let Some(root) = session.root().filter(|root| root.version != report.root_version) {
            (report.root_version, report.root) = (root.version, root.to_string());
        }
        report.rejected_roots = session.rejected_roots();
        session.report_updates(&mut report);
        report.outbox_waiting = counts.waiting;
        report.outbox_dropped_alerts = counts.dropped_alerts;
        report.outbox_dropped_telemetry = counts.dropped_telemetry;
        report.outbox_left_out = session.left_out();
        report.trial_ended(session.in_use());
        report.rejected_manifests = session.rejected_manifests();
        report.rejected_acknowledgements = session.rejected_acks();
        report.certificate(session.identity().map(|identity| &identity.enrolled), clock::at_least_s().unwrap_or(0));
    }

    /// Waits between connections, while messages from the pipeline go to the outbox.
    async fn wait<D: Disk, F: EngineFactory<Engine = E>>(
        &mut self,
        session: &mut Session<D, F>,
        report: &SharedReport,
        wait_ms: u64,
    ) {
        let end = tokio::time::sleep(Duration::from_millis(wait_ms));
        tokio::pin!(end);
        let mut tick = tokio::time::interval(Duration::from_millis(TICK_MS));
        while self.open {
            tokio::select! {
                () = &mut end => return,
                message = self.from_pipeline.recv() => match message {
                    Some(message) => session.handle_pipeline(message, clock::monotonic_ms(), clock::wall_s()),
                    None => self.open = false,
                },
                _ = tick.tick() => Self::tick(session, report),
            }
            self.hand_over(session);
        }
    }

    fn hand_over<D: Disk, F: EngineFactory<Engine = E>>(&mut self, session: &mut Session<D, F>) {
        while let Some(install) = session.next_install() {
            match self.to_pipeline.try_send(install) {
                Ok(()) => {}
                Err(TrySendError::Full(install)) => return session.return_install(install),
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
