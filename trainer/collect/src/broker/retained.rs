//! Retained messages: the program's releases, and the agents' statuses within a limit in bytes.
//!
//! Clients fill the statuses; above the limit, the status that was not renewed for the longest time is dropped. Agents
//! publish their status again after every connection.

use super::filter;
use super::message::Message;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// See the module.
pub(super) struct Retained {
    /// Published by this program, so not limited here.
    own: BTreeMap<String, Arc<Message>>,
    /// Published by clients: order number and message.
    clients: HashMap<String, (u64, Arc<Message>)>,
    /// Topics by order number, longest without renewal first.
    order: BTreeMap<u64, String>,
    next: u64,
    bytes: usize,
    limit: usize,
}

impl Retained {
    pub(super) fn new(limit: usize) -> Self {
        let (own, clients, order) = (BTreeMap::new(), HashMap::new(), BTreeMap::new());
        Self { own, clients, order, next: 0, bytes: 0, limit }
    }

    /// Replaces the message of a topic, or clears it if the payload is empty.
    pub(super) fn put_own(&mut self, message: &Arc<Message>) {
        if message.payload.is_empty() {
            self.own.remove(&message.topic);
        } else {
            self.own.insert(message.topic.clone(), Arc::clone(message));
        }
    }

    /// As [`Self::put_own`] for a client; returns the number of messages dropped because of the limit.
    pub(super) fn put(&mut self, message: &Arc<Message>) -> u64 {
        if let Some((order, old)) = self.clients.remove(&message.topic) {
            self.order.remove(&order);
            self.bytes -= old.bytes();
        }
        if message.payload.is_empty() {
            return 0;
        }
        self.bytes += message.bytes();
        self.order.insert(self.next, message.topic.clone());
        self.clients.insert(message.topic.clone(), (self.next, Arc::clone(message)));
        self.next += 1;
        let mut dropped = 0;
        while self.bytes > self.limit
            && let Some((_, topic)) = self.order.pop_first()
        {
            self.bytes -= self.clients.remove(&topic).map_or(0, |(_, old)| old.bytes());
            dropped += 1;
        }
        dropped
    }

    /// Messages that a new subscription receives.
    pub(super) fn matching(&self, pattern: &str) -> Vec<Arc<Message>> {
        if !filter::has_wildcard(pattern) {
            let client = self.clients.get(pattern).map(|(_, message)| message);
            return self.own.get(pattern).or(client).map(Arc::clone).into_iter().collect();
        }
        let clients = self.clients.values().map(|(_, message)| message);
        let all = self.own.values().chain(clients);
        all.filter(|message| filter::matches(pattern, &message.topic)).map(Arc::clone).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str, bytes: usize) -> Arc<Message> {
        Arc::new(Message { topic: topic.into(), payload: vec![1; bytes] })
    }

    #[test]
    fn the_status_without_renewal_for_longest_is_dropped_above_the_limit() {
        let mut retained = Retained::new(3 * message("x/0", 100).bytes());
        for topic in ["x/0", "x/1", "x/2", "x/0"] {
            assert_eq!(retained.put(&message(topic, 100)), 0);
        }
        assert_eq!(retained.put(&message("x/3", 100)), 1);
        let mut topics: Vec<_> = retained.matching("x/+").iter().map(|message| message.topic.clone()).collect();
        topics.sort();
        assert_eq!(topics, ["x/0", "x/2", "x/3"]);
        for topic in ["x/0", "x/2", "x/3"] {
            retained.put(&message(topic, 0));
        }
        assert_eq!((retained.bytes, retained.order.len(), retained.clients.len()), (0, 0, 0));
    }

    #[test]
    fn clients_cannot_displace_a_release() {
        let mut retained = Retained::new(1_000);
        retained.put_own(&message("release", 5_000));
        for number in 0..100 {
            retained.put(&message(&format!("x/{number}"), 400));
        }
        assert_eq!(retained.matching("release").len(), 1);
        retained.put_own(&message("release", 0));
        assert!(retained.matching("release").is_empty());
    }
}
