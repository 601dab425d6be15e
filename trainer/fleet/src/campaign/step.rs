//! Campaign, facts, time → the next state.

use super::canary::wave_reach;
use super::facts::{Facts, Observations};
use super::gates::{Finding, Verdict, evaluate};
use super::state::{Campaign, CampaignState, Outcome, VALID_S, Wave, WaveState};

/// After this time without a step a running campaign pauses: agents may have failed without being noticed.
const UNAVAILABLE_S: u64 = 3_600;

impl Campaign {
    /// Advances the campaign to `now_s`.
    #[must_use]
    pub fn step(self, facts: &Facts<'_>, now_s: u64) -> Outcome {
        let (state, away_s) = (self.state, now_s.saturating_sub(self.stepped_s));
        let mut outcome = Outcome::unchanged(self);
        outcome.campaign.stepped_s = now_s;
        match state {
            CampaignState::Running if away_s > UNAVAILABLE_S => {
                let why = format!("the trainer was not available for {} minutes", away_s / 60);
                outcome.pause(None, why, now_s);
            }
            CampaignState::Running => outcome.run(facts, now_s),
            // Also before its start, because it is the group's newest rollout from then on.
            CampaignState::Draft | CampaignState::Waiting | CampaignState::Paused => outcome.renew(now_s),
            CampaignState::Aborting => outcome.wait_for_return(facts, now_s),
            _ => {}
        }
        if !outcome.campaign.state.is_final() {
            outcome.reissue(facts.reported, now_s);
        }
        outcome.rise_above(facts.reported, now_s);
        outcome
    }
}

impl Outcome {
    /// Begins the first wave.
    pub(super) fn start(&mut self, who: Option<&str>, why: &str, facts: &Facts<'_>, now_s: u64) {
        self.campaign.state = CampaignState::Running;
        self.begin_wave(0, facts, now_s);
        self.note(now_s, who, why);
    }

    /// Publishes a wave's reach: one message, however many agents it adds.
    fn begin_wave(&mut self, number: usize, facts: &Facts<'_>, now_s: u64) {
        let agents = u32::try_from(facts.agents.len()).unwrap_or(u32::MAX);
        let plan = &self.campaign.plan;
        let Some(size) = plan.sizes(agents).get(number).copied() else { return };
        let before = self.campaign.wave.map_or([0; 3], |wave| wave.reach);
        let reach = wave_reach(facts.agents, &size, plan.last_share(agents), before);
        let deadline_s = now_s.saturating_add(u64::from(size.plan.deadline_hours) * 3_600);
        let state = WaveState::Delivering;
        self.campaign.wave = Some(Wave { number, size, reach, state, began_s: now_s, soaking_s: None, deadline_s });
        self.publish(now_s);
    }

    fn run(&mut self, facts: &Facts<'_>, now_s: u64) {
        let Some(wave) = self.campaign.wave else { return };
        let seen = Observations::of(&self.campaign, facts, now_s);
        let size = wave.size.agents.min(seen.agents);
        let findings = evaluate(wave.size.plan.gates, &self.campaign.plan.limits, &seen, size);
        let failed = findings.iter().find(|finding| finding.verdict == Verdict::Fail).cloned();
        let open: Vec<String> = findings.iter().filter_map(undecided).collect();
        self.findings = findings;
        if let Some(finding) = failed {
            return self.fail(&finding, now_s);
        }
        if wave.state == WaveState::Delivering && seen.tally.confirmed >= seen.tally.needed {
            self.set_wave(WaveState::Soaking);
            if let Some(wave) = self.campaign.wave.as_mut().filter(|wave| wave.soaking_s.is_none()) {
                wave.soaking_s = Some(now_s);
            }
            self.note(now_s, None, confirmed_text(seen.tally.confirmed, seen.tally.needed));
        }
        let soaking_s = self.campaign.wave.and_then(|wave| wave.soaking_s);
        let soak_s = u64::from(wave.size.plan.soak_hours) * 3_600;
        if open.is_empty() && soaking_s.is_some_and(|since_s| now_s.saturating_sub(since_s) >= soak_s) {
            self.pass(wave, facts, now_s);
        } else if now_s >= wave.deadline_s {
            self.set_wave(WaveState::Undecided);
            let missing = if open.is_empty() { "the soak has not ended".into() } else { open.join("; ") };
            self.pause(None, format!("undecided at the deadline: {missing}"), now_s);
        } else {
            self.renew(now_s);
        }
    }

    fn set_wave(&mut self, state: WaveState) {
        if let Some(wave) = &mut self.campaign.wave {
            wave.state = state;
        }
    }

    fn fail(&mut self, finding: &Finding, now_s: u64) {
        self.set_wave(WaveState::Failed);
        let mode = self.campaign.plan.on_failure;
        Campaign::end(self, mode, now_s);
        self.note(now_s, None, format!("{} failed: {}", finding.gate.as_str(), finding.text));
    }

    fn pass(&mut self, wave: Wave, facts: &Facts<'_>, now_s: u64) {
        self.set_wave(WaveState::Passed);
        if !wave.size.is_last {
            self.note(now_s, None, "every gate has passed");
            self.begin_wave(wave.number + 1, facts, now_s);
            return self.note(now_s, None, "wave begins");
        }
        self.campaign.state = CampaignState::Completed;
        self.campaign.rollout.base = self.campaign.version;
        self.publish(now_s);
        self.note(now_s, None, "every gate of the last wave has passed");
    }

    /// Publishes the rollout again, unchanged but for its times, before it expires.
    fn renew(&mut self, now_s: u64) {
        if now_s.saturating_sub(self.campaign.rollout.issued_s) >= VALID_S / 2 {
            self.publish(now_s);
        }
    }

    fn wait_for_return(&mut self, facts: &Facts<'_>, now_s: u64) {
        let seen = Observations::of(&self.campaign, facts, now_s);
        let left = seen.tally.on_version;
        if left == 0 || now_s >= self.campaign.back_by_s {
            self.campaign.state = CampaignState::Aborted;
            let why = if left == 0 { "every agent is back".into() } else { format!("{left} agents are not back") };
            self.note(now_s, None, why);
        } else {
            self.renew(now_s);
        }
    }
}

fn undecided(finding: &Finding) -> Option<String> {
    match &finding.verdict {
        Verdict::Undecided(missing) => Some(format!("{}: {missing}", finding.gate.as_str())),
        _ => None,
    }
}

fn confirmed_text(confirmed: u32, needed: u32) -> String {
    let have = if confirmed == 1 { "1 agent has".into() } else { format!("{confirmed} agents have") };
    let were = if needed == 1 { "was" } else { "were" };
    format!("{have} confirmed, {needed} {were} needed")
}
