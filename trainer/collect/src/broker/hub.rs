//! Connected clients, their subscriptions and the retained messages; publications → the queues of subscribers and of the
//! collector.

use super::BrokerLimits;
use super::filter;
use super::message::{Held, Message, Outgoing};
use super::owner::Admission;
use super::packet::{Subscription, code};
use super::rates::Rates;
use super::retained::Retained;
use super::tls::Certificate;
use crate::counts::Counts;
use crate::link::Delivery;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a publication waits for room in the collector's queue before the broker refuses it.
const ROOM_TIMEOUT: Duration = Duration::from_millis(100);
/// Bytes that a message takes in memory in addition to topic and payload.
const MESSAGE_BYTES: usize = 256;
/// Room that a connection reserves for messages that it has read, bytes.
const AHEAD_BYTES: usize = 64 * 1024;
/// Packets above the small size that may be incomplete at the same time.
const LARGE_PACKETS: usize = 256;
/// Interval between two logs of refused identities.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Number of a connection, unique while the broker runs.
pub(super) type ClientId = u64;

/// A publication on its way to the collector, and its share of the queue.
pub(super) struct Queued {
    pub(super) delivery: Delivery,
    pub(super) _room: OwnedSemaphorePermit,
}

/// A connection's part of the queue of the collector, for messages that it has read already. Waiting for each message alone
/// would mix the messages of all connections one by one, and each commit of the store would change rows of every agent.
#[derive(Default)]
pub(super) struct Room {
    held: Option<OwnedSemaphorePermit>,
    /// Bytes that were read from the client and not decoded.
    pub(super) ahead: usize,
}

impl Room {
    fn take(&mut self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.held.as_mut()?.split(bytes)
    }
}

/// State shared by all connections.
pub(super) struct Hub {
    pub(super) limits: BrokerLimits,
    pub(super) counts: Arc<Counts>,
    /// Who is admitted with a certificate.
    pub(super) admission: Admission,
    /// Rates of identities and addresses.
    pub(super) rates: Rates,
    refusal_logged: Mutex<Option<Instant>>,
    /// One permit for each large incomplete packet.
    pub(super) large: Semaphore,
    state: Mutex<State>,
    queue: mpsc::Sender<Queued>,
    /// Bytes that the collector's queue has room for.
    room: Arc<Semaphore>,
    /// Bytes in the queues of all connections.
    queued: Arc<AtomicUsize>,
}

struct State {
    next: ClientId,
    members: HashMap<ClientId, Member>,
    clients: HashMap<String, ClientId>,
    /// Subscribers by topic, for filters without wildcards.
    exact: HashMap<String, Vec<Subscriber>>,
    /// Filters with wildcards.
    wild: Vec<(String, Subscriber)>,
    retained: Retained,
}

#[derive(Clone, Copy)]
struct Subscriber {
    id: ClientId,
    no_local: bool,
}

/// A connected client.
pub(super) struct Member {
    /// Client identifier, or the name in its certificate.
    pub(super) client: String,
    /// Certificate of an agent.
    pub(super) certificate: Option<Certificate>,
    /// Queue of its writer.
    pub(super) outgoing: Sender<Outgoing>,
    /// Closes the connection.
    pub(super) close: Arc<Closing>,
    /// Last will, and whether it is retained.
    pub(super) will: Option<(Arc<Message>, bool)>,
    /// Bytes in its queue.
    pub(super) queued: Arc<AtomicUsize>,
    /// Its filters.
    pub(super) filters: Vec<String>,
}

/// Ends a connection, with a reason code.
#[derive(Default)]
pub(super) struct Closing {
    code: AtomicU8,
    notify: Notify,
}

impl Closing {
    fn close(&self, code: u8) {
        self.code.store(code, Ordering::Relaxed);
        self.notify.notify_one();
    }

    /// The reason code, once the connection must end.
    pub(super) async fn closed(&self) -> u8 {
        self.notify.notified().await;
        self.code.load(Ordering::Relaxed)
    }
}

/// The last will of a client, to be published.
pub(super) type Will = Option<(Arc<Message>, bool)>;

impl Hub {
    pub(super) fn new(
        limits: BrokerLimits,
        counts: Arc<Counts>,
        admission: Admission,
    ) -> (Arc<Self>, mpsc::Receiver<Queued>) {
        let (queue, deliveries) = mpsc::channel();
        let state = State {
            next: 1,
            members: HashMap::new(),
            clients: HashMap::new(),
            exact: HashMap::new(),
            wild: Vec::new(),
            retained: Retained::new(limits.retained_bytes),
        };
        let room = Arc::new(Semaphore::new(limits.held_bytes.min(Semaphore::MAX_PERMITS)));
        let (large, queued) = (Semaphore::new(LARGE_PACKETS), Arc::new(AtomicUsize::new(0)));
        let rates = Rates::new(&limits);
        let hub = Self {
            limits,
            counts,
            admission,
            rates,
            refusal_logged: Mutex::default(),
            large,
            state: Mutex::new(state),
            queue,
            room,
            queued,
        };
        (Arc::new(hub), deliveries)
    }

    /// The state also after a panic of another connection: every change of it is complete before it can panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a client. An earlier connection with the same identifier is closed; returns its last will (MQTT 5 §3.1.4).
    pub(super) fn join(&self, member: Member) -> (ClientId, Will) {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        let earlier = state.clients.insert(member.client.clone(), id).and_then(|earlier| state.remove(earlier));
        state.members.insert(id, member);
        drop(state);
        let will = earlier.and_then(|earlier| {
            self.counts.takeovers.add(1);
            earlier.close.close(code::TAKEN_OVER);
            earlier.will
        });
        (id, will)
    }

    /// Closes connections whose agents are no longer admitted: of all, or one of them.
    pub(super) fn close_refused(&self, now_s: u64, only: Option<ClientId>) {
        let state = self.state();
        let members = only.map_or_else(|| state.members.keys().copied().collect(), |id| vec![id]);
        for member in members.iter().filter_map(|id| state.members.get(id)) {
            let Some(why) = member.certificate.as_ref().and_then(|of| self.admission.refusal(of, now_s)) else {
                continue;
            };
            self.counts.sessions_ended.add(1);
            tracing::info!(agent = member.client, why, "closed the connection of an agent");
            member.close.close(code::NOT_AUTHORIZED);
        }
    }

    /// Whether a refused identity may be logged at `now`.
    pub(super) fn may_log_refusal(&self, now: Instant) -> bool {
        let mut logged = self.refusal_logged.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = logged.is_none_or(|at| now.saturating_duration_since(at) >= REFUSAL_LOG_INTERVAL);
        if is_due {
            *logged = Some(now);
        }
        is_due
    }

    /// A client identifier for a client without one.
    pub(super) fn assigned_name(&self) -> String {
        let state = self.state();
        let names = (state.next..).map(|number| format!("auto-{number}"));
        names.into_iter().find(|name| !state.clients.contains_key(name)).unwrap_or_default()
    }

    /// Removes a client unless another connection has taken over; returns its last will.
    pub(super) fn leave(&self, id: ClientId) -> Will {
        let mut state = self.state();
        let member = state.remove(id)?;
        state.clients.remove(&member.client);
        member.will
    }

    /// Adds a subscription; returns the retained messages for it.
    ///
    /// # Errors
    /// The reason code of the refusal.
    pub(super) fn subscribe(&self, id: ClientId, asked: Subscription) -> Result<Vec<Arc<Message>>, u8> {
        let Subscription { filter: pattern, no_local, retain_handling } = asked;
        if pattern.starts_with("$share/") {
            return Err(code::NO_SHARED);
        }
        if !filter::is_valid(&pattern) {
            return Err(code::BAD_FILTER);
        }
        let mut state = self.state();
        let wildcards = state.wild.len();
        let Some(member) = state.members.get_mut(&id) else { return Err(code::QUOTA) };
        let is_new = !member.filters.contains(&pattern);
        let is_wild = filter::has_wildcard(&pattern);
        if is_new {
            let is_full = member.filters.len() >= self.limits.filters;
            if is_full || (is_wild && wildcards >= self.limits.wildcards) {
                self.counts.filters_refused.add(1);
                return Err(code::QUOTA);
            }
            member.filters.push(pattern.clone());
        } else {
            state.unlink(id, &pattern);
        }
        let subscriber = Subscriber { id, no_local };
        match is_wild {
            true => state.wild.push((pattern.clone(), subscriber)),
            false => state.exact.entry(pattern.clone()).or_default().push(subscriber),
        }
        let wants_retained = retain_handling == 0 || (retain_handling == 1 && is_new);
        Ok(if wants_retained { state.retained.matching(&pattern) } else { Vec::new() })
    }

    /// Removes a subscription; false if there was none.
    pub(super) fn unsubscribe(&self, id: ClientId, pattern: &str) -> bool {
        let mut state = self.state();
        let Some(member) = state.members.get_mut(&id) else { return false };
        let before = member.filters.len();
        member.filters.retain(|filter| filter != pattern);
        let is_known = member.filters.len() < before;
        if is_known {
            state.unlink(id, pattern);
        }
        is_known
    }

    /// True if a publication on the topic has subscribers.
    pub(super) fn has_subscriber(&self, topic: &str) -> bool {
        let state = self.state();
        state.exact.contains_key(topic) || state.wild.iter().any(|(pattern, _)| filter::matches(pattern, topic))
    }

    /// Publishes a message of a client to the subscribers, and keeps it if it is retained.
    pub(super) fn publish(&self, from: ClientId, message: &Arc<Message>, retain: bool) {
        let mut state = self.state();
        if retain {
            self.counts.retained_dropped.add(state.retained.put(message));
        }
        self.forward(&state, from, message);
    }

    /// Publishes a message of this program.
    pub(super) fn publish_own(&self, message: Message, retain: bool) {
        let message = Arc::new(message);
        let mut state = self.state();
        if retain {
            state.retained.put_own(&message);
        }
        self.forward(&state, 0, &message);
    }

    fn forward(&self, state: &State, from: ClientId, message: &Arc<Message>) {
        let exact = state.exact.get(&message.topic).into_iter().flatten();
        let wild = state.wild.iter().filter(|(pattern, _)| filter::matches(pattern, &message.topic));
        for subscriber in exact.chain(wild.map(|(_, subscriber)| subscriber)) {
            let Some(member) = state.members.get(&subscriber.id) else { continue };
            if subscriber.no_local && subscriber.id == from {
                continue;
            }
            let limits = [self.limits.client_bytes, self.limits.clients_bytes];
            let held = Held::new(message.bytes(), [&member.queued, &self.queued], limits);
            let outgoing = |held| Outgoing::Message { message: Arc::clone(message), retained: false, held: Some(held) };
            if held.is_none_or(|held| member.outgoing.try_send(outgoing(held)).is_err()) {
                self.counts.undelivered.add(1);
            }
        }
    }

    /// Queues a publication for the collector; false if the queue stays full.
    pub(super) async fn collect(&self, delivery: Delivery, room: &mut Room) -> bool {
        let bytes = (delivery.payload.len() + delivery.topic.len() + MESSAGE_BYTES).min(self.limits.held_bytes);
        let mut share = room.take(bytes);
        if share.is_none() {
            let more = (bytes + 2 * room.ahead).min(AHEAD_BYTES.max(bytes)).min(self.limits.held_bytes);
            // What is left would count twice.
            room.held = None;
            let permits = Arc::clone(&self.room).acquire_many_owned(more as u32);
            room.held = timeout(ROOM_TIMEOUT, permits).await.ok().and_then(Result::ok);
            share = room.take(bytes);
        }
        let queued = share.is_some_and(|share| self.queue.send(Queued { delivery, _room: share }).is_ok());
        if !queued {
            self.counts.overrun.add(1);
        }
        queued
    }
}

impl State {
    fn remove(&mut self, id: ClientId) -> Option<Member> {
        let member = self.members.remove(&id)?;
        member.filters.iter().for_each(|pattern| self.unlink(id, pattern));
        Some(member)
    }

    fn unlink(&mut self, id: ClientId, pattern: &str) {
        if let Some(subscribers) = self.exact.get_mut(pattern) {
            subscribers.retain(|subscriber| subscriber.id != id);
            if subscribers.is_empty() {
                self.exact.remove(pattern);
            }
        }
        self.wild.retain(|(other, subscriber)| subscriber.id != id || other != pattern);
    }
}
