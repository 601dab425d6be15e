//! Section `[privacy]`: what an alert that leaves the gateway says of hosts.

use serde::Deserialize;
use std::path::PathBuf;

/// Addresses in alerts that leave the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AddressMode {
    /// As they are.
    #[default]
    Plain,
    /// Pseudonyms, which the owner of the key can resolve.
    Pseudonym,
    /// None; pseudonyms of this run keep hosts apart.
    None,
}

/// `[privacy]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PrivacySection {
    /// Addresses in alerts that leave the gateway.
    pub(crate) addresses: AddressMode,
    /// Key of pseudonyms. Default: `address-key` in the version or state folder, which the agent creates.
    pub(crate) key_file: Option<PathBuf>,
}
