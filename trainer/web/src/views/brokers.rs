//! Links to brokers → rows of the overview, JSON, and lines for Prometheus.

use lapwing_fleet::BrokerLink;
use serde::Serialize;
use std::fmt::Write;
use utoipa::ToSchema;

/// Response of `GET /api/v1/brokers`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct BrokerList {
    /// In the order of the configuration.
    pub(crate) brokers: Vec<BrokerLink>,
}

/// How pages show a link.
pub(crate) trait BrokerTexts {
    fn state(&self) -> &'static str;

    /// Class of its style.
    fn class(&self) -> &'static str;

    fn release(&self) -> String;

    /// What an operator should look at.
    fn warning(&self) -> Option<String>;
}

impl BrokerTexts for BrokerLink {
    fn state(&self) -> &'static str {
        if self.connected { "connected" } else { "not connected" }
    }

    fn class(&self) -> &'static str {
        if self.connected { "online" } else { "offline" }
    }

    fn release(&self) -> String {
        match self.missing_parts {
            0 => "complete".into(),
            parts => format!("{parts} parts missing"),
        }
    }

    fn warning(&self) -> Option<String> {
        let Self { broker, connected, missing_parts, failure, .. } = self;
        if !connected {
            let agents =
                "agents keep their messages, or use another broker; releases are published after the connection";
            let reason = failure.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            return Some(format!("No connection to {broker}{reason}: {agents}."));
        }
        let parts = Some(missing_parts).filter(|parts| **parts > 0)?;
        Some(format!("{broker} lacks {parts} parts of the current release: check its access list and its limits."))
    }
}

/// Prometheus text format 0.0.4.
pub(crate) fn metrics(brokers: &[BrokerLink], text: &mut String) {
    if brokers.is_empty() {
        return;
    }
    type Value = fn(&BrokerLink) -> u64;
    let metrics: [(&str, &str, &str, Value); 9] = [
        ("connected", "gauge", "1 while there is a connection.", |view| view.connected.into()),
        ("connections_total", "counter", "Connections, including reconnections.", |view| view.connections),
        ("failures_total", "counter", "Failed attempts, and connections that ended.", |view| view.failures),
        ("received_total", "counter", "Publications received.", |view| view.received),
        ("acknowledgements_total", "counter", "Acknowledgements sent.", |view| view.acknowledgements),
        ("refusals_total", "counter", "Publications refused.", |view| view.refusals),
        ("refills_total", "counter", "Times that it lacked parts of the release.", |view| view.refills),
        ("releases_missing_total", "counter", "Times that it lacked them again.", |view| view.releases_missing),
        ("missing_parts", "gauge", "Parts of the release that it lacks.", |view| view.missing_parts),
    ];
    for (name, kind, help, value) in metrics {
        let name = format!("lapwing_trainer_broker_{name}");
        // Writing to a string does not fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for view in brokers {
            let broker = super::label_value(&view.broker);
            let _ = writeln!(text, "{name}{{broker=\"{broker}\"}} {}", value(view));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_a_value_for_each_broker_and_quoted_labels() {
        let view = |broker: &str, received| BrokerLink { broker: broker.into(), received, ..BrokerLink::default() };
        let mut text = String::new();
        metrics(&[view("mqtt://a", 7), view("a\"b\\c\n", 0)], &mut text);
        assert!(text.contains("# TYPE lapwing_trainer_broker_received_total counter\n"), "{text}");
        assert!(text.contains("lapwing_trainer_broker_received_total{broker=\"mqtt://a\"} 7\n"), "{text}");
        assert!(text.contains(r#"{broker="a\"b\\c\n"} 0"#), "{text}");
        assert_eq!(text.lines().count(), 9 * 4);
    }

    #[test]
    fn a_broker_that_is_away_or_lacks_the_release_has_a_warning() {
        let fine = BrokerLink { broker: "mqtt://a".into(), connected: true, ..BrokerLink::default() };
        assert_eq!(fine.warning(), None);
        let away = BrokerLink { connected: false, ..fine.clone() };
        assert!(away.warning().unwrap().contains("No connection to mqtt://a"));
        let lacking = BrokerLink { missing_parts: 3, ..fine };
        assert!(lacking.warning().unwrap().contains("lacks 3 parts"));
    }
}
