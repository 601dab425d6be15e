//! Publication → message for the store; a bad one is counted by reason and logged at a limited rate.

use super::counts::{Count, Counts};
use super::link::{Delivery, Receipt};
use super::link_state::LinkState;
use super::rate::Rates;
use super::renewals::Inbox;
use super::routes::{Routes, Sign, Verdict};
use super::seals::{Refused, Seals};
use lapwing_shared::messages::topics::{Kind, Topic};
use lapwing_shared::messages::{AgentName, Body, Message};
use lapwing_store::Received;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Interval between two logs of bad messages.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Pairs of agent and reason that are logged separately per interval, at most.
const MAX_REASONS: usize = 64;

/// Sealed messages that wait until the roster has read the newest identities.
const LATER: usize = 64;
/// For this time: longer than it takes the roster to do so.
const LATER_WAIT: Duration = Duration::from_millis(1_500);

/// A message that may be of an agent which enrolled just now: its first status is sent once.
struct Later {
    due: Instant,
    agent: AgentName,
    kind: Kind,
    topic: String,
    payload: Vec<u8>,
}

/// A publication on its way to the store.
pub(super) struct Item {
    /// The message; `None` if it was rejected and only the receipt remains.
    pub(super) received: Option<Received>,
    /// To confirm to the broker.
    pub(super) receipt: Option<Receipt>,
    /// Index of the link that it came from.
    pub(super) link: usize,
}

impl Item {
    /// Bytes of its payload.
    pub(super) fn bytes(&self) -> usize {
        self.received.as_ref().map_or(0, |received| received.payload.len())
    }
}

/// What the intakes of all links share.
pub(super) struct Agents {
    rates: Rates,
    /// `None` with one link.
    routes: Option<Routes>,
    /// Where requests for certificates go.
    renewals: Option<Inbox>,
}

impl Agents {
    pub(super) fn new(agent_rate: u32, links: usize, renewals: Option<Inbox>) -> Arc<Mutex<Self>> {
        let routes = (links > 1).then(Routes::default);
        Arc::new(Mutex::new(Self { rates: Rates::new(agent_rate), routes, renewals }))
    }
}

/// Decodes the publications of one link and counts the bad ones by agent and reason.
pub(super) struct Intake {
    counts: Arc<Counts>,
    agents: Arc<Mutex<Agents>>,
    seals: Arc<Seals>,
    link: usize,
    state: Arc<LinkState>,
    /// Sealed messages that could not be verified, in the order of their arrival.
    later: VecDeque<Later>,
    bad: BTreeMap<(String, String), u64>,
    last_log: Option<Instant>,
}

impl Intake {
    pub(super) fn new(
        counts: Arc<Counts>,
        agents: Arc<Mutex<Agents>>,
        seals: Arc<Seals>,
        (link, state): (usize, Arc<LinkState>),
    ) -> Self {
        Self { counts, agents, seals, link, state, later: VecDeque::new(), bad: BTreeMap::new(), last_log: None }
    }

    fn allows(&self, agent: &str, now: Instant) -> bool {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        agents.rates.allow(agent, now)
    }

    /// True if a status says how its agent left this broker for another one.
    fn is_stale(&self, agent: &str, message: &Message) -> bool {
        let sign = match &message.body {
            Body::Health(_) => Sign::Alive,
            Body::Status(status) if status.online => Sign::Online,
            Body::Status(_) => Sign::Offline,
            _ => return false,
        };
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(routes) = &mut agents.routes else { return false };
        match routes.see(agent, self.link, sign, (message.run, message.sent_s)) {
            Verdict::Current => false,
            Verdict::Moved => {
                self.counts.agent_moves.add(1);
                false
            }
            Verdict::Stale => {
                self.counts.stale_statuses.add(1);
                true
            }
        }
    }

    pub(super) fn accept(&mut self, delivery: Delivery, now: Instant) -> Item {
        let Delivery { topic, payload, receipt } = delivery;
        self.counts.received.add(1);
        self.state.received.add(1);
        let received = match Topic::parse(&topic) {
            Some(Topic::Agent(agent, Kind::Identity)) => {
                self.renew(agent, payload);
                None
            }
            Some(Topic::Agent(agent, kind)) => {
                let due = now + LATER_WAIT;
                self.of_agent(Later { due, agent, kind, topic, payload }, now)
            }
            _ => {
                let counts = Arc::clone(&self.counts);
                self.reject(&counts.bad_topic, "", "not an agent's topic".into(), now)
            }
        };
        Item { received, receipt, link: self.link }
    }

    /// Messages that could not be verified when they arrived, and can be now.
    pub(super) fn later(&mut self, now: Instant) -> Vec<Item> {
        let mut items = Vec::new();
        while let Some(message) = self.later.pop_front_if(|message| message.due <= now) {
            let received = self.of_agent(message, now);
            items.extend(received.map(|received| Item { received: Some(received), receipt: None, link: self.link }));
        }
        items
    }

    /// A message for the store; `None` if it is rejected or waits.
    fn of_agent(&mut self, mut message: Later, now: Instant) -> Option<Received> {
        let counts = Arc::clone(&self.counts);
        // Before the rate: forged messages do not use up that of the agent.
        if let Err(refused) = self.seals.open(&message.agent, &message.topic, &mut message.payload) {
            if refused.may_pass() && message.due > now && self.later.len() < LATER {
                self.later.push_back(message);
                return None;
            }
            let count = match refused {
                Refused::Revoked => &counts.revoked,
                Refused::Unsealed => &counts.unsealed,
                Refused::Forged | Refused::Unknown => &counts.forged,
            };
            return self.reject(count, &message.agent, refused.as_str().into(), now);
        }
        let Later { agent, kind, payload, .. } = message;
        if !self.allows(&agent, now) {
            return self.reject(&counts.throttled, &agent, "above the rate collect.agent-rate".into(), now);
        }
        match Message::decode(&payload) {
            Ok(message) if !fits(kind, &message) => {
                let reason = format!("message type or number does not fit topic …/{}", kind.as_str());
                self.reject(&counts.bad_kind, &agent, reason, now)
            }
            Ok(message) if self.is_stale(&agent, &message) => None,
            Ok(message) => Some(Received::new(agent, message, payload)),
            Err(error) => self.reject(&counts.bad_message, &agent, error.to_string(), now),
        }
    }

    /// A request for a certificate, which has a proof of its own. It also counts for the agent's rate.
    fn renew(&self, agent: AgentName, request: Vec<u8>) {
        let agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        self.counts.renewal_requests.add(1);
        if !agents.renewals.as_ref().is_some_and(|inbox| inbox.add(agent, request)) {
            self.counts.renewal_rejections.add(1);
        }
    }

    fn reject(&mut self, count: &Count, agent: &str, reason: String, now: Instant) -> Option<Received> {
        count.add(1);
        if self.bad.len() < MAX_REASONS || self.bad.contains_key(&(agent.to_owned(), reason.clone())) {
            *self.bad.entry((agent.to_owned(), reason)).or_default() += 1;
        }
        self.log(now);
        None
    }

    /// Logs the bad messages since the last log, once per interval.
    fn log(&mut self, now: Instant) {
        if self.last_log.is_some_and(|at| now.duration_since(at) < LOG_INTERVAL) {
            return;
        }
        self.last_log = Some(now);
        for ((agent, reason), count) in std::mem::take(&mut self.bad) {
            tracing::warn!(agent, reason, count, broker = self.state.broker(), "rejected messages");
        }
    }
}

/// True if the message type matches the topic, and the message has a number if its type is acknowledged.
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
