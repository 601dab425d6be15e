//! Statuses of agents from several brokers → those that are current.
//!
//! An agent that changes the broker leaves a last will ("offline") and a retained status at the one before. They arrive
//! after its new status, and again with every new subscription. Health messages are never retained or queued.

use std::collections::HashMap;

/// Agents with a known broker. Above it, all are forgotten; the next message of each sets it again. Names are those of
/// clients that the brokers accept.
const AGENTS: usize = 40_000;

/// What a message says about where its agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// A health message: the agent sent it just now.
    Alive,
    /// The agent was online. It may have left since.
    Online,
    /// The agent is offline: its last will, which the broker publishes, perhaps long after the agent has left.
    Offline,
}

struct Route {
    link: usize,
    /// Run of the agent, and when it created its newest status, seconds since the epoch.
    created: (u64, u64),
}

/// Last known broker of each agent.
#[derive(Default)]
pub(super) struct Routes(HashMap<String, Route>);

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Current,
    /// It is current, and the agent has changed the broker.
    Moved,
    /// It says how the agent left this broker for another one.
    Stale,
}

impl Routes {
    /// `created`: run of the agent, and creation time of the message.
    pub(super) fn see(&mut self, agent: &str, link: usize, sign: Sign, created: (u64, u64)) -> Verdict {
        let Some(route) = self.0.get_mut(agent) else {
            self.add(agent, link, sign, created);
            return Verdict::Current;
        };
        let is_here = route.link == link;
        let is_current = match sign {
            Sign::Alive => true,
            Sign::Online => is_here || created >= route.created,
            Sign::Offline => is_here || created.0 > route.created.0,
        };
        if !is_current {
            return Verdict::Stale;
        }
        route.link = link;
        if sign != Sign::Alive {
            route.created = route.created.max(created);
        }
        if is_here { Verdict::Current } else { Verdict::Moved }
    }

    fn add(&mut self, agent: &str, link: usize, sign: Sign, created: (u64, u64)) {
        let created = match sign {
            Sign::Alive => (created.0, 0),
            Sign::Online => created,
            // A will does not say where the agent is.
            Sign::Offline => return,
        };
        if self.0.len() >= AGENTS {
            self.0.clear();
        }
        self.0.insert(agent.to_owned(), Route { link, created });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_will_at_the_broker_that_an_agent_left_does_not_make_it_offline() {
        let mut routes = Routes::default();
        assert_eq!(routes.see("gw", 0, Sign::Online, (1, 100)), Verdict::Current);
        assert_eq!(routes.see("gw", 1, Sign::Online, (1, 200)), Verdict::Moved);
        assert_eq!(routes.see("gw", 0, Sign::Offline, (1, 100)), Verdict::Stale);
        assert_eq!(routes.see("gw", 1, Sign::Offline, (1, 200)), Verdict::Current, "it is offline at its own broker");
        assert_eq!(routes.see("other", 0, Sign::Offline, (1, 100)), Verdict::Current);
    }

    #[test]
    fn of_the_statuses_at_two_brokers_the_newer_one_counts_whichever_arrives_first() {
        let (old, new) = ((0, (1, 100)), (1, (1, 200)));
        for (first, second, expected) in [(old, new, Verdict::Moved), (new, old, Verdict::Stale)] {
            let mut routes = Routes::default();
            routes.see("gw", first.0, Sign::Online, first.1);
            assert_eq!(routes.see("gw", second.0, Sign::Online, second.1), expected);
        }
        let mut routes = Routes::default();
        routes.see("gw", 0, Sign::Offline, (1, 100));
        assert_eq!(routes.see("gw", 1, Sign::Online, (1, 200)), Verdict::Current, "a will sets no route");
    }

    #[test]
    fn a_health_message_names_the_broker_of_an_agent_without_a_clock() {
        let mut routes = Routes::default();
        routes.see("gw", 0, Sign::Online, (1, 0));
        assert_eq!(routes.see("gw", 1, Sign::Alive, (1, 0)), Verdict::Moved);
        assert_eq!(routes.see("gw", 1, Sign::Alive, (1, 0)), Verdict::Current);
        assert_eq!(routes.see("gw", 0, Sign::Offline, (1, 0)), Verdict::Stale);
        assert_eq!(
            routes.see("gw", 0, Sign::Online, (1, 0)),
            Verdict::Moved,
            "of equal times the later message counts"
        );
    }

    #[test]
    fn a_restarted_agent_that_goes_offline_at_another_broker_is_offline() {
        let mut routes = Routes::default();
        routes.see("gw", 0, Sign::Alive, (1, 100));
        assert_eq!(routes.see("gw", 1, Sign::Offline, (2, 0)), Verdict::Moved);
    }

    #[test]
    fn the_number_of_agents_is_limited() {
        let mut routes = Routes::default();
        for number in 0..AGENTS + 5 {
            routes.see(&number.to_string(), 0, Sign::Alive, (1, 1));
        }
        assert_eq!(routes.0.len(), 5);
    }
}
