//! What a person sets on the gateway: channel, hold and pin; from the configuration and `lapwing-agent update`.
//!
//! Commands are kept in a file of two octets in the folder that outlasts a reboot: the channel, 0 if it is that of the
//! configuration, otherwise its number from 1; and 1 for a hold.

use crate::disk::{AnyDisk, Disk};
use lapwing_shared::rollout::decide::Settings;
use lapwing_shared::rollout::message::Channel;
use std::io;

/// Name of the file.
pub(crate) const FILE: &str = "update-settings";

/// A command of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Install nothing new.
    Hold,
    /// The end of a hold.
    Release,
    /// Another channel; `None`: the one of the configuration.
    Channel(Option<Channel>),
    /// None; shows the settings.
    Show,
}

impl Change {
    /// Reads a request as `lapwing-agent update` sends it; `None` for any other text.
    pub(crate) fn parse(request: &str) -> Option<Self> {
        match request {
            "hold" => Some(Self::Hold),
            "release" => Some(Self::Release),
            "status" => Some(Self::Show),
            "channel default" => Some(Self::Channel(None)),
            _ => channel(request.strip_prefix("channel ")?).map(|channel| Self::Channel(Some(channel))),
        }
    }
}

/// Name of a channel.
pub(crate) fn channel_name(channel: Channel) -> &'static str {
    match channel {
        Channel::Early => "early",
        Channel::Normal => "normal",
        Channel::Late => "late",
    }
}

fn channel(name: &str) -> Option<Channel> {
    Channel::ALL.into_iter().find(|channel| channel_name(*channel) == name)
}

/// The settings in use.
pub(crate) struct LocalSettings {
    configured: Settings,
    channel: Option<Channel>,
    hold: bool,
    disk: Option<AnyDisk>,
}

impl LocalSettings {
    /// The settings of the configuration, and the commands on this disk.
    pub(crate) fn new(configured: Settings, disk: Option<AnyDisk>) -> Self {
        let mut settings = Self { configured, channel: None, hold: false, disk };
        match settings.disk.as_mut().map(|disk| disk.read(FILE, 2)).transpose() {
            Ok(Some(Some(bytes))) => {
                if let [channel, hold] = bytes[..] {
                    settings.channel = usize::from(channel).checked_sub(1).and_then(|n| Channel::ALL.get(n).copied());
                    settings.hold = hold == 1;
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(file = FILE, %error, "settings of lapwing-agent update are unknown"),
        }
        settings
    }

    /// Channel, hold and pin.
    pub(crate) fn get(&self) -> Settings {
        let Settings { channel, hold, pin } = self.configured;
        Settings { channel: self.channel.unwrap_or(channel), hold: self.hold || hold, pin }
    }

    /// Whether the configuration holds updates.
    pub(crate) fn is_hold_configured(&self) -> bool {
        self.configured.hold
    }

    /// Applies a command and stores it. One that changes nothing is not written.
    ///
    /// # Errors
    /// A disk error; the command then holds until the agent ends.
    pub(crate) fn change(&mut self, change: Change) -> io::Result<()> {
        let before = (self.channel, self.hold);
        match change {
            Change::Hold => self.hold = true,
            Change::Release => self.hold = false,
            Change::Channel(channel) => self.channel = channel,
            Change::Show => {}
        }
        match &mut self.disk {
            Some(disk) if before != (self.channel, self.hold) => {
                disk.replace(FILE, &[self.channel.map_or(0, |channel| channel as u8 + 1), self.hold.into()])
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::memory::Memory;

    #[test]
    fn requests_are_read_and_others_are_not() {
        assert_eq!(Change::parse("hold"), Some(Change::Hold));
        assert_eq!(Change::parse("channel late"), Some(Change::Channel(Some(Channel::Late))));
        assert_eq!(Change::parse("channel default"), Some(Change::Channel(None)));
        for request in ["", "channel", "channel Late", "hold now", "pin 3"] {
            assert_eq!(Change::parse(request), None, "{request}");
        }
    }

    #[test]
    fn commands_survive_a_restart_and_override_the_channel_of_the_configuration() {
        let configured = Settings { channel: Channel::Early, hold: false, pin: Some(4) };
        let mut settings = LocalSettings::new(configured, Some(Box::<Memory>::default()));
        assert_eq!(settings.get(), configured);
        for (change, channel, hold) in [
            (Change::Hold, Channel::Early, true),
            (Change::Channel(Some(Channel::Late)), Channel::Late, true),
            (Change::Release, Channel::Late, false),
            (Change::Channel(None), Channel::Early, false),
        ] {
            settings.change(change).unwrap();
            settings = LocalSettings::new(configured, settings.disk);
            assert_eq!(settings.get(), Settings { channel, hold, pin: Some(4) }, "{change:?}");
        }
    }

    #[test]
    fn a_hold_of_the_configuration_and_a_damaged_file_are_no_commands() {
        let mut disk = Memory::default();
        disk.replace(FILE, &[9, 9]).unwrap();
        let configured = Settings { hold: true, ..Settings::default() };
        let mut settings = LocalSettings::new(configured, Some(Box::new(disk)));
        settings.change(Change::Release).unwrap();
        assert!(settings.get().hold && settings.is_hold_configured());
        assert_eq!(settings.get().channel, Channel::Normal);
    }
}
