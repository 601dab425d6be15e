//! Stored campaigns → lines of lists, what needs attention, and metrics.

use super::label_value;
use lapwing_campaigns::history::{Change, cause};
use lapwing_fleet::campaign::gates::{Finding, Verdict};
use lapwing_fleet::campaign::{AgentStage, CampaignState};
use lapwing_store::traits::StoredCampaign;
use serde::Serialize;
use std::fmt::Write;
use utoipa::ToSchema;

/// A campaign: one release on its way through its group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct CampaignLine {
    /// Number of the campaign.
    pub(crate) id: i64,
    /// Group.
    pub(crate) group: String,
    /// Version of the release.
    pub(crate) version: u64,
    /// State.
    pub(crate) state: CampaignState,
    /// Number of the wave, from 1; null before the first.
    pub(crate) wave: Option<usize>,
    /// State of the wave: `delivering`, `soaking`, `passed`, `failed` or `undecided`; null before the first.
    pub(crate) wave_state: Option<String>,
    /// Who created it.
    pub(crate) made_by: String,
    /// Time of its creation, seconds since the epoch.
    pub(crate) made_s: u64,
    /// Time of its last change, seconds since the epoch; null without one.
    pub(crate) changed_s: Option<u64>,
    /// Why it is in its state; null without a change.
    pub(crate) reason: Option<String>,
}

/// Campaigns, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct CampaignList {
    /// Campaigns that match the filter.
    pub(crate) campaigns: Vec<CampaignLine>,
    /// `before` of the next page; null on the last page.
    pub(crate) next: Option<i64>,
}

impl CampaignLine {
    /// A campaign with its newest changes, newest first.
    pub(crate) fn new(stored: StoredCampaign, changes: &[Change]) -> Self {
        let StoredCampaign { id, group, made_s, campaign, .. } = stored;
        Self {
            id,
            group,
            version: campaign.version(),
            state: campaign.state(),
            wave: campaign.wave().map(|wave| wave.number + 1),
            wave_state: campaign.wave().map(|wave| wave.state.as_str().into()),
            made_by: campaign.made_by().into(),
            made_s,
            changed_s: changes.first().map(|last| last.at_s),
            reason: cause(changes).map(|change| change.why.clone()),
        }
    }

    /// State of the campaign and of its wave.
    pub(crate) fn state_text(&self) -> String {
        match (self.wave, &self.wave_state) {
            (Some(wave), Some(state)) => format!("{}, wave {wave} {state}", self.state.as_str()),
            _ => self.state.as_str().into(),
        }
    }
}

/// A campaign that has not ended.
#[derive(Clone, Debug)]
pub(crate) struct OpenCampaign {
    pub(crate) line: CampaignLine,
    /// Newest results of the gates of its wave.
    pub(crate) gates: Vec<Finding>,
}

impl OpenCampaign {
    /// Whether it waits for a person, or has stopped.
    pub(crate) fn is_urgent(&self) -> bool {
        self.line.state != CampaignState::Running
    }

    /// What a person should know of it.
    pub(crate) fn attention(&self) -> String {
        let Self { line, gates } = self;
        let group = &line.group;
        let reason = line.reason.as_ref().filter(|reason| *reason != line.state.as_str());
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let step = match line.state {
            CampaignState::Waiting => {
                format!(" To decide, another person runs `lapwing-trainer rollout approve --group {group}`.")
            }
            CampaignState::Paused => {
                format!(" To continue or end it, run `lapwing-trainer rollout resume --group {group}`, or `abort`.")
            }
            _ => String::new(),
        };
        let missing = |finding: &Finding| Some(format!("{} ({})", finding.gate.as_str(), finding.verdict.missing()?));
        let undecided: Vec<String> = gates.iter().filter_map(missing).collect();
        let undecided = match undecided.is_empty() || line.state == CampaignState::Aborting {
            true => String::new(),
            false => format!(" Undecided: {}.", undecided.join("; ")),
        };
        format!("{}{reason}.{undecided}{step}", line.state_text())
    }
}

/// An open campaign with the number of agents in each stage.
pub(crate) type Measured = (OpenCampaign, Vec<(AgentStage, usize)>);

/// Prometheus text format 0.0.4.
pub(crate) fn metrics(campaigns: &[Measured], text: &mut String) {
    // Writing to a string does not fail.
    let head = |text: &mut String, name: &str, help: &str| {
        let _ = writeln!(text, "# HELP lapwing_campaign_{name} {help}\n# TYPE lapwing_campaign_{name} gauge");
    };
    if campaigns.is_empty() {
        return;
    }
    head(text, "release", "Version that the open campaign of the group installs.");
    for (OpenCampaign { line, .. }, _) in campaigns {
        let _ = writeln!(text, "lapwing_campaign_release{{group=\"{}\"}} {}", label_value(&line.group), line.version);
    }
    head(text, "state", "1 for the state of the open campaign of the group.");
    for (OpenCampaign { line, .. }, _) in campaigns {
        for state in CampaignState::ALL.into_iter().filter(|state| !state.is_final()) {
            let (group, name, is_it) = (label_value(&line.group), state.as_str(), u8::from(line.state == state));
            let _ = writeln!(text, "lapwing_campaign_state{{group=\"{group}\",state=\"{name}\"}} {is_it}");
        }
    }
    head(text, "wave", "Number of the wave of the open campaign, 0 before the first.");
    for (OpenCampaign { line, .. }, _) in campaigns {
        let _ = writeln!(
            text,
            "lapwing_campaign_wave{{group=\"{}\"}} {}",
            label_value(&line.group),
            line.wave.unwrap_or(0)
        );
    }
    head(text, "gate", "Result of a gate in this wave: 1 passed, 0 undecided, -1 failed.");
    for (OpenCampaign { line, gates }, _) in campaigns {
        for finding in gates {
            let (group, gate) = (label_value(&line.group), label(finding.gate.as_str()));
            let result = match finding.verdict {
                Verdict::Pass => 1,
                Verdict::Undecided(_) => 0,
                Verdict::Fail => -1,
            };
            let _ = writeln!(text, "lapwing_campaign_gate{{group=\"{group}\",gate=\"{gate}\"}} {result}");
        }
    }
    head(text, "agents", "Agents by their step in the open campaign of the group.");
    for (OpenCampaign { line, .. }, stages) in campaigns {
        for (stage, agents) in stages {
            let (group, step) = (label_value(&line.group), label(stage.as_str()));
            let _ = writeln!(text, "lapwing_campaign_agents{{group=\"{group}\",step=\"{step}\"}} {agents}");
        }
    }
}

/// The value of a label: words separated by `_`.
fn label(name: &str) -> String {
    name.replace([' ', '-'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_fleet::campaign::gates::Gate;

    fn finding(gate: Gate, verdict: Verdict) -> Finding {
        let text = "a sentence".into();
        let (numerator, denominator, threshold) = (1.0, 2.0, 3.0);
        let (control_numerator, control_denominator) = (0.0, 0.0);
        Finding { gate, verdict, numerator, denominator, control_numerator, control_denominator, threshold, text }
    }

    fn open(state: CampaignState) -> OpenCampaign {
        let line = CampaignLine {
            id: 7,
            group: "home".into(),
            version: 4,
            state,
            wave: Some(2),
            wave_state: Some("soaking".into()),
            made_by: "ann".into(),
            made_s: 1,
            changed_s: Some(2),
            reason: Some("5 agents have confirmed".into()),
        };
        let missing = Verdict::Undecided("0.8 of 3 agent-days".into());
        OpenCampaign { line, gates: vec![finding(Gate::TakeUp, Verdict::Pass), finding(Gate::Alerts, missing)] }
    }

    #[test]
    fn undecided_gates_and_the_next_step_need_attention() {
        let running = open(CampaignState::Running);
        assert_eq!(
            running.attention(),
            "running, wave 2 soaking: 5 agents have confirmed. Undecided: alerts (0.8 of 3 agent-days)."
        );
        assert!(!running.is_urgent());
        let paused = open(CampaignState::Paused);
        assert!(paused.is_urgent() && paused.attention().contains("`lapwing-trainer rollout resume --group home`"));
        assert!(!open(CampaignState::Aborting).attention().contains("Undecided"), "agents go back whatever is missing");
    }

    #[test]
    fn metrics_have_a_bounded_set_of_labels() {
        let mut text = String::new();
        metrics(&[], &mut text);
        assert_eq!(text, "", "no campaign is open");
        let stages = AgentStage::ALL.map(|stage| (stage, usize::from(stage == AgentStage::RolledBack))).to_vec();
        metrics(&[(open(CampaignState::Running), stages)], &mut text);
        for line in [
            "lapwing_campaign_release{group=\"home\"} 4",
            "lapwing_campaign_state{group=\"home\",state=\"running\"} 1",
            "lapwing_campaign_state{group=\"home\",state=\"paused\"} 0",
            "lapwing_campaign_wave{group=\"home\"} 2",
            "lapwing_campaign_gate{group=\"home\",gate=\"take_up\"} 1",
            "lapwing_campaign_gate{group=\"home\",gate=\"alerts\"} 0",
            "lapwing_campaign_agents{group=\"home\",step=\"rolled_back\"} 1",
            "lapwing_campaign_agents{group=\"home\",step=\"confirmed\"} 0",
        ] {
            assert!(text.contains(&format!("\n{line}\n")), "{line} in {text}");
        }
        assert_eq!(text.matches("# TYPE ").count(), 5);
        assert_eq!(text.matches("lapwing_campaign_agents{").count(), AgentStage::ALL.len());
        assert_eq!(text.matches("lapwing_campaign_state{").count(), 5);
    }
}
