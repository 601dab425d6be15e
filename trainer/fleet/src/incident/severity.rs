//! Evidence, labels and number of sites → how urgent an episode or incident is.

use crate::episode::Label;
use serde::Serialize;

/// Evidence as a multiple of the limit from which an episode is medium. Agents stop counting at twice the limit.
const MEDIUM: f64 = 1.25;
/// The same for high.
const HIGH: f64 = 1.75;
/// Sites from which an incident is at least high.
const HIGH_SITES: u64 = 5;
/// Sites from which an incident is critical.
const CRITICAL_SITES: u64 = 20;

/// How urgent something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// All, lowest first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Of an episode: by its highest evidence relative to the limit, at least high if a person labelled it an attack, and low
    /// if a person labelled it benign.
    pub fn of_episode(peak_nats: f64, limit_nats: f64, label: Option<Label>) -> Self {
        let ratio = if limit_nats > 0.0 { peak_nats / limit_nats } else { 0.0 };
        let by_evidence = match ratio {
            ratio if ratio >= HIGH => Self::High,
            ratio if ratio >= MEDIUM => Self::Medium,
            _ => Self::Low,
        };
        match label {
            Some(Label::Attack) => by_evidence.max(Self::High),
            Some(Label::Benign) => Self::Low,
            None => by_evidence,
        }
    }

    /// Of an incident: that of its highest episode, raised by its number of sites.
    #[must_use]
    pub fn at_sites(self, sites: u64) -> Self {
        match sites {
            CRITICAL_SITES.. => Self::Critical,
            HIGH_SITES.. => self.max(Self::High),
            _ => self,
        }
    }

    /// Its number in the store, 1 to 4.
    pub const fn rank(self) -> u8 {
        self as u8 + 1
    }

    /// The severity with this number; the nearest one for others.
    pub fn from_rank(rank: i64) -> Self {
        let index = usize::try_from(rank.clamp(1, 4) - 1).unwrap_or(0);
        Self::ALL.get(index).copied().unwrap_or(Self::Low)
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The severity with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severity_follows_evidence_labels_and_sites() {
        let of = |ratio, label| Severity::of_episode(ratio * 30.0, 30.0, label);
        assert_eq!([1.0, 1.25, 1.7, 2.0].map(|ratio| of(ratio, None)), {
            [Severity::Low, Severity::Medium, Severity::Medium, Severity::High]
        });
        assert_eq!(of(1.0, Some(Label::Attack)), Severity::High);
        assert_eq!(of(9.0, Some(Label::Benign)), Severity::Low);
        assert_eq!(Severity::of_episode(9.0, 0.0, None), Severity::Low, "a test alert");
        let at = |sites| Severity::Medium.at_sites(sites);
        assert_eq!([4, 5, 19, 20].map(at), { [Severity::Medium, Severity::High, Severity::High, Severity::Critical] });
        for severity in Severity::ALL {
            assert_eq!(Severity::from_rank(severity.rank().into()), severity);
            assert_eq!(Severity::parse(severity.as_str()), Some(severity));
        }
        assert_eq!((Severity::from_rank(-9), Severity::from_rank(99)), (Severity::Low, Severity::Critical));
    }
}
