//! Messages that are due → the next one to publish, within the limits of the broker.

use super::{Entry, MessageId, Outbox, Outgoing, REFUSED_MS, RESEND_MS, WINDOW, fit};
use crate::disk::Disk;
use lapwing_shared::messages::{Body, MESSAGE_BYTES, Message};

impl<D: Disk> Outbox<D> {
    /// The next message to publish: alerts first, in order; at most [`WINDOW`] in flight. Not one of a kind that the broker
    /// refused lately, or that is too large for it.
    pub(crate) fn next_to_send(&mut self, now_ms: u64) -> Option<Outgoing> {
        if let Some((message, payload)) = self.health.take() {
            if payload.len() <= self.payload_limit {
                return Some(Outgoing { id: (message.run, 0), message, payload });
            }
            self.counts.left_out += 1;
            self.counts.dropped_telemetry += 1;
        }
        let is_due = |entry: &Entry| entry.sent_ms.is_none_or(|sent_ms| now_ms.saturating_sub(sent_ms) >= RESEND_MS);
        loop {
            if self.entries().filter(|entry| !is_due(entry)).count() >= WINDOW {
                return None;
            }
            let refused = self.refused_until_ms.map(|until_ms| now_ms < until_ms);
            let can_go = |entry: &&mut Entry| is_due(entry) && !entry.too_large && !refused[entry.kind];
            let entry = self.alerts.iter_mut().chain(&mut self.telemetry).find(can_go)?;
            let message = Message::decode(&entry.payload).ok()?;
            if entry.payload.len() <= self.payload_limit {
                (entry.sent_ms, entry.ever_sent) = (Some(now_ms), true);
                return Some(Outgoing { id: entry.id, message, payload: entry.payload.clone() });
            }
            let id = entry.id;
            self.cut(id, message);
        }
    }

    /// Longest payload that the broker accepts, bytes, from now on.
    pub(crate) fn set_payload_limit(&mut self, bytes: usize) {
        self.payload_limit = bytes;
        self.alerts.iter_mut().chain(&mut self.telemetry).for_each(|entry| entry.too_large = false);
    }

    /// Makes a message small enough: an alert without its rows, samples in two messages. What cannot be cut waits, except
    /// samples, which are dropped.
    fn cut(&mut self, id: MessageId, message: Message) {
        let (sent_s, is_samples) = (message.sent_s, matches!(message.body, Body::Samples(_)));
        let (first, second) = fit::cut(message);
        let payload = first.and_then(|message| Some(message.encode(&mut vec![0; MESSAGE_BYTES]).ok()?.to_vec()));
        self.counts.left_out += u64::from(second.is_none());
        match payload {
            None if is_samples => {
                if self.entries().any(|entry| entry.id == id && !entry.ever_sent) {
                    self.free.push(id.1);
                }
                self.take_out(|entry| entry.id == id);
                self.counts.dropped_telemetry += 1;
            }
            payload => {
                let found = self.alerts.iter_mut().chain(&mut self.telemetry).find(|entry| entry.id == id);
                let Some(entry) = found else { return };
                match payload {
                    // The journal may keep the rows: another broker may accept them.
                    Some(payload) => entry.payload = payload,
                    None => entry.too_large = true,
                }
            }
        }
        self.bytes = self.entries().map(|entry| entry.payload.len()).sum();
        if let Some(body) = second {
            // A part of valid samples is valid.
            let _ = self.push(body, sent_s);
        }
    }

    /// The broker refused this message: it and others of its kind wait, and may be dropped from a full outbox.
    pub(crate) fn refused(&mut self, id: MessageId, now_ms: u64) {
        let refused = self.alerts.iter_mut().chain(&mut self.telemetry).find(|entry| entry.id == id);
        if let Some(entry) = refused {
            entry.sent_ms = None;
            self.refused_until_ms[entry.kind] = now_ms + REFUSED_MS;
        }
    }
}
