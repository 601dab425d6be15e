//! One look of the server: episodes with news → their rows → their kinds, into the store.

use super::{KindNamer, KindsError};
use crate::clock;
use crate::store::{Desk, StoreError};
use lapwing_shared::features::schema::schema_id;
use std::path::Path;

/// Messages of either sort that one look takes: it must not hold up the server's loop.
const MESSAGES: u32 = 256;

/// What the log says at level `debug` when all that a look found is in the store.
pub const LOOKED: &str = "looked at what is new of alerts";
/// Agents that a warning names.
const NAMED_AGENTS: u32 = 6;

/// Names alerts as they come in, and again when more is known of them.
pub(crate) struct KindWork {
    pub(super) namer: KindNamer,
}

impl KindWork {
    /// Loads the model.
    ///
    /// # Errors
    /// As [`KindNamer::load`].
    pub(crate) fn load(path: &Path) -> Result<Self, KindsError> {
        let namer = KindNamer::load(path)?;
        tracing::info!(model = %path.display(), kinds = namer.kinds().join(", "), "alerts are named");
        Ok(Self { namer })
    }

    /// Warns of agents whose alerts it has nothing to name by.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn warn_of_silent_agents(desk: &Desk) -> Result<Vec<String>, StoreError> {
        let agents = desk.agents_without_rows(NAMED_AGENTS)?;
        if !agents.is_empty() {
            tracing::warn!(
                agents = agents.join(", "),
                "these agents send no rows, neither in alerts nor in samples, so their alerts stay `unknown`; set \
                 samples.alert-rows or samples.rows there, or update them"
            );
        }
        Ok(agents)
    }

    /// Names every episode of which something new has come.
    ///
    /// # Errors
    /// When the store cannot be used; the next look begins where this one did.
    pub(crate) fn look(&self, desk: &Desk) -> Result<(), StoreError> {
        let before = desk.looked_at()?;
        let (episodes, looked_at) = desk.episodes_to_name(before, MESSAGES)?;
        if looked_at == before {
            return Ok(());
        }
        let mut named = Vec::with_capacity(episodes.len());
        for span in episodes {
            match self.namer.name(&desk.episode_rows(&span, &schema_id())?) {
                Ok(kind) => named.push((span, kind)),
                Err(error) => tracing::error!(agent = span.agent_name, episode = span.episode, %error, "no kind"),
            }
        }
        desk.set_kinds(&named, looked_at, self.namer.learned_from(), clock::now_s())?;
        tracing::debug!(episodes = named.len(), "{LOOKED}");
        for (span, kind) in &named {
            let probability = kind.probability.map(f64::from);
            let (agent, episode, rows) = (&span.agent_name, span.episode, kind.rows);
            tracing::debug!(agent, episode, kind = kind.kind, probability, rows, "alert named");
        }
        Ok(())
    }
}
