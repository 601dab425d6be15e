//! Alert messages of an episode, in any order → one record; labels and attack classes of episodes.

use lapwing_shared::messages::{AddressForm, Alert, AlertState, Host, Role};
use lapwing_shared::units::{Address, Timestamp};
use lapwing_shared::verdict::summary::Summary;
use serde::Serialize;

/// Class of an episode if the classifier is not certain of any.
pub const UNKNOWN_CLASS: &str = "unknown";

/// An operator's verdict on an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// Not an attack: its rows may be used for training.
    Benign,
    /// An attack: its rows stay excluded from training.
    Attack,
}

impl Label {
    /// Its name in the store and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Benign => "benign",
            Self::Attack => "attack",
        }
    }

    /// The label with this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Benign, Self::Attack].into_iter().find(|label| label.as_str() == name)
    }
}

/// What the trainer's classifier found.
#[derive(Clone, Debug, PartialEq)]
pub struct Classification {
    /// Attack class, or [`UNKNOWN_CLASS`].
    pub class: String,
    /// Probability of the class, or of the most likely one if it is unknown; `None` without feature rows.
    pub probability: Option<f64>,
    /// Feature rows that were classified.
    pub rows: u32,
}

/// Place of a message among an agent's messages. An agent numbers the messages of each run in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct MessageKey {
    pub run: u64,
    pub number: u64,
}

/// What is kept of an episode's messages: the newest one's fields, and the extent of them all.
///
/// The result does not depend on the order in which messages arrive, because several collectors may deliver an agent's
/// messages in another order than it sent them. Only messages with the same key, of which at most one is genuine, replace
/// each other in order of arrival: a forged message must not suppress the genuine one.
#[derive(Clone, Debug, PartialEq)]
pub struct EpisodeRecord {
    /// The newest message.
    pub newest: MessageKey,
    /// Its state.
    pub state: AlertState,
    /// Host that the evidence concerns.
    pub host: Address,
    /// What the host is: an address or a pseudonym.
    pub addresses: AddressForm,
    /// Role of the host.
    pub role: Role,
    /// Start, by the newest message.
    pub since: Timestamp,
    /// Time of the newest message.
    pub at: Timestamp,
    /// Highest evidence, nats.
    pub peak_nats: f64,
    /// Evidence limit, nats.
    pub limit_nats: f64,
    /// Flows of the host.
    pub flows: u32,
    /// Anomalous flows among them.
    pub odd_flows: u32,
    /// Most frequent responder port, 0 for none.
    pub service_port: u16,
    /// Attack class that the agent reported.
    pub resembles: Option<String>,
    /// Release that raised the alert.
    pub release: u64,
    /// Earliest start in any message.
    pub first: Timestamp,
    /// Latest time of any message.
    pub last: Timestamp,
    /// Latest time of a message that did not close the episode.
    pub open_at: Option<Timestamp>,
    /// Latest time of a message that closed it.
    pub closed_at: Option<Timestamp>,
    /// Highest evidence limit in any message, nats; 0 for test alerts.
    pub highest_limit_nats: f64,
}

impl EpisodeRecord {
    /// The record of an episode's first message to arrive.
    pub fn new(key: MessageKey, alert: &Alert) -> Self {
        let mut record = Self {
            newest: key,
            state: alert.state,
            host: alert.host,
            addresses: alert.addresses,
            role: alert.role,
            since: alert.since,
            at: alert.at,
            peak_nats: 0.0,
            limit_nats: 0.0,
            flows: 0,
            odd_flows: 0,
            service_port: 0,
            resembles: None,
            release: 0,
            first: alert.since,
            last: alert.at,
            open_at: None,
            closed_at: None,
            highest_limit_nats: 0.0,
        };
        record.add(key, alert);
        record
    }

    /// Adds a message; true if it is the newest one now.
    pub fn add(&mut self, key: MessageKey, alert: &Alert) -> bool {
        self.first = self.first.min(alert.since);
        self.last = self.last.max(alert.at);
        self.highest_limit_nats = self.highest_limit_nats.max(alert.limit_nats.into());
        let end = if alert.state == AlertState::Closed { &mut self.closed_at } else { &mut self.open_at };
        *end = (*end).max(Some(alert.at));
        if key < self.newest {
            return false;
        }
        self.newest = key;
        (self.state, self.host, self.role) = (alert.state, alert.host, alert.role);
        self.addresses = alert.addresses;
        (self.since, self.at) = (alert.since, alert.at);
        (self.peak_nats, self.limit_nats) = (alert.peak_nats.into(), alert.limit_nats.into());
        (self.flows, self.odd_flows, self.service_port) = (alert.flows, alert.odd_flows, alert.service_port);
        self.resembles = alert.resembles.as_ref().map(ToString::to_string);
        self.release = alert.release;
        true
    }

    /// The host as people see it: an address, or a pseudonym that is marked as such.
    pub const fn shown_host(&self) -> Host {
        Host { address: self.host, form: self.addresses }
    }

    /// True until its newest message closes it.
    pub fn is_open(&self) -> bool {
        self.state != AlertState::Closed
    }

    /// The class to show to people: the classifier's if it is certain, otherwise the one that the agent reported,
    /// otherwise [`UNKNOWN_CLASS`].
    pub fn shown_class<'a>(&'a self, class: Option<&'a str>) -> &'a str {
        let certain = class.filter(|class| *class != UNKNOWN_CLASS);
        certain.or(self.resembles.as_deref()).unwrap_or(UNKNOWN_CLASS)
    }
}

/// An episode, with everything that pages and lists show.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// Its agent.
    pub agent: String,
    /// Its number.
    pub number: u64,
    /// Its messages.
    pub record: EpisodeRecord,
    /// Attack class by the trainer's classifier; `None` before classification or without a classifier.
    pub class: Option<Classification>,
    /// Label; `None` without one.
    pub label: Option<Label>,
    /// Operator who set the label.
    pub labelled_by: Option<String>,
    /// The newest message; `None` if it no longer decodes.
    pub message: Option<Box<Alert>>,
}

impl Episode {
    /// The class to show to people.
    pub fn shown_class(&self) -> &str {
        self.record.shown_class(self.class.as_ref().map(|class| class.class.as_str()))
    }

    /// Name of the state of its newest message.
    pub const fn state(&self) -> &'static str {
        match self.record.state {
            AlertState::Opened => "opened",
            AlertState::Updated => "updated",
            AlertState::Closed => "closed",
        }
    }

    /// Name of the role of its host.
    pub const fn role(&self) -> &'static str {
        match self.record.role {
            Role::Source => "source",
            Role::Target => "target",
        }
    }

    /// One sentence for people; `None` if the newest message no longer decodes.
    pub fn summary(&self) -> Option<Summary<'_>> {
        let kind = Some(self.shown_class()).filter(|kind| *kind != UNKNOWN_CLASS);
        self.message.as_deref().map(|alert| Summary { alert, kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(state: AlertState, at_s: u64, flows: u32) -> Alert {
        Alert {
            episode: 77,
            state,
            host: Address::from_v4([10, 0, 0, 9]),
            role: Role::Source,
            since: Timestamp::from_secs(1_000),
            at: Timestamp::from_secs(at_s),
            evidence_nats: 40.0,
            peak_nats: 44.0,
            limit_nats: 30.0,
            flows,
            odd_flows: 9,
            peers: heapless_vec(),
            service_port: 23,
            reasons: heapless_vec(),
            resembles: None,
            release: 3,
            addresses: AddressForm::Plain,
            rows: heapless_vec(),
        }
    }

    fn heapless_vec<T: Default>() -> T {
        T::default()
    }

    /// Keys and messages of one episode, in the order in which the agent sent them.
    fn messages() -> Vec<(MessageKey, Alert)> {
        let states = [(AlertState::Opened, 1_005, 1), (AlertState::Updated, 1_060, 7), (AlertState::Closed, 1_200, 9)];
        let key = |number| MessageKey { run: 1, number };
        (1..).zip(states).map(|(number, (state, at_s, flows))| (key(number), alert(state, at_s, flows))).collect()
    }

    fn record(order: &[usize]) -> EpisodeRecord {
        let messages = messages();
        let (key, first) = &messages[order[0]];
        let mut record = EpisodeRecord::new(*key, first);
        for index in &order[1..] {
            record.add(messages[*index].0, &messages[*index].1);
        }
        record
    }

    #[test]
    fn the_record_does_not_depend_on_the_order_of_arrival() {
        let expected = record(&[0, 1, 2]);
        for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            assert_eq!(record(&order), expected, "{order:?}");
        }
        assert!(!expected.is_open());
        assert_eq!((expected.flows, expected.at.as_secs()), (9, 1_200));
        assert_eq!((expected.open_at.unwrap().as_secs(), expected.closed_at.unwrap().as_secs()), (1_060, 1_200));
    }

    #[test]
    fn a_delayed_update_does_not_reopen_a_closed_episode() {
        let mut closed = record(&[0, 2]);
        let messages = messages();
        assert!(!closed.add(messages[1].0, &messages[1].1), "not the newest");
        assert!(!closed.is_open());
    }

    #[test]
    fn the_genuine_message_replaces_a_forged_one_with_its_number() {
        let messages = messages();
        let mut record = EpisodeRecord::new(messages[0].0, &messages[0].1);
        record.add(messages[1].0, &alert(AlertState::Closed, 1_010, 0));
        assert!(record.add(messages[1].0, &messages[1].1));
        assert!(record.is_open());
        assert_eq!(record.flows, 7);
    }

    #[test]
    fn messages_of_a_later_run_are_newer() {
        let mut record = record(&[0, 1]);
        assert!(record.add(MessageKey { run: 2, number: 1 }, &alert(AlertState::Closed, 1_500, 8)));
        assert!(!record.is_open());
    }

    #[test]
    fn the_class_of_the_agent_is_shown_unless_the_classifier_is_certain() {
        let mut record = record(&[0]);
        assert_eq!(record.shown_class(None), "unknown");
        record.resembles = Some("port-scan".into());
        assert_eq!(record.shown_class(Some(UNKNOWN_CLASS)), "port-scan");
        assert_eq!(record.shown_class(Some("flood")), "flood");
    }

    #[test]
    fn labels_have_the_names_of_the_command_line() {
        for label in [Label::Benign, Label::Attack] {
            assert_eq!(Label::parse(label.as_str()), Some(label));
        }
        assert_eq!(Label::parse("unsure"), None);
    }
}
