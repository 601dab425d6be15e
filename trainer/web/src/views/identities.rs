//! Identities of agents → rows of their page, JSON, lines for Prometheus and warnings.

use lapwing_common::format::when;
use lapwing_fleet::{Identity, IdentityCounts, IdentityState};
use lapwing_shared::enrolment::TimeLeft;
use lapwing_shared::release::digest::Hex;
use serde::Serialize;
use std::fmt::Write;
use utoipa::ToSchema;

/// Digits of a fingerprint that pages show, as `agents identities` and the agent do.
const SHOWN_DIGITS: usize = 16;

/// An agent's identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct IdentityView {
    /// Name of the agent.
    pub(crate) name: String,
    /// `waiting`, `accepted` or `revoked`.
    pub(crate) state: &'static str,
    /// Group that it was enrolled in.
    pub(crate) group: String,
    /// SHA-256 of its public key, hexadecimal.
    pub(crate) fingerprint: String,
    /// Certificates issued.
    pub(crate) certificates: u32,
    /// End of the newest certificate, seconds since the epoch; null without one.
    pub(crate) until_s: Option<u64>,
    /// Seconds until then; negative afterwards, null without a certificate.
    pub(crate) left_s: Option<i64>,
    /// The certificate should have been renewed long before.
    #[serde(skip)]
    pub(crate) ends_soon: bool,
    /// First request, seconds since the epoch.
    pub(crate) enrolled_s: u64,
    /// Who accepted or revoked it, or created its token.
    pub(crate) who: String,
}

impl IdentityView {
    pub(crate) fn new(identity: Identity, now_s: u64, ending_s: u64) -> Self {
        let Identity { name, fingerprint, group, state, issued, until_s, enrolled_s, who, .. } = identity;
        let until_s = Some(until_s).filter(|until_s| *until_s > 0);
        Self {
            name,
            state: state.as_str(),
            group,
            fingerprint: Hex(&fingerprint).to_string(),
            certificates: issued,
            until_s,
            left_s: until_s.map(|until_s| until_s.cast_signed().saturating_sub(now_s.cast_signed())),
            ends_soon: until_s.is_some_and(|until_s| until_s.saturating_sub(now_s) < ending_s),
            enrolled_s,
            who,
        }
    }

    /// Class of its style.
    pub(crate) fn class(&self) -> &'static str {
        match self.state {
            "accepted" => "online",
            "waiting" => "degraded",
            _ => "offline",
        }
    }

    pub(crate) fn key(&self) -> &str {
        self.fingerprint.get(..SHOWN_DIGITS).unwrap_or(&self.fingerprint)
    }

    pub(crate) fn until(&self) -> String {
        self.until_s.map_or_else(|| "no certificate yet".into(), when)
    }

    /// What an operator should know about the certificate.
    pub(crate) fn note(&self) -> Option<String> {
        let left_s = self.left_s.filter(|_| self.ends_soon)?;
        if self.state != IdentityState::Accepted.as_str() {
            return None;
        }
        Some(if left_s <= 0 { "ended".into() } else { format!("ends in {}", TimeLeft(left_s.cast_unsigned())) })
    }
}

/// What an operator should look at.
pub(crate) fn warnings(counts: &IdentityCounts) -> Vec<String> {
    let IdentityCounts { waiting, ending, ended, .. } = counts;
    let renew = "agents renew at two thirds of the lifetime; see which with `lapwing-trainer agents identities`";
    let all = [
        (*ended, format!("Agents whose certificate has ended: {ended}; {renew}.")),
        (*ending, format!("Agents whose certificate ends soon: {ending}; {renew}.")),
        (*waiting, format!("Agents that wait to be accepted: {waiting}; run `lapwing-trainer agents accept`.")),
    ];
    all.into_iter().filter(|(number, _)| *number > 0).map(|(_, text)| text).collect()
}

/// Prometheus text format 0.0.4.
pub(crate) fn metrics(counts: &IdentityCounts, text: &mut String) {
    let IdentityCounts { waiting, accepted, revoked, ending, ended } = *counts;
    let gauges = [
        ("waiting", "Identities that wait to be accepted.", waiting),
        ("accepted", "Accepted identities.", accepted),
        ("revoked", "Revoked identities.", revoked),
        (
            "ending",
            "Accepted identities whose certificate should have been renewed long before, and ends soon.",
            ending,
        ),
        ("ended", "Accepted identities whose certificate has ended.", ended),
    ];
    for (name, help, value) in gauges {
        let name = format!("lapwing_trainer_identities_{name}");
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(state: IdentityState, until_s: u64) -> IdentityView {
        let identity = Identity {
            id: 1,
            name: "attic".into(),
            fingerprint: [0xab; 32],
            group: "home".into(),
            state,
            issued: 1,
            until_s,
            enrolled_s: 1,
            who: "eve".into(),
        };
        IdentityView::new(identity, 1_000, 60 * 86_400)
    }

    #[test]
    fn only_certificates_that_end_soon_have_a_note() {
        let note = |state, until_s| view(state, until_s).note();
        let accepted = IdentityState::Accepted;
        assert_eq!(note(accepted, 1_000 + 60 * 86_400), None);
        assert_eq!(note(accepted, 1_000 + 59 * 86_400 + 5).as_deref(), Some("ends in 59 days"));
        assert_eq!(note(accepted, 1_000 + 86_400).as_deref(), Some("ends in 1 day"));
        assert_eq!(note(accepted, 1_000).as_deref(), Some("ended"));
        assert_eq!((note(accepted, 0), view(accepted, 0).until()), (None, "no certificate yet".into()));
        assert_eq!(note(IdentityState::Revoked, 1_000), None);
        assert_eq!(view(accepted, 1).key(), "abababababababab");
    }

    #[test]
    fn warnings_and_metrics_have_the_numbers() {
        let counts = IdentityCounts { waiting: 1, accepted: 9, revoked: 2, ending: 0, ended: 3 };
        let warnings = warnings(&counts);
        assert!(warnings.len() == 2 && warnings[0].starts_with("Agents whose certificate has ended: 3;"));
        let mut text = String::new();
        metrics(&counts, &mut text);
        for line in ["identities_ended 3", "identities_ending 0", "identities_revoked 2"] {
            assert!(text.contains(&format!("\nlapwing_trainer_{line}\n")), "{text}");
        }
    }
}
