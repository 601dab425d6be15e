//! What an operator and `serve` assign to a single agent → the assignment that is signed and published.

use crate::audit::{AuditAction, AuditEntry};
use lapwing_shared::release::manifest::Name;
use lapwing_shared::rollout::assignment::Assignment;
use lapwing_shared::rollout::message::Channel;
use serde::Serialize;
use std::fmt;

/// Serials that an assignment may skip. Agents report the serial that they have, and one that lies must not use up all numbers.
const SERIALS: u64 = 1 << 32;

/// What an operator assigns to an agent; what is not set is as the agent's configuration says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AssignedSettings {
    /// Channel.
    pub channel: Option<Channel>,
    /// The only version that it installs.
    pub pin: Option<u64>,
    /// Install nothing new.
    pub hold: bool,
    /// False-alert budget, alerts per 1,000 days.
    pub alerts_per_1000_days: Option<u32>,
}

impl fmt::Display for AssignedSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channel = self.channel.map(|channel| format!("channel {}", channel_name(channel)));
        let pin = self.pin.map(|version| format!("pinned to {version}"));
        let hold = self.hold.then(|| "held".to_owned());
        let alerts = self.alerts_per_1000_days.map(|alerts| format!("{} alerts a day", f64::from(alerts) / 1_000.0));
        let parts: Vec<String> = [channel, pin, hold, alerts].into_iter().flatten().collect();
        if parts.is_empty() { f.write_str("nothing") } else { f.write_str(&parts.join(", ")) }
    }
}

/// Name of a channel.
pub const fn channel_name(channel: Channel) -> &'static str {
    match channel {
        Channel::Early => "early",
        Channel::Normal => "normal",
        Channel::Late => "late",
    }
}

/// The channel with this name.
pub fn parse_channel(name: &str) -> Option<Channel> {
    Channel::ALL.into_iter().find(|channel| channel_name(*channel) == name)
}

/// The newest assignment of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StoredAssignment {
    /// The agent.
    pub name: String,
    /// Its serial, greater than those of all assignments before it, of any agent.
    pub serial: u64,
    /// What an operator assigned.
    #[serde(flatten)]
    pub settings: AssignedSettings,
    /// Two campaigns failed on the agent lately: `serve` assigns the late channel.
    pub is_set_aside: bool,
    /// When it was issued, seconds since the epoch.
    pub issued_s: u64,
    /// Who issued it.
    pub who: String,
    /// The group that the agent reports, whose key signs it; `None` if the store does not know the agent any more.
    pub group: Option<String>,
}

impl StoredAssignment {
    /// The message to sign; `None` for an invalid name.
    pub fn message(&self) -> Option<Assignment> {
        let AssignedSettings { channel, pin, hold, alerts_per_1000_days } = self.settings;
        Some(Assignment {
            agent: Name::try_from(self.name.as_str()).ok()?,
            serial: self.serial,
            channel: if self.is_set_aside { Some(Channel::Late) } else { channel },
            pin,
            hold,
            alerts_per_1000_days,
            issued_s: self.issued_s,
        })
    }

    /// Whether it assigns nothing: it only replaces one that did.
    pub fn is_empty(&self) -> bool {
        self.settings == AssignedSettings::default() && !self.is_set_aside
    }

    /// The entry of the audit log.
    pub fn audit_entry(&self) -> AuditEntry {
        let set_aside = if self.is_set_aside { "; set aside: channel late" } else { "" };
        let detail = format!("{}{set_aside}", self.settings);
        AuditEntry::new(AuditAction::Assign, &self.name, &detail, &self.who, self.issued_s)
    }
}

/// A change of an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssignmentChange {
    /// An operator assigns this, and nothing else.
    Settings(AssignedSettings),
    /// Whether the agent is set aside.
    SetAside(bool),
    /// None; it gets a higher serial, because the agent has one that the store does not know: the store was restored.
    Renew,
}

impl AssignmentChange {
    /// What the assignment `before` becomes. `None` if nothing changes. `highest` is the highest serial in the store, `reported`
    /// that which the agent reports.
    pub fn apply(
        &self,
        name: &str,
        before: Option<&StoredAssignment>,
        (highest, reported): (u64, u64),
        who: &str,
        now_s: u64,
    ) -> Option<StoredAssignment> {
        let credible = if reported <= highest.saturating_add(SERIALS) { reported } else { 0 };
        let (settings, is_set_aside) = before.map_or_else(Default::default, |old| (old.settings, old.is_set_aside));
        let (settings, is_set_aside) = match *self {
            Self::Settings(settings) => (settings, is_set_aside),
            Self::SetAside(is_set_aside) => (settings, is_set_aside),
            Self::Renew => (settings, is_set_aside),
        };
        let is_same = match before {
            Some(old) => (old.settings, old.is_set_aside) == (settings, is_set_aside) && credible <= old.serial,
            // An agent may have one that the store does not know.
            None => settings == AssignedSettings::default() && !is_set_aside && credible == 0,
        };
        let serial = highest.max(credible).saturating_add(1);
        let (name, who, group) = (name.to_owned(), who.to_owned(), before.and_then(|old| old.group.clone()));
        (!is_same).then_some(StoredAssignment { name, serial, settings, is_set_aside, issued_s: now_s, who, group })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: AssignedSettings =
        AssignedSettings { channel: Some(Channel::Late), pin: None, hold: false, alerts_per_1000_days: Some(500) };

    fn changed(change: AssignmentChange, before: Option<&StoredAssignment>, reported: u64) -> Option<StoredAssignment> {
        change.apply("gw-1", before, (7, reported), "ann", 1_000)
    }

    #[test]
    fn a_change_has_the_next_serial_of_all_and_one_that_changes_nothing_has_none() {
        let first = changed(AssignmentChange::Settings(LATE), None, 0).unwrap();
        assert_eq!((first.serial, first.settings, first.is_set_aside), (8, LATE, false));
        assert_eq!(changed(AssignmentChange::Settings(LATE), Some(&first), 8), None);
        assert_eq!(changed(AssignmentChange::SetAside(false), None, 0), None);
        let cleared = changed(AssignmentChange::Settings(AssignedSettings::default()), Some(&first), 8).unwrap();
        assert!(cleared.is_empty() && cleared.message().is_some_and(|message| message.channel.is_none()));
    }

    #[test]
    fn an_agent_that_is_set_aside_is_late_until_it_is_not() {
        let early = AssignedSettings { channel: Some(Channel::Early), ..LATE };
        let own = changed(AssignmentChange::Settings(early), None, 0).unwrap();
        let aside = changed(AssignmentChange::SetAside(true), Some(&own), 8).unwrap();
        let message = aside.message().unwrap();
        message.validate().unwrap();
        assert_eq!((message.channel, message.alerts_per_1000_days), (Some(Channel::Late), Some(500)));
        assert_eq!(aside.audit_entry().detail, "channel early, 0.5 alerts a day; set aside: channel late");
        let back = changed(AssignmentChange::SetAside(false), Some(&aside), 8).unwrap();
        assert_eq!(back.message().unwrap().channel, Some(Channel::Early));
    }

    #[test]
    fn after_a_restore_the_serial_follows_that_of_the_agent_unless_it_lies() {
        let old = changed(AssignmentChange::Settings(LATE), None, 0).unwrap();
        assert_eq!(changed(AssignmentChange::Renew, Some(&old), 8), None);
        assert_eq!(changed(AssignmentChange::Renew, Some(&old), 40).unwrap().serial, 41);
        assert_eq!(changed(AssignmentChange::Renew, Some(&old), u64::MAX), None);
        // The agent has an assignment that the store has lost.
        assert!(changed(AssignmentChange::Renew, None, 40).unwrap().is_empty());
    }
}
