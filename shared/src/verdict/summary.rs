//! Alert → a one-sentence summary: which host, what, with whom, since when. [`crate::features::explanation`] explains
//! the anomalous features.

use crate::features::explanation::{Finding, Grouped};
use crate::packet::Concealment;
use crate::units::Utc;
use crate::verdict::alert::{Alert, PEERS, Reason, Role, SiteAlert};
use core::fmt::{self, Write};

/// Displays an alert as one sentence.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// The alert.
    pub alert: &'a Alert,
    /// Name of the attack class to show.
    pub kind: Option<&'a str>,
}

impl Alert {
    /// Its summary, with the attack class that its agent reported.
    pub fn summary(&self) -> Summary<'_> {
        Summary { alert: self, kind: self.resembles.as_deref() }
    }
}

impl Reason {
    /// The reason as a displayable [`Finding`].
    pub const fn finding(&self) -> Finding {
        let Self { feature, value, normal_low, normal_high, .. } = *self;
        Finding { feature, value, normal_low, normal_high }
    }
}

impl Summary<'_> {
    fn site(&self, f: &mut fmt::Formatter<'_>, condition: SiteAlert) -> fmt::Result {
        let alert = self.alert;
        let (count, since) = (Grouped(u64::from(alert.flows)), Utc(alert.since.as_secs()));
        let s = if alert.flows == 1 { "" } else { "s" };
        match condition {
            SiteAlert::TooManyToReport => {
                write!(f, "too many hosts over the evidence limit to report each: {count} flow{s} since {since} UTC")?;
            }
            SiteAlert::NewSources => {
                return write!(
                    f,
                    "{count} host{s} sent a first flow since {since} UTC, far more than normal: source addresses are \
                     probably forged, and an attack may hide among them"
                );
            }
        }
        let Some((first, others)) = alert.peers.split_first() else { return Ok(()) };
        write!(f, ", mostly of {}", alert.named(first.address))?;
        if others.is_empty() { Ok(()) } else { write!(f, " and at least {} more", others.len()) }
    }
}

impl fmt::Display for Summary<'_> {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alert = self.alert;
        if let Some(kind) = Concealment::of(alert) {
            return hidden_ports(alert, kind, f);
        }
        let (host, flows, since) = (alert.named(alert.host), alert.flows, Utc(alert.since.as_secs()));
        let s = if flows == 1 { "" } else { "s" };
        if let Some(condition) = SiteAlert::of(alert) {
            return self.site(f, condition);
        }
        let flows = Grouped(u64::from(flows));
        let (verb, preposition) = match alert.role {
            Role::Source => ("started", "to"),
            Role::Target => ("was the target of", "from"),
        };
        write!(
            f,
            "{host} {verb} {flows} flow{s} since {since} UTC, {} anomalous",
            Grouped(u64::from(alert.odd_flows))
        )?;
        if let Some((first, others)) = alert.peers.split_first() {
            write!(f, ", mostly {preposition} {}", alert.named(first.address))?;
            match others.len() {
                0 => {}
                // An alert names at most PEERS peers; there may be more.
                count if count + 1 == PEERS => write!(f, " and at least {count} more")?,
                count => write!(f, " and {count} more")?,
            }
        }
        // In a scan over many ports this is only the most frequent one.
        if alert.service_port > 0 {
            write!(f, ", busiest port {}", alert.service_port)?;
        }
        let Some(kind) = self.kind else { return Ok(()) };
        f.write_str("; looks like ")?;
        // Text from an agent must not control the terminal.
        kind.chars().try_for_each(|character| f.write_char(if character.is_control() { '?' } else { character }))
    }
}

/// Summary of an alert about packets that hide their ports.
fn hidden_ports(alert: &Alert, kind: Concealment, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (verb, preposition) = match alert.role {
        Role::Source => ("sent", "to"),
        Role::Target => ("was sent", "from"),
    };
    let how = match kind {
        Concealment::TinyFragments => "whose header is split over several fragments",
        Concealment::ExtensionHeaders => "with unusually many or long IPv6 extension headers",
        Concealment::MalformedHeaders => "with contradictory headers",
    };
    let s = if alert.flows == 1 { "" } else { "s" };
    let (packets, since) = (Grouped(u64::from(alert.flows)), Utc(alert.since.as_secs()));
    write!(f, "{} {verb} {packets} packet{s} {how} since {since} UTC", alert.named(alert.host))?;
    match alert.peers.last() {
        Some(peer) => {
            let peer = alert.named(peer.address);
            write!(f, ", most recently {preposition} {peer}; this can hide ports from a detector")
        }
        None => f.write_str("; this can hide ports from a detector"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Address, Timestamp};
    use crate::verdict::addresses::AddressForm;
    use crate::verdict::alert::{AlertState, NO_HOST, Peer};
    use heapless::Vec;
    use std::string::ToString;

    fn alert(role: Role, peers: u8) -> Alert {
        let peer = |last: u8| Peer { address: Address::from_v4([192, 0, 2, last]), flows: 3 };
        Alert {
            episode: 1,
            state: AlertState::Opened,
            host: Address::from_v4([10, 0, 0, 9]),
            role,
            since: Timestamp::from_secs(1_741_276_811),
            at: Timestamp::from_secs(1_741_276_900),
            evidence_nats: 20.0,
            peak_nats: 20.0,
            limit_nats: 17.0,
            flows: 12_345,
            odd_flows: 9,
            peers: (1..=peers).map(peer).collect(),
            service_port: 23,
            reasons: Vec::new(),
            resembles: "telnet-spread".try_into().ok(),
            release: 1,
            addresses: AddressForm::Plain,
            rows: Vec::new(),
        }
    }

    #[test]
    fn a_summary_names_host_flows_peers_port_and_attack_class() {
        assert_eq!(
            alert(Role::Source, 1).summary().to_string(),
            "10.0.0.9 started 12,345 flows since 2025-03-06 16:00:11 UTC, 9 anomalous, mostly to 192.0.2.1, busiest \
             port 23; looks like telnet-spread"
        );
        let target = Alert { resembles: None, service_port: 0, flows: 1, odd_flows: 1, ..alert(Role::Target, 3) };
        assert_eq!(
            target.summary().to_string(),
            "10.0.0.9 was the target of 1 flow since 2025-03-06 16:00:11 UTC, 1 anomalous, mostly from 192.0.2.1 \
             and 2 more"
        );
        let many = alert(Role::Source, PEERS as u8);
        let named = Summary { alert: &many, kind: Some("port-scan") }.to_string();
        assert!(
            named.contains("to 192.0.2.1 and at least 3 more, busiest port 23")
                && named.ends_with("looks like port-scan")
        );
        let hostile = Summary { alert: &many, kind: Some("\u{1b}[2J\nALERT") }.to_string();
        assert!(hostile.ends_with("looks like ?[2J?ALERT"));
        assert!(alert(Role::Target, 0).summary().to_string().contains("9 anomalous, busiest port 23;"));
    }

    #[test]
    fn a_summary_shows_pseudonyms_as_such() {
        let hidden = Alert { addresses: AddressForm::Hidden, ..alert(Role::Source, 1) };
        let text = hidden.summary().to_string();
        assert!(text.starts_with("h-00000000000000000000ffff0a000009 started"), "{text}");
        assert!(text.contains("mostly to h-00000000000000000000ffffc0000201,"), "{text}");
    }

    #[test]
    fn a_summary_of_hidden_ports_counts_packets() {
        let resembles = Concealment::TinyFragments.name().try_into().ok();
        let hidden = Alert { resembles, limit_nats: 0.0, ..alert(Role::Source, 2) };
        assert_eq!(
            hidden.summary().to_string(),
            "10.0.0.9 sent 12,345 packets whose header is split over several fragments since 2025-03-06 16:00:11 UTC, \
             most recently to 192.0.2.2; this can hide ports from a detector"
        );
    }

    #[test]
    fn an_alert_without_a_host_states_its_condition() {
        let site = |condition: SiteAlert, peers| Alert {
            host: NO_HOST,
            resembles: condition.name().try_into().ok(),
            ..alert(Role::Source, peers)
        };
        assert_eq!(
            site(SiteAlert::TooManyToReport, 2).summary().to_string(),
            "too many hosts over the evidence limit to report each: 12,345 flows since 2025-03-06 16:00:11 UTC, mostly \
             of 192.0.2.1 and at least 1 more"
        );
        let flood = site(SiteAlert::NewSources, 0);
        assert!(flood.summary().to_string().starts_with("12,345 hosts sent a first flow since 2025-03-06"));
        assert_eq!(SiteAlert::of(&flood), Some(SiteAlert::NewSources));
        let other = Alert { host: Address::from_v4([10, 0, 0, 9]), ..flood };
        assert_eq!(SiteAlert::of(&other), None);
    }
}
