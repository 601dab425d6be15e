//! Campaigns and proposals → lines for people.

use lapwing_campaigns::decisions::agents;
use lapwing_campaigns::figures::{number, share};
use lapwing_campaigns::outline::{Outline, WaveOutline};
use lapwing_campaigns::view::{CampaignView, StageView, TallyView, WaveView};
use lapwing_common::format::{ago, when};
use lapwing_fleet::campaign::gates::{Finding, Verdict};
use lapwing_fleet::campaign::{AbortMode, CampaignState, Gates};

/// The lines of a proposed campaign.
pub(super) fn outline(outline: &Outline) -> Vec<String> {
    let Outline { group, version, base, reason, made_s, waves, .. } = outline;
    let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let mut lines = vec![format!("release {version} of group {group}, made {} UTC{reason}", when(*made_s))];
    lines.push(match &outline.gate {
        None => "gate before publication: not held back".into(),
        Some(gate) => {
            let by = gate.approved_by.as_deref().map_or("not approved".into(), |who| format!("approved by {who}"));
            format!("gate before publication: held back, {by}: {}", gate.findings.replace('\n', "; "))
        }
    });
    lines.extend(
        outline.findings.iter().map(|finding| format!("replayed attacks, compared with release {base}: {finding}")),
    );
    lines.push(format!(
        "the group runs release {base}; campaigns reach {}, of which {} fit",
        agents(outline.agents),
        outline.fit
    ));
    if let Some(superseded) = outline.supersedes {
        lines.push(format!("supersedes the campaign of release {superseded}"));
    }
    lines.push("wave  agents    soak  deadline  gates    adds".into());
    lines.extend(waves.iter().map(wave_outline));
    if outline.control > 0 {
        lines.push(format!("control: {}, with release {base} until the last wave has passed", agents(outline.control)));
    }
    if outline.last > 0 {
        lines.push(format!("without a rollout: {}, when the campaign is completed", agents(outline.last)));
    }
    if !outline.set_aside.is_empty() {
        lines.push(format!("set aside after two failed campaigns: {}", outline.set_aside.join(", ")));
    }
    lines.push(match outline.on_failure {
        AbortMode::Withdraw => format!("if a gate fails, agents go back to release {base}"),
        AbortMode::Stop => "if a gate fails, agents on the release keep it, and no other installs it".into(),
    });
    if outline.approval {
        lines.push("another person must approve it with `lapwing-trainer rollout approve`".into());
    }
    lines.extend(outline.notes.iter().map(|note| format!("note: {note}")));
    lines
}

fn wave_outline(wave: &WaveOutline) -> String {
    let WaveOutline { number, agents, adds, added, soak_hours, deadline_hours, gates } = wave;
    let gates = if *gates == Gates::All { "all" } else { "install" };
    let more = if *added > adds.len() { format!(" and {} more", added - adds.len()) } else { String::new() };
    let names = adds.join(", ");
    format!("{number:>4} {agents:>7} {soak_hours:>5} h {deadline_hours:>7} h  {gates:<7}  {names}{more}")
}

/// The lines of a campaign, with its last change.
pub(super) fn campaign(group: &str, view: &CampaignView, last: Option<&str>, now_s: u64) -> Vec<String> {
    let CampaignView { version, base, state, made_by, made_s, tally, .. } = view;
    let approved = view.approved_by.as_ref().map(|who| format!(", approved by {who}")).unwrap_or_default();
    let mut lines = vec![format!(
        "release {version} of group {group}: {}; created {} ago by {made_by}{approved}",
        state.as_str(),
        ago(now_s.saturating_sub(*made_s))
    )];
    lines.extend(last.map(|last| format!("last change: {last}")));
    let runs = if version == base { String::new() } else { format!("; the rest of the group runs release {base}") };
    lines.push(format!("campaigns reach {}, of which {} fit{runs}", agents(view.agents), view.fit));
    if view.last > 0 {
        lines.push(format!("without a rollout: {}, when the campaign is completed", agents(view.last)));
    }
    lines.push(String::new());
    lines.push("wave  agents  state".into());
    lines.extend(view.waves.iter().map(|own| wave(own, now_s)));
    lines.push(String::new());
    lines.push(steps(tally, *state == CampaignState::Running));
    stages(view, &mut lines);
    if !view.gates.is_empty() {
        lines.push(String::new());
        lines.push("gate            result     wave                 control              threshold".into());
        view.gates.iter().for_each(|finding| gate(finding, &mut lines));
    }
    lines.extend(hint(*state).map(|hint| format!("\n{hint}")));
    lines
}

fn wave(wave: &WaveView, now_s: u64) -> String {
    let WaveView { number, agents, state, soak_hours, soaking_s, ended_s, deadline_s, .. } = wave;
    let soak = soaking_s.filter(|_| *state != "passed").map_or(String::new(), |since_s| {
        let hours = ended_s.unwrap_or(now_s).saturating_sub(since_s) as f64 / 3_600.0;
        format!(", {hours:.1} of {soak_hours} h")
    });
    let is_open = matches!(*state, "delivering" | "soaking");
    let deadline = deadline_s.filter(|_| is_open).map(|at_s| format!("; deadline {} UTC", when(at_s)));
    format!("{number:>4} {agents:>7}  {state}{soak}{}", deadline.unwrap_or_default())
}

fn steps(tally: &TallyView, is_running: bool) -> String {
    let TallyView { reached, needed, tried, confirmed, refused, rolled_back, silent, held, on_version } = tally;
    let needed = if is_running { format!(" (needed: {needed})") } else { String::new() };
    format!(
        "agents: {confirmed} confirmed{needed}, {reached} reached, {tried} tried, {refused} refused, {rolled_back} \
         rolled back, {silent} silent, {held} held, {on_version} on the release"
    )
}

fn stages(view: &CampaignView, lines: &mut Vec<String>) {
    for StageView { stage, agents, named } in &view.stages {
        lines.extend(named.iter().map(|named| format!("  {}: {}", named.agent, named.why)));
        if !named.is_empty() && *agents > named.len() {
            lines.push(format!("  and {} more: {}", agents - named.len(), stage.as_str()));
        }
    }
    if !view.set_aside.is_empty() {
        let more = view.set_aside_total - view.set_aside.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        lines.push(format!("set aside after two failed campaigns: {}{more}", view.set_aside.join(", ")));
    }
}

fn gate(finding: &Finding, lines: &mut Vec<String>) {
    let result = if finding.verdict == Verdict::Fail { "FAIL" } else { finding.verdict.as_str() };
    let share = |count: f64, of: f64| share(count, of).unwrap_or_else(|| "-".into());
    let Finding { numerator, denominator, control_numerator, control_denominator, threshold, .. } = finding;
    let (own, control) = (share(*numerator, *denominator), share(*control_numerator, *control_denominator));
    let (name, limit) = (finding.gate.as_str(), number(*threshold));
    lines.push(format!("{name:<15} {result:<10} {own:<20} {control:<20} {limit}"));
    lines.push(format!("{:16}{}", "", finding.text));
    lines.extend(finding.verdict.missing().map(|missing| format!("{:16}missing: {missing}", "")));
}

/// What a person can do now.
fn hint(state: CampaignState) -> Option<&'static str> {
    match state {
        CampaignState::Waiting => Some(
            "it waits for another person: `lapwing-trainer rollout approve`, or `lapwing-trainer rollout approve --refuse`",
        ),
        CampaignState::Paused => Some(
            "it is paused: continue with `lapwing-trainer rollout resume`, or end it with `lapwing-trainer rollout abort`",
        ),
        _ => None,
    }
}
