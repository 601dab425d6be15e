//! Requests that the broker has not answered yet → what an answer is about.

use crate::outbox::MessageId;

/// Limit on requests without an answer, whatever the broker allows.
pub(super) const UNANSWERED: usize = 128;

/// A request that the broker answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A publication at QoS 1.
    Publish {
        /// The outbox entry, if it has one.
        id: Option<MessageId>,
        /// Its topic.
        topic: String,
    },
    /// A subscription to this filter.
    Subscribe(String),
    /// The end of a subscription.
    Unsubscribe,
}

/// The requests by their packet identifier.
#[derive(Debug)]
pub(super) struct InFlight {
    last: u16,
    /// Limit on publications.
    publications: usize,
    /// At most [`UNANSWERED`]: packet identifier, when it was made, milliseconds, and what it asks.
    asked: Vec<(u16, u64, Asked)>,
}

impl InFlight {
    /// `receive_maximum` is the broker's limit on unanswered publications.
    pub(super) fn new(receive_maximum: u16) -> Self {
        Self { last: 0, publications: usize::from(receive_maximum), asked: Vec::new() }
    }

    /// Whether another request may be made.
    pub(super) fn has_room(&self, publication: bool) -> bool {
        let is_publication = |(_, _, asked): &&(u16, u64, Asked)| matches!(asked, Asked::Publish { .. });
        let publications = self.asked.iter().filter(is_publication).count();
        self.asked.len() < UNANSWERED && (!publication || publications < self.publications)
    }

    /// Adds a request; returns its packet identifier, which no other unanswered request has.
    pub(super) fn add(&mut self, asked: Asked, now_ms: u64) -> u16 {
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if self.place(self.last).is_none() {
                break;
            }
        }
        self.asked.push((self.last, now_ms, asked));
        self.last
    }

    /// Removes the request that an answer is about.
    pub(super) fn take(&mut self, identifier: u16) -> Option<Asked> {
        let place = self.place(identifier)?;
        Some(self.asked.swap_remove(place).2)
    }

    fn place(&self, identifier: u16) -> Option<usize> {
        self.asked.iter().position(|(used, ..)| *used == identifier)
    }

    /// When the oldest request was made that delivery depends on, milliseconds. Some brokers do not answer the end of a
    /// subscription that they do not know.
    pub(super) fn oldest_ms(&self) -> Option<u64> {
        let matters = self.asked.iter().filter(|(_, _, asked)| *asked != Asked::Unsubscribe);
        matters.map(|(_, asked_ms, _)| *asked_ms).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication() -> Asked {
        Asked::Publish { id: Some((1, 1)), topic: "t".into() }
    }

    #[test]
    fn publications_stay_below_the_receive_maximum() {
        let mut in_flight = InFlight::new(2);
        let first = in_flight.add(publication(), 5);
        in_flight.add(publication(), 7);
        in_flight.add(Asked::Unsubscribe, 1);
        in_flight.add(Asked::Subscribe("f".into()), 8);
        assert!(!in_flight.has_room(true) && in_flight.has_room(false));
        assert_eq!((in_flight.oldest_ms(), in_flight.take(first)), (Some(5), Some(publication())));
        assert!(in_flight.has_room(true));
        assert_eq!((in_flight.take(first), in_flight.oldest_ms()), (None, Some(7)));
    }

    #[test]
    fn identifiers_are_never_zero_and_skip_those_in_use() {
        let mut in_flight = InFlight::new(u16::MAX);
        let used = in_flight.add(publication(), 0);
        for _ in 0..=u16::MAX {
            let identifier = in_flight.add(Asked::Unsubscribe, 0);
            assert!(identifier != 0 && identifier != used);
            in_flight.take(identifier);
        }
    }

    #[test]
    fn requests_without_an_answer_are_bounded() {
        let mut in_flight = InFlight::new(u16::MAX);
        while in_flight.has_room(true) {
            in_flight.add(publication(), 0);
        }
        assert_eq!(in_flight.asked.len(), UNANSWERED);
    }
}
