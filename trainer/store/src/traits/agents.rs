//! Agents, their states and numbers.

use crate::error::StoreError;
use crate::rows::{AgentCount, AgentFilter, AgentPage, AgentRow, StoredAgent, StoredUpdate};

/// Agents that one call of [`Agents::mark_silent`] changes, at most, so that no transaction is long.
pub const MAX_SILENCED: u32 = 5_000;

/// Agents, as they report themselves.
pub trait Agents {
    /// All agents, ordered by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn agents(&self) -> Result<Vec<StoredAgent>, StoreError>;

    /// One agent by its name.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn agent_row(&self, name: &str) -> Result<Option<AgentRow>, StoreError>;

    /// One page of agents.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn agent_page(&self, filter: &AgentFilter) -> Result<AgentPage, StoreError>;

    /// Numbers of agents by state, group and release.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn agent_counts(&self) -> Result<Vec<AgentCount>, StoreError>;

    /// Sets the state of connected agents that have been silent for longer than [`lapwing_fleet::SILENT_S`]; their next
    /// message sets it back. Returns how many, at most [`MAX_SILENCED`]. Call it every few seconds.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn mark_silent(&self, now_s: u64) -> Result<u64, StoreError>;

    /// At most `limit` update reports of an agent, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn updates_of(&self, agent: &str, limit: u32) -> Result<Vec<StoredUpdate>, StoreError>;

    /// At most `limit` agents, ordered by name, whose alerts cannot be classified: they send rows neither in their newest
    /// alert nor in samples.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn agents_without_rows(&self, limit: u32) -> Result<Vec<String>, StoreError>;

    /// Removes an agent with its alerts, labels, feature rows and reports. If it sends again, it is a new agent. A running
    /// `serve` notices it at its next commit.
    ///
    /// # Errors
    /// When there is no such agent, or the store cannot be written.
    fn forget_agent(&self, name: &str, who: &str, now_s: u64) -> Result<(), StoreError>;
}
