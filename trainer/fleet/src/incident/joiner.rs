//! New and changed episodes, recent ones and incidents → which incidents they join, and which are new.

use super::cause::Cause;
use super::record::{Incident, IncidentState, Rule, joined_key};
use super::remote::Common;
use super::rules::{Compared, Found, Usual};
use super::severity::Severity;
use super::sighting::{Membership, Sighting};
use std::collections::{BTreeMap, BTreeSet};

/// Incidents that are open or seen, at most. Beyond it none is made, and a counter says how many were not.
pub const OPEN_INCIDENTS: usize = 1_000;
/// Episodes of an incident, at most. Further ones join nothing, and a counter says how many.
pub const EPISODES_PER_INCIDENT: u64 = 10_000;
/// Merged incidents that are followed to the one that has their episodes now.
const MERGES: usize = 8;

/// An incident to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Number of a stored one.
    Stored(i64),
    /// Index in [`Joins::new`].
    New(usize),
}

/// An incident to store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct NewIncident {
    pub rule: Rule,
    pub cause: Cause,
    pub key: String,
    pub group: String,
    pub release: u64,
}

/// An episode that joins an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMember {
    /// The incident.
    pub target: Target,
    /// Row of the episode.
    pub id: i64,
    /// Why, as a sentence.
    pub why: String,
    /// Its severity.
    pub severity: Severity,
}

/// An episode of an incident that has new messages, a label or a class.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Touched {
    pub incident: i64,
    /// Row of the episode.
    pub id: i64,
    pub severity: Severity,
}

/// What one pass of the joiner decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joins {
    /// New incidents.
    pub new: Vec<NewIncident>,
    /// Episodes that join a stored or new incident.
    pub members: Vec<NewMember>,
    /// Members that have changed.
    pub touched: Vec<Touched>,
    /// Incidents that were not made because of [`OPEN_INCIDENTS`].
    pub refused_incidents: u64,
    /// Episodes that did not join because of [`EPISODES_PER_INCIDENT`].
    pub refused_episodes: u64,
}

/// What episodes are compared with.
#[derive(Debug, Default)]
pub struct Joiner {
    /// The incidents that accept episodes, and those that were merged into one that does.
    pub incidents: Vec<Incident>,
    /// Recent episodes by their cause.
    pub candidates: BTreeMap<Cause, Vec<Sighting>>,
    /// Past episodes by cause.
    pub usual: BTreeMap<Cause, Usual>,
    /// Networks that are never a key.
    pub common: Common,
}

/// The state of a pass.
struct Pass<'a> {
    joiner: &'a Joiner,
    by_key: BTreeMap<&'a str, Vec<&'a Incident>>,
    new_by_key: BTreeMap<String, usize>,
    /// Rows of episodes that have joined in this pass.
    taken: BTreeSet<i64>,
    added: BTreeMap<Target, u64>,
    open: usize,
    joins: Joins,
}

impl Joiner {
    /// Decides about episodes in the order of their starts.
    pub fn join(mut self, mut queued: Vec<Sighting>) -> Joins {
        queued.sort_by(|a, b| (a.since_s, &a.agent, a.episode).cmp(&(b.since_s, &b.agent, b.episode)));
        // A changed episode may be among the recent ones in its earlier form.
        let rows: BTreeSet<i64> = queued.iter().map(|one| one.id).collect();
        for recent in self.candidates.values_mut() {
            recent.retain(|one| !rows.contains(&one.id));
        }
        for one in &queued {
            self.candidates.entry(one.cause.clone()).or_default().push(one.clone());
        }
        let mut pass = Pass::new(&self);
        queued.iter().for_each(|one| pass.add(one));
        pass.joins
    }
}

impl<'a> Pass<'a> {
    fn new(joiner: &'a Joiner) -> Self {
        let mut by_key: BTreeMap<&str, Vec<&Incident>> = BTreeMap::new();
        for incident in &joiner.incidents {
            by_key.entry(&incident.key).or_default().push(incident);
        }
        let is_open = |one: &&Incident| matches!(one.state, IncidentState::Open | IncidentState::Seen);
        let open = joiner.incidents.iter().filter(is_open).count();
        let (new_by_key, taken, added) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { joiner, by_key, new_by_key, taken, added, open, joins: Joins::default() }
    }

    fn add(&mut self, one: &'a Sighting) {
        if let Membership::In(incident) = one.member {
            self.joins.touched.push(Touched { incident, id: one.id, severity: one.severity });
            return;
        }
        if !one.may_join || self.taken.contains(&one.id) {
            return;
        }
        let raised = joined_key(Rule::Raised, &one.cause, &one.series());
        if let Some(target) = self.target(&raised, one.since_s) {
            let why = "Repeats the alert of this incident: same host, role and cause.".to_owned();
            return self.put(target, one, why);
        }
        self.apply_rules(one);
    }

    fn apply_rules(&mut self, one: &'a Sighting) {
        let candidates = self.joiner.candidates.get(&one.cause).map(Vec::as_slice).unwrap_or_default();
        let usual = self.joiner.usual.get(&one.cause).copied().unwrap_or_default();
        let rules = Compared { candidates, taken: &self.taken, common: &self.joiner.common, usual }.rules(one);
        for found in rules {
            if let Some(target) = self.target(&found.key, one.since_s) {
                let Found { others, why, why_new, rule, .. } = found;
                self.put(target, one, why);
                // What was too little before belongs to the burst, too.
                for other in others.into_iter().filter(|_| rule == Rule::Burst) {
                    self.put(target, other, why_new(other));
                }
                return;
            }
            if found.is_enough {
                return self.make(found, one);
            }
        }
    }

    /// The incident with this key that accepts an episode; of a merged one, that which has its episodes now.
    fn target(&self, key: &str, since_s: u64) -> Option<Target> {
        if let Some(index) = self.new_by_key.get(key) {
            return Some(Target::New(*index));
        }
        let with_key = self.by_key.get(key)?.iter();
        let current = with_key.filter_map(|incident| self.unmerged(incident)).filter(|one| one.accepts(since_s));
        current.max_by_key(|incident| incident.id).map(|incident| Target::Stored(incident.id))
    }

    fn unmerged(&self, incident: &'a Incident) -> Option<&'a Incident> {
        let mut current = incident;
        for _ in 0..MERGES {
            let Some(next) = current.merged_into else { return Some(current) };
            current = self.joiner.incidents.iter().find(|one| one.id == next)?;
        }
        None
    }

    fn make(&mut self, found: Found<'_>, one: &Sighting) {
        if self.open >= OPEN_INCIDENTS {
            self.joins.refused_incidents += 1;
            return;
        }
        self.open += 1;
        let Found { rule, key, release, others, why_new, .. } = found;
        let index = self.joins.new.len();
        self.new_by_key.insert(key.clone(), index);
        // Agents without a status have no group yet.
        let mut groups = others.iter().copied().chain([one]).map(|one| &one.group);
        let group = if one.group.is_empty() { groups.find(|group| !group.is_empty()) } else { Some(&one.group) };
        let (cause, group) = (one.cause.clone(), group.cloned().unwrap_or_default());
        self.joins.new.push(NewIncident { rule, cause, key, group, release });
        self.put(Target::New(index), one, why_new(one));
        for other in others {
            self.put(Target::New(index), other, why_new(other));
        }
    }

    fn put(&mut self, target: Target, one: &Sighting, why: String) {
        let stored = match target {
            Target::Stored(id) => self.joiner.incidents.iter().find(|one| one.id == id).map_or(0, |one| one.episodes),
            Target::New(_) => 0,
        };
        let added = self.added.entry(target).or_default();
        if stored + *added >= EPISODES_PER_INCIDENT {
            self.joins.refused_episodes += 1;
            return;
        }
        if self.taken.insert(one.id) {
            *added += 1;
            let (id, severity) = (one.id, one.severity);
            self.joins.members.push(NewMember { target, id, why, severity });
        }
    }
}
