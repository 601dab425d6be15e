//! An alert → a sentence of who did what to whom since when; [`crate::features::words`] tells what was odd about it.

use crate::features::words::{Finding, Grouped};
use crate::units::Utc;
use crate::verdict::alert::{Alert, PEERS, Reason, Role};
use core::fmt::{self, Write};

/// Who did what to whom since when, and what it looks like.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The alert.
    pub alert: &'a Alert,
    /// The kind that it is taken for; nothing where none is known.
    pub kind: Option<&'a str>,
}

impl Alert {
    /// Its head, with the kind that its agent says that it resembles.
    pub fn head(&self) -> Head<'_> {
        Head { alert: self, kind: self.resembles.as_deref() }
    }
}

impl Reason {
    /// The same for people.
    pub const fn finding(&self) -> Finding {
        let Self { feature, value, normal_low, normal_high, .. } = *self;
        Finding { feature, value, normal_low, normal_high }
    }
}

impl fmt::Display for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alert = self.alert;
        let (host, flows, since) = (alert.host, alert.flows, Utc(alert.since.as_secs()));
        let s = if flows == 1 { "" } else { "s" };
        let flows = Grouped(u64::from(flows));
        let (began, chiefly) = match alert.role {
            Role::Source => ("started", "to"),
            Role::Target => ("was the target of", "from"),
        };
        write!(f, "{host} {began} {flows} flow{s} since {since} UTC, {} odd", Grouped(u64::from(alert.odd_flows)))?;
        if let Some((first, others)) = alert.peers.split_first() {
            write!(f, ", chiefly {chiefly} {}", first.address)?;
            match others.len() {
                0 => {}
                // More may have taken part than are named.
                count if count + 1 == PEERS => write!(f, " and at least {count} more")?,
                count => write!(f, " and {count} more")?,
            }
        }
        // Of a scan over many ports it is one of them: no more is known of the others.
        if alert.service_port > 0 {
            write!(f, ", busiest port {}", alert.service_port)?;
        }
        let Some(kind) = self.kind else { return Ok(()) };
        f.write_str("; looks like ")?;
        // An agent's words shall not steer the terminal that shows them.
        kind.chars().try_for_each(|character| f.write_char(if character.is_control() { '?' } else { character }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Address, Timestamp};
    use crate::verdict::alert::{AlertState, Peer};
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
            rows: Vec::new(),
        }
    }

    #[test]
    fn a_head_says_who_what_to_whom_since_when_and_what_it_looks_like() {
        assert_eq!(
            alert(Role::Source, 1).head().to_string(),
            "10.0.0.9 started 12,345 flows since 2025-03-06 16:00:11 UTC, 9 odd, chiefly to 192.0.2.1, busiest port 23; \
             looks like telnet-spread"
        );
        let target = Alert { resembles: None, service_port: 0, flows: 1, odd_flows: 1, ..alert(Role::Target, 3) };
        assert_eq!(
            target.head().to_string(),
            "10.0.0.9 was the target of 1 flow since 2025-03-06 16:00:11 UTC, 1 odd, chiefly from 192.0.2.1 and 2 more"
        );
        let many = alert(Role::Source, PEERS as u8);
        let named = Head { alert: &many, kind: Some("port-scan") }.to_string();
        assert!(
            named.contains("to 192.0.2.1 and at least 3 more, busiest port 23")
                && named.ends_with("looks like port-scan")
        );
        let hostile = Head { alert: &many, kind: Some("\u{1b}[2J\nALERT") }.to_string();
        assert!(hostile.ends_with("looks like ?[2J?ALERT"));
        assert!(alert(Role::Target, 0).head().to_string().contains("9 odd, busiest port 23;"));
    }
}
