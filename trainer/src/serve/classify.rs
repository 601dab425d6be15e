//! Alert episodes with new messages → their feature rows → attack classes, stored with the episodes.

use lapwing_models::classify::{AttackClassifier, ClassifierError, EpisodeClass};
use lapwing_shared::features::schema::schema_id;
use lapwing_store::{Classification, StoreError, StoreHandle, UNKNOWN_CLASS};
use std::path::Path;

/// At most this many episodes in one pass, so that the server's loop is not delayed.
const EPISODES: u32 = 256;

/// Log line at level `debug` when all results of a pass are stored.
pub const PASS_DONE: &str = "classified new alert messages";
/// At most this many agents are named in a warning.
const NAMED_AGENTS: u32 = 6;

/// Classifies alerts as they arrive, and again when more of their rows have arrived.
pub(crate) struct AlertClassifier {
    classifier: AttackClassifier,
}

impl AlertClassifier {
    /// Loads the model.
    ///
    /// # Errors
    /// As [`AttackClassifier::load`].
    pub(crate) fn load(path: &Path) -> Result<Self, ClassifierError> {
        let classifier = AttackClassifier::load(path)?;
        tracing::info!(model = %path.display(), classes = classifier.classes().join(", "), "classifying alerts");
        Ok(Self::new(classifier))
    }

    pub(crate) fn new(classifier: AttackClassifier) -> Self {
        Self { classifier }
    }

    /// Warns of agents that send no rows, whose alerts therefore cannot be classified.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn warn_of_agents_without_rows(handle: &StoreHandle) -> Result<Vec<String>, StoreError> {
        let agents = handle.agents_without_rows(NAMED_AGENTS)?;
        if !agents.is_empty() {
            tracing::warn!(
                agents = agents.join(", "),
                "these agents send no feature rows, neither in alerts nor in samples, so their alerts stay `unknown`; \
                 set samples.alert-rows or samples.rows there, or update them"
            );
        }
        Ok(agents)
    }

    /// Classifies every episode that has new messages, at `now_s` seconds since the epoch.
    ///
    /// # Errors
    /// When the store cannot be used; the next pass starts at the same messages.
    pub(crate) fn pass(&self, handle: &StoreHandle, now_s: u64) -> Result<(), StoreError> {
        let episodes = handle.unclassified_episodes(EPISODES)?;
        if episodes.is_empty() {
            return Ok(());
        }
        let mut classified = Vec::with_capacity(episodes.len());
        for span in episodes {
            let class = self.classifier.classify(&handle.episode_rows(&span, &schema_id())?);
            if let Err(error) = &class {
                tracing::error!(agent = span.agent_name, episode = span.episode, %error, "cannot classify an alert");
            }
            classified.push((span, class.ok().map(stored)));
        }
        handle.set_classes(&classified, self.classifier.data_sha256(), now_s)?;
        tracing::debug!(episodes = classified.len(), "{PASS_DONE}");
        for (span, class) in classified.iter().filter_map(|(span, class)| Some((span, class.as_ref()?))) {
            let probability = class.probability;
            let (agent, episode, rows) = (&span.agent_name, span.episode, class.rows);
            tracing::debug!(agent, episode, kind = class.class, probability, rows, "alert classified");
        }
        Ok(())
    }
}

fn stored(class: EpisodeClass) -> Classification {
    let EpisodeClass { class, probability, rows } = class;
    let probability = probability.map(f64::from);
    Classification { class: class.unwrap_or_else(|| UNKNOWN_CLASS.into()), probability, rows }
}
