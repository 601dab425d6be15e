//! Messages for the network → the next one to send: a bounded queue with at-least-once delivery.
//!
//! Alerts, samples and updates are numbered, and leave when an [`Acknowledgement`] of the trainer covers them (or when the
//! broker confirms them, see [`Delivery`]). Health messages have running totals, so only the newest waits, and it is sent
//! once. Over its limits the outbox drops the oldest unsent telemetry, and alerts only if no telemetry is left; it counts
//! both. The number of a message that was dropped before it was ever sent is reused, so that the trainer sees no gap.
//!
//! With a journal, waiting alerts and updates survive a restart with their run and number. Samples do not: they have a
//! hundred times the octets, flash wears out, and later samples serve the trainer as well. After a power cut, messages
//! that left since the journal was last rewritten are sent again: at most `WINDOW`, or as many as are waiting if that is
//! more; none after an orderly stop. The trainer recognizes them by their numbers. The counts of dropped messages may
//! include some that the trainer received, if the connection broke before its acknowledgement.

mod fit;
pub mod journal;
mod sending;

use crate::disk::Disk;
use journal::Journal;
use lapwing_shared::messages::{Acknowledgement, Body, MESSAGE_BYTES, Message, MessageError};
use lapwing_shared::privacy::Protection;
use lapwing_shared::units::Timestamp;
use std::collections::VecDeque;

/// Messages in flight at once; as many as one [`Acknowledgement`] can list individually.
pub(crate) const WINDOW: usize = 64;
/// Time after which an unacknowledged message is sent again, milliseconds.
pub(crate) const RESEND_MS: u64 = 60_000;
/// Time for which messages of a kind wait after the broker refused one, milliseconds.
pub(crate) const REFUSED_MS: u64 = 60_000;
/// Kinds of messages that a broker may refuse separately, since each has a topic: alerts, samples, updates.
const KINDS: usize = 3;

/// Whose confirmation removes a message from the outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// The trainer's, once the message is durably stored.
    #[default]
    EndToEnd,
    /// The broker's PUBACK: for brokers with persistent storage, or without a trainer.
    Broker,
}

impl std::str::FromStr for Delivery {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "end-to-end" => Ok(Self::EndToEnd),
            "broker" => Ok(Self::Broker),
            _ => Err(()),
        }
    }
}

/// Limits of the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Encoded messages, bytes.
    pub bytes: usize,
    pub(crate) messages: usize,
}

impl Default for Limits {
    /// 2 MiB, 4,096 messages.
    fn default() -> Self {
        Self { bytes: 2 * 1024 * 1024, messages: 4096 }
    }
}

/// Run and number of a message.
pub(crate) type MessageId = (u64, u64);

/// A message to publish now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outgoing {
    /// Run and number; number 0 for health, which is not acknowledged.
    pub(crate) id: MessageId,
    /// The decoded message, which determines topic and JSON form.
    pub(crate) message: Message,
    /// Its encoding.
    pub(crate) payload: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Entry {
    id: MessageId,
    payload: Vec<u8>,
    /// When it was last sent on this connection, milliseconds.
    sent_ms: Option<u64>,
    /// Whether it was sent on this or an earlier connection, so that the trainer may have it.
    ever_sent: bool,
    /// Whether the journal keeps it.
    durable: bool,
    /// Whether the journal has it.
    stored: bool,
    /// Whether it was counted as too large for the broker.
    too_large: bool,
    /// Index in [`Outbox::refused_until_ms`].
    kind: usize,
}

/// Counters, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutboxCounts {
    pub(crate) dropped_alerts: u64,
    /// Other messages dropped.
    pub(crate) dropped_telemetry: u64,
    /// Failed writes of the journal.
    pub(crate) disk_errors: u64,
    /// Messages, or parts of them, that were left out because the broker accepts no packets of their size. Alerts and
    /// updates among them still wait, for a broker that accepts larger ones.
    pub(crate) left_out: u64,
    /// Messages waiting.
    pub(crate) waiting: u32,
}

/// Index of a kind in [`Outbox::refused_until_ms`].
fn kind(body: &Body) -> usize {
    match body {
        Body::Alert(_) => 0,
        Body::Samples(_) => 1,
        Body::Health(_) | Body::Status(_) | Body::Update(_) => 2,
    }
}

/// The number of this run, and the error if it could not be stored. It is above the previous number, from the file `run`,
/// and at least the wall clock, so that a lost file does not repeat a number if the clock is set.
pub(crate) fn next_run<D: Disk>(disk: &mut D, now_s: Option<u64>) -> (u64, Option<std::io::Error>) {
    let last = disk.read("run", 20).ok().flatten().and_then(|text| String::from_utf8(text).ok()?.parse().ok());
    let run = last.map_or(1, |last: u64| last.saturating_add(1)).max(now_s.unwrap_or(0));
    (run, disk.replace("run", run.to_string().as_bytes()).err())
}

#[derive(Debug)]
pub(crate) struct Outbox<D> {
    run: u64,
    next: u64,
    /// Numbers of messages that were dropped before they were sent.
    free: Vec<u64>,
    limits: Limits,
    bytes: usize,
    alerts: VecDeque<Entry>,
    telemetry: VecDeque<Entry>,
    health: Option<(Message, Vec<u8>)>,
    journal: Option<Journal<D>>,
    /// Messages in the journal that have left since it was last rewritten.
    stale: usize,
    /// Longest payload that the broker accepts, bytes.
    payload_limit: usize,
    /// Until when each kind waits after a refusal, milliseconds.
    refused_until_ms: [u64; KINDS],
    counts: OutboxCounts,
}

impl<D: Disk> Outbox<D> {
    /// An outbox for a run; with a journal, it starts with the messages that an earlier run left.
    pub(crate) fn new(run: u64, limits: Limits, journal: Option<D>) -> Self {
        let mut outbox = Self {
            run,
            next: 1,
            free: Vec::new(),
            limits,
            bytes: 0,
            alerts: VecDeque::new(),
            telemetry: VecDeque::new(),
            health: None,
            journal: None,
            stale: 0,
            payload_limit: usize::MAX,
            refused_until_ms: [0; KINDS],
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
            // A repeated run number would mix the messages of two runs.
            self.run = self.run.max(message.run.saturating_add(1));
            let entry = Entry {
                id,
                payload,
                sent_ms: None,
                ever_sent: true,
                durable: true,
                stored: true,
                too_large: false,
                kind: kind(&message.body),
            };
            self.add(entry, &message.body);
        }
        self.bound();
    }

    pub(crate) fn run(&self) -> u64 {
        self.run
    }

    /// Adds a message; `sent_s` is the wall clock, 0 if it is not set.
    ///
    /// # Errors
    /// [`MessageError`] for an invalid body.
    pub(crate) fn push(&mut self, body: Body, sent_s: u64) -> Result<(), MessageError> {
        let durable = !matches!(body, Body::Samples(_));
        self.push_as(body, sent_s, durable)
    }

    /// As [`Outbox::push`], but the journal does not keep the message: for reports that the network can cause in any number.
    ///
    /// # Errors
    /// As [`Outbox::push`].
    pub(crate) fn push_volatile(&mut self, body: Body, sent_s: u64) -> Result<(), MessageError> {
        self.push_as(body, sent_s, false)
    }

    fn push_as(&mut self, body: Body, sent_s: u64, durable: bool) -> Result<(), MessageError> {
        let numbered = !matches!(body, Body::Health(_) | Body::Status(_));
        let number = if numbered { self.free.iter().min().copied().unwrap_or(self.next) } else { 0 };
        let message = Message { run: self.run, number, sent_s, body };
        let payload = message.encode(&mut vec![0; MESSAGE_BYTES])?.to_vec();
        if !numbered {
            self.counts.dropped_telemetry += u64::from(self.health.replace((message, payload)).is_some());
            return Ok(());
        }
        match self.free.iter().position(|free| *free == number) {
            Some(place) => _ = self.free.swap_remove(place),
            None => self.next += 1,
        }
        let id = (self.run, number);
        let entry = Entry {
            id,
            payload,
            sent_ms: None,
            ever_sent: false,
            durable,
            stored: false,
            too_large: false,
            kind: kind(&message.body),
        };
        self.add(entry, &message.body);
        self.bound();
        Ok(())
    }

    fn add(&mut self, entry: Entry, body: &Body) {
        self.bytes += entry.payload.len();
        let queue = if matches!(body, Body::Alert(_)) { &mut self.alerts } else { &mut self.telemetry };
        queue.push_back(entry);
    }

    /// Drops messages over the limits, but none in flight: the trainer may have them already.
    fn bound(&mut self) {
        while self.bytes > self.limits.bytes || self.alerts.len() + self.telemetry.len() > self.limits.messages {
            let is_waiting = |entry: &Entry| entry.sent_ms.is_none();
            let dropped = if let Some(place) = self.telemetry.iter().position(is_waiting) {
                self.counts.dropped_telemetry += 1;
                self.telemetry.remove(place)
            } else if let Some(place) = self.alerts.iter().position(is_waiting) {
                self.counts.dropped_alerts += 1;
                self.alerts.remove(place)
            } else {
                return;
            };
            let Some(entry) = dropped else { return };
            self.bytes -= entry.payload.len();
            if !entry.ever_sent && entry.id.0 == self.run {
                self.free.push(entry.id.1);
            }
        }
    }

    /// After the wall clock was set: sets the time of this run's unsent messages that have none to `now_s`, and moves the
    /// times of alerts among them by `shift_ns` nanoseconds. Returns the number of corrected messages.
    pub(crate) fn correct_times(&mut self, shift_ns: i64, now_s: u64) -> usize {
        let run = self.run;
        let mut corrected = 0;
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
                let shifted = |at: Timestamp| Timestamp::from_nanos(at.as_nanos().saturating_add_signed(shift_ns));
                (alert.since, alert.at) = (shifted(alert.since), shifted(alert.at));
            }
            let Ok(payload) = message.encode(&mut vec![0; MESSAGE_BYTES]).map(<[u8]>::to_vec) else { continue };
            // The journal may have the old form; at the next start the newer message of the same number counts.
            (entry.payload, entry.stored) = (payload, false);
            corrected += 1;
        }
        self.bytes = self.entries().map(|entry| entry.payload.len()).sum();
        corrected
    }

    /// Replaces the addresses of waiting alerts: a run with another configuration may have left them.
    pub(crate) fn protect(&mut self, protection: &Protection) {
        for entry in &mut self.alerts {
            let Ok(mut message) = Message::decode(&entry.payload) else { continue };
            let Body::Alert(alert) = &mut message.body else { continue };
            if !protection.protect(alert) {
                continue;
            }
            let Ok(payload) = message.encode(&mut vec![0; MESSAGE_BYTES]).map(<[u8]>::to_vec) else { continue };
            // The journal has the old form until it is rewritten.
            (entry.payload, entry.stored) = (payload, false);
            self.stale += 1;
        }
        self.bytes = self.entries().map(|entry| entry.payload.len()).sum();
    }

    /// The connection broke: messages in flight are sent again, refused ones too.
    pub(crate) fn disconnected(&mut self) {
        self.refused_until_ms = [0; KINDS];
        self.alerts.iter_mut().chain(&mut self.telemetry).for_each(|entry| entry.sent_ms = None);
    }

    /// The trainer has stored these.
    pub(crate) fn acknowledged(&mut self, ack: &Acknowledgement) {
        self.take_out(|entry| entry.ever_sent && ack.covers(entry.id.0, entry.id.1));
    }

    /// The broker has this one.
    pub(crate) fn delivered(&mut self, id: MessageId) {
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

    /// Writes new messages to the journal; call every few seconds, so that flash is written in batches. A failed write is
    /// counted, its error returned, and retried at the next call; the messages stay in memory.
    pub(crate) fn flush(&mut self) -> Option<std::io::Error> {
        // With this threshold each message is written at most twice.
        self.write(self.stale >= WINDOW.max(self.alerts.len() + self.telemetry.len()))
    }

    /// As [`Outbox::flush`], at the end: messages that have left are not sent again after the next start.
    pub(crate) fn finish(&mut self) -> Option<std::io::Error> {
        self.write(self.stale > 0)
    }

    fn write(&mut self, rewrite: bool) -> Option<std::io::Error> {
        let journal = self.journal.as_mut()?;
        let all = self.alerts.iter().chain(&self.telemetry).filter(|entry| entry.durable);
        let fresh = all.clone().filter(|entry| !entry.stored).map(|entry| entry.payload.as_slice());
        let written = journal.flush(fresh, all.map(|entry| entry.payload.as_slice()), rewrite);
        match &written {
            Ok(rewritten) => {
                let written = self.alerts.iter_mut().chain(&mut self.telemetry).filter(|entry| entry.durable);
                written.for_each(|entry| entry.stored = true);
                self.stale = if *rewritten { 0 } else { self.stale };
            }
            Err(_) => self.counts.disk_errors += 1,
        }
        written.err()
    }

    pub(crate) fn counts(&self) -> OutboxCounts {
        let waiting = u32::try_from(self.alerts.len() + self.telemetry.len()).unwrap_or(u32::MAX);
        OutboxCounts { waiting, ..self.counts }
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
