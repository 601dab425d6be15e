//! `update`.

use clap::Subcommand;

/// What `update` does.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum UpdateChange {
    /// Install nothing new. A release that is withdrawn is replaced nevertheless.
    Hold,
    /// End a hold.
    Release,
    /// Change the channel.
    Channel {
        /// When the agent gets new releases, relative to its group.
        channel: ChannelChoice,
    },
    /// Show channel, hold, newest rollout, and why nothing is installed.
    Status,
}

/// A channel.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum ChannelChoice {
    /// Among the first.
    Early,
    /// With the group.
    Normal,
    /// In the last wave.
    Late,
    /// As update.channel in the configuration.
    Default,
}

impl UpdateChange {
    /// The request to the running agent, which reads it with [`crate::update::settings::Change::parse`].
    pub(crate) fn request(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Status => "status",
            Self::Channel { channel: ChannelChoice::Early } => "channel early",
            Self::Channel { channel: ChannelChoice::Normal } => "channel normal",
            Self::Channel { channel: ChannelChoice::Late } => "channel late",
            Self::Channel { channel: ChannelChoice::Default } => "channel default",
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::{Cli, Command};
    use clap::Parser;

    #[test]
    fn the_agent_understands_every_change_of_its_settings() {
        for request in
            ["hold", "release", "status", "channel early", "channel normal", "channel late", "channel default"]
        {
            let cli = Cli::parse_from(["lapwing-agent", "update"].into_iter().chain(request.split(' ')));
            let Command::Update { change, .. } = cli.command else { panic!("update expected") };
            assert_eq!(change.request(), request);
            assert!(crate::update::settings::Change::parse(request).is_some());
        }
    }
}
