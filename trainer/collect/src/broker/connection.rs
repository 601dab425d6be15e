//! One client's connection: CONNECT, then its packets, until it ends, is illegal, silent or taken over.
//!
//! Reading and writing are separate tasks: a client that does not read cannot delay what it sends, and both have a
//! timeout.

use super::encode;
use super::hub::{ClientId, Hub, Member, Room, Will};
use super::input::{End, Input};
use super::message::{Message, Outgoing};
use super::packet::{ClientPacket, Connect, Illegal, Publish, Subscription, code, illegal};
use super::places::Place;
use crate::broker::COLLECTED;
use crate::link::Delivery;
use lapwing_shared::messages::topics::{Kind, Topic};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

/// Longest client identifier, bytes.
const CLIENT_BYTES: usize = 128;
/// Longest status that the broker retains, bytes.
const STATUS_BYTES: usize = 4 * 1024;
/// Keep-alive of a client that asks for none, seconds.
const KEEP_ALIVE_S: u16 = 300;
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
    outgoing: Sender<Outgoing>,
}

/// Serves one connection.
pub(super) async fn serve(hub: Arc<Hub>, stream: TcpStream, mut place: Place) {
    // Acknowledgements are small and must not wait for others.
    let _ = stream.set_nodelay(true);
    let (read, mut write) = stream.into_split();
    let mut input = Input::new(read, Arc::clone(&hub));
    let first = tokio::select! {
        first = timeout(Duration::from_millis(hub.limits.connect_ms.into()), input.next()) => first,
        () = place.evicted() => return hub.counts.idle_closed.add(1),
    };
    let connect = match first {
        Ok(Ok(ClientPacket::Connect(connect))) => checked(connect),
        Ok(Ok(_)) => Err(illegal(code::PROTOCOL_ERROR, "first packet is not CONNECT")),
        Ok(Err(End::Illegal(illegal))) => Err(illegal),
        Ok(Err(End::Closed)) => return,
        Err(_) => return hub.counts.idle_closed.add(1),
    };
    match connect {
        Ok(connect) => {
            place.connected();
            run(hub, input, write, connect).await;
        }
        Err(Illegal { code, what }) => {
            hub.counts.illegal.add(1);
            tracing::debug!(what, "refused a connection");
            let reply = encode::connack(code, hub.limits.packet_bytes as u32, None, None);
            let _ = timeout(WRITE_TIMEOUT, write.write_all(&reply)).await;
        }
    }
    drop(place);
}

/// Checks what the decoder cannot: the client identifier and the last will's topic.
fn checked(connect: Connect) -> Result<Connect, Illegal> {
    if connect.client.len() > CLIENT_BYTES || connect.client.chars().any(char::is_control) {
        return Err(illegal(code::BAD_CLIENT_ID, "illegal client identifier"));
    }
    match connect.will.as_ref().map(|will| permitted(&connect.client, will)) {
        None | Some(Ok(Kind::Status)) => Ok(connect),
        Some(Ok(_)) => Err(illegal(code::NOT_AUTHORIZED, "last will that is not a status")),
        Some(Err(code)) => Err(illegal(code, "last will on a topic of another client")),
    }
}

/// The kind of message, if the client may publish it: on its own topics only, and retained only statuses.
fn permitted(client: &str, publish: &Publish) -> Result<Kind, u8> {
    let (kind, name) = match Topic::parse(&publish.topic) {
        Some(Topic::Agent(name, kind)) => (kind, name),
        Some(_) => return Err(code::NOT_AUTHORIZED),
        None => return Err(code::BAD_TOPIC),
    };
    if name.as_str() != client || kind.is_to_agent() {
        return Err(code::NOT_AUTHORIZED);
    }
    match kind {
        Kind::Status | Kind::StatusJson if publish.retain && publish.payload.len() > STATUS_BYTES => Err(code::QUOTA),
        Kind::Status | Kind::StatusJson => Ok(kind),
        _ if publish.retain => Err(code::NOT_AUTHORIZED),
        _ => Ok(kind),
    }
}

async fn run(hub: Arc<Hub>, input: Input, write: OwnedWriteHalf, connect: Connect) {
    let (outgoing, messages) = channel(QUEUE);
    let (queued, close) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let is_assigned = connect.client.is_empty();
    let name = if is_assigned { hub.assigned_name() } else { connect.client };
    let will = connect.will.map(|will| {
        let message = Message { topic: will.topic, payload: will.payload };
        (Arc::new(message), will.retain)
    });
    let member = Member {
        client: name.clone(),
        outgoing: outgoing.clone(),
        close: Arc::clone(&close),
        will,
        queued,
        filters: Vec::new(),
    };
    let (id, earlier) = hub.join(member);
    let client = Client { hub: Arc::clone(&hub), id, name, outgoing };
    client.publish_will(earlier).await;
    let keep_alive = (connect.keep_alive_s == 0).then_some(KEEP_ALIVE_S);
    let assigned = is_assigned.then_some(client.name.as_str());
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
    async fn read(&self, mut input: Input, silence: Duration, close: &Notify) -> (Option<u8>, bool) {
        let mut room = Room::default();
        loop {
            if !input.is_ready() {
                // Nothing is held while the client is waited for.
                room = Room::default();
            }
            let packet = tokio::select! {
                packet = timeout(silence, input.next()) => packet,
                () = close.notified() => return (Some(code::TAKEN_OVER), true),
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
                Ok(None) => {}
                Ok(Some(with_will)) => return (None, with_will),
                Err(Illegal { code, what }) => {
                    self.hub.counts.illegal.add(1);
                    tracing::debug!(client = self.name, what, "closed a connection");
                    return (Some(code), true);
                }
            }
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
        let code = match permitted(&self.name, &publish) {
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
async fn write_messages(hub: Arc<Hub>, mut socket: OwnedWriteHalf, mut queue: Receiver<Outgoing>, packet_bytes: usize) {
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
        if !matches!(timeout(WRITE_TIMEOUT, socket.write_all(&buffer)).await, Ok(Ok(()))) {
            return;
        }
        drop(held);
        buffer.clear();
        buffer.shrink_to(WRITE_BYTES / 8);
    }
    let _ = timeout(WRITE_TIMEOUT, socket.shutdown()).await;
}
