//! Versions that the store and the agents of a group know → the one above which the next release must be.

/// Versions above those of most agents that one agent's report may claim. A forged one must not lead to releases that the
/// other agents refuse as too far ahead.
const AHEAD: u64 = 1_000;

/// The highest versions of a group, so that none is used twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HighestVersion {
    /// In the store's releases, held releases and campaigns.
    pub stored: u64,
    /// In the agents' reports.
    pub reported: u64,
    /// An agent that reported it.
    pub agent: Option<String>,
    /// Agents whose reports do not count, because they are far above those of the others.
    pub ignored: u64,
}

/// The highest version that an agent reported, or confirmed before it refused a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReportedVersion {
    pub(crate) agent: String,
    pub(crate) version: u64,
}

impl HighestVersion {
    /// The highest of the versions that count: those at most [`AHEAD`] above the store's and above the one that half of the
    /// agents have.
    pub(crate) fn of(stored: u64, reports: &[ReportedVersion]) -> Self {
        let mut versions: Vec<u64> =
            reports.iter().map(|report| report.version).filter(|version| *version > 0).collect();
        versions.sort_unstable();
        let median = versions.get(versions.len().saturating_sub(1) / 2).copied().unwrap_or(0);
        let limit = stored.max(median).saturating_add(AHEAD);
        let counted = reports.iter().filter(|report| (1..=limit).contains(&report.version));
        let highest = counted.max_by(|one, other| one.version.cmp(&other.version).then(other.agent.cmp(&one.agent)));
        Self {
            stored,
            reported: highest.map_or(0, |report| report.version),
            agent: highest.map(|report| report.agent.clone()),
            ignored: versions.iter().filter(|version| **version > limit).count() as u64,
        }
    }

    /// The highest of all.
    pub fn version(&self) -> u64 {
        self.stored.max(self.reported)
    }
}

/// The highest version that an agent has confirmed, if it refused a release because of that; 0 otherwise.
pub(crate) fn confirmed(refusal: &str) -> u64 {
    let number = refusal.strip_prefix("release version ").and_then(|rest| rest.split_once(" is not above "));
    let digits = number.and_then(|(_, rest)| rest.split_once(','));
    digits.and_then(|(digits, _)| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::release::accept::Refusal;

    fn of(stored: u64, versions: &[u64]) -> (u64, Option<String>, u64) {
        let report =
            |(index, version): (usize, &u64)| ReportedVersion { agent: format!("gw-{index}"), version: *version };
        let reports: Vec<ReportedVersion> = versions.iter().enumerate().map(report).collect();
        let highest = HighestVersion::of(stored, &reports);
        (highest.reported, highest.agent, highest.ignored)
    }

    #[test]
    fn a_report_far_above_those_of_the_others_does_not_count() {
        let agent = |number: usize| Some(format!("gw-{number}"));
        assert_eq!(of(7, &[]), (0, None, 0));
        assert_eq!(of(0, &[57, 58, 57]), (58, agent(1), 0), "the store has lost everything");
        assert_eq!(of(0, &[u64::MAX >> 1]), (u64::MAX >> 1, agent(0), 0), "the only agent");
        assert_eq!(of(0, &[57, 0, u64::MAX >> 1]), (57, agent(0), 1));
        assert_eq!(of(60, &[57, 1_060, 1_061]), (1_061, agent(2), 0));
        assert_eq!(of(60, &[57, 57, 1_061]), (57, agent(0), 1));
    }

    #[test]
    fn a_refusal_names_the_highest_confirmed_version() {
        let refusal = Refusal::NotNewer { found: 3, confirmed: 57 }.to_string();
        assert_eq!(confirmed(&refusal), 57);
        let others = [Refusal::RefusedBefore { version: 9 }, Refusal::Schema];
        assert!(others.iter().all(|refusal| confirmed(&refusal.to_string()) == 0));
        assert_eq!(confirmed("release version 3 is not above 99999999999999999999, the"), 0);
    }
}
