//! A known identity and a request over MQTT → its next certificate, its newest one again, or nothing.

use super::identity::{Identity, IdentityState};
use lapwing_shared::messages::AgentName;
use lapwing_shared::release::manifest::Digest;

/// A request whose proof was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalClaim {
    /// Name in the certificate request.
    pub name: AgentName,
    /// SHA-256 of the public key in it.
    pub fingerprint: Digest,
    /// End of the certificate that the agent has, seconds since the epoch.
    pub until_s: u64,
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Issue the next certificate.
    Issue,
    /// Send the newest certificate again: the agent does not have it.
    Repeat,
    /// Send nothing: the agent has the newest certificate, and more than half of its life is left.
    Early,
    /// Send nothing: unknown, waiting or revoked.
    Refuse,
}

/// Decides about a request at `now_s`.
///
/// A certificate is issued only after half of the life of the newest one, so an agent that asks all the time, or a broker
/// that replays requests, gets two in a lifetime.
pub fn decide_renewal(claim: &RenewalClaim, known: Option<&Identity>, lifetime_s: u64, now_s: u64) -> Renewal {
    let is_accepted =
        |identity: &&Identity| identity.state == IdentityState::Accepted && identity.name == claim.name.as_str();
    let Some(identity) = known.filter(is_accepted) else { return Renewal::Refuse };
    let left_s = identity.until_s.saturating_sub(now_s);
    if left_s <= lifetime_s / 2 {
        Renewal::Issue
    } else if claim.until_s == identity.until_s {
        Renewal::Early
    } else {
        Renewal::Repeat
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::release::name::parse_name;

    const LIFETIME_S: u64 = 1_000;
    const UNTIL_S: u64 = 5_000;

    fn identity(state: IdentityState) -> Identity {
        Identity {
            id: 7,
            name: "attic".into(),
            fingerprint: [9; 32],
            group: "home".into(),
            state,
            issued: 1,
            until_s: UNTIL_S,
            enrolled_s: 1,
            who: "operator".into(),
        }
    }

    fn claim(name: &str, until_s: u64) -> RenewalClaim {
        RenewalClaim { name: parse_name(name).unwrap(), fingerprint: [9; 32], until_s }
    }

    #[test]
    fn the_next_certificate_is_issued_after_half_of_the_life_and_after_the_end() {
        let known = identity(IdentityState::Accepted);
        let at = |now_s, until_s| decide_renewal(&claim("attic", until_s), Some(&known), LIFETIME_S, now_s);
        assert_eq!(at(UNTIL_S - 501, UNTIL_S), Renewal::Early);
        assert_eq!(at(UNTIL_S - 500, UNTIL_S), Renewal::Issue);
        assert_eq!(at(UNTIL_S + 1_000_000, UNTIL_S), Renewal::Issue);
        assert_eq!(
            at(UNTIL_S - 501, UNTIL_S - 900),
            Renewal::Repeat,
            "the response was lost, or the request is replayed"
        );
    }

    #[test]
    fn only_accepted_identities_of_this_name_get_one() {
        for state in [IdentityState::Waiting, IdentityState::Revoked] {
            let known = identity(state);
            assert_eq!(decide_renewal(&claim("attic", 1), Some(&known), LIFETIME_S, UNTIL_S), Renewal::Refuse);
        }
        let known = identity(IdentityState::Accepted);
        assert_eq!(decide_renewal(&claim("cellar", 1), Some(&known), LIFETIME_S, UNTIL_S), Renewal::Refuse);
        assert_eq!(decide_renewal(&claim("attic", 1), None, LIFETIME_S, UNTIL_S), Renewal::Refuse);
    }
}
