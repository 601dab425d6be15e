//! Configured brokers and the agent's name → the order in which the agent tries them.
//!
//! By the hash of name and broker (rendezvous hashing): each broker is the first choice of an equal share of agents, the
//! agents of a failed one spread over all others, and a broker that is added or removed moves no other agents.

use lapwing_shared::messages::broker_url::BrokerUrl;
use lapwing_shared::release::digest::sha256;

/// Sorts them; the first choice comes first.
pub(super) fn sort(brokers: &mut [BrokerUrl], agent: &str) {
    for at in 0..brokers.len() {
        let rank = |index: &usize| sha256(format!("{agent}\0{}", brokers[*index]).as_bytes());
        let best = (at..brokers.len()).min_by_key(rank).unwrap_or(at);
        brokers.swap(at, best);
    }
}

/// Whether an attempt after this number of failed ones belongs to a second, fourth, … round of the brokers. Then the agent tries
/// the other one of two certificates, so that each broker sees both.
pub(super) fn is_second_round(failed: usize, brokers: usize) -> bool {
    failed / brokers.max(1) % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(brokers: &[&str], agent: &str) -> Vec<String> {
        let mut urls: Vec<BrokerUrl> = brokers.iter().map(|broker| broker.parse().unwrap()).collect();
        sort(&mut urls, agent);
        urls.iter().map(|url| url.host.to_string()).collect()
    }

    #[test]
    fn agents_spread_over_the_brokers_and_over_the_rest_if_one_fails() {
        let mut choices = [[0; 3]; 3];
        for number in 0..3_000 {
            let order = order(&["mqtt://0", "mqtt://1", "mqtt://2"], &format!("gw-{number}"));
            let [first, second] = [0, 1].map(|place| order[place].parse::<usize>().unwrap());
            choices[first][second] += 1;
        }
        for (first, seconds) in choices.iter().enumerate() {
            for (second, count) in seconds.iter().enumerate().filter(|(second, _)| *second != first) {
                assert!((400..600).contains(count), "{first}, then {second}: {count}");
            }
        }
    }

    #[test]
    fn each_broker_sees_both_certificates_in_two_rounds() {
        for brokers in 1..=4 {
            let seen: std::collections::BTreeSet<(usize, bool)> =
                (0..2 * brokers).map(|failed| (failed % brokers, is_second_round(failed, brokers))).collect();
            assert_eq!(seen.len(), 2 * brokers);
        }
    }

    #[test]
    fn the_order_depends_on_neither_the_list_nor_the_logins_and_survives_the_removal_of_another() {
        for number in 0..20 {
            let name = format!("gw-{number}");
            let all = order(&["mqtt://a", "mqtt://u:p@b", "mqtts://c"], &name);
            assert_eq!(all, order(&["mqtts://c", "mqtt://v:q@b", "mqtt://a"], &name));
            let rest: Vec<String> = all.into_iter().filter(|host| host != "b").collect();
            assert_eq!(rest, order(&["mqtt://a", "mqtts://c"], &name));
        }
    }
}
