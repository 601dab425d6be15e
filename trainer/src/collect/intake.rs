//! Publication → message for the store, or the reason why not: counted, and logged at a bounded rate.

use super::counts::{Count, Counts};
use super::link::{Delivery, Receipt};
use crate::clock;
use crate::store::Received;
use lapwing_shared::messages::topics::{Kind, Topic};
use lapwing_shared::messages::{Body, Message};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pause between two log lines about bad messages.
const LOG_PAUSE: Duration = Duration::from_secs(10);
/// Agents whose bad messages are told apart between two log lines.
const TOLD_APART: usize = 64;

/// One publication on its way to the store.
pub(super) struct Item {
    /// The message; nothing where it was refused, and only the receipt goes on.
    pub(super) received: Option<Received>,
    /// To be confirmed to the broker.
    pub(super) receipt: Option<Receipt>,
}

/// Reads publications.
pub(super) struct Intake {
    counts: Arc<Counts>,
    bad: BTreeMap<(String, String), u64>,
    logged: Option<Instant>,
}

impl Intake {
    pub(super) fn new(counts: Arc<Counts>) -> Self {
        Self { counts, bad: BTreeMap::new(), logged: None }
    }

    /// Decodes one publication.
    pub(super) fn accept(&mut self, delivery: Delivery) -> Item {
        let Delivery { topic, payload, receipt } = delivery;
        self.counts.received.add(1);
        let counts = Arc::clone(&self.counts);
        let received = match Topic::parse(&topic) {
            Some(Topic::Agent(agent, kind)) => match Message::decode(&payload) {
                Ok(message) if !fits(kind, &message) => {
                    self.refuse(&counts.bad_kind, &agent, format!("wrong kind or number on …/{}", kind.as_str()))
                }
                Ok(message) => Some(Received::new(agent, message, payload)),
                Err(error) => self.refuse(&counts.bad_message, &agent, error.to_string()),
            },
            _ => self.refuse(&counts.bad_topic, "", "not an agent's topic".into()),
        };
        Item { received, receipt }
    }

    fn refuse(&mut self, count: &Count, agent: &str, reason: String) -> Option<Received> {
        count.add(1);
        if self.bad.len() < TOLD_APART || self.bad.contains_key(&(agent.to_owned(), reason.clone())) {
            *self.bad.entry((agent.to_owned(), reason)).or_default() += 1;
        }
        self.log();
        None
    }

    /// Tells of the bad messages since the last line, when that is long enough ago.
    fn log(&mut self) {
        let now = clock::monotonic();
        if self.logged.is_some_and(|at| now.duration_since(at) < LOG_PAUSE) {
            return;
        }
        self.logged = Some(now);
        for ((agent, reason), count) in std::mem::take(&mut self.bad) {
            tracing::warn!(agent, reason, count, "messages refused");
        }
    }
}

/// True when the message's kind is the topic's, and it has a number where that kind is acknowledged.
fn fits(kind: Kind, message: &Message) -> bool {
    let numbered = message.number > 0;
    match &message.body {
        Body::Alert(_) => kind == Kind::Alert && numbered,
        Body::Samples(_) => kind == Kind::Sample && numbered,
        Body::Update(_) => kind == Kind::Update && numbered,
        Body::Health(_) => kind == Kind::Health,
        Body::Status(_) => kind == Kind::Status,
    }
}
