//! One client's connection: CONNECT, then its packets, until it ends, is illegal, silent or taken over.
//!
//! Reading and writing are separate tasks: a client that does not read cannot delay what it sends, and both have a
//! timeout.

use super::encode;
use super::hub::{ClientId, Closing, Hub, Member, Room, Will};
use super::input::{End, Input};
use super::message::{Message, Outgoing};
use super::owner::{Owner, Peer, checked};
use super::packet::{ClientPacket, Connect, Illegal, Publish, Subscription, code, illegal};
use super::places::Place;
use super::rates::{Share, TooMany};
use crate::broker::COLLECTED;
use crate::link::Delivery;
use crate::roster::REFRESH;
use lapwing_common::clock;
use lapwing_shared::messages::topics::Kind;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Keep-alive of a client that asks for none, seconds.
const KEEP_ALIVE_S: u16 = 300;
/// Time in which the roster certainly reads an identity that was just made.
const ROSTER_WAIT: Duration = REFRESH.saturating_mul(2);
/// Packets in the queue of a connection.
const QUEUE: usize = 512;
/// A connection ends when a write makes no progress for this time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes that the writer collects before it writes.
const WRITE_BYTES: usize = 64 * 1024;

/// A client after CONNECT.
struct Client {
    hub: Arc<Hub>,
    id: ClientId,
    name: String,
    owner: Owner,
    share: Share,
    outgoing: Sender<Outgoing>,
}

/// Both directions of a connection.
pub(super) struct Streams {
    pub(super) read: Box<dyn AsyncRead + Send + Unpin>,
    pub(super) write: Box<dyn AsyncWrite + Send + Unpin>,
}

/// Serves one connection, whose CONNECT must arrive before the deadline.
pub(super) async fn serve(hub: Arc<Hub>, streams: Streams, (mut place, peer): (Place, Peer), deadline: Instant) {
    let Streams { read, mut write } = streams;
    let mut input = Input::new(read, Arc::clone(&hub));
    let first = tokio::select! {
        first = timeout_at(deadline, input.next()) => first,
        () = place.evicted() => return hub.counts.idle_closed.add(1),
    };
    let connect = match first {
        Ok(Ok(ClientPacket::Connect(connect))) => checked(connect),
        Ok(Ok(_)) => Err(illegal(code::PROTOCOL_ERROR, "first packet is not CONNECT")),
        Ok(Err(End::Illegal(illegal))) => Err(illegal),
        Ok(Err(End::Closed)) => return,
        Err(_) => return hub.counts.idle_closed.add(1),
    };
    let admitted = match connect {
        Ok(connect) => admit(&hub, &place, peer, connect).await,
        Err(illegal) => Err(Refusal::Illegal(illegal)),
    };
    match admitted {
        Ok(admitted) => {
            place.connected();
            run(hub, input, write, admitted).await;
        }
        Err(refusal) => {
            let reply = encode::connack(refusal.count(&hub), hub.limits.packet_bytes as u32, None, None);
            let _ = timeout(WRITE_TIMEOUT, write_flushed(&mut write, &reply)).await;
            let _ = timeout(WRITE_TIMEOUT, write.shutdown()).await;
        }
    }
    drop(place);
}

/// A client that may connect.
struct Admitted {
    connect: Connect,
    owner: Owner,
    share: Share,
}

/// Why a client may not connect.
enum Refusal {
    Illegal(Illegal),
    /// Its identity is not admitted.
    NotAdmitted {
        name: String,
        why: &'static str,
    },
    TooMany,
}

impl Refusal {
    /// Counts and logs it; the reason code for the client.
    fn count(self, hub: &Hub) -> u8 {
        match self {
            Self::Illegal(Illegal { code, what }) => {
                hub.counts.illegal.add(1);
                tracing::debug!(what, "refused a connection");
                code
            }
            Self::NotAdmitted { name, why } => {
                hub.counts.identities_refused.add(1);
                if hub.may_log_refusal(clock::monotonic()) {
                    tracing::warn!(name, why, "refused an identity");
                }
                code::NOT_AUTHORIZED
            }
            Self::TooMany => {
                hub.counts.connects_limited.add(1);
                code::RATE_EXCEEDED
            }
        }
    }
}

async fn admit(hub: &Hub, place: &Place, peer: Peer, connect: Connect) -> Result<Admitted, Refusal> {
    let (name, is_proven) = match &peer {
        Peer::Unproven => (connect.client.clone(), false),
        Peer::Proven(certificate) => (certificate.name.clone(), true),
    };
    let share = hub.rates.connect(is_proven.then_some(name.as_str()), place.address(), clock::monotonic());
    let share = share.map_err(|TooMany| Refusal::TooMany)?;
    let mut changes = hub.admission.roster.changes();
    let mut owner = hub.admission.owner(&peer, &connect, clock::now_s());
    if owner.is_err() && is_proven && !hub.admission.roster.is_revoked(&name) {
        // An agent may be here before the roster has read its enrolment.
        let _ = timeout(ROSTER_WAIT, changes.changed()).await;
        owner = hub.admission.owner(&peer, &connect, clock::now_s());
    }
    match owner {
        Ok(owner) => Ok(Admitted { connect, owner, share }),
        Err(why) => Err(Refusal::NotAdmitted { name, why }),
    }
}

async fn run(hub: Arc<Hub>, input: Input, mut write: Box<dyn AsyncWrite + Send + Unpin>, admitted: Admitted) {
    let Admitted { connect, owner, share } = admitted;
    let asked = connect.client;
    let (owner, name) = match owner {
        Owner::Claimed(name) if name.is_empty() => {
            let name = hub.assigned_name();
            (Owner::Claimed(name.clone()), name)
        }
        owner => {
            let name = owner.key(&asked);
            (owner, name)
        }
    };
    if let Err(illegal) = owner.check_will(connect.will.as_ref()) {
        let reply = encode::connack(Refusal::Illegal(illegal).count(&hub), hub.limits.packet_bytes as u32, None, None);
        let _ = timeout(WRITE_TIMEOUT, write_flushed(&mut write, &reply)).await;
        return;
    }
    let (outgoing, messages) = channel(QUEUE);
    let close = Arc::new(Closing::default());
    let will = connect.will.map(|will| {
        let message = Message { topic: will.topic, payload: will.payload };
        (Arc::new(message), will.retain)
    });
    let member = Member {
        client: name.clone(),
        certificate: owner.certificate().cloned(),
        outgoing: outgoing.clone(),
        close: Arc::clone(&close),
        will,
        queued: Arc::default(),
        filters: Vec::new(),
    };
    let (id, earlier) = hub.join(member);
    // A revocation since the check above is not in the sweep that has just ended.
    hub.close_refused(clock::now_s(), Some(id));
    let client = Client { hub: Arc::clone(&hub), id, name, owner, share, outgoing };
    client.publish_will(earlier).await;
    let keep_alive = (connect.keep_alive_s == 0).then_some(KEEP_ALIVE_S);
    let assigned = (client.name != asked).then_some(client.name.as_str());
    client.reply(encode::connack(code::SUCCESS, hub.limits.packet_bytes as u32, assigned, keep_alive)).await;
    let packet_bytes = connect.packet_bytes as usize;
    let writer = tokio::spawn(write_messages(Arc::clone(&hub), write, messages, packet_bytes));
    let silence = Duration::from_secs(keep_alive.unwrap_or(connect.keep_alive_s).into()).mul_f32(1.5);
    let (last, with_will) = client.read(input, silence, &close).await;
    if with_will {
        client.publish_will(hub.leave(id)).await;
    } else {
        hub.leave(id);
    }
    if let Some(code) = last {
        let _ = timeout(WRITE_TIMEOUT, client.outgoing.send(Outgoing::Last(encode::disconnect(code)))).await;
    }
    drop(client);
    // It ends when the queue is empty, or after its timeout; the connection's place is in use until then.
    let _ = writer.await;
}

impl Client {
    /// Reads until the connection ends. Returns the reason code to send, if any, and whether to publish the last will.
    async fn read(&self, mut input: Input, silence: Duration, close: &Closing) -> (Option<u8>, bool) {
        let mut room = Room::default();
        loop {
            if !input.is_ready() {
                // Nothing is held while the client is waited for.
                room = Room::default();
            }
            let packet = tokio::select! {
                packet = timeout(silence, input.next()) => packet,
                code = close.closed() => return (Some(code), true),
                () = self.outgoing.closed() => return (None, true),
            };
            let ended = match packet {
                Ok(Ok(packet)) => {
                    room.ahead = input.ahead();
                    self.packet(packet, &mut room).await
                }
                Ok(Err(End::Closed)) => return (None, true),
                Ok(Err(End::Illegal(illegal))) => Err(illegal),
                Err(_) => return (Some(code::KEEP_ALIVE), true),
            };
            match ended {
                Ok(None) => {
                    if let Some(code) = self.pause(input.packet_bytes(), close).await {
                        return (Some(code), true);
                    }
                }
                Ok(Some(with_will)) => return (None, with_will),
                Err(Illegal { code, what }) => {
                    self.hub.counts.illegal.add(1);
                    tracing::debug!(client = self.name, what, "closed a connection");
                    return (Some(code), true);
                }
            }
        }
    }

    /// Waits if the client exceeds its rate; the reason code if the connection must end meanwhile.
    async fn pause(&self, bytes: usize, close: &Closing) -> Option<u8> {
        if self.share.is_unlimited() {
            return None;
        }
        let wait = self.share.take(bytes, clock::monotonic());
        if wait.is_zero() {
            return None;
        }
        self.hub.counts.clients_delayed.add(1);
        tokio::select! {
            () = sleep(wait) => None,
            code = close.closed() => Some(code),
        }
    }

    /// Handles a packet; the end of the connection, and whether to publish the last will.
    async fn packet(&self, packet: ClientPacket, room: &mut Room) -> Result<Option<bool>, Illegal> {
        match packet {
            ClientPacket::Connect(_) => return Err(illegal(code::PROTOCOL_ERROR, "second CONNECT")),
            ClientPacket::Publish(publish) => self.publish(publish, room).await,
            ClientPacket::Subscribe { packet, filters } => self.subscribe(packet, filters).await,
            ClientPacket::Unsubscribe { packet, filters } => {
                let known = |filter: &String| self.hub.unsubscribe(self.id, filter);
                let code = |filter| if known(filter) { code::SUCCESS } else { code::NO_SUBSCRIPTION };
                self.reply(encode::unsuback(packet, &filters.iter().map(code).collect::<Vec<_>>())).await;
            }
            ClientPacket::Ping => self.reply(encode::pingresp()).await,
            ClientPacket::Disconnect { with_will } => return Ok(Some(with_will)),
        }
        Ok(None)
    }

    async fn publish(&self, publish: Publish, room: &mut Room) {
        let packet = publish.packet;
        let code = match self.owner.permitted(&publish) {
            Ok(kind) => {
                let Publish { topic, payload, retain, .. } = publish;
                if self.deliver(kind, topic, payload, retain, room).await { code::SUCCESS } else { code::QUOTA }
            }
            Err(code) => {
                let counts = &self.hub.counts;
                if code == code::BAD_TOPIC {
                    counts.bad_topic.add(1)
                } else {
                    counts.publications_refused.add(1)
                }
                code
            }
        };
        if let Some(packet) = packet {
            self.reply(encode::puback(packet, code)).await;
        }
    }

    /// Sends a message to the collector and to subscribers; false if the collector's queue is full.
    async fn deliver(&self, kind: Kind, topic: String, payload: Vec<u8>, retain: bool, room: &mut Room) -> bool {
        let is_copied = retain || self.hub.has_subscriber(&topic);
        let copy = is_copied.then(|| Arc::new(Message { topic: topic.clone(), payload: payload.clone() }));
        if COLLECTED.contains(&kind) && !self.hub.collect(Delivery { topic, payload, receipt: None }, room).await {
            return false;
        }
        if let Some(message) = copy {
            self.hub.publish(self.id, &message, retain);
        }
        true
    }

    async fn publish_will(&self, will: Will) {
        let Some((message, retain)) = will else { return };
        let (topic, payload) = (message.topic.clone(), message.payload.clone());
        self.deliver(Kind::Status, topic, payload, retain, &mut Room::default()).await;
    }

    async fn subscribe(&self, packet: u16, filters: Vec<Subscription>) {
        let (mut codes, mut retained) = (Vec::new(), Vec::new());
        for filter in filters {
            if !self.owner.may_subscribe(&filter.filter) {
                self.hub.counts.subscriptions_refused.add(1);
                codes.push(code::NOT_AUTHORIZED);
                continue;
            }
            match self.hub.subscribe(self.id, filter) {
                Ok(messages) => {
                    codes.push(code::SUCCESS);
                    retained.extend(messages);
                }
                Err(code) => codes.push(code),
            }
        }
        self.reply(encode::suback(packet, &codes)).await;
        for message in retained {
            if self.outgoing.send(Outgoing::Message { message, retained: true, held: None }).await.is_err() {
                return;
            }
        }
    }

    /// Queues a reply; waits while the queue is full. If the writer has ended, `read` notices it.
    async fn reply(&self, bytes: Vec<u8>) {
        let _ = self.outgoing.send(Outgoing::Reply(bytes)).await;
    }
}

/// Writes what is in the queue until all senders are gone, after the last packet, or when the client does not read.
async fn write_messages(
    hub: Arc<Hub>,
    mut socket: Box<dyn AsyncWrite + Send + Unpin>,
    mut queue: Receiver<Outgoing>,
    packet_bytes: usize,
) {
    let mut buffer = Vec::new();
    let mut is_last = false;
    while !is_last && let Some(first) = queue.recv().await {
        // Their bytes count as queued until they are written.
        let mut held = Vec::new();
        let mut next = Some(first);
        while let Some(outgoing) = next.take() {
            match outgoing {
                Outgoing::Reply(bytes) => buffer.extend_from_slice(&bytes),
                Outgoing::Last(bytes) => {
                    buffer.extend_from_slice(&bytes);
                    is_last = true;
                }
                Outgoing::Message { message, .. } if message.packet_bytes() > packet_bytes => {
                    hub.counts.undelivered.add(1);
                }
                Outgoing::Message { message, retained, held: bytes } => {
                    encode::publish(&mut buffer, &message.topic, &message.payload, retained);
                    held.push(bytes);
                }
            }
            if !is_last && buffer.len() < WRITE_BYTES {
                next = queue.try_recv().ok();
            }
        }
        if !matches!(timeout(WRITE_TIMEOUT, write_flushed(&mut socket, &buffer)).await, Ok(Ok(()))) {
            return;
        }
        drop(held);
        buffer.clear();
        buffer.shrink_to(WRITE_BYTES / 8);
    }
    let _ = timeout(WRITE_TIMEOUT, socket.shutdown()).await;
}

/// Writes everything, also what TLS holds back.
async fn write_flushed(socket: &mut (dyn AsyncWrite + Send + Unpin), bytes: &[u8]) -> io::Result<()> {
    socket.write_all(bytes).await?;
    socket.flush().await
}
