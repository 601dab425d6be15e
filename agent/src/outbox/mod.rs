//! Messages that wait for the network: bounded, at-least-once, the most valuable kept longest.
//!
//! Alerts, samples and updates get a number and leave when the trainer's [`Acknowledgement`] names them (or on the
//! broker's word, see [`Delivery`]). Health reports carry running totals, so only the newest waits, and it is sent once.
//! Over the bound the oldest unsent telemetry goes first, alerts only when there is no telemetry left; both are counted.
//! The number of a message that was dropped before it was ever sent is given to the next one, so that the trainer sees
//! no gap. With a journal, alerts and updates that wait survive a restart under their old run and number. Samples do not:
//! they are a hundred times the octets, flash wears out, and the next ones tell the trainer as much.
//! What left since the journal was last written whole comes back, and is told twice, after a power cut: at most
//! [`WINDOW`] messages or as many as wait, whichever is more; none after an end in order. The trainer knows them by their
//! numbers. Of what is dropped the trainer may have some, where the connection broke before its word came: the counters
//! say at most too much.

pub mod journal;

use crate::update::disk::Disk;
use journal::Journal;
use lapwing_shared::messages::{Acknowledgement, Body, MESSAGE_BYTES, Message, MessageError};
use lapwing_shared::units::Timestamp;
use std::collections::{BTreeSet, VecDeque};

/// Messages under way at once; what one [`Acknowledgement`] can name singly.
pub const WINDOW: usize = 64;
/// A message that was sent and not acknowledged is sent again after this, milliseconds.
pub const RESEND_MS: u64 = 60_000;

/// Whose word lets a message go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// The trainer's: the message is on its disk.
    #[default]
    EndToEnd,
    /// The broker's PUBACK: for brokers that keep messages on disk, or where no trainer answers.
    Broker,
}

/// Bounds of the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Encoded messages, bytes.
    pub bytes: usize,
    /// Messages.
    pub messages: usize,
}

impl Default for Limits {
    /// 2 MiB, 4,096 messages.
    fn default() -> Self {
        Self { bytes: 2 * 1024 * 1024, messages: 4096 }
    }
}

/// Run and number of a message.
pub type MessageId = (u64, u64);

/// What to publish now.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// Run and number; number 0 for health, which is not acknowledged.
    pub id: MessageId,
    /// The message, decoded, to find its topic and its JSON form.
    pub message: Message,
    /// Its bytes.
    pub payload: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Entry {
    id: MessageId,
    payload: Vec<u8>,
    /// When it was last sent on this connection, milliseconds.
    sent_ms: Option<u64>,
    /// It was sent on this or an earlier connection: the trainer may have it.
    ever_sent: bool,
    /// Belongs into the journal.
    durable: bool,
    stored: bool,
}

/// Counters, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    /// Alerts dropped.
    pub dropped_alerts: u64,
    /// Other messages dropped.
    pub dropped_telemetry: u64,
    /// Failed writes of the journal.
    pub disk_errors: u64,
    /// Messages waiting.
    pub waiting: u32,
}

/// The number of this run: above the last one's, which the file `run` holds, and no less than the wall clock, so that a
/// lost file does not bring an old number back where the clock is set. The error is the disk's, when it did not keep the
/// number; the agent runs on.
pub fn next_run<D: Disk>(disk: &mut D, now_s: Option<u64>) -> (u64, Option<std::io::Error>) {
    let last = disk.read("run", 20).ok().flatten().and_then(|text| String::from_utf8(text).ok()?.parse().ok());
    let run = last.map_or(1, |last: u64| last.saturating_add(1)).max(now_s.unwrap_or(0));
    (run, disk.replace("run", run.to_string().as_bytes()).err())
}

/// The queue.
#[derive(Debug)]
pub struct Outbox<D> {
    run: u64,
    next: u64,
    free: BTreeSet<u64>,
    limits: Limits,
    bytes: usize,
    alerts: VecDeque<Entry>,
    telemetry: VecDeque<Entry>,
    health: Option<(Message, Vec<u8>)>,
    journal: Option<Journal<D>>,
    /// Messages in the journal that have left since it was last written whole.
    stale: usize,
    counts: OutboxCounts,
}

impl<D: Disk> Outbox<D> {
    /// An outbox for a run; with a journal, what an earlier run left comes back first.
    pub fn new(run: u64, limits: Limits, journal: Option<D>) -> Self {
        let mut outbox = Self {
            run,
            next: 1,
            free: BTreeSet::new(),
            limits,
            bytes: 0,
            alerts: VecDeque::new(),
            telemetry: VecDeque::new(),
            health: None,
            journal: None,
            stale: 0,
            counts: OutboxCounts::default(),
        };
        if let Some(disk) = journal {
            outbox.replay(disk);
        }
        outbox
    }

    fn replay(&mut self, disk: D) {
        let (journal, payloads) = Journal::open(disk, self.limits.bytes);
        self.journal = Some(journal);
        for payload in payloads {
            let Ok(message) = Message::decode(&payload) else { continue };
            let id = (message.run, message.number);
            self.take_out(|entry| entry.id == id);
            // A run that is told twice would mix numbers of two lives.
            self.run = self.run.max(message.run.saturating_add(1));
            self.add(Entry { id, payload, sent_ms: None, ever_sent: true, durable: true, stored: true }, &message.body);
        }
        self.bound();
    }

    /// This run.
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Takes a message in; `sent_s` is the wall clock, 0 where it is not set.
    ///
    /// # Errors
    /// [`MessageError`] for a body that breaks a rule of its type.
    pub fn push(&mut self, body: Body, sent_s: u64) -> Result<(), MessageError> {
        let numbered = !matches!(body, Body::Health(_) | Body::Status(_));
        let number = if numbered { self.free.first().copied().unwrap_or(self.next) } else { 0 };
        let message = Message { run: self.run, number, sent_s, body };
        let payload = message.encode(&mut vec![0; MESSAGE_BYTES])?.to_vec();
        if !numbered {
            self.counts.dropped_telemetry += u64::from(self.health.replace((message, payload)).is_some());
            return Ok(());
        }
        if !self.free.remove(&number) {
            self.next += 1;
        }
        let id = (self.run, number);
        let durable = !matches!(message.body, Body::Samples(_));
        self.add(Entry { id, payload, sent_ms: None, ever_sent: false, durable, stored: false }, &message.body);
        self.bound();
        Ok(())
    }

    fn add(&mut self, entry: Entry, body: &Body) {
        self.bytes += entry.payload.len();
        let queue = if matches!(body, Body::Alert(_)) { &mut self.alerts } else { &mut self.telemetry };
        queue.push_back(entry);
    }

    /// What is under way is not dropped: the trainer may have it already.
    fn bound(&mut self) {
        while self.bytes > self.limits.bytes || self.alerts.len() + self.telemetry.len() > self.limits.messages {
            let waits = |entry: &Entry| entry.sent_ms.is_none();
            let dropped = if let Some(place) = self.telemetry.iter().position(waits) {
                self.counts.dropped_telemetry += 1;
                self.telemetry.remove(place)
            } else if let Some(place) = self.alerts.iter().position(waits) {
                self.counts.dropped_alerts += 1;
                self.alerts.remove(place)
            } else {
                return;
            };
            let Some(entry) = dropped else { return };
            self.bytes -= entry.payload.len();
            if !entry.ever_sent && entry.id.0 == self.run {
                self.free.insert(entry.id.1);
            }
        }
    }

    /// The next message to publish: alerts first, in order; at most [`WINDOW`] under way.
    pub fn next_to_send(&mut self, now_ms: u64) -> Option<Outgoing> {
        if let Some((message, payload)) = self.health.take() {
            return Some(Outgoing { id: (message.run, 0), message, payload });
        }
        let due = |entry: &Entry| entry.sent_ms.is_none_or(|sent_ms| now_ms.saturating_sub(sent_ms) >= RESEND_MS);
        let under_way = self.entries().filter(|entry| !due(entry)).count();
        if under_way >= WINDOW {
            return None;
        }
        let entry = self.alerts.iter_mut().chain(&mut self.telemetry).find(|entry| due(entry))?;
        let message = Message::decode(&entry.payload).ok()?;
        (entry.sent_ms, entry.ever_sent) = (Some(now_ms), true);
        Some(Outgoing { id: entry.id, message, payload: entry.payload.clone() })
    }

    /// The wall clock was set: messages of this run that carry none and were never sent get `now_s`, and alerts among them
    /// times moved by `shift` nanoseconds. Gives how many were mended.
    pub fn mend(&mut self, shift: i64, now_s: u64) -> usize {
        let run = self.run;
        let mut mended = 0;
        for entry in self.alerts.iter_mut().chain(&mut self.telemetry) {
            if entry.ever_sent || entry.id.0 != run {
                continue;
            }
            let Ok(mut message) = Message::decode(&entry.payload) else { continue };
            if message.sent_s != 0 {
                continue;
            }
            message.sent_s = now_s;
            if let Body::Alert(alert) = &mut message.body {
                let moved = |at: Timestamp| Timestamp::from_nanos(at.as_nanos().saturating_add_signed(shift));
                (alert.since, alert.at) = (moved(alert.since), moved(alert.at));
            }
            let Ok(payload) = message.encode(&mut vec![0; MESSAGE_BYTES]).map(<[u8]>::to_vec) else { continue };
            // The journal may hold the old form; at the next start the newer one of the same number counts.
            (entry.payload, entry.stored) = (payload, false);
            mended += 1;
        }
        self.bytes = self.entries().map(|entry| entry.payload.len()).sum();
        mended
    }

    /// The connection broke: what was under way is sent again.
    pub fn disconnected(&mut self) {
        self.alerts.iter_mut().chain(&mut self.telemetry).for_each(|entry| entry.sent_ms = None);
    }

    /// The trainer has these on its disk.
    pub fn acknowledged(&mut self, ack: &Acknowledgement) {
        self.take_out(|entry| entry.ever_sent && ack.covers(entry.id.0, entry.id.1));
    }

    /// The broker has this one.
    pub fn delivered(&mut self, id: MessageId) {
        self.take_out(|entry| entry.id == id);
    }

    fn take_out(&mut self, gone: impl Fn(&Entry) -> bool) {
        self.stale += self.entries().filter(|entry| entry.stored && gone(entry)).count();
        self.alerts.retain(|entry| !gone(entry));
        self.telemetry.retain(|entry| !gone(entry));
        self.bytes = self.entries().map(|entry| entry.payload.len()).sum();
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.alerts.iter().chain(&self.telemetry)
    }

    /// Writes to the journal what came since the last time; call every few seconds, so that flash sees batches, and at
    /// the end. A failed write, whose error is given, is counted and tried again the next time; the messages wait in
    /// memory meanwhile.
    pub fn flush(&mut self) -> Option<std::io::Error> {
        // Then each message is written twice at most, and flash wears no faster than that.
        self.write(self.stale >= WINDOW.max(self.alerts.len() + self.telemetry.len()))
    }

    /// As [`Outbox::flush`], at the end: what has left is not told again at the next start.
    pub fn finish(&mut self) -> Option<std::io::Error> {
        self.write(self.stale > 0)
    }

    fn write(&mut self, anew: bool) -> Option<std::io::Error> {
        let journal = self.journal.as_mut()?;
        let all = self.alerts.iter().chain(&self.telemetry).filter(|entry| entry.durable);
        let fresh = all.clone().filter(|entry| !entry.stored).map(|entry| entry.payload.as_slice());
        let written = journal.flush(fresh, all.map(|entry| entry.payload.as_slice()), anew);
        match &written {
            Ok(anew) => {
                let written = self.alerts.iter_mut().chain(&mut self.telemetry).filter(|entry| entry.durable);
                written.for_each(|entry| entry.stored = true);
                self.stale = if *anew { 0 } else { self.stale };
            }
            Err(_) => self.counts.disk_errors += 1,
        }
        written.err()
    }

    /// The counters now.
    pub fn counts(&self) -> OutboxCounts {
        let waiting = u32::try_from(self.alerts.len() + self.telemetry.len()).unwrap_or(u32::MAX);
        OutboxCounts { waiting, ..self.counts }
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
