//! Agents and the size of a wave → the reach of each channel; campaign → its salt.

use super::facts::AgentFacts;
use super::plan::WaveSize;
use lapwing_shared::release::digest::sha256;
use lapwing_shared::rollout::message::{Channel, PLACES};

/// Salts that are tried for a small group, and places that are computed for a large one.
const SALTS: usize = 5_000;
const PLACES_COMPUTED: usize = 500_000;
/// Usual alerts per day above which a home does not make a canary better.
const NOISY: f32 = 2.0;
/// Agents beyond the canary's size for which pairs and alerts are looked at.
const EXTRA: usize = 20;
/// A pair of device target and engine must be in the canary if this share of the group has it.
const COMMON_PAIR: usize = 20;

/// Selects the salt of a campaign from those that `seed` determines: the one whose first agents reach the canary's size with
/// the fewest agents that are not fit, and with every common pair of device target and engine. `with_salt` sets the agents'
/// places.
///
/// A home that never has an alert cannot show that a release has four times as many. Unfit agents within the reach, which install the release whenever they return, would make the canary larger than
/// planned.
pub fn choose_salt(
    seed: u64,
    agents: &mut [AgentFacts],
    canary: &WaveSize,
    with_salt: &mut dyn FnMut(&[u8; 8], &mut [AgentFacts]),
) -> [u8; 8] {
    let tries = (PLACES_COMPUTED / agents.len().max(1)).clamp(4, SALTS);
    let salt = |number: u64| {
        let digest = sha256(&[seed.to_be_bytes(), number.to_be_bytes()].concat());
        digest.first_chunk().copied().unwrap_or_default()
    };
    let mut best = ((usize::MAX, usize::MAX, 0), salt(0));
    for number in 0..tries as u64 {
        let salt = salt(number);
        with_salt(&salt, agents);
        let cost = cost(agents, canary);
        if cost < best.0 {
            best = (cost, salt);
        }
    }
    with_salt(&best.1, agents);
    best.1
}

/// Agents that would install the release beyond the canary's size, then common pairs that are missing, then usual alerts
/// per day, in thousandths, negated.
fn cost(agents: &[AgentFacts], canary: &WaveSize) -> (usize, usize, i64) {
    let reach = wave_reach(agents, canary, 1.0, [0; 3]);
    let reached: Vec<&AgentFacts> = agents.iter().filter(|agent| !agent.is_held && is_within(agent, reach)).collect();
    let extra = reached.len().saturating_sub(canary.agents as usize);
    if extra >= EXTRA {
        return (extra, 0, 0);
    }
    let is_covered = |pair: u8| reached.iter().any(|agent| agent.is_fit && agent.pair == pair);
    let missing = common_pairs(agents).filter(|pair| !is_covered(*pair)).count();
    let alerts: f32 = reached.iter().filter(|agent| agent.is_fit).map(|agent| agent.usual_per_day.min(NOISY)).sum();
    (extra, missing, -(alerts * 1_000.0) as i64)
}

fn common_pairs(agents: &[AgentFacts]) -> impl Iterator<Item = u8> + '_ {
    let count = |pair: u8| agents.iter().filter(|agent| agent.pair == pair).count();
    (0..=agents.iter().map(|agent| agent.pair).max().unwrap_or(0))
        .filter(move |pair| count(*pair) * COMMON_PAIR >= agents.len().max(1))
}

fn is_within(agent: &AgentFacts, reach: [u32; 3]) -> bool {
    u32::from(agent.place.place) < reach.get(agent.channel as usize).copied().unwrap_or(0)
}

/// The reach with which a wave includes its number of agents: those of the early channel first, then normal ones. Late
/// agents belong to the last wave, of which `last_share` is reached. The first waves count fit agents only. The reach is
/// never lower than `before`.
pub fn wave_reach(agents: &[AgentFacts], size: &WaveSize, last_share: f64, before: [u32; 3]) -> [u32; 3] {
    if size.is_last {
        let share = (last_share * f64::from(PLACES)).round() as u32;
        return before.map(|reach| reach.max(share));
    }
    let is_suited = |agent: &&AgentFacts| agent.is_fit && !agent.is_held;
    // In larger waves, agents that are offline now must not enlarge the reach, as they return later. A group with too few
    // suited agents takes any.
    let is_small = size.agents <= 20 || size.agents as usize * 50 <= agents.len();
    let suited_only = is_small && agents.iter().filter(is_suited).count() >= size.agents as usize;
    // Held agents would keep a wave waiting; they count only where there are no others.
    let is_free = |agent: &&AgentFacts| !agent.is_held;
    let free_only = agents.iter().filter(is_free).count() >= size.agents as usize;
    let mut left = size.agents as usize;
    let mut reach = before;
    for channel in [Channel::Early, Channel::Normal] {
        let own = agents.iter().filter(|agent| agent.channel == channel);
        let mut places: Vec<u16> = own
            .filter(|agent| (!suited_only || is_suited(agent)) && (!free_only || is_free(agent)))
            .map(|agent| agent.place.place)
            .collect();
        let needed = reach_of(&mut places, left);
        left -= places.len().min(left);
        if let Some(reach) = reach.get_mut(channel as usize) {
            *reach = (*reach).max(needed);
        }
    }
    reach
}

/// The reach that includes the first `count` of these places, or all of them. It is not larger than needed: it would include
/// agents that are not suited.
fn reach_of(places: &mut [u16], count: usize) -> u32 {
    let last = count.min(places.len()).checked_sub(1);
    last.map_or(0, |last| u32::from(*places.select_nth_unstable(last).1) + 1)
}

#[cfg(test)]
mod tests {
    use super::super::plan::Plan;
    use super::super::tests::agent;
    use super::*;
    use lapwing_shared::rollout::place::Place;

    /// Sets the places that agents named after their index have under a salt.
    fn with_salt(salt: &[u8; 8], agents: &mut [AgentFacts]) {
        for (index, agent) in agents.iter_mut().enumerate() {
            agent.place = Place::of(salt, &format!("gw-{index}").as_str().try_into().unwrap());
        }
    }

    fn group(agents: usize) -> Vec<AgentFacts> {
        let mut agents = vec![agent(1); agents];
        with_salt(b"saltsalt", &mut agents);
        agents
    }

    fn reached(agents: &[AgentFacts], reach: [u32; 3]) -> Vec<&AgentFacts> {
        agents.iter().filter(|agent| is_within(agent, reach)).collect()
    }

    #[test]
    fn each_wave_reaches_its_number_of_agents_and_those_before_it() {
        let agents = group(1_000);
        let plan = Plan::default();
        let mut reach = [0; 3];
        for size in plan.sizes(1_000) {
            let wider = wave_reach(&agents, &size, plan.last_share(1_000), reach);
            assert!((0..3).all(|channel| wider[channel] >= reach[channel]));
            let count = reached(&agents, wider).len();
            let expected = if size.is_last { 930..=970 } else { size.agents as usize..=size.agents as usize + 2 };
            assert!(expected.contains(&count), "{count} of {size:?}");
            reach = wider;
        }
    }

    #[test]
    fn early_agents_are_the_first_and_late_ones_are_in_the_last_wave_only() {
        let mut agents = group(1_000);
        agents[..4].iter_mut().for_each(|agent| agent.channel = Channel::Early);
        agents[4..600].iter_mut().for_each(|agent| agent.channel = Channel::Late);
        let sizes = Plan::default().sizes(1_000);
        let canary = wave_reach(&agents, &sizes[1], 0.95, [0; 3]);
        let first = reached(&agents, canary);
        assert_eq!((canary[2], first.len()), (0, 10));
        assert_eq!(first.iter().filter(|agent| agent.channel == Channel::Early).count(), 4);
        let last = wave_reach(&agents, &sizes[4], 0.95, canary);
        assert!(last[1..] == [62_259, 62_259] && last[0] >= 62_259, "{last:?}");
    }

    #[test]
    fn the_salt_avoids_unfit_agents_and_covers_common_devices() {
        let mut agents = group(100);
        agents.iter_mut().step_by(4).for_each(|agent| agent.usual_per_day = 0.0);
        agents.iter_mut().step_by(3).for_each(|agent| agent.is_fit = false);
        agents.iter_mut().skip(1).step_by(10).for_each(|agent| agent.pair = 1);
        let canary = Plan::default().sizes(100)[1];
        for seed in 0..10 {
            let salt = choose_salt(seed, &mut agents, &canary, &mut with_salt);
            let reach = wave_reach(&agents, &canary, 0.95, [0; 3]);
            let first = reached(&agents, reach);
            assert!(first.len() == 5 && first.iter().all(|agent| agent.is_fit), "seed {seed}: {}", first.len());
            assert!(first.iter().any(|agent| agent.pair == 1), "seed {seed}");
            assert!(first.iter().all(|agent| agent.usual_per_day > 0.0), "seed {seed}");
            assert_eq!(salt, choose_salt(seed, &mut agents, &canary, &mut with_salt), "the same for the same seed");
        }
    }

    #[test]
    fn a_canary_of_all_fit_agents_includes_no_other() {
        let mut agents = group(30);
        agents.iter_mut().skip(5).for_each(|agent| agent.is_fit = false);
        let canary = Plan::default().sizes(30)[1];
        let cut = agents[..5].iter().map(|agent| u32::from(agent.place.place) + 1).max().unwrap();
        assert_eq!(wave_reach(&agents, &canary, 0.95, [0; 3]), [0, cut, 0]);
    }

    #[test]
    fn held_agents_are_in_the_first_wave_only_if_there_are_no_others() {
        let mut agents = group(14);
        agents.iter_mut().for_each(|agent| agent.is_fit = false);
        agents[..13].iter_mut().for_each(|agent| agent.is_held = true);
        let first = Plan::default().sizes(14)[0];
        assert_eq!(first.agents, 1);
        let reach = wave_reach(&agents, &first, 0.95, [0; 3]);
        assert!(reached(&agents, reach).iter().any(|agent| !agent.is_held), "{reach:?}");
        agents[13].is_held = true;
        assert_eq!(reached(&agents, wave_reach(&agents, &first, 0.95, [0; 3])).len(), 1);
    }

    #[test]
    fn a_group_without_fit_agents_has_a_canary_nevertheless() {
        let mut agents = group(30);
        agents.iter_mut().for_each(|agent| agent.is_fit = false);
        let canary = Plan::default().sizes(30)[1];
        assert_eq!(reached(&agents, wave_reach(&agents, &canary, 0.95, [0; 3])).len(), 5);
    }
}
