//! A token, the known identities and a proven request → certificate, waiting or refusal.

use lapwing_shared::enrolment::{Refusal, SECRET_BYTES};
use lapwing_shared::messages::AgentName;
use lapwing_shared::release::manifest::Digest;
use lapwing_shared::release::name::parse_name;
use serde::Serialize;

/// State of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityState {
    /// Waits until an operator accepts it.
    Waiting,
    /// Has a certificate, or gets one at its next request.
    Accepted,
    /// Gets no certificate.
    Revoked,
}

impl IdentityState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Accepted, Self::Revoked];

    /// Its name in the store and in lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Accepted => "accepted",
            Self::Revoked => "revoked",
        }
    }

    /// The state with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// What an operator allows with a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenTerms {
    /// Group of its agents.
    pub group: String,
    /// The only name that it enrols; `None`: any.
    pub name: Option<String>,
    /// Agents that it enrols at most.
    pub uses: u32,
    /// End, seconds since the epoch.
    pub until_s: u64,
    /// Its agents wait until an operator accepts each.
    pub must_be_accepted: bool,
    /// Its agent takes the place of the one that has its name and another key.
    pub replaces: bool,
    /// Who created it.
    pub who: String,
}

/// A token of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolmentToken {
    /// Its number.
    pub id: u32,
    /// Its secret.
    pub secret: [u8; SECRET_BYTES],
    /// What it allows.
    pub terms: TokenTerms,
    /// Agents that it has enrolled.
    pub used: u32,
}

/// An agent's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its number.
    pub id: u32,
    /// Name of the agent.
    pub name: String,
    /// SHA-256 of its public key.
    pub fingerprint: Digest,
    /// Group that it was enrolled in.
    pub group: String,
    /// State.
    pub state: IdentityState,
    /// Certificates issued.
    pub issued: u32,
    /// End of the newest certificate, seconds since the epoch; 0 without one.
    pub until_s: u64,
    /// First request, seconds since the epoch.
    pub enrolled_s: u64,
    /// Who accepted or revoked it, or created its token.
    pub who: String,
}

/// Numbers of identities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct IdentityCounts {
    /// Wait until an operator accepts them.
    pub waiting: u64,
    /// Accepted.
    pub accepted: u64,
    /// Revoked.
    pub revoked: u64,
    /// Accepted, with a certificate that ends within 60 days or, if that is less, a sixth of `enrolment.lifetime`.
    pub ending: u64,
    /// Accepted, with a certificate that has ended.
    pub ended: u64,
}

/// A request whose proof was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The token whose secret proved it; `None` if the key alone did.
    pub token: Option<u32>,
    /// Name in the certificate request.
    pub name: AgentName,
    /// SHA-256 of the public key in it.
    pub fingerprint: Digest,
}

/// What the store knows about a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The claim's token.
    pub token: Option<EnrolmentToken>,
    /// The identity with the claim's key.
    pub by_key: Option<Identity>,
    /// The identity with the claim's name.
    pub by_name: Option<Identity>,
}

/// What to do with a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Count a use of the token and create an identity in this state.
    Create(IdentityState),
    /// Count a use of the token and give the identity with this number the claim's key and this state.
    Replace(u32, IdentityState),
    /// Issue a certificate to the identity with this number.
    Issue(u32),
    /// It waits for an operator.
    Wait,
    /// Refuse.
    Refuse(Refusal),
}

/// Decides about a claim at `now_s`.
///
/// A known key gets what its identity allows, whatever its token: an agent that lost the response, or whose certificate
/// has expired, repeats its request, and no use is counted.
pub fn decide(claim: &Claim, known: &Known, now_s: u64) -> Decision {
    if let Some(identity) = &known.by_key {
        return of_known_key(claim, identity);
    }
    let Some(token) = &known.token else {
        return Decision::Refuse(if claim.token.is_some() { Refusal::Token } else { Refusal::UnknownKey });
    };
    let terms = &token.terms;
    if now_s >= terms.until_s {
        return Decision::Refuse(Refusal::TokenEnded);
    }
    if let Some(name) = terms.name.as_deref().filter(|name| *name != claim.name.as_str()) {
        return refuse_other(name);
    }
    if token.used >= terms.uses {
        return Decision::Refuse(Refusal::TokenUsed);
    }
    let state = if terms.must_be_accepted { IdentityState::Waiting } else { IdentityState::Accepted };
    match &known.by_name {
        None => Decision::Create(state),
        // A revoked name stays so while a certificate of it is valid: a broker that rejects the name would reject the
        // new agent, and one that accepts it would accept the revoked one again.
        Some(other) if other.state == IdentityState::Revoked && now_s < other.until_s => {
            Decision::Refuse(Refusal::Revoked)
        }
        Some(other) if terms.replaces => Decision::Replace(other.id, state),
        Some(_) => Decision::Refuse(Refusal::NameTaken),
    }
}

fn of_known_key(claim: &Claim, identity: &Identity) -> Decision {
    match identity.state {
        IdentityState::Revoked => Decision::Refuse(Refusal::Revoked),
        _ if identity.name != claim.name.as_str() => refuse_other(&identity.name),
        IdentityState::Waiting => Decision::Wait,
        IdentityState::Accepted => Decision::Issue(identity.id),
    }
}

fn refuse_other(name: &str) -> Decision {
    // Names in the store are valid.
    Decision::Refuse(parse_name(name).map_or(Refusal::NameTaken, Refusal::OtherName))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_000;

    fn token() -> EnrolmentToken {
        let terms = TokenTerms {
            group: "home".into(),
            name: None,
            uses: 2,
            until_s: NOW_S + 1,
            must_be_accepted: false,
            replaces: false,
            who: "operator".into(),
        };
        EnrolmentToken { id: 1, secret: [1; SECRET_BYTES], terms, used: 1 }
    }

    fn identity(state: IdentityState) -> Identity {
        Identity {
            id: 7,
            name: "attic".into(),
            fingerprint: [9; 32],
            group: "home".into(),
            state,
            issued: 1,
            until_s: NOW_S + 10,
            enrolled_s: 1,
            who: "operator".into(),
        }
    }

    fn claim(name: &str, token: Option<u32>) -> Claim {
        Claim { token, name: parse_name(name).unwrap(), fingerprint: [9; 32] }
    }

    fn with(change: impl FnOnce(&mut EnrolmentToken)) -> Known {
        let mut token = token();
        change(&mut token);
        Known { token: Some(token), ..Known::default() }
    }

    #[test]
    fn a_token_enrols_until_its_end_and_until_it_is_used_up() {
        let by_token = |known: &Known, now_s| decide(&claim("attic", Some(1)), known, now_s);
        assert_eq!(by_token(&with(|_| ()), NOW_S), Decision::Create(IdentityState::Accepted));
        assert_eq!(
            by_token(&with(|token| token.terms.must_be_accepted = true), NOW_S),
            Decision::Create(IdentityState::Waiting)
        );
        assert_eq!(by_token(&with(|_| ()), NOW_S + 1), Decision::Refuse(Refusal::TokenEnded));
        assert_eq!(by_token(&with(|token| token.used = 2), NOW_S), Decision::Refuse(Refusal::TokenUsed));
        assert_eq!(by_token(&Known::default(), NOW_S), Decision::Refuse(Refusal::Token));
    }

    #[test]
    fn a_token_with_a_name_enrols_no_other() {
        let known = with(|token| token.terms.name = Some("cellar".into()));
        let other = Refusal::OtherName(parse_name("cellar").unwrap());
        assert_eq!(decide(&claim("attic", Some(1)), &known, NOW_S), Decision::Refuse(other));
        assert_eq!(decide(&claim("cellar", Some(1)), &known, NOW_S), Decision::Create(IdentityState::Accepted));
    }

    #[test]
    fn a_name_of_another_key_is_taken_unless_the_token_replaces_it() {
        let taken = |state, replaces| {
            let known = with(|token| token.terms.replaces = replaces);
            decide(&claim("attic", Some(1)), &Known { by_name: Some(identity(state)), ..known }, NOW_S)
        };
        assert_eq!(taken(IdentityState::Accepted, false), Decision::Refuse(Refusal::NameTaken));
        assert_eq!(taken(IdentityState::Waiting, false), Decision::Refuse(Refusal::NameTaken));
        assert_eq!(taken(IdentityState::Accepted, true), Decision::Replace(7, IdentityState::Accepted));
        assert_eq!(taken(IdentityState::Revoked, true), Decision::Refuse(Refusal::Revoked));
        let known = with(|token| (token.terms.replaces, token.terms.until_s) = (true, u64::MAX));
        let known = Known { by_name: Some(identity(IdentityState::Revoked)), ..known };
        let later = decide(&claim("attic", Some(1)), &known, NOW_S + 10);
        assert_eq!(later, Decision::Replace(7, IdentityState::Accepted), "its last certificate has expired");
    }

    #[test]
    fn a_known_key_needs_no_token_and_gets_what_its_identity_allows() {
        let of = |name, token, state| {
            let known = Known { by_key: Some(identity(state)), by_name: Some(identity(state)), token: None };
            decide(&claim(name, token), &known, u64::MAX)
        };
        for token in [None, Some(1)] {
            assert_eq!(of("attic", token, IdentityState::Accepted), Decision::Issue(7));
            assert_eq!(of("attic", token, IdentityState::Waiting), Decision::Wait);
            assert_eq!(of("attic", token, IdentityState::Revoked), Decision::Refuse(Refusal::Revoked));
            let renamed = Refusal::OtherName(parse_name("attic").unwrap());
            assert_eq!(of("cellar", token, IdentityState::Accepted), Decision::Refuse(renamed));
            assert_eq!(of("cellar", token, IdentityState::Revoked), Decision::Refuse(Refusal::Revoked));
        }
        assert_eq!(decide(&claim("attic", None), &Known::default(), NOW_S), Decision::Refuse(Refusal::UnknownKey));
    }
}
