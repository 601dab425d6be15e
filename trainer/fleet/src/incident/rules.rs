//! One episode and the recent ones with the same cause → the rule by which it joins others, or none.

use super::record::{Rule, joined_key};
use super::remote::{Common, Network};
use super::sighting::{Membership, Sighting};
use lapwing_shared::units::Address;
use std::collections::{BTreeMap, BTreeSet};

/// How old episodes may be that are compared with a new one, seconds.
pub const CANDIDATES_S: u64 = 86_400;
/// Time after a switch of releases in which episodes count as caused by it.
const SWITCH_S: u64 = 86_400;
/// The trainer learns of a switch from messages that may be later than the first episode.
const SWITCH_EARLIER_S: u64 = 600;
/// Longest time between two episodes with the same outside peer.
const REMOTE_S: u64 = 6 * 3_600;
/// Length of a burst.
const BURST_S: u64 = 30 * 60;
const REMOTE_SITES: usize = 2;
const BURST_SITES: usize = 3;
const RELEASE_SITES: usize = 3;
/// Probability of a burst by chance, at most.
const BURST_PROBABILITY: f64 = 0.001;
/// Weight of the assumption of one episode per day in the usual rate of a cause, days.
const RATE_PRIOR_DAYS: f64 = 1.0;

/// Past episodes of a cause.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usual {
    /// Episodes at all sites.
    pub episodes: u64,
    /// Days in which they were counted.
    pub days: f64,
}

impl Usual {
    fn per_day(self) -> f64 {
        (self.episodes as f64 + 1.0) / (self.days.max(0.0) + RATE_PRIOR_DAYS)
    }
}

/// A rule that applies to an episode.
pub(super) struct Found<'a> {
    pub(super) rule: Rule,
    pub(super) key: String,
    pub(super) release: u64,
    /// Whether the episodes suffice for a new incident. An existing one with this key accepts the episode in any case.
    pub(super) is_enough: bool,
    /// The episodes of a new incident, without the new one.
    pub(super) others: Vec<&'a Sighting>,
    /// Why the new episode belongs to the incident, if there is one already.
    pub(super) why: String,
    /// Why an episode belongs to a new incident.
    pub(super) why_new: Box<dyn Fn(&Sighting) -> String + 'a>,
}

/// What an episode is compared with.
pub(super) struct Compared<'a, 't> {
    /// Recent episodes with the same cause; may contain the episode itself.
    pub(super) candidates: &'a [Sighting],
    /// Rows of those that have joined an incident in this pass.
    pub(super) taken: &'t BTreeSet<i64>,
    pub(super) common: &'a Common,
    pub(super) usual: Usual,
}

impl<'a> Compared<'a, '_> {
    /// The rules that apply to `new`, in their order.
    pub(super) fn rules(&self, new: &'a Sighting) -> Vec<Found<'a>> {
        let mut found: Vec<Found<'a>> = self.release(new).into_iter().collect();
        found.extend(self.remotes(new));
        found.extend(self.burst(new));
        found
    }

    fn others(&self, new: &'a Sighting) -> impl Iterator<Item = &'a Sighting> {
        self.candidates.iter().filter(|other| other.id != new.id && other.may_join)
    }

    fn is_free(&self, other: &Sighting) -> bool {
        other.member == Membership::None && !self.taken.contains(&other.id)
    }

    fn free(&self, new: &'a Sighting) -> impl Iterator<Item = &'a Sighting> {
        self.others(new).filter(|other| self.is_free(other))
    }

    fn release(&self, new: &'a Sighting) -> Option<Found<'a>> {
        let after = after_switch(new)?;
        let is_same = |other: &&Sighting| {
            other.release == new.release && other.group == new.group && after_switch(other).is_some()
        };
        let others: Vec<&Sighting> = self.free(new).filter(is_same).collect();
        let (sites, version) = (sites(new, &others), new.release);
        let why = move |after_s| format!("began {} after the site switched to release {version}", span(after_s));
        Some(Found {
            rule: Rule::Release,
            key: joined_key(Rule::Release, &new.cause, &format!("{}/{version}", new.group)),
            release: version,
            is_enough: sites >= RELEASE_SITES,
            others,
            why: format!("Same cause as this incident, and {}.", why(after)),
            why_new: Box::new(move |one| {
                format!("One of {sites} sites with the same cause; {}.", why(after_switch(one).unwrap_or(0)))
            }),
        })
    }

    /// One for each outside network of the episode, that with the most sites first.
    fn remotes(&self, new: &'a Sighting) -> Vec<Found<'a>> {
        let mut networks: Vec<(Network, Address)> = Vec::new();
        for remote in new.remotes.iter().filter(|remote| !self.common.has(remote.network)) {
            if networks.iter().all(|(network, _)| *network != remote.network) {
                networks.push((remote.network, remote.address));
            }
        }
        let mut found: Vec<Found<'a>> = networks.into_iter().map(|of| self.remote(new, of)).collect();
        found.sort_by_key(|found| std::cmp::Reverse(found.others.len()));
        found
    }

    fn remote(&self, new: &'a Sighting, (network, address): (Network, Address)) -> Found<'a> {
        let is_near = |other: &&Sighting| {
            let gap_s = new.since_s.saturating_sub(other.at_s).max(other.since_s.saturating_sub(new.at_s));
            gap_s < REMOTE_S && other.remotes.iter().any(|remote| remote.network == network)
        };
        let others: Vec<&Sighting> = self.free(new).filter(is_near).collect();
        let sites = sites(new, &others);
        let named = move |one: &Sighting| {
            let of = one.remotes.iter().find(|remote| remote.network == network);
            of.map_or_else(|| network.to_string(), |remote| remote.address.to_string())
        };
        Found {
            rule: Rule::Remote,
            key: joined_key(Rule::Remote, &new.cause, &network.to_string()),
            release: 0,
            is_enough: sites >= REMOTE_SITES,
            others,
            why: format!("Same cause as this incident, and its outside peer {address} is in {network}."),
            why_new: Box::new(move |one| {
                let peer = named(one);
                format!("One of {sites} sites with the same cause and an outside peer in {network}, here {peer}.")
            }),
        }
    }

    fn burst(&self, new: &'a Sighting) -> Option<Found<'a>> {
        let place = new.place();
        let is_same = |other: &&Sighting| (other.role, other.port) == (new.role, new.port);
        let same: Vec<&Sighting> = self.others(new).filter(is_same).collect();
        let window = densest(new, &same);
        let (sites, per_day) = (sites(new, &window), self.usual.per_day());
        let probability = at_least(sites, per_day * BURST_S as f64 / 86_400.0);
        if sites < BURST_SITES || probability >= BURST_PROBABILITY {
            return None;
        }
        let others: Vec<&Sighting> = window.into_iter().filter(|other| self.is_free(other)).collect();
        let why = format!(
            "{sites} sites had this cause as {place} within 30 min; at the usual {per_day:.1} episodes a day, chance \
             explains that with {}.",
            shown(probability)
        );
        Some(Found {
            rule: Rule::Burst,
            key: joined_key(Rule::Burst, &new.cause, &place),
            release: 0,
            // Episodes that explain each other in another incident make no second one.
            is_enough: self::sites(new, &others) >= BURST_SITES,
            others,
            why: why.clone(),
            why_new: Box::new(move |_| why.clone()),
        })
    }
}

/// Time from the switch to the release to the start of an episode, if it is short enough.
fn after_switch(one: &Sighting) -> Option<u64> {
    let switched_s = one.switched_s.filter(|_| one.release > 0)?;
    let is_after = one.since_s.saturating_add(SWITCH_EARLIER_S) >= switched_s;
    let after_s = one.since_s.saturating_sub(switched_s);
    Some(after_s).filter(|after_s| is_after && *after_s < SWITCH_S)
}

fn sites(new: &Sighting, others: &[&Sighting]) -> usize {
    let agents: BTreeSet<&str> = others.iter().map(|other| other.agent.as_str()).chain([new.agent.as_str()]).collect();
    agents.len()
}

/// The episodes of the 30 minutes around the start of `new` that have the most sites.
fn densest<'a>(new: &'a Sighting, others: &[&'a Sighting]) -> Vec<&'a Sighting> {
    let is_near = |other: &&&Sighting| other.since_s.abs_diff(new.since_s) <= BURST_S;
    let mut near: Vec<&Sighting> = others.iter().filter(is_near).copied().chain([new]).collect();
    near.sort_by_key(|one| one.since_s);
    let (mut agents, mut first) = (BTreeMap::new(), 0);
    let (mut best, mut most) = (0..0, 0);
    for (place, one) in near.iter().enumerate() {
        *agents.entry(one.agent.as_str()).or_insert(0_usize) += 1;
        while let Some(old) = near.get(first).filter(|old| old.since_s.saturating_add(BURST_S) < one.since_s) {
            leave(&mut agents, &old.agent);
            first += 1;
        }
        if agents.len() > most && (first..=place).any(|index| near.get(index).is_some_and(|one| one.id == new.id)) {
            (best, most) = (first..place + 1, agents.len());
        }
    }
    near.get(best).unwrap_or_default().iter().copied().filter(|one| one.id != new.id).collect()
}

fn leave<'a>(agents: &mut BTreeMap<&'a str, usize>, agent: &'a str) {
    if let Some(count) = agents.get_mut(agent) {
        *count -= 1;
        if *count == 0 {
            agents.remove(agent);
        }
    }
}

/// Probability of at least `count` events of a Poisson distribution.
fn at_least(count: usize, mean: f64) -> f64 {
    let (mut term, mut below) = ((-mean).exp(), 0.0);
    for number in 0..count {
        below += term;
        term *= mean / (number as f64 + 1.0);
    }
    (1.0 - below).max(0.0)
}

/// A probability for a sentence.
fn shown(probability: f64) -> String {
    const LEAST: f64 = 1e-5;
    if probability < LEAST { format!("p < {LEAST}") } else { format!("p = {probability:.5}") }
}

/// A time span for a sentence.
fn span(seconds: u64) -> String {
    match seconds {
        ..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_the_poisson_distribution_is_that_of_the_tables() {
        assert_eq!(at_least(0, 2.0), 1.0);
        assert!((at_least(1, 0.1) - 0.095_162_58).abs() < 1e-8);
        assert!((at_least(3, 1.0) - 0.080_301_4).abs() < 1e-7);
        assert!(at_least(500, 1e-3) < 1e-12 && at_least(3, 1e9) > 0.999);
    }
}
