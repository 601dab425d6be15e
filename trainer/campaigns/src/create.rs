//! A release and a plan → a campaign.

use crate::agents::Scope;
use crate::error::ChangeError;
use crate::facts::{OwnedFacts, load};
use lapwing_fleet::HeldState;
use lapwing_fleet::campaign::{Action, Campaign, Gates, Outcome, Plan, Terms, WaveSize, choose_salt};
use lapwing_shared::release::digest::sha256;
use lapwing_shared::release::file::ReleaseFile;
use lapwing_shared::release::manifest::Manifest;
use lapwing_shared::release::signature::SignedManifest;
use lapwing_shared::rollout::message::Rollout;
use lapwing_shared::rollout::place::Place;
use lapwing_store::traits::StoredCampaign;
use lapwing_store::{Release, StoreHandle};

/// Releases that an error lists.
const LISTED: u32 = 5;
/// Held-back releases among which the campaign's is looked for.
const HELD: u32 = 100;

/// A wanted campaign.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// Group.
    pub group: &'a str,
    /// Version of the release.
    pub version: u64,
    /// Waves and limits.
    pub plan: Plan,
    /// Person or process that wants it.
    pub who: &'a str,
    /// End the group's open campaign in its favour.
    pub supersede: bool,
    /// What a replay of attacks found worse than with the release that the group runs. If it found anything that no operator has
    /// approved, another person must approve the campaign, whatever its plan says.
    pub findings: &'a [String],
}

/// A campaign that is possible, but not stored.
pub struct Proposal {
    /// The draft.
    pub campaign: Campaign,
    /// The agents, with their places under its salt.
    pub facts: OwnedFacts,
    /// The release.
    pub release: Release,
    /// What the gate found, and who approved the release in spite of it; none if it was not held back.
    pub gate: Option<GateFindings>,
    /// What a replay of attacks found worse than with the release that the group runs.
    pub findings: Vec<String>,
    /// The open campaign that it ends.
    pub superseded: Option<StoredCampaign>,
}

/// Findings of the gate before a release is published.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GateFindings {
    /// One finding per line.
    pub findings: String,
    /// Who approved it.
    pub approved_by: Option<String>,
}

/// Checks an order, and chooses the salt. The same facts give the same salt, so that a dry run shows what would happen.
///
/// # Errors
/// [`ChangeError`] with the reason why it is not possible.
pub fn propose(handle: &StoreHandle, order: &Order<'_>, now_s: u64) -> Result<Proposal, ChangeError> {
    let Order { group, version, plan, who, supersede, findings } = order;
    let open = handle.open_campaign(group)?;
    if let Some(open) = open.as_ref().filter(|_| !supersede) {
        let (version, state) = (open.campaign.version(), open.campaign.state());
        return Err(ChangeError::Open { group: (*group).into(), version, state });
    }
    let rollout = newest_rollout(handle, group)?;
    let gate = gate_findings(handle, group, *version)?;
    let release = release(handle, group, *version)?;
    check_floor(&release, rollout.base)?;
    let mut scope = Scope { version: *version, base: rollout.base, salt: [0; 8], since_s: now_s };
    let mut facts = load(handle, &scope, group, now_s)?;
    if facts.agents.is_empty() {
        return Err(ChangeError::NoAgents { group: (*group).into() });
    }
    scope.salt = salt(plan, &rollout, *version, &mut facts);
    let (version, made_by) = (*version, (*who).to_owned());
    let is_approved = gate.is_some();
    let plan = Plan { approval: plan.approval || !findings.is_empty() && !is_approved, ..plan.clone() };
    let campaign = Campaign::draft(Terms { version, plan, salt: scope.salt, made_by, rollout }, now_s)?;
    Ok(Proposal { campaign, facts, release, gate, findings: findings.to_vec(), superseded: open })
}

/// Creates a campaign and starts it, or submits it for approval if its plan asks for it, in one step.
///
/// # Errors
/// [`ChangeError`].
pub fn start(handle: &StoreHandle, order: &Order<'_>, now_s: u64) -> Result<(StoredCampaign, Outcome), ChangeError> {
    let Proposal { campaign, superseded, facts, .. } = propose(handle, order, now_s)?;
    let mut outcome = campaign.act(Action::Submit, order.who, &facts.facts(), now_s)?;
    let submitted = outcome.transitions.last_mut().filter(|_| !order.findings.is_empty());
    submitted
        .into_iter()
        .for_each(|change| change.why += &format!("; replayed attacks: {}", order.findings.join("; ")));
    let stored = store(handle, order, &outcome, superseded.as_ref(), &facts, now_s)?;
    Ok((stored, outcome))
}

fn store(
    handle: &StoreHandle,
    order: &Order<'_>,
    added: &Outcome,
    superseded: Option<&StoredCampaign>,
    facts: &OwnedFacts,
    now_s: u64,
) -> Result<StoredCampaign, ChangeError> {
    let ended = superseded.map(|open| {
        let act = open.campaign.clone().act(Action::Supersede, order.who, &facts.facts(), now_s);
        act.map(|outcome| (open, outcome))
    });
    let ended = ended.transpose()?;
    let change = ended.as_ref().map(|(open, outcome)| open.change(outcome));
    let stored = handle.add_campaign(added, change, now_s)?;
    stored.ok_or_else(|| ChangeError::Changed { group: order.group.to_owned() })
}

fn newest_rollout(handle: &StoreHandle, group: &str) -> Result<Rollout, ChangeError> {
    let newest = handle.newest_rollout(group)?.ok_or_else(|| ChangeError::NoRollout { group: group.into() })?;
    newest.rollout().map_err(|error| ChangeError::Damaged { group: group.into(), reason: error.to_string() })
}

/// What the gate found about the release, if it held it back.
fn gate_findings(handle: &StoreHandle, group: &str, version: u64) -> Result<Option<GateFindings>, ChangeError> {
    let held = handle.held_releases(group, HELD)?.into_iter().find(|held| held.version == version);
    let Some(held) = held else { return Ok(None) };
    match held.state {
        HeldState::Waiting => Err(ChangeError::Held { version }),
        HeldState::Rejected | HeldState::Superseded => Err(ChangeError::NotPublished { version, state: held.state }),
        HeldState::Approved | HeldState::Published => {
            Ok(Some(GateFindings { findings: held.findings, approved_by: held.who }))
        }
    }
}

fn release(handle: &StoreHandle, group: &str, version: u64) -> Result<Release, ChangeError> {
    if let Some(release) = handle.release(group, version)? {
        return Ok(release);
    }
    let known: Vec<String> =
        handle.releases(group, LISTED)?.iter().map(|release| release.version.to_string()).collect();
    let known = if known.is_empty() { "none".into() } else { known.join(", ") };
    Err(ChangeError::NoRelease { group: group.into(), version, known })
}

/// Checks that agents may go back from the release. A file that cannot be read is not published either, and reported then.
fn check_floor(release: &Release, base: u64) -> Result<(), ChangeError> {
    let version = release.version;
    let floor = std::fs::read(&release.file).ok().and_then(|bytes| floor(&bytes)).unwrap_or(0);
    if floor > base { Err(ChangeError::Floor { version, floor, base }) } else { Ok(()) }
}

fn floor(bytes: &[u8]) -> Option<u64> {
    let signed = ReleaseFile::decode(bytes).ok()?.signed;
    Some(Manifest::decode(SignedManifest::decode(signed).ok()?.manifest).ok()?.floor)
}

/// Chooses the salt for the first wave that all gates decide, and sets the agents' places. It depends on the newest rollout,
/// which is another one for each campaign.
fn salt(plan: &Plan, rollout: &Rollout, version: u64, facts: &mut OwnedFacts) -> [u8; 8] {
    let seed = [rollout.group.as_bytes(), &version.to_be_bytes(), &rollout.serial.to_be_bytes()].concat();
    let seed = sha256(&seed).first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    let sizes = plan.sizes(u32::try_from(facts.agents.len()).unwrap_or(u32::MAX));
    let Some(canary) = canary(&sizes) else { return [0; 8] };
    let names = &facts.names;
    choose_salt(seed, &mut facts.agents, &canary, &mut |salt, agents| {
        for (agent, name) in agents.iter_mut().zip(names) {
            agent.place = Place::of(salt, name);
        }
    })
}

/// The first wave that all gates decide.
pub(crate) fn canary(sizes: &[WaveSize]) -> Option<WaveSize> {
    sizes.iter().find(|size| size.plan.gates == Gates::All).or(sizes.first()).copied()
}
