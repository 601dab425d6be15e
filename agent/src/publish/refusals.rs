//! Answers of the broker → what it refuses now, for status and log.

use super::mqtt::reason::describe;
use super::rate::Limit;
use crate::report::SharedReport;

/// Limit on refusals that are shown: an agent uses five topics to publish and three to subscribe.
const SHOWN: usize = 8;

/// What the broker refuses or does not support on this connection.
#[derive(Debug)]
pub(super) struct Refusals {
    report: SharedReport,
    /// By topic or property; as many as can be shown.
    log: Vec<(String, Limit)>,
    shown: Vec<Refusal>,
}

#[derive(Debug)]
struct Refusal {
    /// Topic or property.
    about: String,
    text: String,
}

impl Refusals {
    /// Shows them in `report`.
    pub(super) fn new(report: SharedReport) -> Self {
        report.edit().broker_refusals.clear();
        Self { report, log: Vec::new(), shown: Vec::new() }
    }

    /// The broker refused a publication.
    pub(super) fn publication(&mut self, topic: &str, reason: u8, now_ms: u64) {
        self.report.edit().refused_publications += 1;
        let text = format!("messages on {topic} ({})", describe(reason));
        self.show(topic, text, now_ms);
    }

    /// The broker refused a subscription.
    pub(super) fn subscription(&mut self, filter: &str, reason: u8, now_ms: u64) {
        self.report.edit().refused_subscriptions += 1;
        let text = format!("the subscription to {filter} ({})", describe(reason));
        self.show(filter, text, now_ms);
    }

    /// The broker does not support something.
    pub(super) fn unsupported(&mut self, about: &str, effect: &str, now_ms: u64) {
        self.show(about, format!("{about}: {effect}"), now_ms);
    }

    /// The broker accepted something on this topic.
    pub(super) fn accepted(&mut self, topic: &str) {
        let before = self.shown.len();
        self.shown.retain(|refusal| refusal.about != topic);
        if self.shown.len() < before {
            self.publish();
        }
    }

    fn show(&mut self, about: &str, text: String, now_ms: u64) {
        if self.shown.iter().any(|refusal| refusal.text == text) {
            return;
        }
        if let Some(suppressed) = self.may_log(about, now_ms) {
            tracing::warn!(refused = %text, suppressed, "refused by the broker; check its access list and limits");
        }
        self.shown.retain(|refusal| refusal.about != about);
        if self.shown.len() < SHOWN {
            self.shown.push(Refusal { about: about.to_owned(), text });
        }
        self.publish();
    }

    fn may_log(&mut self, about: &str, now_ms: u64) -> Option<u64> {
        if let Some((_, limit)) = self.log.iter_mut().find(|(logged, _)| logged == about) {
            return limit.allow(now_ms);
        }
        let mut limit = Limit::default();
        let allowed = limit.allow(now_ms).filter(|_| self.log.len() < SHOWN);
        if allowed.is_some() {
            self.log.push((about.to_owned(), limit));
        }
        allowed
    }

    fn publish(&self) {
        self.report.edit().broker_refusals = self.shown.iter().map(|refusal| refusal.text.clone()).collect();
    }
}

/// A refusal of an earlier connection says nothing about the next one.
impl Drop for Refusals {
    fn drop(&mut self) {
        self.report.edit().broker_refusals.clear();
    }
}
