//! `[update]`.

use lapwing_shared::rollout::decide::Settings;
use lapwing_shared::rollout::message::Channel;
use serde::Deserialize;
use std::path::PathBuf;

/// Whether the trainer may determine channel, pin, hold and false-alert budget of this agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Assignments {
    /// It may; what it does not assign is as configured.
    #[default]
    Accept,
    /// It may not.
    Ignore,
}

/// `[update]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct UpdateSection {
    /// Directory of the two release slots and the outbox's journal. Default: none, both are in memory.
    pub(crate) state_dir: Option<PathBuf>,
    /// Directory of the highest confirmed version, 8 octets, for gateways whose `state_dir` does not outlast a reboot.
    /// Default: none.
    pub(crate) version_dir: Option<PathBuf>,
    /// Public key files of those who may sign releases, at most 4.
    pub keys: Vec<PathBuf>,
    /// File of root documents, the newest of which is trusted: its keys and those of later ones replace `keys` for releases
    /// from the broker. Default: the one of the identity, if it has one.
    pub(crate) root: Option<PathBuf>,
    /// Public key files of those who may sign rollouts, at most 4, for agents without a root document.
    pub(crate) rollout_keys: Vec<PathBuf>,
    /// When the agent gets new releases, relative to its group.
    pub(crate) channel: Channel,
    /// Install nothing new.
    pub(crate) hold: bool,
    /// The only version that the agent installs. Default: none.
    pub(crate) pin: Option<u64>,
    /// Whether the trainer may determine these settings and the false-alert budget.
    pub(crate) assignment: Assignments,
    /// Signed root document that came with the identity; empty without one. Not a key of the file.
    #[serde(skip)]
    pub(crate) enrolled_root: Vec<u8>,
    /// Lines of key files that came with the identity. Not a key of the file.
    #[serde(skip)]
    pub(crate) enrolled_keys: Vec<String>,
}

impl UpdateSection {
    /// Channel, hold and pin.
    pub(crate) fn settings(&self) -> Settings {
        Settings { channel: self.channel, hold: self.hold, pin: self.pin }
    }
}
